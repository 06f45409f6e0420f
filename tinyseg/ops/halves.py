"""Half types in functions of several ops: stored in the half type, computed in float32, rounded once.

A single op rounds its result once by itself. A function made of several would round at every step, and its steps may
overflow or vanish where its result does not: `in_float32` runs all of it in float32 instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ..engine import Tensor, autocasting
from .checks import is_float

__all__ = ["in_float32", "is_half", "sum_type", "with_numbers"]

P = ParamSpec("P")
R = TypeVar("R")


def is_half(dtype: Any) -> bool:
    """Whether `dtype` is float16 or bfloat16."""
    return dtype.itemsize == 2 and is_float(dtype)


def sum_type(dtype: Any) -> Any:
    """The type to add up in: float32 for half types, whose sums stop growing at 2048 or 256 times an element."""
    return np.dtype(np.float32) if is_half(dtype) else dtype


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """The function, computed in float32 where all its floating-point Tensors are of one half type.

    Its floating-point results are of the half type again. Tensors without axes yield to those with axes, whatever
    their type. Of two types it is the function's own matter to complain.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        floats = [v.data for v in (*args, *kwargs.values()) if isinstance(v, Tensor) and is_float(v.data.dtype)]
        given = {a.dtype for a in ([a for a in floats if a.ndim] or floats)}
        if len(given) != 1 or not is_half(half := given.pop()):
            return function(*args, **kwargs)
        wide: Any = functools.partial(_cast, np.float32)
        with autocasting(None):
            return _cast(half, function(*map(wide, args), **{k: wide(v) for k, v in kwargs.items()}))

    return run


def _cast(dtype: Any, value: Any) -> Any:
    """A floating-point Tensor, or those of a tuple, in another type; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_cast(dtype, v) for v in value)
    return value.to(dtype) if isinstance(value, Tensor) and is_float(value.dtype) else value


def with_numbers(function: Callable[P, R]) -> Callable[P, R]:
    """Arithmetic of a half type with a number that the type does not hold, in float32: `x * 0.1`, `x / 1e5`.

    PyTorch's rule: the number is not rounded to the half type first, where 0.1 is 0.09998 and 1e5 is infinite.
    """
    wide = in_float32(function)

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        operands = (*args, *kwargs.values()) if kwargs else args
        for v in operands:
            if isinstance(v, Tensor) and is_half(v.data.dtype):
                scaled = kwargs.get("alpha", 1) != 1  # the product is not rounded before the sum
                return (wide if scaled or _holds_not(v.data.dtype, operands) else function)(*args, **kwargs)
        return function(*args, **kwargs)

    return run


def _holds_not(half: Any, operands: tuple[Any, ...]) -> bool:
    """Whether one of the operands is a number that the type does not hold, or a Tensor without axes of another type."""
    numbers = [v.item() if isinstance(v, np.generic) else v for v in operands]
    return any(
        v.ndim == 0 and is_float(v.dtype) and v.dtype != half
        if isinstance(v, Tensor)
        else isinstance(v, int | float) and not _exact(v, half)
        for v in numbers
    )


def _exact(number: float, dtype: Any) -> bool:
    """Whether `dtype` holds the number."""
    if isinstance(number, int):
        return abs(number) <= 256
    with np.errstate(over="ignore"):
        return float(dtype.type(number)) == number
