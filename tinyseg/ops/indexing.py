"""Picking elements by place: indices, masks, gather and its kin.

Each op has an adjoint that puts elements back, and is that op's backward: getitem and scatter, index_select and
index_add, gather and its adjoint. Places that are named several times are summed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from ..kernels import scatter as kernel
from .checks import axis, check_broadcast, integer, tensor_arg

Shape = tuple[int, ...]
FULL = slice(None)


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
        if not _is_basic(self.index):
            return kernel.add_at(x, self.index, self.shape)
        y = array_module(x).zeros(self.shape, x.dtype)
        y[self.index] = x
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
    """y = zeros with the slices of x added at `index` along an axis; adjoint: IndexSelect"""

    index: Array
    axis: int
    size: int

    def forward(self, x: Array) -> Array:
        before, behind = x.shape[: self.axis], x.shape[self.axis + 1 :]
        slices = x.reshape(math.prod(before), self.index.size, math.prod(behind))
        return kernel.add_slices(slices, self.index, self.size).reshape(*before, self.size, *behind)

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
        return kernel.add_at(x, places_along(self.index, self.axis), self.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return Gather(self.index, self.axis)(gy)


def places_along(index: Array, place: int) -> tuple[Array, ...]:
    """NumPy's index for `index` along one axis and every element along the others."""
    xp, axes = array_module(index), index.ndim
    steps = [xp.arange(n).reshape((1,) * i + (n,) + (1,) * (axes - 1 - i)) for i, n in enumerate(index.shape)]
    return (*steps[:place], index, *steps[place + 1 :])


def _cropped(x: Array, index: Array, axis: int) -> Array:
    return x[tuple(FULL if i == axis else slice(n) for i, n in enumerate(index.shape))]


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(p is None or p is Ellipsis or isinstance(p, int | slice) for p in parts)


# --- input[index] ----------------------------------------------------------------------------------------------------


def getitem(input: Tensor, index: Any) -> Tensor:
    """input[index]: integers, slices, None, `...`, Tensors or lists of integers, boolean masks.

    PyTorch's rule, which differs from NumPy's: integers, slices, None and `...` come first; then the index Tensors
    broadcast, and their axes stand where the first of them stood if they stand side by side, else in front.
    **Raises** BoundsError, ShapeError for masks and index Tensors that do not fit, DTypeError for other indices.
    """
    x = tensor_arg("getitem", "input", input)
    basic, picks = _parsed(x, [_part(p, x) for p in (index if isinstance(index, tuple) else (index,))])
    if all(p is FULL for p in picks):
        return GetItem(tuple(basic))(x)
    _check_picks([p for p in picks if p is not FULL])
    if any(b != FULL for b in basic):
        x = GetItem(tuple(basic))(x)
    return GetItem(tuple(picks))(x)


def _part(part: Any, x: Tensor) -> Any:
    """One part of an index: an int, a bool, a slice, None, Ellipsis, or an array of integers or booleans of ours."""
    if part is None or part is Ellipsis or isinstance(part, bool):
        return part
    if isinstance(part, slice):
        return _checked_slice(part)
    if isinstance(part, Tensor | list | np.ndarray | np.generic | range) or hasattr(part, "flags"):
        source = part.data if isinstance(part, Tensor) else part
        xp = array_module(x.data)
        # a copy: whatever becomes of the index array, backward sees this one
        part = xp.array(source) if np.size(source) or hasattr(source, "dtype") else xp.zeros(np.shape(source), np.int64)
        if part.dtype.kind not in "biu":
            raise DTypeError(f"getitem: an index must be integers, booleans or slices, got {part.dtype}")
        if part.dtype == np.uint8:
            part = part != 0  # as in PyTorch: masks were of this type before there were booleans
        return part if part.ndim else part.item()
    try:
        return operator.index(part)
    except TypeError:
        raise DTypeError(f"getitem: an index must be integers, booleans or slices, got {part!r}") from None


def _checked_slice(part: slice) -> slice:
    try:
        ends = [None if e is None else operator.index(e) for e in (part.start, part.stop, part.step)]
    except TypeError:
        raise DTypeError(f"getitem: the ends of a slice must be integers or None, got {part}") from None
    if ends[2] is not None and ends[2] < 1:
        raise ArgumentError(f"getitem: the step of a slice must be at least 1, got {ends[2]}; use flip to go backward")
    return slice(*ends)


