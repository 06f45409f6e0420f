"""Convolution in numba: which algorithm takes which convolution, and how each is called.

    cpu_columns     any convolution: windows gathered into columns, a cache-sized block at a time, multiplied by BLAS
    cpu_shifted     stride 1: the same products, read in place from one padded copy of the block
    cpu_pointwise   1x1, stride 1: the image is its own column matrix
    cpu_depthwise   one channel per group: sums of shifted rows, no matrices

`grad_input` is a forward convolution, or several, over gy (see there). Neither the whole padded input nor the whole
column matrix (KH·KW inputs large) ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numba
import numpy as np

from ..backend import narrow, native
from ..blas import pieces
from ..dots import FEW_ROWS, whole_tiles
from ..im2col import col2im
from ..jit import parallel, prange
from . import ConvGeometry, Pair, cpu_columns, cpu_depthwise, cpu_pointwise, cpu_shifted, output_size
from .cpu_shifted import Shifts, shifts

__all__ = ["forward", "grad_input", "grad_weight"]

# P, pixels in a block: enough for a product to run at speed, few enough for all that it reads to stay in the cache.
FORWARD_COLUMNS = 256
WEIGHT_COLUMNS = 512  # more, because every block also reads and writes its (O, K) sum
FORWARD_SHIFTED = 512
WEIGHT_SHIFTED = 2048


# ---------------------------------------------------------------- geometry, in Python


def _rows_per_block(columns: int, rows: int, row_length: int) -> int:
    """How many output rows make a block of columns: a function of shape and thread count only, so that bits repeat."""
    share = -(-rows // numba.get_num_threads())
    return max(1, min(columns // max(1, row_length), share))


def _rows_per_shift(columns: int, images: int, rows: int, pitch: int) -> int:
    """How many output rows of one image make a shifted block: even blocks, and at least one for every thread."""
    blocks = max(-(-rows * pitch // columns), -(-numba.get_num_threads() // max(1, images)))
    return max(1, -(-rows // blocks))


class Taps(NamedTuple):
    """Some taps of the window along one axis, and where each looks: output i reads input i·step + offset."""

    which: np.ndarray
    offset: np.ndarray


def _all_taps(kernel_size: Pair, geometry: ConvGeometry) -> tuple[Taps, ...]:
    """Per axis, every tap: offset p·dilation − padding."""
    return tuple(
        Taps(np.arange(size), np.arange(size) * dilation - before)
        for size, dilation, (before, _) in zip(kernel_size, geometry.dilation, geometry.padding, strict=True)
    )


class Lattice(NamedTuple):
    """The pixels of y that one correlation writes: origin + every·(i, j) for (i, j) below size."""

    size: Pair
    origin: Pair = (0, 0)
    every: Pair = (1, 1)


def _by_group(w: np.ndarray, groups: int) -> np.ndarray:
    """(O, C/G, KH, KW) as (G, O/G, C/G, KH, KW)."""
    return w.reshape(groups, w.shape[0] // groups, *w.shape[1:])


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


def _shifts_pay(layout: Shifts, rows: int, size: Pair, width: int) -> bool:
    """Whether blocks of `rows` rows are faster by shifts than by columns.

    They are where at most half is copied, at most a fifth of the products is thrown away, and blocks (of one image
    only) are long or the products (over `width` channels) short. Measured: see the worklog.
    """
    copied, columns = (rows + layout.beyond) * layout.pitch, len(layout.starts) * rows * size[1]
    between = layout.pitch - size[1]
    return 2 * copied <= columns and 4 * between <= size[1] and (size[0] * size[1] >= 128 or width <= 64)


def _pick(w: np.ndarray, taps: tuple[Taps, ...], taps_first: bool) -> np.ndarray:
    """The chosen taps of w (G, O/G, C/G, KH, KW), contiguous: as they stand, or as (G, taps, O/G, C/G)."""
    down, right = (axis.which for axis in taps)
    groups, outputs, channels = w.shape[:3]
    if taps_first:
        chosen = np.empty((groups, len(down), len(right), outputs, channels), w.dtype)
        _copy_taps(w, down, right, chosen.transpose(0, 3, 4, 1, 2))
        return chosen.reshape(groups, -1, outputs, channels)
    if w.flags.c_contiguous and w.shape[3:] == (len(down), len(right)):
        return w
    chosen = np.empty((groups, outputs, channels, len(down), len(right)), w.dtype)
    _copy_taps(w, down, right, chosen)
    return chosen


def _scan(
    x: np.ndarray, w: np.ndarray, taps: tuple[Taps, ...], step: Pair, bias: np.ndarray, y: np.ndarray, out: Lattice
) -> None:
    """Correlate x with some taps of w (G, O/G, C/G, KH, KW) onto a lattice of y, by the algorithm that fits."""
    threads = numba.get_num_threads()
    groups, outputs, channels = w.shape[:3]
    down, right = (axis.offset for axis in taps)
    onto = (y, out.origin, out.every, out.size)
    layout = shifts(down, right, out.size[1])
    rows = _rows_per_shift(FORWARD_SHIFTED, x.shape[0] * groups, out.size[0], layout.pitch)
    if outputs == channels == 1:
        kernel = _pick(w, taps, taps_first=False).reshape(groups, 1, -1)
        cpu_depthwise.correlate(x, kernel, bias, down, right, step, *onto, threads)
    elif step == (1, 1) and channels >= 4 and _shifts_pay(layout, rows, out.size, channels):
        piece = pieces(outputs, rows * layout.pitch)
        kernel = _pick(w, taps, taps_first=True)
        cpu_shifted.correlate(x, kernel, bias, layout, *onto, rows, piece, threads)
    else:
        rows = _rows_per_block(FORWARD_COLUMNS, x.shape[0] * out.size[0], out.size[1])
        piece = pieces(outputs, rows * out.size[1])
        kernel = _pick(w, taps, taps_first=False).reshape(groups, outputs, -1)
        cpu_columns.correlate(x, kernel, bias, down, right, step, *onto, rows, piece, threads)


def forward(x: np.ndarray, w: np.ndarray, geometry: ConvGeometry, bias: np.ndarray | None = None) -> np.ndarray:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    x_, w_ = native(x), _by_group(native(w), geometry.groups)
    b = np.zeros(w.shape[0], x_.dtype) if bias is None else native(bias)
    if _is_pointwise(w.shape[2:], geometry):
        return narrow(_mix_channels(x_, w_[..., 0, 0], b), x)
    y = np.empty((x.shape[0], w.shape[0], *size), x_.dtype)
    _scan(x_, w_, _all_taps(w.shape[2:], geometry), geometry.stride, b, y, Lattice(size))
    return narrow(y, x)


def grad_input(gy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, input_size: Pair) -> np.ndarray:
    """See the family's docstring.

    Input row h hears from output row i through tap p where i·stride = h + top − p·dilation: only the taps
    with p·dilation ≡ h + top (mod stride) reach it. The rows of one residue class share their taps, and over
    them gx is a stride-1 correlation of gy with those taps. So the adjoint is stride·stride interleaved
    correlations ("phases"), each pixel of gx written once: a gather, however the windows overlap, and without
    wasted arithmetic.
    """
    gy_ = native(gy)
    w_ = _by_group(native(w), geometry.groups).swapaxes(1, 2)  # inputs and outputs trade places
    bias = np.zeros(w.shape[1] * geometry.groups, gy_.dtype)
    if _is_pointwise(w.shape[2:], geometry):
        return narrow(_mix_channels(gy_, w_[..., 0, 0], bias), gy)
    if not np.isfinite(w).all():
        return narrow(_spread(gy_, native(w), geometry, input_size), gy)
    gx = np.zeros((gy.shape[0], len(bias), *input_size), gy_.dtype)
    for top, rows, down in _phases(0, input_size[0], w.shape[2], geometry):
        for left, columns, right in _phases(1, input_size[1], w.shape[3], geometry):
            out = Lattice((rows, columns), (top, left), geometry.stride)
            _scan(gy_, w_, (down, right), (1, 1), bias, gx, out)
    return narrow(gx, gy)


def _spread(gy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, input_size: Pair) -> np.ndarray:
    """The input gradient for weights that are not finite: each product is added to the pixel that its tap saw.

    A gather would multiply such a weight by the zeros around gy as well, and NaN would reach pixels it never saw.
    """
    gx = np.empty((len(gy), w.shape[1] * geometry.groups, *input_size), gy.dtype)
    by_pixel = w.reshape(geometry.groups, w.shape[0] // geometry.groups, -1).swapaxes(1, 2)
    for n, image in enumerate(gy):
        columns = by_pixel @ image.reshape(geometry.groups, by_pixel.shape[2], -1)
        columns = columns.reshape(1, w.shape[2] * w.shape[3] * gx.shape[1], -1)
        gx[n] = col2im(columns, w.shape[2:], geometry, input_size)[0]
    return gx


def _phases(axis: int, size: int, taps: int, geometry: ConvGeometry) -> Iterator[tuple[int, int, Taps]]:
    """Per residue class of input rows: first row, number of rows, the taps that reach them from gy."""
    stride, dilation = geometry.stride[axis], geometry.dilation[axis]
    before = geometry.padding[axis][0]
    reach = np.arange(taps) * dilation
    for first in range(min(stride, size)):
        mine = np.flatnonzero((reach - first - before) % stride == 0)
        if len(mine):
            yield first, -(-(size - first) // stride), Taps(mine, (first + before - reach[mine]) // stride)


def grad_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See the family's docstring. The threads sum apart; their sums are added in order, so that bits repeat."""
    threads, groups, stride = numba.get_num_threads(), geometry.groups, geometry.stride
    outputs, channels = gy.shape[1] // groups, x.shape[1] // groups
    x_, gy_, size = native(x), native(gy), gy.shape[2:]
    down, right = (axis.offset for axis in _all_taps(kernel_size, geometry))
    layout = shifts(down, right, size[1])
    rows = _rows_per_shift(WEIGHT_SHIFTED, x.shape[0] * groups, size[0], layout.pitch)
    depth = channels * len(layout.starts)
    few = outputs <= FEW_ROWS
    partial = np.zeros((threads, groups, whole_tiles(outputs), whole_tiles(depth)), x_.dtype)
    if _is_pointwise(kernel_size, geometry):
        images = _images_by_group(x_, groups)
        pixels = _pixels_per_block(images.shape[0] * groups, images.shape[3])
        cpu_pointwise.correlate_weight(images, _images_by_group(gy_, groups), pixels, few, partial)
    elif channels == 1 and outputs < 4:
        cpu_depthwise.correlate_weight(x_, gy_, down, right, stride, partial[0], threads)
    else:
        shifting = stride == (1, 1) and few and _shifts_pay(layout, rows, size, outputs)
        if shifting:
            from_channel = np.repeat(np.arange(channels), len(layout.starts))
            starts = np.tile(layout.starts, channels)
            cpu_shifted.correlate_weight(x_, gy_, layout, from_channel, starts, rows, partial)
        # NaN or infinity times the zeros between the rows reaches taps that never see it: then sum again, by columns
        if not shifting or not np.isfinite(partial).all():
            partial[...] = 0
            rows = _rows_per_block(WEIGHT_COLUMNS, x.shape[0] * size[0], size[1])
            cpu_columns.correlate_weight(x_, gy_, down, right, stride, rows, few, partial)
    gw = partial.sum(axis=0)[:, :outputs, :depth]
    return narrow(np.ascontiguousarray(gw).reshape(gy.shape[1], channels, *kernel_size), x)


@parallel
def _copy_taps(w, taps_h, taps_w, target):
    """target[g, a, b, p, q] = w[g, a, b, taps_h[p], taps_w[q]].

    A kernel, because NumPy's transposed copy of a 1024x1024x3x3 weight takes 90 ms, longer than the convolution.
    """
    groups, rows, columns = w.shape[:3]
    for row in prange(groups * rows):
        g, a = row // rows, row % rows
        for b in range(columns):
            for p in range(len(taps_h)):
                for q in range(len(taps_w)):
                    target[g, a, b, p, q] = w[g, a, b, taps_h[p], taps_w[q]]
