"""Reductions: sum, mean, var, extremes. `dim` is one axis, several, or None for all; negative ones count back."""

from __future__ import annotations

import builtins
import math
from typing import Any, NamedTuple

import numpy as np

from ..device import array_module
from ..engine import Array, Op, Tensor
from ..errors import DTypeError, ShapeError
from .checks import axes, axis, floating, is_float, tensor_arg
from .elementwise import exp, log, sqrt
from .indexing import Gather
from .shape import Shape, broadcast_to, flatten, reshape, squeeze


class Extremes(NamedTuple):
    """What `max(dim)` and `min(dim)` return."""

    values: Tensor
    indices: Tensor


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
        wide = np.float32 if x.dtype.itemsize < 4 else x.dtype
        return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=wide).astype(x.dtype, copy=False)

    def backward(self, gy: Tensor) -> Tensor:
        return broadcast_to(reshape(gy, _kept(self.before, self.axes)), self.before)


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


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Sum over `dim`; booleans and integers add up to int64."""
    x = tensor_arg("sum", "input", input)
    x = x if dtype is None else x.to(dtype)
    return Sum(axes("sum", dim, x.ndim), keepdim)(x)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Mean over `dim`; of nothing it is NaN."""
    x = tensor_arg("mean", "input", input)
    x = x if dtype is None else x.to(dtype)
    if not is_float(x.dtype):
        raise DTypeError(f"mean: input must be of a floating-point type, got {x.dtype}")
    if x.dtype.itemsize < 4:  # the sum of a half type may overflow where the mean does not
        return mean(x.to(np.float32), dim, keepdim).to(x.dtype)
    reduced = axes("mean", dim, x.ndim)
    return Sum(reduced, keepdim)(x) / float(math.prod(x.shape[i] for i in reduced))


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Variance over `dim`: sum (x - mean)² / max(0, n - correction), with correction 1 unless `unbiased` is False."""
    x = tensor_arg("var", "input", input)
    reduced = axes("var", dim, x.ndim)
    if is_float(x.dtype) and x.dtype.itemsize < 4:
        return var(x.to(np.float32), dim, unbiased, keepdim, correction=correction).to(x.dtype)
    n = math.prod(x.shape[i] for i in reduced)
    free = builtins.max(0.0, n - (float(unbiased) if correction is None else correction))
    return Sum(reduced, keepdim)((x - mean(x, reduced, keepdim=True)) ** 2) / free


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation over `dim`: the square root of `var`."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Largest element over `dim`; equal ones share the gradient."""
    return _extreme("amax", input, dim, keepdim, smallest=False)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Smallest element over `dim`; equal ones share the gradient."""
    return _extreme("amin", input, dim, keepdim, smallest=True)


def _extreme(caller: str, input: Tensor, dim: Any, keepdim: bool, smallest: bool) -> Tensor:
    x = tensor_arg(caller, "input", input)
    reduced = axes(caller, dim, x.ndim)
    _refuse_empty(caller, x, reduced)
    return Amax(reduced, keepdim, smallest)(x)


def _refuse_empty(caller: str, x: Tensor, reduced: Shape) -> None:
    if builtins.any(x.shape[i] == 0 for i in reduced):
        raise ShapeError(f"{caller}: shape {x.shape} has no element to choose along axes {reduced}")


def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with `dim` the pair (values, indices) along that axis, the first of equals."""
    return _along("max", input, dim, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with `dim` the pair (values, indices) along that axis, the first of equals."""
    return _along("min", input, dim, keepdim)


def _along(caller: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    if isinstance(dim, Tensor):
        from .elementwise import maximum, minimum

        return maximum(input, dim) if caller == "max" else minimum(input, dim)
    if dim is None:
        return _extreme(caller, input, None, False, smallest=caller == "min")
    indices = (argmax if caller == "max" else argmin)(input, dim, keepdim=True)
    if input.ndim == 0:
        return Extremes(reshape(input, ()), reshape(indices, ()))
    values = Gather(indices.data, axis(caller, dim, input.ndim))(input)
    return Extremes(values, indices) if keepdim else Extremes(squeeze(values, dim), squeeze(indices, dim))


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
    found = getattr(array_module(x.data), caller)(
        x.data, axis=place if x.ndim else None, keepdims=keepdim and x.ndim > 0
    )
    return Tensor(array_module(x.data).asarray(found, dtype=np.int64))


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log sum e^x over `dim`, without overflow: the maximum is taken out first."""
    x = floating("logsumexp", input)
    reduced = axes("logsumexp", dim, x.ndim)
    if builtins.any(x.shape[i] == 0 for i in reduced):
        return log(sum(exp(x), reduced, keepdim))
    top = amax(x.detach(), reduced, keepdim=True)
    top = Tensor(array_module(x.data).where(abs(top.data) == np.inf, 0, top.data).astype(x.dtype))
    y = log(sum(exp(x - top), reduced, keepdim=True)) + top
    return y if keepdim else reshape(y, tuple(n for i, n in enumerate(x.shape) if i not in reduced))


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether every element over `dim` is non-zero."""
    x = tensor_arg("all", "input", input)
    return Tensor(array_module(x.data).asarray(x.data.all(axis=axes("all", dim, x.ndim), keepdims=keepdim)))


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether some element over `dim` is non-zero."""
    x = tensor_arg("any", "input", input)
    return Tensor(array_module(x.data).asarray(x.data.any(axis=axes("any", dim, x.ndim), keepdims=keepdim)))


def numel(input: Tensor) -> int:
    """Number of elements."""
    return int(flatten(input).shape[0])
