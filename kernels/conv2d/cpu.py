"""Convolution in numba: input windows gathered into columns, a cache-sized block at a time, and multiplied by BLAS.

All three kernels walk the output row by row, the rows of the whole batch numbered through (row = n·OH + i), so that a
block is one matrix product whether it holds eight rows of a large image or several small images:

    forward       y[:, block]  = w · columns(x)[:, block]                 (O, K) · (K, P),  K = C/G·KH·KW
    grad_weight   gw          += gy[:, block] · columns(x)[:, block]ᵀ     (O, P) · (P, K)
    grad_input    forward's kernel again, over gy (see there)

Neither the padded input nor the whole column matrix (KH·KW inputs large) ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np

from ..backend import narrow, native
from ..blas import gemm, gemm_in_pieces, pieces
from ..jit import parallel, prange, serial
from . import ConvGeometry, Pair, cpu_depthwise, cpu_pointwise, output_size
from .rows import copy_row, inside

__all__ = ["forward", "grad_input", "grad_weight"]

FORWARD_COLUMNS = 256  # P: enough for BLAS to run at speed, few enough for the columns to stay in the cache
WEIGHT_COLUMNS = 512  # more, because every block also reads and writes its (O, K) sum


# ---------------------------------------------------------------- geometry, in Python


def _rows_per_block(columns: int, rows: int, row_length: int) -> int:
    """How many output rows make a block: a function of shape and thread count only, so that bits repeat."""
    share = -(-rows // numba.get_num_threads())
    return max(1, min(columns // max(1, row_length), share))


def _offsets(kernel_size: Pair, geometry: ConvGeometry) -> list[np.ndarray]:
    """Per axis, where each tap looks: output i reads input i·stride + offset[p], p·dilation − padding."""
    return [
        np.arange(size, dtype=np.int64) * dilation - before
        for size, dilation, (before, _) in zip(kernel_size, geometry.dilation, geometry.padding, strict=True)
    ]


class Lattice(NamedTuple):
    """The pixels of y that one correlation writes: origin + every·(i, j) for (i, j) below size."""

    size: Pair
    origin: Pair = (0, 0)
    every: Pair = (1, 1)


def _by_group(w: np.ndarray, groups: int) -> np.ndarray:
    """(O, C/G, KH, KW) as one matrix per group: (G, O/G, K)."""
    return w.reshape(groups, w.shape[0] // groups, w.shape[1] * w.shape[2] * w.shape[3])


def _images_by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """(N, C, H, W) as one matrix per sample and group: (N, G, C/G, H·W)."""
    n, channels, height, width = x.shape
    return x.reshape(n, groups, channels // groups, height * width)


def _is_pointwise(kernel_size: Pair, geometry: ConvGeometry) -> bool:
    return kernel_size == (1, 1) and geometry.stride == (1, 1) and geometry.padding == ((0, 0), (0, 0))


def _pixels_per_block(images: int, size: int) -> int:
    """Whole images, unless there are fewer of them than threads to share."""
    return max(1, size if images >= numba.get_num_threads() else -(-size // numba.get_num_threads()))


def _mix_channels(x: np.ndarray, w: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The 1x1 convolution of x (N, C, H, W) with w (G, O/G, C/G), a view in any order."""
    groups, outputs, _ = w.shape
    n, _, height, width = x.shape
    y = np.empty((n, groups * outputs, height, width), x.dtype)
    pixels = _pixels_per_block(n * groups, height * width)
    images, target = _images_by_group(x, groups), _images_by_group(y, groups)
    cpu_pointwise.correlate(images, w, bias.reshape(groups, outputs), target, pixels, numba.get_num_threads())
    return y


def _scan(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, offsets: list[np.ndarray], step: Pair, y: np.ndarray, out: Lattice
) -> None:
    """Correlate with w (G, O/G, K) onto a lattice of y: direct sums where BLAS would have a single row to work on."""
    threads = numba.get_num_threads()
    down, right = offsets
    if w.shape[1] == 1 and w.shape[2] == len(down) * len(right):
        cpu_depthwise.correlate(x, w, bias, down, right, step, y, out.origin, out.every, out.size, threads)
    else:
        block = _rows_per_block(FORWARD_COLUMNS, x.shape[0] * out.size[0], out.size[1])
        piece = pieces(w.shape[1], block * out.size[1])
        _correlate(x, w, bias, down, right, step, y, out.origin, out.every, out.size, block, piece, threads)