def _parsed(x: Tensor, parts: list[Any]) -> tuple[list[Any], list[Any]]:
    """(basic, picks): the index in two steps, basic indexing of x and then arrays, one entry for each axis it left."""
    used = sum(_axes_used(p) for p in parts)
    if used > x.ndim:
        raise BoundsError(f"getitem: {used} indices are too many for a Tensor with {x.ndim} axes")
    rest = [FULL] * (x.ndim - used)
    seen = 0
    for part in parts if rest else ():  # the first ellipsis takes all axes that are left, as in PyTorch
        seen += part is Ellipsis
        if seen > 1 and part is not Ellipsis and not (isinstance(part, slice) and part == FULL):
            raise BoundsError(f"getitem: behind a second ellipsis ('...') no axis is left for the index {part}")
    basic: list[Any] = []
    picks: list[Any] = []
    place = 0
    for part in _expanded(parts, rest):
        if isinstance(part, bool):  # a new axis of one element, or of none
            basic.append(None)
            picks.append(array_module(x.data).zeros(int(part), np.int64))
        elif part is None or isinstance(part, slice):
            basic.append(part)
            picks.append(FULL)
        elif isinstance(part, int):
            _check_bounds("getitem", part, part, place, x.shape[place])
            basic.append(part)
        else:
            arrays = _masked(part, place, x) if part.dtype == np.bool_ else _bounded(part, place, x)
            basic.extend(FULL for _ in arrays)
            picks.extend(arrays)
        place += _axes_used(part)
    return basic, picks


def _axes_used(part: Any) -> int:
    if part is None or part is Ellipsis or isinstance(part, bool):
        return 0
    return part.ndim if hasattr(part, "ndim") and part.dtype == np.bool_ else 1


def _expanded(parts: list[Any], rest: list[slice]) -> Iterator[Any]:
    """The parts with the first ellipsis (or the end) replaced by as many full slices as axes are left."""
    left = rest
    for part in parts:
        if part is Ellipsis:
            yield from left
            left = []
        else:
            yield part
    if Ellipsis not in [p for p in parts if not hasattr(p, "ndim")]:
        yield from rest


def _masked(mask: Array, place: int, x: Tensor) -> list[Array]:
    if mask.shape != x.shape[place : place + mask.ndim]:
        raise ShapeError(f"getitem: a mask of shape {mask.shape} at axis {place} does not fit shape {x.shape}")
    return list(mask.nonzero())


def _bounded(index: Array, place: int, x: Tensor) -> list[Array]:
    if index.size:
        _check_bounds("getitem", int(index.min()), int(index.max()), place, x.shape[place])
    return [index]


def _check_bounds(caller: str, low: int, high: int, place: int, size: int) -> None:
    if low < -size or high >= size:
        wrong = high if high >= size else low
        raise BoundsError(f"{caller}: index {wrong} is out of bounds for axis {place} with {size} elements")


def _check_picks(picks: list[Array]) -> None:
    shape: Shape = ()
    for pick in picks:
        shape = check_broadcast("getitem: index", shape, pick.shape)


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice number `index` along axis `dim`, which goes."""
    x = tensor_arg("select", "input", input)
    place = axis("select", dim, x.ndim)
    if x.ndim == 0:
        raise BoundsError("select: a Tensor without axes has no slices along dim")
    number = integer("select", "index", index)
    _check_bounds("select", number, number, place, x.shape[place])
    return GetItem((*(FULL,) * place, number))(x)


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices from `start` along axis `dim`."""
    x = tensor_arg("narrow", "input", input)
    if x.ndim == 0:
        raise ShapeError("narrow: input has no axes, and nothing to narrow along dim")
    place = axis("narrow", dim, x.ndim)
    if isinstance(start, Tensor) and (start.ndim or start.dtype.kind not in "iu"):
        raise DTypeError(f"narrow: start must be one integer, got a Tensor of {start.dtype} and shape {start.shape}")
    first, count, n = integer("narrow", "start", start), integer("narrow", "length", length), x.shape[place]
    if count < 0:
        raise ArgumentError(f"narrow: length must not be negative, got {count}")
    if not -n <= first <= n:
        raise BoundsError(f"narrow: start {first} is out of bounds for axis {place} with {n} elements")
    first += n if first < 0 else 0
    if first + count > n:
        raise BoundsError(f"narrow: start {first} + length {count} exceeds axis {place} with {n} elements")
    return GetItem((*(FULL,) * place, slice(first, first + count)))(x)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along axis `dim`, one Tensor each."""
    x = tensor_arg("unbind", "input", input)
    if x.ndim == 0:
        raise BoundsError("unbind: a Tensor without axes has no slices along dim")
    place = axis("unbind", dim, x.ndim)
    return tuple(GetItem((*(FULL,) * place, i))(x) for i in range(x.shape[place]))


# --- by an index Tensor ----------------------------------------------------------------------------------------------


def index_select(input: Tensor, dim: int, index: Any) -> Tensor:
    """The slices at `index`, a 1-D Tensor of integers, along axis `dim`."""
    x = tensor_arg("index_select", "input", input)
    place = axis("index_select", dim, x.ndim)
    places = checked_index("index_select", x, place, index)
    if places.ndim > 1:
        raise ShapeError(f"index_select: index must have one axis, got shape {places.shape}")
    if x.ndim == 0:
        if places.size != 1:
            raise ShapeError(f"index_select: input has no axes, so index must hold one 0, got shape {places.shape}")
        return GetItem(())(x)
    return IndexSelect(places.reshape(-1), place)(x)


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j] = input[index[i, j], j] for dim 0, and so on: elements picked along axis `dim`."""
    x = tensor_arg("gather", "input", input)
    return _gathered("gather", x, axis("gather", dim, x.ndim), tensor_arg("gather", "index", index))


