"""Ops that move elements without computing: reshape, permute, broadcast, index, join.

They come in adjoint pairs, each the other's backward: broadcast_to and sum_to, getitem and scatter, index_select and
index_add. Padding has a file of its own.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..device import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .checks import axes, axis, same_kind, tensor_arg

Shape = tuple[int, ...]


class Reshape(Op):
    """y = x with another shape, in the same memory"""

    shape: Shape
    is_view = True

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return x.reshape(self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return Reshape(self.before)(gy)


class Permute(Op):
    """y = x with its axes in another order"""

    dims: Shape

    def forward(self, x: Array) -> Array:
        return x.transpose(self.dims)

    def backward(self, gy: Tensor) -> Tensor:
        return Permute(tuple(int(i) for i in np.argsort(self.dims)))(gy)


class BroadcastTo(Op):
    """y = x stretched to a larger shape; adjoint: SumTo"""

    shape: Shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return array_module(x).broadcast_to(x, self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return sum_to(gy, self.before)


class SumTo(Op):
    """y = x summed over the axes along which `shape` would be stretched; adjoint: BroadcastTo"""

    shape: Shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        extra = x.ndim - len(self.shape)
        stretched = tuple(i for i in range(x.ndim) if i < extra or (self.shape[i - extra] == 1 and x.shape[i] != 1))
        wide = np.float32 if x.dtype.itemsize < 4 else x.dtype
        return x.sum(axis=stretched, dtype=wide).astype(x.dtype).reshape(self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return BroadcastTo(self.before)(gy)


class Cat(Op):
    """y = the inputs side by side along an axis"""

    axis: int

    def forward(self, *xs: Array) -> Array:
        self.ends = np.cumsum([x.shape[self.axis] for x in xs]).tolist()
        return array_module(xs[0]).concatenate(xs, axis=self.axis)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        before = (slice(None),) * self.axis
        starts = [0, *self.ends[:-1]]
        pieces = zip(starts, self.ends, self.needs, strict=True)
        return tuple(GetItem((*before, slice(i, j)))(gy) if need else None for i, j, need in pieces)


class GetItem(Op):
    """y = x[index] for NumPy's basic and advanced indices; adjoint: Scatter"""

    index: Any

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return x[self.index]

    def backward(self, gy: Tensor) -> Tensor:
        return Scatter(self.index, self.before)(gy)


class Scatter(Op):
    """y = zeros of a shape with x added at index, repeated places summed; adjoint: GetItem"""

    index: Any
    shape: Shape

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        y = xp.zeros(self.shape, x.dtype)
        if _is_basic(self.index):
            y[self.index] = x
        else:
            xp.add.at(y, self.index, x)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        return GetItem(self.index)(gy)


class IndexSelect(Op):
    """y = the slices of x at `index` along an axis; adjoint: IndexAdd"""

    index: Array
    axis: int

    def forward(self, x: Array) -> Array:
        self.size = x.shape[self.axis]
        return x.take(self.index, axis=self.axis)

    def backward(self, gy: Tensor) -> Tensor:
        return IndexAdd(self.index, self.axis, self.size)(gy)


class IndexAdd(Op):
    """y = zeros with the slices of x added at `index` along an axis; adjoint: IndexSelect

    The indices are sorted and each run of equal ones summed: the same order at every call, and no atomics.
    """

    index: Array
    axis: int
    size: int

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        y = xp.zeros((*x.shape[: self.axis], self.size, *x.shape[self.axis + 1 :]), x.dtype)
        if self.index.size == 0:
            return y
        order = xp.argsort(self.index, kind="stable")
        places, starts = xp.unique(self.index[order], return_index=True)
        y[(slice(None),) * self.axis + (places,)] = xp.add.reduceat(
            x.take(order, axis=self.axis), starts, axis=self.axis
        )
        return y

    def backward(self, gy: Tensor) -> Tensor:
        return IndexSelect(self.index, self.axis)(gy)


class Gather(Op):
    """y[..., i, ...] = x[..., index[..., i, ...], ...] along an axis; adjoint: GatherAdjoint"""

    index: Array
    axis: int

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        return array_module(x).take_along_axis(_cropped(x, self.index, self.axis), self.index, axis=self.axis)

    def backward(self, gy: Tensor) -> Tensor:
        return GatherAdjoint(self.index, self.axis, self.before)(gy)


