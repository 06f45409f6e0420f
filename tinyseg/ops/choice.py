"""Choices between elements: the larger, the smaller, by a mask, within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import array_module
from ..dtypes import finfo
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import elementwise as fused
from .binary import Binary
from .checks import as_tensor, check_broadcast, floating, is_float, numbers, operands, real, tensor_arg
from .halves import in_float32
from .indexing import nonzero
from .shape import sum_to


class Maximum(Binary):
    """y = max(a, b); equal elements share the gradient by halves. `smallest` turns it into the minimum."""

    smallest: bool = False

    def f(self, a: Array, b: Array) -> Array:
        a_wins = a < b if self.smallest else a > b
        self.share = a_wins + 0.5 * (a == b)
        return (array_module(a).minimum if self.smallest else array_module(a).maximum)(a, b)

    def ga(self, gy: Tensor) -> Tensor:
        return gy * Tensor(self.share.astype(gy.dtype))

    def gb(self, gy: Tensor) -> Tensor:
        return gy * Tensor((1 - self.share).astype(gy.dtype))


class Where(Binary):
    """y = a where the condition holds, else b"""

    condition: Array

    def f(self, a: Array, b: Array) -> Array:
        return fused.select(self.condition, a, b)

    def ga(self, gy: Tensor) -> Tensor:
        return Where(self.condition)(gy, as_tensor(0, gy, gy.dtype))

    def gb(self, gy: Tensor) -> Tensor:
        return Where(self.condition)(as_tensor(0, gy, gy.dtype), gy)


class Clamp(Op):
    """y = min(max(x, low), high); the gradient passes inside, bounds included"""

    low: float | None
    high: float | None

    def forward(self, x: Array) -> Array:
        bounds: Any = -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high
        self.inside = (x >= bounds[0]) & (x <= bounds[1])
        if not is_float(x.dtype):
            bounds = self.low, self.high
        return array_module(x).clip(x, *bounds).astype(x.dtype, copy=False)  # bfloat16 grows beside a float

    def backward(self, gy: Tensor) -> Tensor:
        return Where(self.inside)(gy, as_tensor(0, gy, gy.dtype))


class ClampBetween(Op):
    """y = min(max(x, low), high) for bounds with axes; the bound that decides takes the gradient, x at a tie

    Where low and high are equal, and x below them, nobody takes it: PyTorch's rule, for which low < high decides.
    """

    def forward(self, x: Array, low: Array, high: Array) -> Array:
        xp = array_module(x)
        self.shapes = x.shape, low.shape, high.shape
        self.deciding = (x >= low) & (x <= high), (x < low) & (low < high), (x > high) | (high < low)
        return xp.minimum(xp.maximum(x, low), high)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        zero = as_tensor(0, gy, gy.dtype)
        parts = zip(self.needs, self.deciding, self.shapes, strict=True)
        return tuple(sum_to(Where(mask)(gy, zero), shape) if need else None for need, mask, shape in parts)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """min(max(input, min), max); the bounds are numbers or Tensors, and at a bound the gradient passes to the input."""
    return _clamped("clamp", input, min, max)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """max(input, min)."""
    return _clamped("clamp_min", input, min, None)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """min(input, max)."""
    return _clamped("clamp_max", input, None, max)


def _clamped(caller: str, input: Any, low: Any, high: Any) -> Tensor:
    if low is None and high is None:
        raise ArgumentError(f"{caller}: at least one of min and max must be given")
    x = tensor_arg(caller, "input", input)
    numbers(caller, **{name: b for name, b in (("min", low), ("max", high)) if b is not None})
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        return _clamp_between(caller, x, low, high)
    if not is_float(x.dtype) and isinstance(low if high is None else high, float | np.floating):
        x = floating(caller, x)
    return Clamp(*(b.item() if isinstance(b, np.generic) else b for b in (low, high)))(x)


def nan_to_num(
    input: Tensor, nan: float | None = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with numbers for NaN and the infinities: 0, and the largest and smallest of its type unless given."""
    x = tensor_arg("nan_to_num", "input", input)
    if not is_float(x.dtype):
        return x.clone()
    limits = finfo(x.dtype)
    upper, lower = limits.max if posinf is None else posinf, limits.min if neginf is None else neginf
    y = x
    for test, number in (("isnan", nan or 0.0), ("isposinf", upper), ("isneginf", lower)):
        y = where(Tensor(getattr(array_module(x.data), test)(x.data)), float(number), y)
    return y


