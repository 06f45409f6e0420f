"""Ops that move elements without computing: reshape, permute, broadcast, join. Picking by index: `indexing.py`;
padding: `pad.py`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor, autocast_type
from ..errors import ArgumentError, DTypeError, ShapeError
from .checks import axes, axis, is_float, same_kind, tensor_arg
from .halves import sum_type
from .indexing import GetItem

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
        y = array_module(x).empty(self.shape, x.dtype)
        y[...] = x
        return y

    def backward(self, gy: Tensor) -> Tensor:
        return sum_to(gy, self.before)


class SumTo(Op):
    """y = x summed over the axes along which `shape` would be stretched; adjoint: BroadcastTo"""

    shape: Shape

    def forward(self, x: Array) -> Array:
        self.before = x.shape
        extra = x.ndim - len(self.shape)
        stretched = tuple(i for i in range(x.ndim) if i < extra or (self.shape[i - extra] == 1 and x.shape[i] != 1))
        return x.sum(axis=stretched, dtype=sum_type(x.dtype)).astype(x.dtype).reshape(self.shape)

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


class Flip(Op):
    """y = x in reverse order along axes; its own adjoint"""

    axes: Shape

    def forward(self, x: Array) -> Array:
        return array_module(x).flip(x, self.axes)

    def backward(self, gy: Tensor) -> Tensor:
        return Flip(self.axes)(gy)


def sizes_of(caller: str, name: str, given: Sequence[Any]) -> list[int]:
    """The integers of a call f(*given): each an argument, or all of them in one list."""
    listed = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    try:
        return [operator.index(n) for n in listed]
    except TypeError:
        raise DTypeError(f"{caller}: {name} must be integers, got {tuple(listed)}") from None


def alias(x: Tensor) -> Tensor:
    """The same values in the same memory as a new node of the graph."""
    return Reshape(x.shape)(x)


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape; one size may be -1 and is worked out."""
    x = tensor_arg("reshape", "input", input)
    new = sizes_of("reshape", "shape", sizes if shape is None else [shape])
    known = math.prod(n for n in new if n != -1)
    if new.count(-1) == 1 and known and x.data.size % known == 0:
        new[new.index(-1)] = x.data.size // known
    if math.prod(new) != x.data.size or any(n < 0 for n in new):
        raise ShapeError(f"reshape: {x.data.size} elements of shape {x.shape} do not fill shape {tuple(new)}")
    return Reshape(tuple(new))(x)


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


def permute(input: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """The axes in the order `dims`."""
    x = tensor_arg("permute", "input", input)
    order = tuple(axis("permute", d, x.ndim) for d in sizes_of("permute", "dims", axes if dims is None else [dims]))
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


def broadcast_to(input: Tensor, *shape: Any, size: Any = None) -> Tensor:
    """Stretched to `shape` by repeating axes of size 1; -1 keeps an axis as it is (PyTorch's `expand`)."""
    x = tensor_arg("broadcast_to", "input", input)
    sizes = sizes_of("broadcast_to", "size", shape if size is None else [size])
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
    """The Tensors side by side along axis `dim`; the other axes must agree.

    Integers beside floats become floats; as in PyTorch, a Tensor of shape (0,) fits everywhere and adds nothing.
    """
    xs = _of_one_type("cat", tensors)
    full = [(i, x) for i, x in enumerate(xs) if x.shape != (0,)] or list(enumerate(xs))
    first, model = full[0]
    if model.ndim == 0:
        raise ShapeError(f"cat: tensors[{first}] has no axes to join along; use stack")
    place = axis("cat", dim, model.ndim)
    for i, x in full:
        if _without(x.shape, place) != _without(model.shape, place) or x.ndim != model.ndim:
            raise ShapeError(
                f"cat: tensors[{i}] has shape {x.shape}, which differs from {model.shape} outside axis {place}"
            )
    return Cat(place)(*(x for _, x in full))


def _of_one_type(caller: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The Tensors of a list, integers converted to the type of the floats beside them."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
        raise DTypeError(f"{caller}: tensors must be a list or tuple of Tensors, got {type(tensors).__name__}")
    xs = [tensor_arg(caller, f"tensors[{i}]", t) for i, t in enumerate(tensors)]
    if not xs:
        raise ArgumentError(f"{caller}: expected at least one Tensor in tensors, got none")
    wanted = [x.dtype for x in xs if is_float(x.dtype)] or [np.result_type(*(x.dtype for x in xs))]
    if autocast_type() is not None:  # of two float types the wider
        wanted.sort(key=lambda dtype: -dtype.itemsize)
        xs = [x.to(wanted[0]) for x in xs]
    xs = [x if is_float(x.dtype) or x.dtype == wanted[0] else x.to(wanted[0]) for x in xs]
    same_kind(caller, **{f"tensors[{i}]": x for i, x in enumerate(xs)})
    return xs


def _without(shape: Shape, place: int) -> Shape:
    return (*shape[:place], *shape[place + 1 :])


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The Tensors, all of one shape, along a new axis at `dim`."""
    xs = _of_one_type("stack", tensors)
    if len({x.shape for x in xs}) > 1:
        raise ShapeError(f"stack: the Tensors differ in shape: {sorted({x.shape for x in xs})}")
    place = axis("stack", dim, xs[0].ndim + 1)
    return Cat(place)(*(unsqueeze(x, place) for x in xs))


def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Pieces along axis `dim`: of one size (the last may be smaller), or of the listed sizes.

    `split_size` is the name that PyTorch's method has for `split_size_or_sections`.
    """
    x = tensor_arg("split", "tensor", tensor)
    if (split_size is None) == (split_size_or_sections is None):
        raise ArgumentError("split: give split_size_or_sections or split_size, one of them")
    split_size_or_sections = split_size if split_size_or_sections is None else split_size_or_sections
    place, n = _cut_axis("split", x, dim)
    if isinstance(split_size_or_sections, Sequence):
        sizes = sizes_of("split", "split_size_or_sections", [split_size_or_sections])
    else:
        (size,) = sizes_of("split", "split_size_or_sections", [split_size_or_sections])
        if size < 1 and (size < 0 or n):
            raise ArgumentError(f"split: the size of a piece must be at least 1, got {size}")
        sizes = [min(size, n - i) for i in range(0, n, size or 1)] or [0]
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sections {tuple(sizes)} do not add up to {n}, the size of axis {place}")
    ends = np.cumsum(sizes).tolist()
    before = (slice(None),) * place
    return tuple(GetItem((*before, slice(end - size, end)))(x) for size, end in zip(sizes, ends, strict=True))


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size along axis `dim`; the last may be smaller. Of an empty axis all of them."""
    x = tensor_arg("chunk", "input", input)
    (count,) = sizes_of("chunk", "chunks", [chunks])
    if count < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}")
    _, n = _cut_axis("chunk", x, dim)
    return split(x, -(-n // count) if n else [0] * count, dim)


def _cut_axis(caller: str, x: Tensor, dim: Any) -> tuple[int, int]:
    """The axis to cut, and its size."""
    if x.ndim == 0:
        raise ShapeError(f"{caller}: expected a Tensor with at least one axis, got shape ()")
    place = axis(caller, dim, x.ndim)
    return place, x.shape[place]


def flip(input: Tensor, *places: Any, dims: Any = None) -> Tensor:
    """In reverse order along the axes `dims`."""
    x = tensor_arg("flip", "input", input)
    return Flip(axes("flip", sizes_of("flip", "dims", places if dims is None else [dims]), x.ndim))(x)
