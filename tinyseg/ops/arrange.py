"""Rearrangements composed of the ops in `shape.py` and `indexing.py`: rolling, repeating, diagonals, grids."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import array_module, to_cpu, to_device
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .checks import as_tensor, axes, axis, check_broadcast, element_type, integer, tensor_arg
from .choice import Where
from .halves import in_float32
from .indexing import GetItem, IndexSelect, Scatter
from .shape import Shape, broadcast_to, cat, permute, reshape, sizes_of, stack, transpose


class Roll(Op):
    """y = x shifted along axes, what leaves at one end entering at the other; adjoint: the shift back"""

    shifts: Shape
    axes: Shape

    def forward(self, x: Array) -> Array:
        return array_module(x).roll(x, self.shifts, self.axes)

    def backward(self, gy: Tensor) -> Tensor:
        return Roll(tuple(-s for s in self.shifts), self.axes)(gy)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted by `shifts` places along `dims`, what leaves the end entering at the start; in a line without `dims`."""
    x = tensor_arg("roll", "input", input)
    steps = tuple(sizes_of("roll", "shifts", [shifts]))
    if dims is None or (isinstance(dims, Sequence) and not dims):
        if len(steps) != 1:
            raise ArgumentError(f"roll: shifts names {len(steps)} shifts, but dims no axes: {shifts!r}")
        return reshape(Roll(steps, (0,))(reshape(x, -1)), x.shape)
    places = sizes_of("roll", "dims", [dims])
    if len(steps) != len(places):
        raise ArgumentError(f"roll: shifts {shifts!r} and dims {dims!r} differ in number")
    if x.ndim == 0:
        raise BoundsError(f"roll: dims names axes {dims!r} of a Tensor without axes")
    return Roll(steps, tuple(axis("roll", d, x.ndim, "dims") for d in places))(x)


def fliplr(input: Tensor) -> Tensor:
    """In reverse order along axis 1: left and right of a matrix exchanged."""
    return tensor_arg("fliplr", "input", _at_least("fliplr", input, 2)).flip(1)


def flipud(input: Tensor) -> Tensor:
    """In reverse order along axis 0: top and bottom of a matrix exchanged."""
    return tensor_arg("flipud", "input", _at_least("flipud", input, 1)).flip(0)


def _at_least(caller: str, x: Any, ndim: int) -> Tensor:
    if tensor_arg(caller, "input", x).ndim < ndim:
        raise ShapeError(f"{caller}: input needs at least {ndim} axes, got shape {x.shape}")
    return x


# --- axes ------------------------------------------------------------------------------------------------------------


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """The axes `source` at the places `destination`, the others in their order."""
    x = tensor_arg("movedim", "input", input)
    listed = [sizes_of("movedim", name, [d]) for name, d in (("source", source), ("destination", destination))]
    if len(listed[0]) != len(listed[1]):
        raise ArgumentError(f"movedim: source {source!r} and destination {destination!r} differ in number")
    for name, dims in zip(("source", "destination"), listed, strict=True):
        axes("movedim", dims, x.ndim, name)  # in range, and each once
    pairs = sorted((axis("movedim", d, x.ndim), axis("movedim", s, x.ndim)) for s, d in zip(*listed, strict=True))
    order = [i for i in range(x.ndim) if i not in {s for _, s in pairs}]
    for place, origin in pairs:
        order.insert(place, origin)
    return permute(x, order) if x.ndim else x.clone()


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Two axes exchanged: NumPy's name for `transpose`."""
    return transpose(input, axis0, axis1)


def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Another name of `transpose`."""
    return transpose(input, dim0, dim1)


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Axis `dim` as several axes of `sizes`, one of which may be -1 and is worked out."""
    x = tensor_arg("unflatten", "input", input)
    place = axis("unflatten", dim, x.ndim)
    if x.ndim == 0:
        raise ShapeError("unflatten: input has no axes, and nothing to unflatten along dim")
    new, n = sizes_of("unflatten", "sizes", [sizes]), x.shape[place]
    known = math.prod(s for s in new if s != -1)
    if new.count(-1) == 1 and known:
        new[new.index(-1)] = n // known
    if not new or math.prod(new) != n or min(new) < 0:
        raise ShapeError(f"unflatten: sizes {tuple(sizes)} do not multiply to {n}, the size of axis {place}")
    return reshape(x, (*x.shape[:place], *new, *x.shape[place + 1 :]))


