"""Copies of a Tensor with some elements written over or added to: scatter, index_add and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, GraphError, ShapeError
from ..kernels import scatter as kernel
from .checks import as_tensor, axis, check_broadcast, same_kind, tensor_arg
from .choice import Where
from .halves import in_float32
from .indexing import Gather, GatherAdjoint, GetItem, IndexAdd, Scatter, check_fit, checked_index, line_of, places_along
from .shape import reshape


class Put(Op):
    """y = x with the elements at `index` along an axis replaced by those of `source`"""

    index: Array
    axis: int

    def forward(self, x: Array, source: Array) -> Array:
        return kernel.put_at(x, places_along(self.index, self.axis), source)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        gx = gs = None
        if self.needs[0]:
            gx = Put(self.index, self.axis)(gy, Tensor(array_module(gy.data).zeros(self.index.shape, gy.dtype)))
        if self.needs[1]:
            gs = Gather(self.index, self.axis)(gy)
        return gx, gs


class PutProduct(Op):
    """y = x with the elements at `index` along an axis multiplied by those of `source`; no derivative, as in PyTorch"""

    index: Array
    axis: int

    def forward(self, x: Array, source: Array) -> Array:
        return kernel.multiply_at(x, places_along(self.index, self.axis), source)

    def backward(self, gy: Tensor) -> tuple[Tensor, Tensor]:
        raise GraphError("scatter: reduce='multiply' has no derivative; use gather and prod")


@in_float32
def index_add(input: Tensor, dim: int, index: Any, source: Tensor, *, alpha: float = 1) -> Tensor:
    """input + alpha · source, the slices of `source` added at `index` along axis `dim`; repeated places sum."""
    x, flat, places, added = _slices("index_add", input, dim, index, source)
    place = axis("index_add", dim, x.ndim)
    y = flat + IndexAdd(places, place, flat.shape[place])(added if alpha == 1 else added * alpha)
    return y if x.ndim else GetItem((0,))(y)


def index_copy(input: Tensor, dim: int, index: Any, source: Tensor) -> Tensor:
    """A copy of input with the slices at `index` along axis `dim` replaced by those of `source`.

    A place that is named twice gets one of its slices, which one is not defined, and nor is the gradient.
    """
    x, flat, places, added = _slices("index_copy", input, dim, index, source)
    place = axis("index_copy", dim, x.ndim)
    y = Put(_spread(places, place, added.shape), place)(flat, added) if places.size else flat.clone()
    return y if x.ndim else GetItem((0,))(y)


def index_fill(input: Tensor, dim: int, index: Any, value: Any) -> Tensor:
    """A copy of input with `value`, a number or a Tensor without axes, in the slices at `index` along axis `dim`."""
    x = tensor_arg("index_fill", "input", input)
    place = axis("index_fill", dim, x.ndim)
    places = checked_index("index_fill", x, place, tensor_arg("index_fill", "index", index))
    if places.ndim > 1:
        raise ShapeError(f"index_fill: index must have one axis, got shape {places.shape}")
    filler = value.to(x.dtype) if isinstance(value, Tensor) else as_tensor(value, x, x.dtype)
    if filler.ndim:
        raise ShapeError(f"index_fill: value must be a number or have no axes, got shape {filler.shape}")
    chosen = array_module(x.data).zeros(x.shape[place] if x.ndim else 1, np.bool_)
    chosen[places.reshape(-1)] = True
    mask = chosen.reshape([-1 if i == place else 1 for i in range(max(x.ndim, 1))])
    return Where(mask if x.ndim else mask.reshape(()))(filler, x)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of input whose elements where `mask` holds are, in order, the first elements of `source`."""
    x, chosen = tensor_arg("masked_scatter", "input", input), tensor_arg("masked_scatter", "mask", mask)
    same_kind("masked_scatter", input=x, source=source)
    if chosen.dtype != np.bool_:
        raise DTypeError(f"masked_scatter: mask must be of type bool, got {chosen.dtype}")
    shape = check_broadcast("masked_scatter", x.shape, chosen.shape)
    holds = array_module(x.data).broadcast_to(chosen.data, shape).copy()  # backward sees this mask
    count = int(holds.sum())
    if source.data.size < count:
        raise ShapeError(f"masked_scatter: mask holds at {count} places, source has {source.data.size} elements")
    first = GetItem((slice(0, count),))(reshape(source, -1))
    spread = Scatter(holds.reshape(-1).nonzero(), (holds.size,))(first)
    return Where(holds)(reshape(spread, shape), x)


