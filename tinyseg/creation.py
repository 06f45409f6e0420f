"""Making Tensors: from data, constant, regular, random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import array_module, to_device
from .engine import Tensor
from .errors import ArgumentError, DTypeError, ShapeError
from .ops.checks import DEFAULT_FLOAT, tensor_arg

__all__ = [
    "arange", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "ones", "ones_like",
    "tensor", "zeros", "zeros_like",
]  # fmt: skip


def tensor(data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A new Tensor with a copy of `data`: a number, nested lists, an array or a Tensor.

    Python floats become float32 and integers int64; arrays keep their type. `device` is 'cpu', 'cuda' or 'cuda:N'.
    **Raises** ShapeError for ragged lists, DTypeError for values that are not numbers.
    """
    if isinstance(data, Tensor):
        data = data.data
    keeps_type = hasattr(data, "dtype")
    try:
        array = array_module(data).array(data, dtype=dtype, order="C")
    except (ValueError, TypeError) as error:
        kind = ShapeError if "inhomogeneous" in str(error) else DTypeError
        raise kind(f"tensor: data does not form an array of numbers: {error}") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise DTypeError(f"tensor: expected numbers or booleans, got data of type {array.dtype}")
    if dtype is None and not keeps_type and array.dtype == np.float64:
        array = array.astype(DEFAULT_FLOAT)
    return Tensor(to_device(array, device), requires_grad)


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor on the array's own memory, made C-contiguous if it is not."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return Tensor(array if array.flags.c_contiguous else array.copy(order="C"))


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], Sequence) else size
    if any(not isinstance(n, int | np.integer) or n < 0 for n in shape):
        raise ShapeError(f"a shape is made of integers that are not negative, got {shape}")
    return tuple(int(n) for n in shape)


def _made(array: Any, dtype: Any, device: str | None, requires_grad: bool) -> Tensor:
    return Tensor(to_device(array.astype(dtype or array.dtype, copy=False), device), requires_grad)


def zeros(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros, float32 unless `dtype` says otherwise."""
    return _made(np.zeros(_shape(size), dtype or DEFAULT_FLOAT), None, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones, float32 unless `dtype` says otherwise."""
    return _made(np.ones(_shape(size), dtype or DEFAULT_FLOAT), None, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor to be filled; it starts as zeros, so that a forgotten element is never random."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full(
    size: Any, fill_value: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere."""
    value = tensor(fill_value, dtype)
    return _made(np.full(_shape((size,)), value.data), None, device, requires_grad)


def _beside(make: Any) -> Any:
    """`t.new_...`: the function of creation with the type and device of a Tensor."""

    def new(
        self: Tensor, *args: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
    ) -> Tensor:
        return make(*args, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad)

    new.__doc__ = f"`ts.{make.__name__}` with the type and device of this Tensor, where no other is asked for."
    return new


def _like(input: Tensor, value: Any, dtype: Any, device: str | None, requires_grad: bool) -> Tensor:
    array = array_module(input.data).full_like(input.data, value, dtype=dtype)
    return Tensor(to_device(array, device), requires_grad)


def zeros_like(input: Tensor, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """Zeros with the shape, type and device of `input`, where no other is asked for."""
    return _like(tensor_arg("zeros_like", "input", input), 0, dtype, device, requires_grad)


def ones_like(input: Tensor, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """Ones with the shape, type and device of `input`, where no other is asked for."""
    return _like(tensor_arg("ones_like", "input", input), 1, dtype, device, requires_grad)


def empty_like(input: Tensor, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A Tensor to be filled, with the shape, type and device of `input`; it starts as zeros."""
    return _like(tensor_arg("empty_like", "input", input), 0, dtype, device, requires_grad)


def full_like(
    input: Tensor, fill_value: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None
) -> Tensor:
    """`fill_value` with the shape, type and device of `input`, where no other is asked for."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _like(tensor_arg("full_like", "input", input), value, dtype, device, requires_grad)


def arange(
    *bounds: Any,
    start: Any = None,
    end: Any = None,
    step: Any = None,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end: `arange(end)`, `arange(start, end)`, `arange(start, end, step)`."""
    given = {"start": start, "end": end, "step": step}
    named = [name for name, value in given.items() if value is not None]
    order = ["end"] if len(bounds) == 1 and end is None else [n for n in ("start", "end", "step") if n not in named]
    if len(bounds) > len(order):
        raise ArgumentError(f"arange: expected at most start, end and step, got {len(bounds) + len(named)} bounds")
    given.update(zip(order, bounds, strict=False))
    first, last, width = (given["start"] or 0), given["end"], 1 if given["step"] is None else given["step"]
    first, last, width = (b.item() if isinstance(b, Tensor | np.generic) else b for b in (first, last, width))
    if not all(isinstance(b, int | float) and math.isfinite(b) for b in (first, last, width)):
        raise ArgumentError(f"arange: start, end and step must be finite numbers, got {first}, {last}, {width}")
    if dtype is not None and np.dtype(dtype).kind in "iu":  # as in PyTorch, the bounds are cut off, not the numbers
        first, last, width = int(first), int(last), int(width)
    if width == 0 or (last - first) / width < 0:
        raise ArgumentError(f"arange: step {width} does not lead from start {first} to end {last}")
    whole = all(isinstance(b, int) for b in (first, last, width))
    return _made(np.arange(first, last, width), dtype or (np.int64 if whole else DEFAULT_FLOAT), device, requires_grad)


def linspace(
    start: Any, end: Any, steps: int, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`steps` equally spaced numbers from `start` to `end`, both included."""
    if not isinstance(steps, int | np.integer) or steps < 0:
        raise ArgumentError(f"linspace: steps must be an integer that is not negative, got {steps!r}")
    first, last = (e.item() if isinstance(e, Tensor) else e for e in (start, end))
    if dtype is not None and np.dtype(dtype).kind in "iu":
        first, last = int(first), int(last)
    return _made(np.linspace(first, last, int(steps)), dtype or DEFAULT_FLOAT, device, requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros."""
    rows, columns = _shape((n, n if m is None else m))
    return _made(np.eye(rows, columns), dtype or DEFAULT_FLOAT, device, requires_grad)


NEW = {f"new_{make.__name__}": _beside(make) for make in (tensor, zeros, ones, empty, full)}