def ravel(input: Tensor) -> Tensor:
    """All elements on one axis."""
    return reshape(tensor_arg("ravel", "input", input), -1)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and numbers stay as they are."""
    x = tensor_arg("t", "input", input)
    if x.ndim > 2:
        raise ShapeError(f"t: input has at most 2 axes, got shape {x.shape}; use transpose or .mT")
    return permute(x, tuple(reversed(range(x.ndim))))


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned by `k` right angles in the plane of two axes, from the first towards the second."""
    x = tensor_arg("rot90", "input", input)
    plane = sizes_of("rot90", "dims", [dims])
    if len(plane) != 2 or x.ndim < 2:
        raise ArgumentError(f"rot90: dims must name two axes of an input that has them, got {dims!r} of {x.shape}")
    i, j = (axis("rot90", d, x.ndim, "dims") for d in plane)
    if i == j:
        raise ArgumentError(f"rot90: dims must name two axes, got {dims!r} of shape {x.shape}")
    turn = operator.index(k) % 4
    if turn % 2 == 0:
        return x.flip(i, j) if turn else x.clone()
    return transpose(x.flip(j), i, j) if turn == 1 else transpose(x, i, j).flip(j)


def windows(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """`t.unfold(dimension, size, step)`: the windows along an axis, their elements on a new last axis; a copy."""
    x = tensor_arg("unfold", "input", input)
    place = axis("unfold", dimension, x.ndim, "dimension")
    line = x if x.ndim else reshape(x, 1)
    (length, stride), n = sizes_of("unfold", "size and step", [size, step]), line.shape[place]
    if not 0 <= length <= n:
        raise ArgumentError(f"unfold: size must be between 0 and {n}, the size of axis {place}, got {length}")
    if stride < 1:
        raise ArgumentError(f"unfold: step must be at least 1, got {stride}")
    xp = array_module(x.data)
    starts = xp.arange(0, n - length + 1, stride)
    picked = IndexSelect((starts[:, None] + xp.arange(length)).reshape(-1), place)(line)
    apart = reshape(picked, (*line.shape[:place], starts.size, length, *line.shape[place + 1 :]))
    return movedim(apart, place + 1, -1) if x.ndim else reshape(apart, -1)


@in_float32
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Each element along axis `dim` less the one before, `n` times; `prepend` and `append` are joined on first."""
    x = tensor_arg("diff", "input", input)
    if x.ndim == 0:
        raise ShapeError("diff: input has no axes, and no neighbours along dim")
    place = axis("diff", dim, x.ndim)
    if not isinstance(n, int) or n < 0:
        raise ArgumentError(f"diff: n must be an integer, at least 0, got {n!r}")
    ends = {name: t for name, t in (("prepend", prepend), ("append", append)) if t is not None}
    for name, t in ends.items():
        expected = (*x.shape[:place], *tensor_arg("diff", name, t).shape[place : place + 1], *x.shape[place + 1 :])
        if t.shape != expected or t.ndim != x.ndim:
            raise ShapeError(f"diff: {name} {t.shape} differs from input {x.shape} outside axis {place}")
    if n == 0:  # as PyTorch: without what would be joined on
        return x.clone()
    x = cat([t for t in (prepend, x, append) if t is not None], place) if ends else x
    before = (slice(None),) * place
    for _ in range(min(n, x.shape[place])):
        later, earlier = GetItem((*before, slice(1, None)))(x), GetItem((*before, slice(None, -1)))(x)
        x = later ^ earlier if x.dtype == np.bool_ else later - earlier
    return x


# --- repeating -------------------------------------------------------------------------------------------------------


def repeat(input: Tensor, *sizes: Any, repeats: Any = None) -> Tensor:
    """The whole Tensor `sizes[i]` times along axis i, new axes first."""
    x = tensor_arg("repeat", "input", input)
    times = sizes_of("repeat", "repeats", sizes if repeats is None else [repeats])
    if len(times) < x.ndim:
        raise ShapeError(f"repeat: repeats {tuple(times)} are fewer than the {x.ndim} axes of shape {x.shape}")
    return _tiled("repeat", x, times)


def tile(input: Tensor, *sizes: Any, dims: Any = None) -> Tensor:
    """The whole Tensor `dims[i]` times along axis i; as NumPy's tile, fewer numbers than axes count from the last."""
    x = tensor_arg("tile", "input", input)
    times = sizes_of("tile", "dims", sizes if dims is None else [dims])
    return _tiled("tile", x, [1] * (x.ndim - len(times)) + times)


def _tiled(caller: str, x: Tensor, times: list[int]) -> Tensor:
    if min(times, default=0) < 0:
        raise ArgumentError(f"{caller}: the numbers of repeats must not be negative, got {tuple(times)}")
    shape = (1,) * (len(times) - x.ndim) + x.shape
    pairs = list(zip(times, shape, strict=True))
    apart = reshape(x, [m for n in shape for m in (1, n)])  # (1, n0, 1, n1, ...)
    return reshape(broadcast_to(apart, [m for pair in pairs for m in pair]), [k * n for k, n in pairs])


def repeat_interleave(input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None) -> Tensor:
    """Each slice along axis `dim` `repeats` times, one number for all or one each; without dim as one line.

    `repeat_interleave(repeats)` alone gives the numbers of the slices. `output_size` is checked if it is given.
    """
    x = tensor_arg("repeat_interleave", "input", input)
    if repeats is None:
        repeats, x = x, Tensor(array_module(x.data).arange(x.data.size))
    x = ravel(x) if dim is None else x
    place = axis("repeat_interleave", 0 if dim is None else dim, x.ndim)
    x = ravel(x) if x.ndim == 0 else x
    counts = np.atleast_1d(to_cpu(repeats.data) if isinstance(repeats, Tensor) else np.asarray(repeats))
    if counts.dtype.kind not in "iu":
        raise DTypeError(f"repeat_interleave: repeats must be integers, got {counts.dtype}")
    if counts.ndim > 1 or counts.size not in (1, x.shape[place]):
        raise ShapeError(
            f"repeat_interleave: repeats must be one number or {x.shape[place]}, the size of axis {place}, "
            f"got shape {counts.shape}"
        )
    if counts.min(initial=0) < 0:
        raise ArgumentError(f"repeat_interleave: repeats must not be negative, got {counts.min()}")
    index = np.repeat(np.arange(x.shape[place]), counts)
    if output_size is not None and output_size != index.size:
        raise ArgumentError(f"repeat_interleave: output_size is {output_size}, but repeats add up to {index.size}")
    return IndexSelect(array_module(x.data).asarray(index), place)(x)


# --- matrices --------------------------------------------------------------------------------------------------------


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes, up to the `diagonal`-th above the main one; zeros elsewhere."""
    return _triangle("tril", input, diagonal, upper=False)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes, from the `diagonal`-th above the main one; zeros elsewhere."""
    return _triangle("triu", input, diagonal, upper=True)


def _triangle(caller: str, input: Tensor, diagonal: int, upper: bool) -> Tensor:
    x, diagonal = _at_least(caller, input, 2), integer(caller, "diagonal", diagonal)
    xp = array_module(x.data)
    across = xp.arange(x.shape[-1]) - xp.arange(x.shape[-2])[:, None]
    return Where(across >= diagonal if upper else across <= diagonal)(x, as_tensor(0, x, x.dtype))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements [i, i + offset] of the axes `dim1` and `dim2`, on a new last axis."""
    x = tensor_arg("diagonal", "input", input)
    i, j = (axis("diagonal", d, x.ndim, name) for name, d in (("dim1", dim1), ("dim2", dim2)))
    if i == j:
        raise ArgumentError(f"diagonal: dim1 and dim2 must be two axes, got {dim1} and {dim2} of shape {x.shape}")
    rows, columns = _diagonal_places(x, x.shape[i], x.shape[j], offset)
    last = permute(x, [k for k in range(x.ndim) if k not in (i, j)] + [i, j])
    return GetItem((..., rows, columns))(last)


_diagonal = diagonal  # `diag` has an argument of this name


def _diagonal_places(x: Tensor, height: int, width: int, offset: int) -> tuple[Array, Array]:
    top, left = max(-offset, 0), max(offset, 0)
    steps = array_module(x.data).arange(max(min(height - top, width - left), 0))
    return top + steps, left + steps


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    x = tensor_arg("diag", "input", input)
    if x.ndim not in (1, 2):
        raise ShapeError(f"diag: input must be a vector or a matrix, got shape {x.shape}")
    if x.ndim == 2:
        return _diagonal(x, diagonal)
    n = x.shape[0] + abs(diagonal)
    return Scatter(_diagonal_places(x, n, n, diagonal), (n, n))(x)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices in the axes `dim1` and `dim2` with the last axis of input on their `offset`-th diagonal, else zeros."""
    x = tensor_arg("diag_embed", "input", input)
    i, j = (axis("diag_embed", d, x.ndim + 1, name) for name, d in (("dim1", dim1), ("dim2", dim2)))
    if i == j or x.ndim == 0:
        raise ArgumentError(f"diag_embed: dim1 and dim2 must be two axes beside those of {x.shape}, got {dim1}, {dim2}")
    n = x.shape[-1] + abs(offset)
    rows, columns = _diagonal_places(x, n, n, offset)
    return movedim(Scatter((..., rows, columns), (*x.shape[:-1], n, n))(x), (-2, -1), (i, j))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: str | None = None) -> Tensor:
    """The places of the lower triangle of a (row, col) matrix, row by row: (2, count) integers."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device, np.tril)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = np.int64, device: str | None = None) -> Tensor:
    """The places of the upper triangle of a (row, col) matrix, row by row: (2, count) integers."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device, np.triu)