def _slices(caller: str, input: Tensor, dim: int, index: Any, source: Tensor) -> tuple[Tensor, Tensor, Array, Tensor]:
    """(input, input with an axis, index, source with an axis), checked: the source has a slice for each place."""
    x = tensor_arg(caller, "input", input)
    same_kind(caller, input=x, source=source)
    place = axis(caller, dim, x.ndim)
    places = checked_index(caller, x, place, index)
    if places.ndim > 1:
        raise ShapeError(f"{caller}: index must have one axis, got shape {places.shape}")
    flat, added = line_of(x), line_of(source)
    expected = (*flat.shape[:place], places.size, *flat.shape[place + 1 :])
    if added.shape != expected:
        raise ShapeError(f"{caller}: source must have shape {expected} for this input and index, got {source.shape}")
    return x, flat, places.reshape(-1), added


def _spread(places: Array, place: int, shape: tuple[int, ...]) -> Array:
    """The index of slices as an index of elements."""
    along = places.reshape([-1 if i == place else 1 for i in range(len(shape))])
    return array_module(places).ascontiguousarray(array_module(places).broadcast_to(along, shape))


def _written(caller: str, input: Tensor, dim: int, index: Any, source: Any) -> tuple[Tensor, Array, int, Tensor]:
    """(input, index, axis, the part of the source that index names), none of them without axes."""
    x = tensor_arg(caller, "input", input)
    if not isinstance(source, Tensor):
        source = Tensor(array_module(x.data).full(np.shape(getattr(index, "data", index)), source, x.dtype))
    same_kind(caller, input=x, src=source)
    place = axis(caller, dim, x.ndim)
    places = checked_index(caller, x, place, tensor_arg(caller, "index", index))
    picks, line, source = (places.reshape(1) if places.ndim == 0 else places), line_of(x), line_of(source)
    if picks.size:
        check_fit(caller, "input", picks.shape, line.shape, place)
        check_fit(caller, "src", picks.shape, source.shape, -1)
    return line, picks, place, GetItem(tuple(slice(n) for n in picks.shape))(source) if picks.size else source


@in_float32
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """A copy of input with y[index[i, j], j] = src[i, j] for dim 0, and so on; `src` may be a number, called `value`.

    `reduce` 'add' or 'multiply' combines with what is there. Without it, a place that is named twice gets one of the
    elements, which one is not defined, and nor is the gradient.
    """
    if (src is None) == (value is None):
        raise ArgumentError("scatter: give src or value, one of them")
    if reduce not in (None, "add", "multiply"):
        raise ArgumentError(f"scatter: reduce must be None, 'add' or 'multiply', got {reduce!r}")
    x, places, place, source = _written("scatter", input, dim, index, value if src is None else src)
    if places.size == 0:
        y = x.clone()
    elif reduce == "add":
        y = x + GatherAdjoint(places, place, x.shape)(source)
    else:
        y = (Put if reduce is None else PutProduct)(places, place)(x, source)
    return y if input.ndim else GetItem((0,))(y)


@in_float32
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src[i, j] added at [index[i, j], j] for dim 0, and so on; repeated places sum."""
    x, places, place, source = _written("scatter_add", input, dim, index, tensor_arg("scatter_add", "src", src))
    y = x + GatherAdjoint(places, place, x.shape)(source) if places.size else x.clone()
    return y if input.ndim else GetItem((0,))(y)