def forward(x: np.ndarray, w: np.ndarray, geometry: ConvGeometry, bias: np.ndarray | None = None) -> np.ndarray:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    x_, w_ = native(x), native(w)
    b = np.zeros(w.shape[0], x_.dtype) if bias is None else native(bias)
    by_group = _by_group(w_, geometry.groups)
    if _is_pointwise(w.shape[2:], geometry):
        return narrow(_mix_channels(x_, by_group, b), x)
    y = np.empty((x.shape[0], w.shape[0], *size), x_.dtype)
    _scan(x_, by_group, b, _offsets(w.shape[2:], geometry), geometry.stride, y, Lattice(size))
    return narrow(y, x)


def grad_input(gy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, input_size: Pair) -> np.ndarray:
    """See the family's docstring.

    Input row h hears from output row i through tap p where i·stride = h + top − p·dilation: only the taps
    with p·dilation ≡ h + top (mod stride) reach it. The rows of one residue class share their taps, and over
    them gx is a stride-1 correlation of gy with those taps. So the adjoint is stride·stride interleaved
    correlations ("phases"), each pixel of gx written once: a gather, however the windows overlap, and without
    wasted arithmetic.
    """
    gy_, w_ = native(gy), native(w)
    bias = np.zeros(w.shape[1] * geometry.groups, gy_.dtype)
    if _is_pointwise(w.shape[2:], geometry):
        return narrow(_mix_channels(gy_, _by_group(w_, geometry.groups).swapaxes(1, 2), bias), gy)
    gx = np.zeros((gy.shape[0], len(bias), *input_size), gy_.dtype)
    for top, rows, taps_h, down in _phases(0, input_size[0], w.shape[2], geometry):
        for left, columns, taps_w, right in _phases(1, input_size[1], w.shape[3], geometry):
            part = _swap_channels(w_, geometry.groups, taps_h, taps_w)
            out = Lattice((rows, columns), (top, left), geometry.stride)
            _scan(gy_, part, bias, [down, right], (1, 1), gx, out)
    return narrow(gx, gy)


