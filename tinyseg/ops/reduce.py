"""Reductions: sum, mean, var, extremes. `dim` is one axis, several, or None for all; negative ones count back."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from ..casting import widened
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from .checks import axes, axis, floating, is_float, numbers, real, tensor_arg, wide
from .choice import maximum, minimum, where
from .elementwise import exp, log, sqrt
from .functions import logaddexp
from .halves import in_float32, sum_type
from .indexing import Gather, GetItem
from .shape import BroadcastTo, Flip, Reshape, Shape, broadcast_to, cat, flatten, reshape, squeeze


class Extremes(NamedTuple):
    """What `max(dim)` and `min(dim)` return."""

    values: Tensor
    indices: Tensor


class Bounds(NamedTuple):
    """What `aminmax` returns."""

    min: Tensor
    max: Tensor


def _kept(shape: Shape, reduced: Shape) -> Shape:
    return tuple(1 if i in reduced else n for i, n in enumerate(shape))


class Sum(Op):
    """y = sum of x over axes; half types are summed in float32, integers and booleans in int64"""

    axes: Shape
    keepdim: bool

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        if not is_float(x.dtype):
            return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=np.int64)
        return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=sum_type(x.dtype)).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor) -> Tensor:
        kept = gy if gy.ndim == 0 else Reshape(_kept(self.before, self.axes))(gy)
        return BroadcastTo(self.before)(kept)


class CumSum(Op):
    """y = running sum of x along an axis; adjoint: the running sum from the other end"""

    axis: int

    def forward(self, x: Array) -> Array:
        return x.cumsum(axis=self.axis, dtype=x.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        ends = (self.axis,)
        return Flip(ends)(CumSum(self.axis)(Flip(ends)(gy)))


class Amax(Op):
    """y = largest x over axes, equal ones sharing the gradient; `smallest` turns it into the minimum"""

    axes: Shape
    keepdim: bool
    smallest: bool
    saves = {"x": "x", "y": "x"}

    def forward(self, x: Array) -> Array:
        return (x.min if self.smallest else x.max)(axis=self.axes, keepdims=self.keepdim)

    def backward(self, gy: Tensor) -> Tensor:
        x, y = self.saved
        kept = _kept(x.shape, self.axes)
        ties = x.data == y.data.reshape(kept)
        share = ties.astype(x.dtype) / ties.sum(axis=self.axes, keepdims=True).astype(x.dtype)
        return broadcast_to(reshape(gy, kept), x.shape) * Tensor(share)


class Var(Op):
    """y = Σ (x - mean)² / max(0, n - c) over axes of n elements,  dy/dx = 2 (x - mean) / (n - c)

    Without degrees of freedom y is infinite or NaN, and the gradient has its formula's value, as in PyTorch.
    """

    axes: Shape
    keepdim: bool
    correction: float
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        self.n = math.prod(x.shape[i] for i in self.axes)
        apart = x - x.sum(axis=self.axes, keepdims=True) / float(self.n) if self.n else x
        squares = (apart * apart).sum(axis=self.axes, keepdims=self.keepdim)
        return squares / builtins.max(0.0, self.n - self.correction) if self.n else squares + math.nan

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        free = self.n - self.correction
        apart = x - mean(x, self.axes, keepdim=True)
        return reshape(gy, _kept(x.shape, self.axes)) * (2.0 / free if free else math.inf) * apart


def _reduced(caller: str, dim: Any, ndim: int) -> Shape:
    """The axes that `dim` names; None and () are all of them, as in PyTorch."""
    everything = dim is None or (isinstance(dim, Sequence) and len(dim) == 0)
    return tuple(range(ndim)) if everything else axes(caller, dim, ndim)


@widened
def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over `dim`; booleans and integers add up to int64."""
    x = tensor_arg("sum", "input", input)
    x = x if dtype is None else x.to(dtype)
    y = Sum(_reduced("sum", dim, x.ndim), keepdim)(x)
    return y if dtype is None else y.to(dtype)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean over `dim`; of nothing it is NaN."""
    x = tensor_arg("mean", "input", input)
    x = _real("mean", x if dtype is None else x.to(dtype))
    if x.dtype.itemsize < 4:  # the sum of a half type may overflow where the mean does not
        return mean(x.to(np.float32), dim, keepdim).to(x.dtype)
    reduced = _reduced("mean", dim, x.ndim)
    n = math.prod(x.shape[i] for i in reduced)
    y = Sum(reduced, keepdim)(x)
    return y / float(n) if n else y + math.nan  # of nothing: the gradient has no elements, and no 0/0 in it


def _real(caller: str, x: Tensor) -> Tensor:
    real(caller, input=x)
    return x


@in_float32
def var(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """Variance over `dim`: sum (x - mean)² / max(0, n - correction), with correction 1 unless `unbiased` is False.

    `var(x, False)` is `var(x, unbiased=False)`, as in PyTorch.
    """
    return _moments("var", input, dim, unbiased, keepdim, correction)[0]


@in_float32
def std(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """Standard deviation over `dim`: the square root of `var`; where that is 0, so is the gradient."""
    return _root(_moments("std", input, dim, unbiased, keepdim, correction)[0])


@in_float32
def var_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over `dim`; the arguments are those of `var`."""
    return _moments("var_mean", input, dim, unbiased, keepdim, correction)