def _triangle_indices(caller: str, row: Any, col: Any, offset: Any, dtype: Any, device: str | None, cut: Any) -> Tensor:
    height, width, place = sizes_of(caller, "row, col and offset", [row, col, offset])
    if min(height, width) < 0:
        raise ArgumentError(f"{caller}: row and col must not be negative, got {height} and {width}")
    kind = element_type(caller, dtype)
    if kind.kind != "i":
        raise DTypeError(f"{caller}: dtype must be an integer type, got {kind}")
    places = np.stack(cut(np.ones((height, width), bool), place).nonzero())
    return Tensor(to_device(places.astype(kind), device))


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    x = tensor_arg("trace", "input", input)
    if x.ndim != 2:
        raise ShapeError(f"trace: input must be a matrix, got shape {x.shape}")
    return diagonal(x).sum()


# --- several Tensors -------------------------------------------------------------------------------------------------


def _several(caller: str, tensors: tuple[Any, ...]) -> list[Tensor]:
    """The Tensors of a call f(a, b, ...) or f([a, b, ...])."""
    listed = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors
    return [tensor_arg(caller, f"tensors[{i}]", x) for i, x in enumerate(listed)]


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The Tensors stretched to the shape that they broadcast to."""
    xs = _several("broadcast_tensors", tensors)
    shape: Shape = ()
    for x in xs:
        shape = check_broadcast("broadcast_tensors", shape, x.shape)
    return tuple(broadcast_to(x, shape) for x in xs)


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """For each of n vectors a Tensor with n axes that varies along its own; `indexing` 'ij' (None) or 'xy'.

    With 'xy' the first two axes are exchanged, so that the first vector runs along the columns.
    """
    xs = _several("meshgrid", tensors)
    if indexing not in (None, "ij", "xy"):
        raise ArgumentError(f"meshgrid: indexing must be 'ij' or 'xy', got {indexing!r}")
    if not xs:
        raise ArgumentError("meshgrid: expected at least one Tensor in tensors, got none")
    for i, x in enumerate(xs):
        if x.ndim > 1:
            raise ShapeError(f"meshgrid: tensors[{i}] must be a vector, got shape {x.shape}")
        if x.dtype != xs[0].dtype:
            raise DTypeError(f"meshgrid: tensors[0] is {xs[0].dtype} but tensors[{i}] is {x.dtype}")
    places = list(range(len(xs)))
    if indexing == "xy" and len(xs) > 1:
        places[:2] = 1, 0
    shape = [0] * len(xs)
    for place, x in zip(places, xs, strict=True):
        shape[place] = x.data.size
    lines = (
        reshape(x, [n if k == place else 1 for k, n in enumerate(shape)]) for place, x in zip(places, xs, strict=True)
    )
    return tuple(broadcast_to(line, shape) for line in lines)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 1; vectors along their only one."""
    xs = [ravel(x) if x.ndim == 0 else x for x in _several("hstack", (tensors,))]
    if not xs:
        raise ArgumentError("hstack: expected at least one Tensor in tensors, got none")
    return cat(xs, 0 if xs[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 0; vectors as the rows of a matrix."""
    return cat([reshape(x, (1,) * (2 - x.ndim) + x.shape) for x in _several("vstack", (tensors,))])


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 2; a vector as (1, N, 1), a matrix as (M, N, 1)."""
    shapes = {0: (1, 1, 1), 1: (1, -1, 1)}
    xs = _several("dstack", (tensors,))
    return cat([reshape(x, shapes.get(x.ndim, (*x.shape, 1))) if x.ndim < 3 else x for x in xs], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along axis 1; vectors as columns."""
    return cat([reshape(x, -1, 1) if x.ndim < 2 else x for x in _several("column_stack", (tensors,))], 1)


def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of one element from each vector, one in a row, the last vector running fastest."""
    xs = _several("cartesian_prod", tensors)
    for i, x in enumerate(xs):
        if x.ndim != 1:
            raise ShapeError(f"cartesian_prod: tensors[{i}] must be a vector, got shape {x.shape}")
    return xs[0].clone() if len(xs) == 1 else stack([ravel(x) for x in meshgrid(*xs, indexing="ij")], 1)


def broadcast_shapes(*shapes: Any) -> Shape:
    """The shape that all broadcast to; a shape is a tuple of sizes or, with one axis, a number."""
    found: Shape = ()
    for given in shapes:
        sizes = tuple(sizes_of("broadcast_shapes", "shapes", [given]))
        if min(sizes, default=0) < 0:
            raise ShapeError(f"broadcast_shapes: sizes must not be negative, got {given!r}")
        found = check_broadcast("broadcast_shapes", found, sizes)
    return found


def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces along axis `dim`: that many, the first ones larger by 1 if need be, or cut at the listed places."""
    x = tensor_arg("tensor_split", "input", input)
    if x.ndim == 0:
        raise ShapeError("tensor_split: input has no axes, and nothing to split along dim")
    place = axis("tensor_split", dim, x.ndim)
    n = x.shape[place]
    if isinstance(indices_or_sections, Tensor):
        indices_or_sections = to_cpu(indices_or_sections.data).tolist()
    if isinstance(indices_or_sections, Sequence):
        ends = [min(max(operator.index(e) + (n if e < 0 else 0), 0), n) for e in indices_or_sections]
    else:
        (count,) = sizes_of("tensor_split", "indices_or_sections", [indices_or_sections])
        if count < 1:
            raise ArgumentError(f"tensor_split: the number of sections must be at least 1, got {count}")
        ends = np.cumsum([n // count + (i < n % count) for i in range(count)]).tolist()[:-1]
    before = (slice(None),) * place
    return tuple(GetItem((*before, slice(i, max(i, j))))(x) for i, j in zip([0, *ends], [*ends, n], strict=True))
