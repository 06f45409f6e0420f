"""Making Tensors: from data, constant, regular, random."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .devices import array_module, to_device
from .engine import Tensor
from .errors import ArgumentError, DTypeError, ShapeError
from .ops.checks import DEFAULT_FLOAT, element_type, tensor_arg

__all__ = [
    "arange", "empty", "empty_like", "eye", "full", "full_like", "linspace", "ones", "ones_like",
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
    if not array.dtype.isnative:  # the bytes of a file of another machine
        array = array.astype(array.dtype.newbyteorder("="))
    return Tensor(to_device(array, device), requires_grad)


def _shape(caller: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], Sequence) else size
    if any(not isinstance(n, int | np.integer) or n < 0 for n in shape):
        raise ShapeError(f"{caller}: size must be integers that are not negative, got {shape}")
    return tuple(int(n) for n in shape)


def _given(caller: str, sizes: tuple[Any, ...], size: Any) -> tuple[Any, ...]:
    if size is not None and sizes:
        raise ArgumentError(f"{caller}: give the sizes {sizes} or size {size}, one of them")
    return sizes if size is None else (size,)


def _made(caller: str, array: Any, dtype: Any, device: str | None, requires_grad: bool) -> Tensor:
    wanted = array.dtype if dtype is None else element_type(caller, dtype)
    return Tensor(to_device(array.astype(wanted, copy=False), device), requires_grad)


def _filled(caller: str, size: Any, value: Any, dtype: Any, device: str | None, requires_grad: bool) -> Tensor:
    wanted = element_type(caller, DEFAULT_FLOAT if dtype is None else dtype)
    return _made(caller, np.full(_shape(caller, size), value, wanted), None, device, requires_grad)


def zeros(
    *sizes: Any, size: Any = None, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros, float32 unless `dtype` says otherwise."""
    return _filled("zeros", _given("zeros", sizes, size), 0, dtype, device, requires_grad)


def ones(
    *sizes: Any, size: Any = None, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones, float32 unless `dtype` says otherwise."""
    return _filled("ones", _given("ones", sizes, size), 1, dtype, device, requires_grad)


def empty(
    *sizes: Any, size: Any = None, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor to be filled; it starts as zeros, so that a forgotten element is never random."""
    return _filled("empty", _given("empty", sizes, size), 0, dtype, device, requires_grad)


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` everywhere; without `dtype` its type: float32, int64 or bool."""
    value = _number("full", "fill_value", fill_value)
    return _filled("full", (size,), value, tensor(value).dtype if dtype is None else dtype, device, requires_grad)


def zeros_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, and unless told otherwise the type and device, of `input`."""
    return _like("zeros_like", input, 0, dtype, device, requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, and unless told otherwise the type and device, of `input`."""
    return _like("ones_like", input, 1, dtype, device, requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor to be filled, with the shape, type and device of `input`; it starts as zeros."""
    return _like("empty_like", input, 0, dtype, device, requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`fill_value` with the shape, and unless told otherwise the type and device, of `input`."""
    return _like("full_like", input, _number("full_like", "fill_value", fill_value), dtype, device, requires_grad)


def _like(caller: str, input: Tensor, value: Any, dtype: Any, device: str | None, requires_grad: bool) -> Tensor:
    x = tensor_arg(caller, "input", input).data
    wanted = x.dtype if dtype is None else element_type(caller, dtype)
    return Tensor(to_device(array_module(x).full(x.shape, value, wanted), device), requires_grad)


def _number(caller: str, name: str, value: Any) -> Any:
    """A bound as a Python number; a Tensor without axes gives its element."""
    if isinstance(value, Tensor | np.ndarray) and value.ndim:
        raise ShapeError(f"{caller}: {name} must be a number, got shape {value.shape}")
    value = value.item() if hasattr(value, "item") else value
    if not isinstance(value, int | float):
        raise DTypeError(f"{caller}: {name} must be a number, got {value!r}")
    return value


def arange(
    start: Any = None,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end: `arange(end)`, `arange(start, end)`, `arange(start, end, step)`.

    Without `dtype` integers give int64 and anything else float32.
    **Raises** ArgumentError for a step that is 0 or leads away from `end`, and for bounds that are not finite.
    """
    if end is None:
        start, end = 0, start
    named = ("start", 0 if start is None else start), ("end", end), ("step", step)
    first, last, by = (_number("arange", name, value) for name, value in named)
    if by == 0:
        raise ArgumentError("arange: step must not be 0")
    if not (math.isfinite(first) and math.isfinite(last) and math.isfinite(by)):
        raise ArgumentError(f"arange: start, end and step must be finite, got {first}, {last}, {by}")
    if (last - first) * by < 0:
        raise ArgumentError(f"arange: no step of {by} leads from start {first} to end {last}")
    whole = isinstance(first, int) and isinstance(last, int) and isinstance(by, int)
    count = -(-(last - first) // by) if whole else math.ceil((last - first) / by)
    values = first + np.arange(count) * by  # each from the start: no error adds up
    return _made("arange", values, dtype or (np.int64 if whole else DEFAULT_FLOAT), device, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` equally spaced numbers from `start` to `end`, both included. **Raises** ArgumentError for steps < 0."""
    first, last = _number("linspace", "start", start), _number("linspace", "end", end)
    count = _count("linspace", "steps", steps)
    return _made("linspace", np.linspace(first, last, count), dtype or DEFAULT_FLOAT, device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros. **Raises** ArgumentError for negative sizes."""
    rows = _count("eye", "n", n)
    columns = rows if m is None else _count("eye", "m", m)
    return _made("eye", np.eye(rows, columns), dtype or DEFAULT_FLOAT, device, requires_grad)


def _count(caller: str, name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise DTypeError(f"{caller}: {name} must be an integer, got {value!r}") from None
    if number < 0:
        raise ArgumentError(f"{caller}: {name} must not be negative, got {number}")
    return number


def _beside(make: Any) -> Any:
    """`t.new_...`: the function of creation with the type and device of a Tensor."""

    def new(
        self: Tensor,
        *args: Any,
        dtype: Any = None,
        device: str | None = None,
        requires_grad: bool = False,
        **named: Any,
    ) -> Tensor:
        kind, place = dtype or self.dtype, self.device if device is None else device
        return make(*args, dtype=kind, device=place, requires_grad=requires_grad, **named)

    new.__doc__ = f"`ts.{make.__name__}` with the type and device of this Tensor, where no other is asked for."
    return new


NEW = {f"new_{make.__name__}": _beside(make) for make in (tensor, zeros, ones, empty, full)}