def _phases(
    axis: int, size: int, taps: int, geometry: ConvGeometry
) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Per residue class of input rows: first row, number of rows, the taps that reach them, their offsets in gy."""
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    before = geometry.padding[axis][0]
    reach = np.arange(taps, dtype=np.int64) * dilation
    for first in range(min(stride, size)):
        mine = np.flatnonzero((reach - first - before) % stride == 0)
        if len(mine):
            yield first, -(-(size - first) // stride), mine, (first + before - reach[mine]) // stride


def grad_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See the family's docstring."""
    threads = numba.get_num_threads()
    x_, gy_ = native(x), native(gy)
    down, right = _offsets(kernel_size, geometry)
    if _is_pointwise(kernel_size, geometry):
        a = _images_by_group(x_, geometry.groups)
        pixels = _pixels_per_block(a.shape[0] * a.shape[1], a.shape[3])
        partial = cpu_pointwise.correlate_weight(a, _images_by_group(gy_, geometry.groups), pixels, threads)
    elif x.shape[1] == geometry.groups:
        partial = cpu_depthwise.correlate_weight(x_, gy_, down, right, geometry.stride, threads)
    else:
        block = _rows_per_block(WEIGHT_COLUMNS, gy.shape[0] * gy.shape[2], gy.shape[3])
        partial = _correlate_weight(x_, gy_, down, right, geometry.stride, geometry.groups, block, threads)
    gw = partial.sum(axis=0)  # in the order of the threads; here, because numba takes 4 s to compile this line
    return narrow(gw.reshape(gy.shape[1], x.shape[1] // geometry.groups, *kernel_size), x)


# ---------------------------------------------------------------- the kernels


@parallel
def _swap_channels(w, groups, taps_h, taps_w):
    """(O, C/G, KH, KW) -> (G, C/G, (O/G, chosen taps)): input and output channels trade places in each group.

    A kernel, because NumPy's transposed copy of a 1024x1024x3x3 weight takes 90 ms, longer than the convolution.
    """
    outputs, channels = w.shape[0] // groups, w.shape[1]
    swapped = np.empty((groups * channels, outputs, len(taps_h), len(taps_w)), w.dtype)
    for row in prange(groups * channels):
        g, c = row // channels, row % channels
        for o in range(outputs):
            for p in range(len(taps_h)):
                for q in range(len(taps_w)):
                    swapped[row, o, p, q] = w[g * outputs + o, c, taps_h[p], taps_w[q]]
    return swapped.reshape(groups, channels, outputs * len(taps_h) * len(taps_w))


@serial
def _gather(x, channel, down, right, step, size, first, last, columns):
    """columns[(c, p, q), (row, j)] = x[n, channel + c, i·step + down[p], j·step + right[q]], padding as zeros.

    Rows first ≤ row < last, where row = n·OH + i.
    """
    height, width = x.shape[2:]
    for k in range(len(columns)):
        c, p, q = k // (len(right) * len(down)), k // len(right) % len(down), k % len(right)
        lo, hi = inside(width, right[q], step[1], size[1])
        for row in range(first, last):
            target = columns[k, (row - first) * size[1] : (row - first + 1) * size[1]]
            h = row % size[0] * step[0] + down[p]
            if 0 <= h < height and lo < hi:
                target[:lo] = 0
                copy_row(x[row // size[0], channel + c, h, lo * step[1] + right[q] :], step[1], target[lo:hi])
                target[hi:] = 0
            else:
                target[:] = 0


@serial
def _store(product, bias, y, channel, origin, every, size, first, last):
    """y[n, channel + o, origin + every·(i, j)] = product[o, (row, j)] + bias[channel + o]."""
    for o in range(len(product)):
        for row in range(first, last):
            source = product[o, (row - first) * size[1] : (row - first + 1) * size[1]]
            target = y[row // size[0], channel + o, origin[0] + every[0] * (row % size[0]), origin[1] :]
            if every[1] == 1:
                for j in range(len(source)):
                    target[j] = source[j] + bias[channel + o]
            else:
                for j in range(len(source)):
                    target[j * every[1]] = source[j] + bias[channel + o]


@parallel
def _correlate(x, w, bias, down, right, step, y, origin, every, size, rows_per_block, piece, threads):
    """y[n, o, origin + every·(i, j)] = bias[o] + Σ w[g, o, (c, p, q)] · x[n, c, i·step + down[p], j·step + right[q]].

    w is (G, O/G, K). Every thread takes a run of blocks: gather the columns, multiply, store.
    """
    groups, outputs, depth = w.shape
    rows = x.shape[0] * size[0]
    blocks = -(-rows // rows_per_block)
    channels = depth // (len(down) * len(right))
    for t in prange(threads):
        columns_space = np.empty(depth * rows_per_block * size[1], x.dtype)
        product_space = np.empty(outputs * rows_per_block * size[1], x.dtype)
        for task in range(t * groups * blocks // threads, (t + 1) * groups * blocks // threads):
            g = task // blocks
            first = task % blocks * rows_per_block
            last = min(rows, first + rows_per_block)
            width = (last - first) * size[1]
            columns = columns_space[: depth * width].reshape(depth, width)
            product = product_space[: outputs * width].reshape(outputs, width)
            _gather(x, g * channels, down, right, step, size, first, last, columns)
            gemm_in_pieces(w[g], columns, product, piece)
            _store(product, bias, y, g * outputs, origin, every, size, first, last)


@parallel
def _correlate_weight(x, gy, down, right, step, groups, rows_per_block, threads):
    """gw[t, g, o, (c, p, q)] = Σ gy[n, o, i, j] · x[n, c, i·step + down[p], j·step + right[q]], one sum a thread."""
    size = gy.shape[2:]
    outputs, channels = gy.shape[1] // groups, x.shape[1] // groups
    depth = channels * len(down) * len(right)
    rows = gy.shape[0] * size[0]
    blocks = -(-rows // rows_per_block)
    partial = np.zeros((threads, groups, outputs, depth), x.dtype)
    itself = np.zeros(1, np.int64)  # one tap at offset 0: the columns of gy are gy
    for t in prange(threads):
        columns_space = np.empty(depth * rows_per_block * size[1], x.dtype)
        gy_space = np.empty(outputs * rows_per_block * size[1], x.dtype)
        for task in range(t * groups * blocks // threads, (t + 1) * groups * blocks // threads):
            g = task // blocks
            first = task % blocks * rows_per_block
            last = min(rows, first + rows_per_block)
            width = (last - first) * size[1]
            columns = columns_space[: depth * width].reshape(depth, width)
            block = gy_space[: outputs * width].reshape(outputs, width)
            _gather(x, g * channels, down, right, step, size, first, last, columns)
            _gather(gy, g * outputs, itself, itself, (1, 1), size, first, last, block)
            gemm(block, columns.T, partial[t, g], 1)
    return partial