@in_float32
def std_mean(
    input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: float | None = None
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over `dim`; the arguments are those of `var`."""
    variance, average = _moments("std_mean", input, dim, unbiased, keepdim, correction)
    return _root(variance), average


def _moments(
    caller: str, input: Tensor, dim: Any, unbiased: Any, keepdim: bool, correction: float | None
) -> tuple[Tensor, Tensor]:
    if isinstance(dim, bool):  # PyTorch's form var(x, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise ArgumentError(f"{caller}: give unbiased or correction, one of them")
    x = _real(caller, tensor_arg(caller, "input", input))
    reduced = _reduced(caller, dim, x.ndim)
    numbers(caller, correction=correction or 0)
    taken = float(unbiased is not False if correction is None else correction)
    return Var(reduced, keepdim, taken)(x), mean(x, reduced, keepdim)


def _root(variance: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0, where all elements are equal: PyTorch's choice."""
    constant = variance == 0
    return where(constant, 0.0, sqrt(where(constant, 1.0, variance)))


@widened
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Product of all elements, or along axis `dim`; of booleans and integers in int64, of nothing 1.

    Halves are multiplied by halves until one is left: every derivative is right, also where elements are 0.
    """
    x = _widened("prod", input, dtype)
    if dim is None:
        y, place = flatten(x), 0
        if keepdim:
            raise ArgumentError("prod: keepdim needs dim")
    else:
        place = axis("prod", dim, x.ndim)
        y = x if x.ndim else flatten(x)
    before = (slice(None),) * place
    while (n := y.shape[place]) > 1:
        pairs = GetItem((*before, slice(0, n // 2)))(y) * GetItem((*before, slice(n // 2, n // 2 * 2)))(y)
        y = cat([pairs, GetItem((*before, slice(n - 1, n)))(y)], place) if n % 2 else pairs
    if n == 0:
        y = Sum((place,), True)(y) + 1  # nothing adds up to 0, in the right type
    elif y.data.size == x.data.size:
        y = y.clone()  # nothing was multiplied
    y = reshape(y, (*y.shape[:place], *((1,) if keepdim and x.ndim else ()), *y.shape[place + 1 :]))
    return _narrowed(y, input, dtype)


@widened
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running sum along axis `dim`: y[i] = x[0] + ... + x[i]; of booleans and integers in int64."""
    x = _widened("cumsum", input, dtype)
    place = axis("cumsum", dim, x.ndim)
    return _narrowed(CumSum(place)(x) if x.ndim else x.clone(), input, dtype)


@widened
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Running product along axis `dim`: y[i] = x[0] · ... · x[i]; of booleans and integers in int64.

    Each step multiplies by the products of the step before, 1, 2, 4, ... places back: right also where elements are 0.
    """
    x = _widened("cumprod", input, dtype)
    place = axis("cumprod", dim, x.ndim)
    y, n, back = x.clone(), x.shape[place] if x.ndim else 1, 1
    before = (slice(None),) * place
    while back < n:
        done, rest = GetItem((*before, slice(0, back)))(y), GetItem((*before, slice(back, n)))(y)
        y = cat([done, rest * GetItem((*before, slice(0, n - back)))(y)], place)
        back *= 2
    return _narrowed(y, input, dtype)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """log of the running sum of e^x along axis `dim`, without overflow: in steps of 1, 2, 4, ... as `cumprod`."""
    given = floating("logcumsumexp", input)
    place = axis("logcumsumexp", dim, given.ndim)
    x = _widened("logcumsumexp", given, None)
    y, n, back = x.clone(), x.shape[place] if x.ndim else 1, 1
    before = (slice(None),) * place
    while back < n:
        done, rest = GetItem((*before, slice(0, back)))(y), GetItem((*before, slice(back, n)))(y)
        y = cat([done, logaddexp(rest, GetItem((*before, slice(0, n - back)))(y))], place)
        back *= 2
    return y.to(given.dtype)


def cummax(input: Tensor, dim: int) -> Extremes:
    """The largest element so far along axis `dim`, as (values, indices): of equals the latest; NaN stays."""
    return _running("cummax", input, dim)


def cummin(input: Tensor, dim: int) -> Extremes:
    """The smallest element so far along axis `dim`, as (values, indices): of equals the latest; NaN stays."""
    return _running("cummin", input, dim)


def _running(caller: str, input: Tensor, dim: int) -> Extremes:
    x = tensor_arg(caller, "input", input)
    place = axis(caller, dim, x.ndim)
    xp, line = array_module(x.data), x if x.ndim else reshape(x, 1)
    running = accumulated(xp.maximum if caller == "cummax" else xp.minimum, line.data, place)
    steps = xp.arange(line.shape[place]).reshape([-1 if i == place else 1 for i in range(line.ndim)])
    reached = (line.data == running) | (line.data != line.data)  # a NaN is reached by every NaN
    indices = accumulated(xp.maximum, xp.where(reached, steps, 0), place).astype(np.int64)
    values = Gather(indices, place)(line)
    return Extremes(reshape(values, x.shape), Tensor(indices.reshape(x.shape)))


def accumulated(function: Any, x: Array, place: int) -> Array:
    """`function.accumulate` of the maximum or minimum, in steps of 1, 2, 4, ...: CuPy has it for sums and products."""
    y, back, before = x.copy(), 1, (slice(None),) * (place % x.ndim)
    while back < y.shape[place]:
        y[(*before, slice(back, None))] = function(y[(*before, slice(back, None))], y[(*before, slice(None, -back))])
        back *= 2
    return y


def _widened(caller: str, input: Tensor, dtype: Any) -> Tensor:
    """The input in the type to compute in: int64 for integers and booleans, float32 for half types."""
    x = tensor_arg(caller, "input", input)
    x = x if dtype is None else x.to(dtype)
    if not is_float(x.dtype):
        return x.to(np.int64)
    return x.to(np.float32) if x.dtype.itemsize < 4 else x


def _narrowed(y: Tensor, input: Tensor, dtype: Any) -> Tensor:
    return y.to(dtype) if dtype is not None else y.to(input.dtype) if is_float(input.dtype) else y


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Largest element over `dim`; equal ones share the gradient."""
    return _extreme("amax", input, dim, keepdim, smallest=False)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Smallest element over `dim`; equal ones share the gradient."""
    return _extreme("amin", input, dim, keepdim, smallest=True)


def _extreme(caller: str, input: Tensor, dim: Any, keepdim: bool, smallest: bool) -> Tensor:
    x = tensor_arg(caller, "input", input)
    reduced = _reduced(caller, dim, x.ndim)
    _refuse_empty(caller, x, reduced)
    return Amax(reduced, keepdim, smallest)(x)


def _refuse_empty(caller: str, x: Tensor, reduced: Shape) -> None:
    if builtins.any(x.shape[i] == 0 for i in reduced):
        raise ShapeError(f"{caller}: input of shape {x.shape} has no element to choose along axes {reduced}")


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Bounds:
    """The smallest and the largest element, (min, max), of all or along axis `dim`; equal ones share the gradient."""
    place = None if dim is None else axis("aminmax", dim, tensor_arg("aminmax", "input", input).ndim)
    if input.ndim == 0:
        place = None
    return Bounds(*(_extreme("aminmax", input, place, keepdim, smallest=s) for s in (True, False)))


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`sum` of what is not NaN."""
    return sum(_without_nan("nansum", input), dim, keepdim, dtype=dtype)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`mean` of what is not NaN."""
    x = tensor_arg("nanmean", "input", input)
    real("nanmean", input=x)
    x = x if dtype is None else x.to(dtype)
    count = sum(Tensor(x.data == x.data), dim, keepdim)
    return (nansum(wide(x), dim, keepdim) / count.to(wide(x).dtype)).to(x.dtype)


def _without_nan(caller: str, input: Any) -> Tensor:
    x = tensor_arg(caller, "input", input)
    return where(Tensor(x.data == x.data), x, 0.0) if is_float(x.dtype) else x


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over `dim` are not 0."""
    x = tensor_arg("count_nonzero", "input", input)
    return Sum(_reduced("count_nonzero", dim, x.ndim), False)(Tensor(x.data != 0))


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with `dim` the pair (values, indices) along that axis, the first of equals.

    `max(a, b)` of two Tensors is `maximum`.
    """
    return _along("max", input, dim, keepdim, other)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with `dim` the pair (values, indices) along that axis, the first of equals.

    `min(a, b)` of two Tensors is `minimum`.
    """
    return _along("min", input, dim, keepdim, other)


def _along(caller: str, input: Tensor, dim: Any, keepdim: bool, other: Any) -> Any:
    if isinstance(dim, Tensor | np.ndarray) and other is None:
        dim, other = None, dim
    if other is not None:
        if dim is not None or keepdim:
            raise ArgumentError(f"{caller}: give dim or other, one of them")
        return maximum(input, other) if caller == "max" else minimum(input, other)
    x = tensor_arg(caller, "input", input)
    if dim is None:
        if keepdim:
            raise ArgumentError(f"{caller}: keepdim needs dim; of all elements use a{caller}(input, keepdim=True)")
        return _extreme(caller, x, None, False, smallest=caller == "min")
    place = axis(caller, dim, x.ndim)
    indices = _argument(caller, x, place, keepdim=True)
    if x.ndim == 0:
        return Extremes(reshape(x, ()), reshape(indices, ()))
    values = Gather(indices.data, place)(x)
    return Extremes(values, indices) if keepdim else Extremes(squeeze(values, place), squeeze(indices, place))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the largest element along `dim` (None: in the flattened Tensor), the first of equals."""
    return _argument("argmax", input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the smallest element along `dim` (None: in the flattened Tensor), the first of equals."""
    return _argument("argmin", input, dim, keepdim)


def _argument(caller: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = tensor_arg(caller, "input", input)
    place = None if dim is None else axis(caller, dim, x.ndim)
    _refuse_empty(caller, x, tuple(range(x.ndim)) if place is None or x.ndim == 0 else (place,))
    function = array_module(x.data).argmax if caller.endswith("max") else array_module(x.data).argmin
    found = function(x.data, axis=place if x.ndim else None, keepdims=keepdim and x.ndim > 0)
    return Tensor(array_module(x.data).asarray(found, dtype=np.int64))


@widened
@in_float32
def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log sum e^x over `dim`, without overflow: the maximum is taken out first."""
    x = floating("logsumexp", input)
    reduced = _reduced("logsumexp", dim, x.ndim)
    if builtins.any(x.shape[i] == 0 for i in reduced):
        return log(sum(exp(x), reduced, keepdim))
    top = amax(x.detach(), reduced, keepdim=True)
    # An infinite maximum is not taken from itself, and yet stays far above all that is finite.
    limit = float(ml_dtypes.finfo(x.dtype).max)  # type: ignore[no-untyped-call]
    top = Tensor(array_module(x.data).clip(top.data, -limit, limit).astype(x.dtype))
    y = log(sum(exp(x - top), reduced, keepdim=True)) + top
    return y if keepdim else reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in reduced))


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether every element over `dim` is non-zero."""
    return _logical("all", input, dim, keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element over `dim` is non-zero."""
    return _logical("any", input, dim, keepdim)


def _logical(caller: str, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    x = tensor_arg(caller, "input", input)
    truth = x.data.astype(np.bool_, copy=False)
    found = getattr(truth, caller)(axis=axes(caller, dim, x.ndim), keepdims=keepdim)
    kind = np.uint8 if x.dtype == np.uint8 else np.bool_  # PyTorch keeps its old type of booleans
    return Tensor(array_module(x.data).asarray(found, dtype=kind))


def numel(input: Tensor) -> int:
    """Number of elements."""
    return int(tensor_arg("numel", "input", input).data.size)
