"""What the public functions check before an op runs: each finding is raised once, with the caller's name."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import array_module, device_of
from ..engine import Tensor, autocast_type
from ..errors import ArgumentError, BoundsError, DeviceError, DTypeError, ShapeError

__all__ = [
    "as_tensor",
    "axes",
    "axis",
    "element_type",
    "floating",
    "integer",
    "is_float",
    "numbers",
    "operands",
    "pair",
    "real",
    "same_kind",
    "tensor_arg",
    "wide",
]

DEFAULT_FLOAT = np.dtype(np.float32)


def is_float(dtype: Any) -> bool:
    """Whether `dtype` is a floating-point type, bfloat16 included."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def element_type(caller: str, dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that `dtype` means: "bfloat16" too. **Raises** DTypeError for all but numbers and booleans."""
    if isinstance(dtype, str) and dtype == "bfloat16":
        import ml_dtypes  # noqa: F401  so that NumPy knows the name
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"{caller}: {dtype!r} is not an element type; use ts.float32, 'int64', ...") from None
    if found.kind not in "fiub" and found.name != "bfloat16":
        raise DTypeError(f"{caller}: expected a type of numbers or booleans, got {found}")
    return found


def tensor_arg(caller: str, name: str, value: Any) -> Tensor:
    """`value` if it is a Tensor. **Raises** DTypeError naming what came instead."""
    if not isinstance(value, Tensor):
        raise DTypeError(f"{caller}: {name} must be a Tensor, got {type(value).__name__}; wrap it with ts.tensor(...)")
    return value


def floating(caller: str, x: Any, name: str = "input") -> Tensor:
    """`x`, integers and booleans converted to float32 as PyTorch's functions of real numbers do."""
    x = tensor_arg(caller, name, x)
    return x if is_float(x.dtype) else Tensor(x.data.astype(DEFAULT_FLOAT))


def wide(x: Tensor) -> Tensor:
    """Half types as float32: their sums and squares overflow, and a small eps would be 0 in them."""
    return x.to(np.float32) if is_float(x.dtype) and x.dtype.itemsize < 4 else x


def same_kind(caller: str, **tensors: Tensor | None) -> None:
    """Check that all given Tensors share one element type and one device."""
    given = {name: tensor_arg(caller, name, t) for name, t in tensors.items() if t is not None}
    first, reference = next(iter(given.items()))
    for name, t in given.items():
        if t.dtype != reference.dtype:
            raise DTypeError(
                f"{caller}: {first} is {reference.dtype} but {name} is {t.dtype}; convert one with .to(dtype)"
            )
        if t.device != reference.device:
            raise DeviceError(
                f"{caller}: {first} is on {reference.device} but {name} is on {t.device}; move one with .to()"
            )


def real(caller: str, **tensors: Tensor) -> None:
    """Check that all given Tensors are of a floating-point type. **Raises** DTypeError."""
    for name, t in tensors.items():
        if not is_float(t.dtype):
            raise DTypeError(f"{caller}: {name} must be of a floating-point type, got {t.dtype}; use .to(dtype)")


def numbers(caller: str, **settings: Any) -> None:
    """Check that all given settings are numbers, not None and not text. **Raises** DTypeError."""
    for name, value in settings.items():
        if not hasattr(value, "__float__"):
            raise DTypeError(f"{caller}: {name} must be a number, got {value!r}")


def integer(caller: str, name: str, value: Any) -> int:
    """`value` as Python's integer. **Raises** DTypeError."""
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"{caller}: {name} must be an integer, got {value!r}") from None


def axis(caller: str, dim: Any, ndim: int, name: str = "dim") -> int:
    """One axis as a non-negative number, `dim` counted from the end if negative; `name` is that of the argument."""
    number = integer(caller, name, dim)
    if not -max(ndim, 1) <= number < max(ndim, 1):
        raise BoundsError(f"{caller}: {name} {number} is out of range for a Tensor with {ndim} axes")
    return number % max(ndim, 1)


def axes(caller: str, dim: Any, ndim: int, name: str = "dim") -> tuple[int, ...]:
    """The axes that `dim` names (None: all), non-negative and sorted, each once."""
    if dim is None:
        return tuple(range(ndim))
    listed = tuple(dim) if isinstance(dim, Sequence) and not isinstance(dim, str) else (dim,)
    found = tuple(axis(caller, d, ndim, name) for d in listed)
    if len(set(found)) != len(found):
        raise ArgumentError(f"{caller}: {name} names an axis twice: {dim!r}")
    return tuple(sorted(found)) if ndim else ()


