"""Which device an array lives on: its type decides. The only `import cupy` outside kernels/."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .errors import DeviceError

__all__ = [
    "array_module", "cuda_available", "device_of", "module_for", "shares_memory", "special", "to_cpu", "to_device",
]  # fmt: skip

Array = Any


def _is_cupy(array: Array) -> bool:
    cupy = sys.modules.get("cupy")  # no array can be CuPy's before CuPy is imported
    return cupy is not None and isinstance(array, cupy.ndarray)


def array_module(array: Array) -> Any:
    """NumPy or CuPy: the module whose functions work on `array`."""
    return sys.modules["cupy"] if _is_cupy(array) else np


def module_for(dlpack_device: tuple[Any, int]) -> Any:
    """The module that takes over memory of a DLPack device: CuPy for CUDA's (2, managed 13), NumPy for the rest."""
    return _cupy() if int(dlpack_device[0]) in (2, 13) else np


def special(array: Array) -> Any:
    """`scipy.special` or its CuPy twin: error function and the like for `array`."""
    if _is_cupy(array):
        import cupyx.scipy.special as module
    else:
        import scipy.special as module
    return module


def device_of(array: Array) -> str:
    """'cpu', or 'cuda:N' for a CuPy array."""
    return f"cuda:{array.device.id}" if _is_cupy(array) else "cpu"


def shares_memory(a: Array, b: Array) -> bool:
    """Whether the two arrays' memory ranges overlap (a bounds check, cheap and on the safe side)."""
    return bool(array_module(a).may_share_memory(a, b))


def to_cpu(array: Array) -> np.ndarray[Any, Any]:
    """The array as NumPy's: itself, or a copy from the GPU."""
    return sys.modules["cupy"].asnumpy(array) if _is_cupy(array) else array


def to_device(array: Array, device: str | None) -> Array:
    """The array on `device` ('cpu', 'cuda', 'cuda:N', None: where it is); itself if it is there already.

    **Raises** DeviceError for a device that does not exist here.
    """
    if device is None or device == device_of(array):
        return array
    kind, _, number = str(device).partition(":")
    if kind == "cpu" and not number:
        return to_cpu(array)
    if kind != "cuda" or not (number.isdigit() or number == ""):
        raise DeviceError(f"device: expected 'cpu', 'cuda' or 'cuda:N', got {device!r}")
    cupy = _cupy()
    if int(number or 0) >= cupy.cuda.runtime.getDeviceCount():
        raise DeviceError(
            f"device: {device!r} does not exist, this machine has {cupy.cuda.runtime.getDeviceCount()} GPUs"
        )
    with cupy.cuda.Device(int(number or 0)):
        return cupy.asarray(array)


def cuda_available() -> bool:
    """Whether CuPy is installed and sees a GPU."""
    try:
        _cupy()
    except DeviceError:
        return False
    return True


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise DeviceError("device: 'cuda' needs CuPy; install tinyseg[cuda12] or tinyseg[cuda13]") from error
    if not cupy.cuda.is_available():
        raise DeviceError("device: 'cuda' was asked for, but CuPy sees no GPU on this machine")
    return cupy
