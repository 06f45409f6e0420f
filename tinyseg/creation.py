"""Making Tensors: from data, constant, regular, random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import random
from .device import array_module, to_device
from .engine import Tensor
from .errors import DTypeError, ShapeError
from .ops.checks import DEFAULT_FLOAT

__all__ = [
    "arange", "empty", "eye", "full", "full_like", "linspace", "ones", "ones_like",
    "rand", "randint", "randn", "tensor", "zeros", "zeros_like",
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


def zeros_like(input: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros with the shape, type and device of `input`."""
    return Tensor(array_module(input.data).zeros_like(input.data, dtype=dtype), requires_grad)


def ones_like(input: Tensor, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones with the shape, type and device of `input`."""
    return Tensor(array_module(input.data).ones_like(input.data, dtype=dtype), requires_grad)


def full_like(input: Tensor, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """`fill_value` with the shape, type and device of `input`."""
    return Tensor(array_module(input.data).full_like(input.data, fill_value, dtype=dtype), requires_grad)


def arange(*bounds: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """start, start + step, ... below end: `arange(end)`, `arange(start, end)`, `arange(start, end, step)`."""
    whole = all(isinstance(b, int | np.integer) for b in bounds)
    return _made(np.arange(*bounds), dtype or (np.int64 if whole else DEFAULT_FLOAT), device, requires_grad)


def linspace(start: float, end: float, steps: int, dtype: Any = None, device: str | None = None) -> Tensor:
    """`steps` equally spaced numbers from `start` to `end`, both included."""
    return _made(np.linspace(start, end, steps), dtype or DEFAULT_FLOAT, device, False)


def eye(n: int, m: int | None = None, dtype: Any = None, device: str | None = None) -> Tensor:
    """Ones on the diagonal of an (n, m) matrix of zeros."""
    return _made(np.eye(n, m), dtype or DEFAULT_FLOAT, device, False)


def rand(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform random numbers in [0, 1) from the generator that `manual_seed` seeds."""
    return _made(random.default_generator().random(_shape(size)), dtype or DEFAULT_FLOAT, device, requires_grad)


def randn(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Normal random numbers from the generator that `manual_seed` seeds."""
    values = random.default_generator().standard_normal(_shape(size))
    return _made(np.asarray(values), dtype or DEFAULT_FLOAT, device, requires_grad)


def randint(low: int, high: int, size: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """Uniform random integers from `low` to `high` - 1."""
    return _made(random.default_generator().integers(low, high, _shape((size,))), dtype or np.int64, device, False)