def pair(caller: str, name: str, value: Any, minimum: int) -> tuple[int, int]:
    """(vertical, horizontal) from an integer or two. **Raises** ArgumentError below `minimum`."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) == 1:
        values *= 2
    try:
        h, w = (operator.index(v) for v in values)
    except (TypeError, ValueError):
        raise ArgumentError(f"{caller}: {name} must be an integer or a pair of integers, got {value!r}") from None
    if min(h, w) < minimum:
        raise ArgumentError(f"{caller}: {name} must be at least {minimum}, got {value!r}")
    return h, w


def as_tensor(value: Any, like: Tensor, dtype: Any = None) -> Tensor:
    """A number or array as a constant Tensor beside `like`, on its device."""
    try:
        return Tensor(array_module(like.data).asarray(value, dtype=dtype))
    except OverflowError:
        raise ArgumentError(f"the number {value!r} does not fit a Tensor of type {dtype}") from None


def _is_weak(value: Any) -> bool:
    """Whether a value's type yields to the Tensor's: Python's numbers and NumPy's scalars."""
    return isinstance(value, bool | int | float | np.generic)


def _scalar_type(value: Any, dtype: Any) -> Any:
    """The element type of (Tensor of `dtype`) op (scalar)."""
    if isinstance(value, complex | np.complexfloating):
        raise DTypeError(f"complex numbers are not supported, got {value!r}")
    if isinstance(value, float | np.floating):
        return dtype if is_float(dtype) else DEFAULT_FLOAT
    if isinstance(value, bool | np.bool_) or dtype.kind != "b":
        return dtype
    return np.dtype(np.int64)


def _common_type(caller: str, input: Tensor, other: Tensor) -> Any:
    """The element type of (Tensor) op (Tensor): one without axes yields within booleans < ints < floats."""
    a, b = input.dtype, other.dtype
    if a == b:
        return a
    if (input.ndim == 0) != (other.ndim == 0) and (stays := b if input.ndim == 0 else a):
        if _rank(stays) >= max(_rank(a), _rank(b)):
            return stays
    elif is_float(a) and is_float(b):
        if input.ndim and autocast_type() is None:
            raise DTypeError(f"{caller}: input is {a} but other is {b}; convert one with .to(dtype)")
        return DEFAULT_FLOAT if a.itemsize == b.itemsize else max(a, b, key=lambda dtype: dtype.itemsize)
    return a if is_float(a) else b if is_float(b) else np.result_type(a, b)


def _rank(dtype: Any) -> int:
    return 2 if is_float(dtype) else int(dtype.kind != "b")


def _converted(t: Tensor, dtype: Any) -> Tensor:
    return t if t.dtype == dtype else t.to(dtype)


def _alike(a: Any, b: Any) -> bool:
    """Whether two arrays are NumPy's, of one type and one shape: nothing to convert, to stretch or to refuse."""
    return type(a) is type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape


def operands(caller: str, a: Any, b: Any) -> tuple[Tensor, Tensor]:
    """Two operands as Tensors of one type on one device whose shapes broadcast.

    Scalars take the Tensor's type, integers that of the floats beside them. A Tensor without axes yields to one with
    axes; of two with axes, and of different float types, neither does.
    **Raises** DTypeError, DeviceError, ShapeError naming `caller`.
    """
    if isinstance(a, Tensor) and isinstance(b, Tensor) and _alike(a.data, b.data):
        return a, b
    if _is_weak(a) and isinstance(b, Tensor):
        dtype = _scalar_type(a, b.dtype)
        return as_tensor(a, b, dtype), _converted(b, dtype)
    if isinstance(a, np.ndarray) and isinstance(b, Tensor):
        a = Tensor(a)
    a = tensor_arg(caller, "input", a)
    if _is_weak(b):
        dtype = _scalar_type(b, a.dtype)
        return _converted(a, dtype), as_tensor(b, a, dtype)
    b = tensor_arg(caller, "other", Tensor(b) if isinstance(b, np.ndarray) else b)
    if device_of(a.data) != device_of(b.data):
        raise DeviceError(f"{caller}: input is on {a.device} but other is on {b.device}; move one with .to()")
    dtype = _common_type(caller, a, b)
    check_broadcast(caller, a.shape, b.shape)
    return _converted(a, dtype), _converted(b, dtype)


def check_broadcast(caller: str, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that two shapes broadcast to. **Raises** ShapeError naming the axis that does not fit."""
    for back, (m, n) in enumerate(zip(reversed(a), reversed(b), strict=False), start=1):
        if m != n and 1 not in (m, n):
            raise ShapeError(f"{caller}: shapes {a} and {b} do not broadcast: axis -{back} has {m} and {n}")
    return np.broadcast_shapes(a, b)
