"""Which kernels serve an array: the folder's `cpu.py` for NumPy, its `cuda.py` for CuPy and for emulated arrays.

A family's public function is one line: `return backend(__name__, x).forward(x, ...)`. The module is imported by the
first call, so that `import tinyseg` never waits for numba.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from tinyseg.errors import DeviceError

from .emulated import EmulatedArray

__all__ = ["backend", "narrow", "native"]

HALF_TYPES = frozenset({np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)})


def backend(family: str, x: Any) -> ModuleType:
    """The module of `family` (a package's `__name__`) whose kernels take arrays like `x`.

    **Raises** DeviceError for an array of another library.
    """
    if _on_cpu(x):
        return importlib.import_module(f"{family}.cpu")
    cupy = sys.modules.get("cupy")  # no array can be CuPy's before CuPy is imported
    if not isinstance(x, EmulatedArray) and (cupy is None or not isinstance(x, cupy.ndarray)):
        short = family.rpartition(".")[2]
        raise DeviceError(
            f"{short}: kernels take NumPy's, CuPy's and emulated arrays, got a {type(x).__module__}.{type(x).__name__}"
        )
    return importlib.import_module(f"{family}.cuda")


def native(x: np.ndarray) -> np.ndarray:
    """`x` as numba's kernels want it: C-contiguous, and float16 or bfloat16 widened to float32.

    Numba has no half types: they are stored in T, computed and accumulated in float32, and `narrow` goes back.
    CUDA kernels read and write them: an array of theirs is only made contiguous.
    """
    if not _on_cpu(x):
        return x if x.flags.c_contiguous else x.copy(order="C")
    wide = np.float32 if x.dtype in HALF_TYPES else x.dtype
    x = np.ascontiguousarray(x, dtype=wide)
    return x if x.flags.writeable else x.copy()  # numba compiles every kernel again for a read-only array


def narrow(y: np.ndarray, like: np.ndarray) -> np.ndarray:
    """`y` in the element type of `like`; the same array where it already has it."""
    return y.astype(like.dtype, copy=False)


def _on_cpu(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and not isinstance(x, EmulatedArray)