class GatherAdjoint(Op):
    """y = zeros with x added at `index` along an axis; adjoint: Gather"""

    index: Array
    axis: int
    shape: Shape

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        y = xp.zeros(self.shape, x.dtype)
        places: list[Any] = list(xp.ogrid[tuple(slice(n) for n in self.index.shape)])
        places[self.axis] = self.index
        xp.add.at(y, tuple(places), x)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        return Gather(self.index, self.axis)(gy)


class Flip(Op):
    """y = x in reverse order along axes; its own adjoint"""

    axes: Shape

    def forward(self, x: Array) -> Array:
        return array_module(x).flip(x, self.axes)

    def backward(self, gy: Tensor) -> Tensor:
        return Flip(self.axes)(gy)


def _cropped(x: Array, index: Array, axis: int) -> Array:
    return x[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(index.shape))]


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, int | slice) for p in parts)


def _sizes(caller: str, shape: Sequence[Any]) -> list[int]:
    listed = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    try:
        return [operator.index(n) for n in listed]
    except TypeError:
        raise DTypeError(f"{caller}: shape must be integers, got {tuple(listed)}") from None


def alias(x: Tensor) -> Tensor:
    """The same values in the same memory as a new node of the graph."""
    return Reshape(x.shape)(x)


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape; one size may be -1 and is worked out."""
    x, sizes = tensor_arg("reshape", "input", input), _sizes("reshape", shape)
    known = math.prod(n for n in sizes if n != -1)
    if sizes.count(-1) == 1 and known and x.data.size % known == 0:
        sizes[sizes.index(-1)] = x.data.size // known
    if math.prod(sizes) != x.data.size or any(n < 0 for n in sizes):
        raise ShapeError(f"reshape: {x.data.size} elements of shape {x.shape} do not fill shape {tuple(sizes)}")
    return Reshape(tuple(sizes))(x)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes `start_dim` to `end_dim` joined into one."""
    x = tensor_arg("flatten", "input", input)
    first, last = axis("flatten", start_dim, x.ndim), axis("flatten", end_dim, x.ndim)
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    return reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1 (all of them, or those that `dim` names)."""
    x = tensor_arg("squeeze", "input", input)
    dropped = {i for i in axes("squeeze", dim, x.ndim) if x.ndim and x.shape[i] == 1}
    return Reshape(tuple(n for i, n in enumerate(x.shape) if i not in dropped))(x)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at `dim`."""
    x = tensor_arg("unsqueeze", "input", input)
    place = axis("unsqueeze", dim, x.ndim + 1)
    return Reshape((*x.shape[:place], 1, *x.shape[place:]))(x)


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in the order `dims`."""
    x = tensor_arg("permute", "input", input)
    order = tuple(axis("permute", d, x.ndim) for d in _sizes("permute", dims))
    if sorted(order) != list(range(x.ndim)):
        raise ArgumentError(f"permute: dims must name each of the {x.ndim} axes once, got {order}")
    return Permute(order)(x)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    x = tensor_arg("transpose", "input", input)
    order = list(range(x.ndim))
    i, j = axis("transpose", dim0, x.ndim), axis("transpose", dim1, x.ndim)
    if x.ndim == 0:
        return alias(x)
    order[i], order[j] = j, i
    return Permute(tuple(order))(x)


def broadcast_to(input: Tensor, *shape: Any) -> Tensor:
    """Stretched to `shape` by repeating axes of size 1; -1 keeps an axis as it is (PyTorch's `expand`)."""
    x, sizes = tensor_arg("broadcast_to", "input", input), _sizes("broadcast_to", shape)
    extra = len(sizes) - x.ndim
    kept = [x.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(sizes)]
    if (
        extra < 0
        or any(m not in (1, n) for m, n in zip(x.shape, kept[extra:], strict=True))
        or min(kept, default=0) < 0
    ):
        raise ShapeError(f"broadcast_to: shape {x.shape} does not stretch to {tuple(sizes)}")
    return BroadcastTo(tuple(kept))(x)


def sum_to(input: Tensor, shape: Shape) -> Tensor:
    """Summed over the axes along which `shape` would be stretched to the input's: the adjoint of `broadcast_to`."""
    return input if input.shape == shape else SumTo(shape)(input)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The Tensors side by side along axis `dim`; the other axes must agree."""
    xs = [tensor_arg("cat", f"tensors[{i}]", t) for i, t in enumerate(tensors)]
    if not xs:
        raise ArgumentError("cat: expected at least one Tensor, got none")
    same_kind("cat", **{f"tensors[{i}]": x for i, x in enumerate(xs)})
    place = axis("cat", dim, xs[0].ndim)
    for i, x in enumerate(xs):
        if x.ndim == 0 or _without(x.shape, place) != _without(xs[0].shape, place) or x.ndim != xs[0].ndim:
            raise ShapeError(
                f"cat: tensors[{i}] has shape {x.shape}, which differs from {xs[0].shape} outside axis {place}"
            )
    return Cat(place)(*xs)


def _without(shape: Shape, place: int) -> Shape:
    return (*shape[:place], *shape[place + 1 :])


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The Tensors, all of one shape, along a new axis at `dim`."""
    if len({t.shape for t in tensors}) > 1:
        raise ShapeError(f"stack: the Tensors differ in shape: {sorted({t.shape for t in tensors})}")
    return cat([unsqueeze(t, dim) for t in tensors], dim)


def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along axis `dim`: of one size (the last may be smaller), or of the listed sizes."""
    x = tensor_arg("split", "tensor", tensor)
    place = axis("split", dim, x.ndim)
    n = x.shape[place]
    if isinstance(split_size_or_sections, Sequence):
        sizes = _sizes("split", split_size_or_sections)
    else:
        (size,) = _sizes("split", [split_size_or_sections])
        if size < 1:
            raise ArgumentError(f"split: the size of a piece must be at least 1, got {size}")
        sizes = [min(size, n - i) for i in range(0, n, size)] or [0]
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sections {tuple(sizes)} do not add up to {n}, the size of axis {place}")
    ends = np.cumsum(sizes).tolist()
    before = (slice(None),) * place
    return tuple(GetItem((*before, slice(end - size, end)))(x) for size, end in zip(sizes, ends, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along axis `dim`; the last may be smaller."""
    x = tensor_arg("chunk", "input", input)
    if chunks < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}")
    n = x.shape[axis("chunk", dim, x.ndim)]
    return split(x, max(-(-n // chunks), 1), dim)


def flip(input: Tensor, *dims: Any) -> Tensor:
    """In reverse order along the axes `dims`."""
    x = tensor_arg("flip", "input", input)
    return Flip(axes("flip", _sizes("flip", dims), x.ndim))(x)


def index_select(input: Tensor, dim: int, index: Any) -> Tensor:
    """The slices at `index`, a 1-D Tensor of integers, along axis `dim`."""
    x = tensor_arg("index_select", "input", input)
    place = axis("index_select", dim, x.ndim)
    places = _checked_index("index_select", x, place, index)
    if places.ndim > 1:
        raise ShapeError(f"index_select: index must have one axis, got shape {places.shape}")
    return IndexSelect(places.reshape(-1), place)(x)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j] = input[index[i, j], j] for dim 0, and so on: elements picked along axis `dim`."""
    x = tensor_arg("gather", "input", input)
    place = axis("gather", dim, x.ndim)
    places = _checked_index("gather", x, place, index)
    if places.ndim != x.ndim or any(
        m > n for i, (m, n) in enumerate(zip(places.shape, x.shape, strict=True)) if i != place
    ):
        raise ShapeError(f"gather: index {places.shape} does not fit input {x.shape} along axis {place}")
    return Gather(places, place)(x)


def _checked_index(caller: str, x: Tensor, place: int, index: Any) -> Array:
    places = array_module(x.data).array(index.data if isinstance(index, Tensor) else index)  # a copy, for backward
    if places.dtype.kind not in "iu":
        raise DTypeError(f"{caller}: index must be integers, got {places.dtype}")
    n = x.shape[place] if x.ndim else 1
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < n):
        raise BoundsError(f"{caller}: index runs from {places.min()} to {places.max()}, axis {place} has {n} elements")
    return places


def getitem(input: Tensor, index: Any) -> Tensor:
    """input[index]: integers, slices, None, `...`, integer arrays and boolean masks, as in NumPy."""
    parts = tuple(_index_part(p) for p in (index if isinstance(index, tuple) else (index,)))
    try:
        return GetItem(parts)(input)
    except IndexError as error:
        raise BoundsError(f"getitem: index {index!r} does not fit shape {input.shape}: {error}") from None


def _index_part(part: Any) -> Any:
    if isinstance(part, Tensor):
        part = part.data
    if hasattr(part, "flags"):
        part = part.copy()  # whatever becomes of the index array, backward sees this one
    if isinstance(part, list):
        part = np.asarray(part) if part else np.zeros(0, np.int64)
    if isinstance(part, np.integer):
        part = int(part)
    if isinstance(part, bool | float) or (hasattr(part, "dtype") and part.dtype.kind not in "biu" and part.size):
        raise DTypeError(f"getitem: an index must be integers, booleans or slices, got {part!r}")
    return part
