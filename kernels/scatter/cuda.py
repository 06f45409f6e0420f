"""Adding to places on a GPU: the places are sorted, and `scatter.cu` sums what belongs to each, in its order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import native
from ..launch import TYPES, empty, kernel, to_device_of

__all__ = ["add_at", "add_slices", "bincount", "multiply_at", "put_at"]

THREADS, PIECE, PACK = 256, 32, 16  # of scatter.cu, and the bytes of a pack
FULL = slice(None)
SOURCE = "scatter/scatter.cu"

Array = Any


def add_slices(x: Array, places: Array, size: int) -> Array:
    """See `kernels.scatter.add_slices`."""
    return _joined(x, places.astype(np.int64, copy=False), size, False)


def add_at(x: Array, index: tuple[Any, ...], shape: tuple[int, ...]) -> Array:
    """See `kernels.scatter.add_at`."""
    return _at(x, index, shape, False)


def multiply_at(x: Array, index: tuple[Any, ...], factors: Array) -> Array:
    """See `kernels.scatter.multiply_at`; the factors of a place are multiplied first."""
    return x * _at(factors, index, x.shape, True)


def put_at(x: Array, index: tuple[Any, ...], values: Array) -> Array:
    """See `kernels.scatter.put_at`."""
    y, values = _stored(x).copy(order="C"), _stored(values)
    if values.size:
        order, places = _sorted(_places([_on_device(part, x) for part in index], x.shape))
        args = native(values), order, places, y, np.int64(values.size)
        _kernel("put", y)((-(-values.size // THREADS),), (THREADS,), args)
    return _restored(y, x)


def bincount(numbers: Array, weights: Array, size: int) -> Array:
    """See `kernels.scatter.bincount`."""
    return add_slices(weights.reshape(1, -1, 1), numbers, size).reshape(-1)


def _at(x: Array, index: tuple[Any, ...], shape: tuple[int, ...], product: bool) -> Array:
    """Axes that arrays index, side by side, are one axis of places; axes before and behind are the slices' own."""
    parts = _expanded(index, len(shape))
    named = [axis for axis, part in enumerate(parts) if part is not FULL]
    first, count = named[0], len(named)
    others = [axis for axis in range(len(shape)) if axis not in named]
    if named != list(range(first, first + count)):
        first = 0  # NumPy puts the indexed axes in front where others stand between them
    arranged = (*others[:first], *named, *others[first:])
    sizes = tuple(shape[axis] for axis in arranged)
    outer, inner = math.prod(sizes[:first]), math.prod(sizes[first + count :])
    places = _places([_on_device(parts[axis], x) for axis in named], sizes[first : first + count])
    y = _joined(x.reshape(outer, places.size, inner), places, math.prod(sizes[first : first + count]), product)
    return y.reshape(sizes).transpose([arranged.index(axis) for axis in range(len(shape))])


def _expanded(index: tuple[Any, ...], axes: int) -> list[Any]:
    """A part for every axis: an array, or FULL."""
    at = next((i for i, part in enumerate(index) if part is Ellipsis), len(index))
    before, behind = index[:at], index[at + 1 :]
    parts = [*before, *[FULL] * (axes - len(before) - len(behind)), *behind]
    return [FULL if isinstance(part, slice) else part for part in parts]


def _on_device(places: Array, like: Array) -> Array:
    return to_device_of(places, like) if type(places) is np.ndarray else places


def _places(indices: Sequence[Array], sizes: Sequence[int]) -> Array:
    """The numbers of places in axes of these sizes, read as one axis."""
    place: Any = 0
    for index, size in zip(indices, sizes, strict=True):
        place = place * size + np.where(index < 0, index + size, index)
    return place.astype(np.int64, copy=False).reshape(-1)


def _joined(x: Array, places: Array, size: int, product: bool) -> Array:
    """Sums, or products, of the slices of x (outer, n, inner) by their place among `size`; 0, or 1, of no slice."""
    stored, (outer, n, inner) = _stored(x), x.shape
    y, columns, pieces = empty((outer, size, inner), stored), outer * inner, -(-n // PIECE)
    y.fill(1 if product else 0)
    if x.size:
        order, ordered = _sorted(places)
        wide = np.float32 if x.dtype.name in ("float16", "bfloat16") else stored.dtype
        heads, tails = (empty((pieces, columns), x, wide) for _ in range(2))  # what is summed so far of runs
        packed = inner * stored.itemsize % PACK == 0
        work = pieces * columns // (PACK // stored.itemsize if packed else 1)
        slices = tuple(map(np.int64, (n, size, inner, columns)))
        given = stored, order, ordered, y, heads, tails, slices, product, packed
        _kernel("pieces", stored)((-(-work // THREADS),), (THREADS,), given)
        if pieces > 1:
            given_joins = ordered, heads, tails, y, slices, product
            _kernel("joins", stored)((-(-pieces * columns // THREADS),), (THREADS,), given_joins)
    return _restored(y, x)


def _sorted(places: Array) -> tuple[Array, Array]:
    """The order in which places ascend, equal ones as they stood, and the places in this order."""
    order = np.argsort(places, kind="stable")
    return order, places[order]


def _kernel(name: str, stored: Array) -> Any:
    return kernel(SOURCE, name, stored, **({} if stored.dtype.name in TYPES else {"TYPE": "Integer"}))


def _stored(x: Array) -> Array:
    """x as the kernels take it: integers and booleans in 64 bits."""
    return x if x.dtype.name in TYPES else x.astype(np.int64).view(np.uint64)


def _restored(y: Array, like: Array) -> Array:
    return y if y.dtype == like.dtype else y.view(np.int64).astype(like.dtype)