def _clamp_between(caller: str, x: Tensor, low: Any, high: Any) -> Tensor:
    for name, bound in (("min", low), ("max", high)):
        if isinstance(bound, Tensor):  # all three take the type that any of them asks for
            x, _ = operands(f"{caller}: {name}", x, bound)
    bounds = []
    for bound, absent in ((low, -np.inf), (high, np.inf)):
        if bound is None:
            absent = absent if is_float(x.dtype) else getattr(np.iinfo(x.dtype), "min" if absent < 0 else "max")
        t = as_tensor(absent, x, x.dtype) if bound is None else operands(caller, x, bound)[1]
        bounds.append(t)
    check_broadcast(caller, check_broadcast(caller, x.shape, bounds[0].shape), bounds[1].shape)
    return ClampBetween()(x, *bounds)


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two Tensors, with broadcasting; equal elements share the gradient by halves."""
    return Maximum()(*_two("maximum", input, other))


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two Tensors, with broadcasting; equal elements share the gradient by halves."""
    return Maximum(smallest=True)(*_two("minimum", input, other))


def _two(caller: str, input: Any, other: Any) -> tuple[Tensor, Tensor]:
    """Both operands as Tensors; NumPy's arrays are taken too, numbers are not, as in PyTorch."""
    a, b = (Tensor(t) if isinstance(t, np.ndarray) else t for t in (input, other))
    return operands(caller, tensor_arg(caller, "input", a), tensor_arg(caller, "other", b))


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """input where `condition` holds, else other, with broadcasting; of `condition` alone, the places."""
    condition = tensor_arg("where", "condition", condition)
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if condition.dtype not in (np.bool_, np.uint8):
        raise DTypeError(f"where: condition must be of type bool, got {condition.dtype}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        real = any(isinstance(n, float | np.floating) for n in (input, other))
        input = as_tensor(input, condition, np.float32 if real else None)
    a, b = operands("where", input, other)
    check_broadcast("where", condition.shape, check_broadcast("where", a.shape, b.shape))
    return Where(condition.data.astype(np.bool_))(a, b)  # a copy: backward sees this mask, whatever becomes of it


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with `value`, a number or a Tensor of one element without axes, where `mask` holds."""
    x, mask = tensor_arg("masked_fill", "input", input), tensor_arg("masked_fill", "mask", mask)
    if mask.dtype != np.bool_:
        raise DTypeError(f"masked_fill: mask must be of type bool, got {mask.dtype}")
    filler = value if isinstance(value, Tensor) else as_tensor(value, x)
    if filler.ndim:
        raise ShapeError(f"masked_fill: value must be a number or have no axes, got shape {filler.shape}")
    if is_float(filler.dtype) and not is_float(x.dtype):
        raise DTypeError(f"masked_fill: value is {filler.dtype}, which does not fit an input of type {x.dtype}")
    return where(mask, filler.to(x.dtype), x)


@in_float32
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """input + weight · (end - input): on the way from `input` to `end`; `weight` is a number or a Tensor."""
    a, b = tensor_arg("lerp", "input", input), tensor_arg("lerp", "end", end)
    for name, t in (("end", b), ("weight", weight)):
        if isinstance(t, Tensor) and t.dtype != a.dtype:
            raise DTypeError(f"lerp: input is {a.dtype} but {name} is {t.dtype}; convert one with .to(dtype)")
    real("lerp", input=a)
    return a + weight * (b - a)