def _gathered(caller: str, x: Tensor, place: int, index: Tensor) -> Tensor:
    places = checked_index(caller, x, place, index)
    line, picks = line_of(x), places.reshape(1) if places.ndim == 0 else places
    if picks.size == 0:  # of any shape
        return line.reshape(-1)[:0].reshape(places.shape)
    check_fit(caller, "input", picks.shape, line.shape, place)
    y = Gather(picks, place)(line)
    return y if places.ndim else GetItem((0,))(y)


def line_of(x: Tensor) -> Tensor:
    """x, one element without axes as a line of one."""
    return GetItem((None,))(x) if x.ndim == 0 else x


def check_fit(caller: str, name: str, index: Shape, shape: Shape, place: int) -> None:
    """Check that an index of this shape stays inside a shape along all axes but `place`. **Raises** ShapeError."""
    if len(index) != len(shape) or any(m > n for i, (m, n) in enumerate(zip(index, shape, strict=True)) if i != place):
        raise ShapeError(f"{caller}: index {index} does not fit {name} {shape} along axis {place}")


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with the other axes broadcast; without `dim` from the flattened Tensor. Negative indices count back."""
    from .choice import where

    x, index = tensor_arg("take_along_dim", "input", input), tensor_arg("take_along_dim", "indices", indices)
    if dim is None:
        return _gathered("take_along_dim", x.reshape(-1), 0, index.reshape(-1))
    if index.ndim != x.ndim:
        raise ShapeError(f"take_along_dim: input {x.shape} and indices {index.shape} differ in their number of axes")
    place = axis("take_along_dim", dim, x.ndim)
    others = [tuple(1 if i == place else n for i, n in enumerate(t.shape)) for t in (x, index)]
    shape = check_broadcast("take_along_dim", *others)
    size = x.shape[place] if x.ndim else 1
    index = where(index < 0, index + size, index)
    wide = [t.broadcast_to(*shape[:place], t.shape[place], *shape[place + 1 :]) if t.ndim else t for t in (x, index)]
    return _gathered("take_along_dim", wide[0], place, wide[1])


def checked_index(caller: str, x: Tensor, place: int, index: Any) -> Array:
    """A copy of the integers in `index`, each a place along an axis of x."""
    places = array_module(x.data).array(index.data if isinstance(index, Tensor) else index)  # a copy, for backward
    if places.dtype.kind not in "iu" or (places.dtype == np.uint8 and places.size):
        raise DTypeError(f"{caller}: index must be integers of 32 or 64 bits, got {places.dtype}")
    n = x.shape[place] if x.ndim else 1
    if places.size and not (int(places.min()) >= 0 and int(places.max()) < n):
        raise BoundsError(f"{caller}: index runs from {places.min()} to {places.max()}, axis {place} has {n} elements")
    return places


# --- by a mask -------------------------------------------------------------------------------------------------------


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` holds, in order, on one axis; input and mask broadcast."""
    x, chosen = tensor_arg("masked_select", "input", input), tensor_arg("masked_select", "mask", mask)
    if chosen.dtype != np.bool_:
        raise DTypeError(f"masked_select: mask must be of type bool, got {chosen.dtype}")
    shape = check_broadcast("masked_select", x.shape, chosen.shape)
    return getitem(x.broadcast_to(shape), chosen.broadcast_to(shape))


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The places of the elements other than 0: (count, axes) integers, or one Tensor per axis with `as_tuple`."""
    x = tensor_arg("nonzero", "input", input)
    xp = array_module(x.data)
    if as_tuple:
        return tuple(Tensor(xp.ascontiguousarray(i)) for i in xp.atleast_1d(x.data).nonzero())
    if x.ndim == 0:
        return Tensor(xp.zeros((int(bool(x.data)), 0), np.int64))
    return Tensor(xp.ascontiguousarray(xp.stack(x.data.nonzero(), axis=1), dtype=np.int64))


def argwhere(input: Tensor) -> Tensor:
    """The places of the elements other than 0: (count, axes) integers."""
    return nonzero(input)
