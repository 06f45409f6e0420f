"""Element types under PyTorch's names, and what numbers of a type can be.

`float`, `int` and `bool` are Python's own names everywhere else in this package: nothing imports them from here but
`tinyseg` itself, whose attributes they are. `bfloat16` is NumPy's only once `ml_dtypes` is imported, see `bfloat16()`.
"""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import numpy as np

from .engine import Tensor
from .errors import DTypeError
from .ops.checks import element_type, is_float, tensor_arg

float16, float32, float64 = (np.dtype(t) for t in (np.float16, np.float32, np.float64))
uint8, int8, int16, int32, int64 = (np.dtype(t) for t in (np.uint8, np.int8, np.int16, np.int32, np.int64))
half, float, double = float16, float32, float64
short, int, long, bool = int16, int32, int64, np.dtype(np.bool_)
dtype = np.dtype  # the type of them all: `isinstance(t.dtype, ts.dtype)`


def bfloat16() -> Any:
    """The element type bfloat16; the first call imports `ml_dtypes`."""
    return element_type("bfloat16", "bfloat16")


def is_tensor(obj: Any) -> builtins.bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether the elements of a Tensor are of a floating-point type."""
    return is_float(tensor_arg("is_floating_point", "input", input).dtype)


@dataclass(frozen=True)
class FInfo:
    """What `finfo` returns; the numbers are Python's."""

    dtype: str
    bits: Any
    eps: Any
    max: Any
    min: Any
    tiny: Any
    smallest_normal: Any
    resolution: Any


@dataclass(frozen=True)
class IInfo:
    """What `iinfo` returns."""

    dtype: str
    bits: Any
    max: Any
    min: Any


def finfo(type: Any = float32) -> FInfo:
    """Limits of a floating-point type: the distance eps from 1 to the next number, the largest, the smallest normal."""
    kind = element_type("finfo", type)
    if not is_float(kind):
        raise DTypeError(f"finfo: type must be a floating-point type, got {kind}; use iinfo")
    if kind.name == "bfloat16":
        import ml_dtypes

        limits: Any = ml_dtypes.finfo
    else:
        limits = np.finfo
    found = limits(kind)
    names = "eps", "max", "min", "tiny", "smallest_normal", "resolution"
    return FInfo(kind.name, found.bits, *(builtins.float(getattr(found, name)) for name in names))


def iinfo(type: Any) -> IInfo:
    """Limits of an integer type."""
    kind = element_type("iinfo", type)
    if kind.kind not in "iu":
        raise DTypeError(f"iinfo: type must be an integer type, got {kind}; use finfo")
    found = np.iinfo(kind)
    return IInfo(kind.name, found.bits, found.max, found.min)
