"""Order statistics and counts: medians, quantiles, the different elements, bins."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..kernels import scatter
from .arrange import movedim
from .checks import as_tensor, axis, is_float, real, same_kind, tensor_arg
from .choice import lerp, where
from .indexing import Gather
from .order import sort
from .reduce import Amax, accumulated
from .shape import reshape


class Picked(NamedTuple):
    """What `median`, `kthvalue` and `mode` return along an axis."""

    values: Tensor
    indices: Tensor


class Median(Amax):
    """y = the lower of the middle elements of all; equal ones share the gradient"""

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        if is_float(x.dtype) and xp.isnan(x).any():
            return xp.asarray(np.nan, dtype=x.dtype)
        return xp.sort(x, axis=None)[(x.size - 1) // 2]


class Unique(Op):
    """y = the different elements, or slices along an axis, in order; the place of each; how often each occurs"""

    axis: int | None
    outputs = ("y", "inverse", "counts")

    def forward(self, x: Array) -> tuple[Array, Array, Array]:
        how = {"return_inverse": True, "return_counts": True, "axis": self.axis, "equal_nan": False}
        y, inverse, counts = array_module(x).unique(x, **how)
        inverse = inverse.reshape(x.shape if self.axis is None else -1)
        return y, inverse.astype(np.int64), counts.astype(np.int64)

    def backward(self, *_: Tensor | None) -> Tensor:
        raise GraphError("unique: it has no derivative; call it with x.detach()")


class Histogram(Op):
    """y = how many x fall into each of `bins` equal bins between two numbers, the last one closed"""

    bins: int
    low: float
    high: float

    def forward(self, x: Array) -> Array:
        counts = array_module(x).histogram(x, self.bins, (self.low, self.high))[0]
        return counts.astype(x.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        raise GraphError("histc: it has no derivative; call it with x.detach()")


def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements, or with `dim` the pair (values, indices) along that axis; NaN if there is one.

    Of all elements, those equal to the median share the gradient. Of nothing it is NaN.
    """
    x = tensor_arg("median", "input", input)
    if dim is None:
        if x.data.size == 0:
            return x.sum() * np.nan if is_float(x.dtype) else _no_element("median", x)
        return Median(tuple(range(x.ndim)), False, False)(x)
    place = axis("median", dim, x.ndim)
    n = x.shape[place] if x.ndim else 1
    if n == 0:
        _no_element("median", x)
    line = _line(x)
    xp, ordered = array_module(x.data), sort(line.detach(), place)
    rank = xp.asarray((n - 1) // 2)
    if is_float(x.dtype):  # sorted to the end
        nans = xp.isnan(line.data).sum(axis=place, keepdims=True)
        rank = xp.where(nans > 0, n - nans, rank)
    places = xp.broadcast_to(rank, tuple(1 if i == place else m for i, m in enumerate(line.shape)))
    return _found(x, Gather(places.astype(np.int64), place)(ordered.indices), place, keepdim)


def _no_element(caller: str, x: Tensor) -> Any:
    raise ShapeError(f"{caller}: input of shape {x.shape} has no element to choose")


def _line(x: Tensor) -> Tensor:
    return x if x.ndim else reshape(x, 1)


def _found(x: Tensor, indices: Tensor, place: int, keepdim: bool) -> Picked:
    """The elements at indices, one along an axis, which goes unless `keepdim`."""
    values = Gather(indices.data, place)(_line(x))
    if x.ndim == 0:
        shape: tuple[int, ...] = ()
    else:
        shape = tuple(1 if i == place else n for i, n in enumerate(x.shape) if keepdim or i != place)
    return Picked(reshape(values, shape), reshape(indices, shape).clone())


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Picked:
    """The `k`-th smallest element along axis `dim`, counted from 1, as (values, indices)."""
    x = tensor_arg("kthvalue", "input", input)
    place = axis("kthvalue", dim, x.ndim)
    n = x.shape[place] if x.ndim else 1
    if not isinstance(k, int) or not 1 <= k <= n:
        raise ArgumentError(f"kthvalue: k must be between 1 and {n}, the size of axis {place}, got {k!r}")
    order = sort(_line(x.detach()), place).indices
    return _found(x, order.narrow(place, k - 1, 1), place, keepdim)


def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Picked:
    """The most frequent element along axis `dim`, of several the smallest, as (values, indices); the last of equals."""
    x = tensor_arg("mode", "input", input)
    place = axis("mode", dim, x.ndim)
    line = _line(x)
    if line.shape[place] == 0:
        _no_element("mode", x)
    xp = array_module(x.data)
    ordered = sort(line.detach(), place)
    values, order = (xp.moveaxis(t.data, place, -1) for t in ordered)
    steps = xp.arange(values.shape[-1])
    starts = xp.concatenate([xp.ones_like(values[..., :1], dtype=bool), values[..., 1:] != values[..., :-1]], axis=-1)
    runs = steps - accumulated(xp.maximum, xp.where(starts, steps, 0), -1)  # equal elements before each
    last = runs.argmax(axis=-1)[..., None]
    indices = xp.moveaxis(xp.take_along_axis(order, last, axis=-1), -1, place)
    return _found(x, Tensor(xp.ascontiguousarray(indices)), place, keepdim)


def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-th quantiles along axis `dim` (None: of all): the element at place q (n - 1) of the sorted ones.

    Between two places `interpolation` says what to take: 'linear', 'lower', 'higher', 'midpoint' or 'nearest'. For a
    vector `q` its axis comes first. A NaN along the axis gives NaN.
    **Shapes** q () or (Q,); y as a reduction's, with (Q,) in front. **Raises** ArgumentError, DTypeError, ShapeError.
    """
    x, wanted, place = _quantile_arguments(input, q, dim, interpolation)
    whole = x.shape
    x = reshape(x, -1) if dim is None else _line(x)
    n = x.shape[place]
    ordered = movedim(sort(x, place).values, place, -1)
    ranks = reshape(wanted, -1) * float(n - 1)
    missing = as_tensor(array_module(x.data).isnan(ordered.data).any(-1, keepdims=True), x)
    ranks = where(missing, float(n - 1), ranks)  # where NaN was sorted to; (*, Q)
    below, above = (getattr(array_module(x.data), how)(ranks.data).astype(np.int64) for how in ("floor", "ceil"))
    if interpolation in ("lower", "higher", "nearest"):
        nearest = array_module(x.data).rint(ranks.data).astype(np.int64)
        y = Gather({"lower": below, "higher": above, "nearest": nearest}[interpolation], x.ndim - 1)(ordered)
    else:
        ends = [Gather(i, x.ndim - 1)(ordered) for i in (below, above)]
        y = lerp(ends[0], ends[1], ranks - as_tensor(below, x, x.dtype) if interpolation == "linear" else 0.5)
    y = movedim(y, -1, 0)  # (Q, *)
    kept = tuple(1 if dim is None or i == place else m for i, m in enumerate(whole))
    rest = kept if keepdim else tuple(m for i, m in enumerate(whole) if dim is not None and i != place)
    return reshape(y, (*wanted.shape, *rest))


def _quantile_arguments(input: Tensor, q: Any, dim: int | None, interpolation: str) -> tuple[Tensor, Tensor, int]:
    x = tensor_arg("quantile", "input", input)
    real("quantile", input=x)
    if x.dtype not in (np.float32, np.float64):
        raise DTypeError(f"quantile: input must be float32 or float64, got {x.dtype}")
    wanted = q if isinstance(q, Tensor) else as_tensor(q, x, x.dtype)
    same_kind("quantile", input=x, q=wanted)
    if wanted.ndim > 1:
        raise ShapeError(f"quantile: q must be a number or a vector, got shape {wanted.shape}")
    if not ((wanted.data >= 0) & (wanted.data <= 1)).all():
        raise ArgumentError(f"quantile: q must lie between 0 and 1, got {wanted.tolist()}")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ArgumentError(
            "quantile: interpolation must be 'linear', 'lower', 'higher', 'midpoint' or 'nearest', "
            f"got {interpolation!r}"
        )
    place = 0 if dim is None else axis("quantile", dim, x.ndim)
    if (x.data.size if dim is None or not x.ndim else x.shape[place]) == 0:
        _no_element("quantile", x)
    return x, wanted, place


# --- the different elements ------------------------------------------------------------------------------------------


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in order, or with `dim` the different slices; every NaN is one of its own.

    `return_inverse` adds the place of each element among them, `return_counts` how often each occurs. They are always
    sorted. A gradient cannot pass.
    """
    x = tensor_arg("unique", "input", input)
    place = None if dim is None else axis("unique", dim, x.ndim)
    if place is not None and x.ndim == 0:
        place = None
    if place is not None and x.shape[place] and x.data.size == 0:
        raise ShapeError(f"unique: slices along axis {place} of shape {x.shape} have no elements to compare")
    y, *extra = Unique(place)(x)
    chosen = [t for t, wanted in zip(extra, (return_inverse, return_counts), strict=True) if wanted]
    return (y, *chosen) if chosen else y


# --- bins ------------------------------------------------------------------------------------------------------------


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often 0, 1, 2, ... occur in a vector of integers, or with `weights` the sums of theirs, in float64.

    The result has max(input) + 1 elements, and at least `minlength`. `weights` of float32 are summed in float64 and
    rounded once; no gradient passes.
    """
    x = tensor_arg("bincount", "input", input)
    if x.ndim != 1 or x.dtype.kind not in "iu":
        raise DTypeError(f"bincount: input must be a vector of integers, got {x.dtype} {x.shape}")
    if not isinstance(minlength, int) or minlength < 0:
        raise ArgumentError(f"bincount: minlength must be an integer, at least 0, got {minlength!r}")
    if x.data.size and int(x.data.min()) < 0:
        raise ArgumentError(f"bincount: input must not be negative, its smallest element is {x.data.min()}")
    xp = array_module(x.data)
    if weights is None:
        return Tensor(xp.bincount(x.data, minlength=minlength).astype(np.int64))
    if tensor_arg("bincount", "weights", weights).shape != x.shape:
        raise ShapeError(f"bincount: weights must have input's shape {x.shape}, got {weights.shape}")
    bins = max(minlength, int(x.data.max()) + 1 if x.data.size else 0)
    sums = scatter.bincount(x.data, weights.data.astype(np.float64), bins)
    return Tensor(sums.astype(np.float32 if weights.dtype == np.float32 else np.float64))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of `bins` equal bins from `min` to `max`, in input's type.

    Both 0 mean the range of the elements; elements outside are not counted, `max` itself belongs to the last bin.
    """
    x = tensor_arg("histc", "input", input)
    real("histc", input=x)
    if not isinstance(bins, int) or bins < 1:
        raise ArgumentError(f"histc: bins must be a positive integer, got {bins!r}")
    low, high = float(min), float(max)
    if low == high and x.data.size:
        low, high = float(x.data.min()), float(x.data.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ArgumentError(f"histc: min and max must be finite, got {low} and {high}")
    if low > high:
        raise ArgumentError(f"histc: max {high} is below min {low}")
    if low == high:
        low, high = low - 1, high + 1
    return Histogram(bins, low, high)(x)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each of `input` would be put into the sorted last axis: before elements that are equal, or after (`right`).

    `side` 'left' or 'right' says the same as `right`; `sorter` is the order that would sort the sequence.
    **Shapes** sequence (S,) with any input, or (*, S) with input (*, K); y as input.
    """
    caller = "searchsorted"
    rows = tensor_arg(caller, "sorted_sequence", sorted_sequence)
    values = (
        as_tensor(input, rows, rows.dtype) if isinstance(input, int | float) else tensor_arg(caller, "input", input)
    )
    same_kind(caller, sorted_sequence=rows, input=values)
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ArgumentError(f"{caller}: side must be 'left' or 'right' and agree with right={right}, got {side!r}")
    if rows.ndim == 0:
        raise ShapeError(f"{caller}: sorted_sequence must have an axis, got a Tensor without axes")
    if rows.ndim > 1 and (values.ndim != rows.ndim or values.shape[:-1] != rows.shape[:-1]):
        raise ShapeError(f"{caller}: sorted_sequence {rows.shape} and input {values.shape} differ before the last axis")
    table = rows.data
    if sorter is not None:
        table = array_module(table).take_along_axis(table, _checked_sorter(rows, sorter), axis=-1)
    after = "right" if right or side == "right" else "left"
    xp = array_module(table)
    if rows.ndim == 1:
        found = xp.searchsorted(table, values.data, after)
    else:
        count = math.prod(rows.shape[:-1])
        lines = zip(*(a.reshape(count, a.shape[-1]) for a in (table, values.data)), strict=True)
        found = xp.array([xp.searchsorted(line, v, after) for line, v in lines]).reshape(values.shape)
    return Tensor(xp.asarray(found, dtype=np.int32 if out_int32 else np.int64))


def _checked_sorter(rows: Tensor, sorter: Tensor) -> Array:
    order = tensor_arg("searchsorted", "sorter", sorter)
    if order.shape != rows.shape:
        raise ShapeError(f"searchsorted: sorter must have the sequence's shape {rows.shape}, got {order.shape}")
    if order.dtype != np.int64:
        raise DTypeError(f"searchsorted: sorter must be int64, got {order.dtype}")
    if order.data.size and not 0 <= int(order.data.min()) <= int(order.data.max()) < rows.shape[-1]:
        raise ArgumentError(
            f"searchsorted: sorter runs from {order.data.min()} to {order.data.max()}, the sequence has "
            f"{rows.shape[-1]} elements"
        )
    return order.data


def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """The number of the bin between sorted `boundaries` that each element of input falls into."""
    edges = tensor_arg("bucketize", "boundaries", boundaries)
    if edges.ndim != 1:
        raise ShapeError(f"bucketize: boundaries must be a vector, got shape {edges.shape}")
    values = as_tensor(input, edges, edges.dtype) if isinstance(input, int | float) else input
    same_kind("bucketize", input=values, boundaries=edges)
    return searchsorted(edges, values, out_int32=out_int32, right=right)
