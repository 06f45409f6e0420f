"""Pooling on a GPU: maxima by `max.cu`, sums at their places by `adjoint.cu`, at any places by `scatter.cu`; means are
products with sparse matrices, which `kernels/resize` computes: each row of one has the pixels of a window, with weight
1 / divisor.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from ..planes import THREADS, launches, narrow_tiles, tiling
from ..resize import Taps, taps_of
from ..resize.cuda import product
from ..tables import divisor, on_device, remembered
from . import PoolGeometry, output_size

__all__ = [
    "adaptive_avg_adjoint", "adaptive_avg_forward", "adaptive_max_forward", "avg_adjoint", "avg_forward", "gather",
    "max_forward", "put", "scatter",
]  # fmt: skip

Array = Any
Pair = tuple[int, int]
Windows = PoolGeometry | Pair  # of one size, or as many as share out the plane

PIECE, TILE_BYTES, WARPS = 256, 4096, 4  # of scatter.cu
APART = 8  # pixels between windows from which on threads share a window, to read side by side
MOST_HOLDERS = 32  # windows of a pixel up to which asking them all is less work than looking for the places


# --- maxima ----------------------------------------------------------------------------------------------------------


def max_forward(x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
    """See `kernels.pool.max_forward`."""
    return _max(x, *_tables(x.shape[-2:], geometry), geometry.dilation, geometry.kernel_size)


def adaptive_max_forward(x: Array, size: Pair) -> tuple[Array, Array]:
    """See `kernels.pool.adaptive_max_forward`."""
    return _max(x, *_tables(x.shape[-2:], size), (1, 1), None)


def _tables(size: Pair, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """(first, count) of the rows, and of the columns, of each window."""
    if not isinstance(windows, PoolGeometry):
        return _shares(size[0], windows[0]), _shares(size[1], windows[1])
    counts = output_size(size, windows)
    rows, columns = (_windows(size[i], counts[i], *(pair[i] for pair in windows[:4])) for i in (0, 1))
    return rows, columns


def _max(x: Array, rows: np.ndarray, columns: np.ndarray, step: Pair, window: Pair | None) -> tuple[Array, Array]:
    y = empty((*x.shape[:-2], len(rows), len(columns)), x)
    places = empty(y.shape, x, np.int64)
    if _whole_plane(x.shape[-2:], rows, columns):  # as one row: its threads read side by side
        rows, columns, window = _shares(1, 1), _shares(x.shape[-2] * x.shape[-1], 1), None
        x = x.reshape(*x.shape[:-2], 1, -1)
    for (xs, ys), (_, ps) in zip(launches(x, y), launches(x, places), strict=True):
        args = xs, ys, ps, on_device(rows, x), on_device(columns, x), step
        if window in ((2, 2), (3, 3)) and rows[:, 1].min() > 0 and columns[:, 1].min() > 0:
            tiles, grid, _ = tiling(xs, ys, narrow_tiles(len(columns)))
            kernel("pool/max.cu", "max_2x2" if window == (2, 2) else "max_3x3", x)(grid, (THREADS,), (*args, tiles))
        else:
            lanes, across = _lanes(rows, columns)
            sizes = ys.size, divisor(len(columns)), divisor(len(rows)), *xs.shape[1:], lanes, across
            kernel("pool/max.cu", "max_any", x)((-(-(ys.size << lanes) // THREADS),), (THREADS,), (*args, *sizes))
    return y, places


def _whole_plane(size: Pair, rows: np.ndarray, columns: np.ndarray) -> bool:
    return rows.tolist() == [[0, size[0]]] and columns.tolist() == [[0, size[1]]]


@remembered
def _lanes(rows: np.ndarray, columns: np.ndarray) -> tuple[int, int]:
    """log2 of the threads that share a window, and of those side by side: some eight pixels for each."""
    if len(columns) > 1 and np.diff(columns[:, 0]).mean() < APART:
        return 0, 0
    height, width = int(rows[:, 1].max()), int(columns[:, 1].max())
    lanes = min(5, (height * width // 8).bit_length())
    return lanes, min(lanes, max(width - 1, 0).bit_length())


@remembered
def _windows(size: int, windows: int, kernel_size: int, stride: int, padding: int, dilation: int) -> np.ndarray:
    """(first, count) for each window along an axis, without what lies in the padding."""
    start = np.arange(windows) * stride - padding
    skipped = np.maximum(-(start // dilation), 0)  # the ceiling of -start / dilation
    first = start + skipped * dilation
    count = np.minimum(kernel_size - skipped, (size - 1 - first) // dilation + 1)
    return np.stack([first, np.maximum(count, 0)], 1).astype(np.int32)


@remembered
def _shares(size: int, windows: int) -> np.ndarray:
    """(first, count) for each of the windows that share out an axis."""
    o = np.arange(windows)
    first, end = o * size // max(windows, 1), -(-(o + 1) * size // max(windows, 1))
    return np.stack([first, end - first], 1).astype(np.int32)


# --- places ----------------------------------------------------------------------------------------------------------


def gather(x: Array, indices: Array) -> Array:
    """See `kernels.pool.gather`."""
    y = empty(indices.shape, x)
    for (xs, ys), (_, places) in zip(launches(x, y), launches(x, indices), strict=True):
        args = xs, places, ys, ys.size, divisor(math.prod(y.shape[-2:])), math.prod(x.shape[-2:])
        kernel("pool/max.cu", "gather", x)((-(-ys.size // (4 * THREADS)),), (THREADS,), args)
    return y


def scatter(gy: Array, indices: Array, input_size: Pair, windows: Windows | None) -> Array:
    """See `kernels.pool.scatter`."""
    if windows is not None and gy.size:
        holders = _holders(tuple(input_size), windows)
        if math.prod(holders.most) <= MOST_HOLDERS:
            return _max_adjoint(gy, indices, input_size, holders, windows)
    return _scatter(gy, indices, input_size, False)


def put(x: Array, indices: Array, size: Pair) -> Array:
    """See `kernels.pool.put`."""
    return _scatter(x, indices, size, True)


class _Holders(NamedTuple):
    """Which windows hold a pixel: (first, count) of their rows for its row, likewise columns; and the most of them."""

    rows: np.ndarray
    columns: np.ndarray
    step: Pair  # between those of one pixel
    most: Pair


@remembered
def _holders(size: Pair, windows: Windows) -> _Holders:
    dilation = stride = 1, 1
    if isinstance(windows, PoolGeometry):
        dilation, stride = windows.dilation, windows.stride
    rows, columns = (_held_by(*along) for along in zip(size, _tables(size, windows), dilation, strict=True))
    # o·stride + i·dilation is the same pixel again dilation / gcd windows further on, and not before
    step = dilation[0] // math.gcd(dilation[0], stride[0]), dilation[1] // math.gcd(dilation[1], stride[1])
    return _Holders(rows, columns, step, (int(rows[:, 1].max()), int(columns[:, 1].max())))


def _held_by(size: int, windows: np.ndarray, dilation: int) -> np.ndarray:
    """(first, count) of the windows that hold each pixel along an axis."""
    place = np.arange(windows[:, 1].max())
    window, i = np.nonzero(place < windows[:, 1:])
    pixel = windows[window, 0] + i * dilation
    first = np.full(size, len(windows))
    np.minimum.at(first, pixel, window)
    return np.stack([first, np.bincount(pixel, minlength=size)], 1).astype(np.int32)


def _max_adjoint(gy: Array, indices: Array, input_size: Pair, holders: _Holders, windows: Windows) -> Array:
    gx = empty((*gy.shape[:-2], *input_size), gy)
    side_by_side = isinstance(windows, PoolGeometry) and windows[:4] == ((2, 2), (2, 2), (0, 0), (1, 1))
    name = "adjoint_apart" if max(holders.most) <= 1 else "adjoint_pairs" if max(holders.most) <= 2 else "adjoint_any"
    for (gys, gxs), (places, _) in zip(launches(gy, gx), launches(indices, gx), strict=True):
        if side_by_side and not any(n % 2 for n in input_size):
            args = gys, places, gxs, gys.size, divisor(gys.shape[2]), divisor(gys.shape[1])
            kernel("pool/adjoint.cu", "adjoint_2x2", gy)((-(-gys.size // THREADS),), (THREADS,), args)
        else:
            tiles, grid, _ = tiling(gys, gxs, narrow_tiles(input_size[1]))
            tables = on_device(holders.rows, gy), on_device(holders.columns, gy)
            kernel("pool/adjoint.cu", name, gy)(grid, (THREADS,), (gys, places, gxs, *tables, holders.step, tiles))
    return gx


def _scatter(gy: Array, indices: Array, input_size: Pair, last: bool) -> Array:
    gx = empty((*gy.shape[:-2], *input_size), gy)
    if gy.size == 0:
        return np.zeros_like(gx)
    tile = TILE_BYTES // (8 if gx.dtype == np.float64 else 4)
    for (gys, gxs), (places, _) in zip(launches(gy, gx), launches(indices, gx), strict=True):
        line = gys.size, gxs.size, divisor(math.prod(gy.shape[-2:])), math.prod(input_size)
        pieces = -(-gys.size // PIECE)
        extent = empty((pieces, 2), gy, np.int32)
        block = (32 * WARPS,)
        kernel("pool/scatter.cu", "extents", gy)((-(-pieces // WARPS),), block, (places, extent, line))
        grid = (-(-gxs.size // (tile * WARPS)),)
        kernel("pool/scatter.cu", "scatter", gy)(grid, block, (gys, places, extent, gxs, line, last))
    return gx


# --- means -----------------------------------------------------------------------------------------------------------


def avg_forward(x: Array, geometry: PoolGeometry, by_row: np.ndarray, by_column: np.ndarray) -> Array:
    """See `kernels.pool.avg_forward`; the divisor of window (oh, ow) is by_row[oh] · by_column[ow]."""
    down, across = _means(x.shape[-2:], geometry, by_row, by_column)
    return product(x, down.by_output, across.by_output)


def avg_adjoint(
    gy: Array, geometry: PoolGeometry, input_size: Pair, by_row: np.ndarray, by_column: np.ndarray
) -> Array:
    """See `kernels.pool.avg_adjoint`."""
    down, across = _means(input_size, geometry, by_row, by_column)
    return product(gy, down.by_input, across.by_input)


def adaptive_avg_forward(x: Array, size: Pair) -> Array:
    """See `kernels.pool.adaptive_avg_forward`."""
    down, across = (_shared_means(n, m) for n, m in zip(x.shape[-2:], size, strict=True))
    return product(x, down.by_output, across.by_output)


def adaptive_avg_adjoint(gy: Array, input_size: Pair) -> Array:
    """See `kernels.pool.adaptive_avg_adjoint`."""
    down, across = (_shared_means(n, m) for n, m in zip(input_size, gy.shape[-2:], strict=True))
    return product(gy, down.by_input, across.by_input)


def _means(size: Pair, geometry: PoolGeometry, by_row: np.ndarray, by_column: np.ndarray) -> list[Taps]:
    axes = zip(size, geometry.kernel_size, geometry.stride, geometry.padding, (by_row, by_column), strict=True)
    return [
        _mean_taps(n, _windows(n, len(divisors), kernel, stride, padding, 1), divisors)
        for n, kernel, stride, padding, divisors in axes
    ]


@remembered
def _shared_means(size: int, windows: int) -> Taps:
    shares = _shares(size, windows)
    return _mean_taps(size, shares, shares[:, 1])


@remembered
def _mean_taps(size: int, windows: np.ndarray, divisors: np.ndarray) -> Taps:
    """The matrix with 1 / divisor at each pixel of each window."""
    place = np.arange(windows[:, 1].max(initial=0))
    inside = place < windows[:, 1:]
    weight = np.divide(inside, divisors[:, None], out=np.zeros(inside.shape), where=inside)
    return taps_of(size, np.where(inside, windows[:, :1] + place, 0), weight)
