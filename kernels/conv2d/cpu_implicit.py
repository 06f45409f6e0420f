"""Version 3, implicit GEMM: any convolution as a matrix product whose left factor is never written down.

    y[s, o]  = bias[o] + Σ_k columns[s, k] · w[k, o]         for a pixel s of y, and k = (c, p, q)
    gw[k, o] =           Σ_s columns[s, k] · gy[s, o]

`columns`, what im2col would build, is KH·KW times as large as x. Here a block of x is copied once, with its padding;
what pixel s sees through tap k then stands at

    columns[s, k] = block[window[s] + tap[k]]

and the inner loop (`tiles.add_products`) reads it there: two tables of offsets describe every stride and dilation. On
the right w and gy have the output channels last, as registers want them; y is turned back on its way out.

The adjoint in x of a convolution with stride s is s·s convolutions of stride 1, one for every residue class of rows and
columns ("phase"). They share the block of gy, and differ in their tables.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..jit import get_num_threads, parallel, prange
from ..simd import BYTES, load, store, whole
from ..tiles import add_products, evenly, narrow, widen
from . import ConvGeometry, Pair
from .rows import apart, copy_block, rectify
from .taps import backward_axis, forward_axis

__all__ = ["applies", "correlate", "correlate_weight"]

PIXELS = 256  # of y in a block: enough for w to be used often, few enough for the block of x to stay in the cache
DEPTH = 512  # terms of the sum in one go: a panel of w of so many rows stays in the second-level cache
LARGE = 2**14  # elements of gw from which on threads share its rows, and do not each make a sum of their own


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To every convolution."""
    return True


class Plan(NamedTuple):
    """How x is cut into blocks, and the tables."""

    images: int  # a block holds so many images, all their rows if more than one,
    rows: int  # and of each so many steps of the window downwards
    steps: int  # of all there are,
    step: int  # every one so many rows of x below the last;
    top: int  # the first sees the rows from `top`
    left: int  # and the columns from `left` on,
    height: int  # `height` rows for all steps of a block,
    pitch: int  # and rows of this length.
    plane: int  # A channel takes so many elements of the block.
    every: int  # A step writes so many rows of y.
    origin: np.ndarray  # (phases,): one of them belongs to the phase,
    across: np.ndarray  # (phases,): with so many pixels.
    window: np.ndarray  # (phases, ·): where in the block the window of each of its pixels begins,
    place: np.ndarray  # (phases, ·): and where that pixel stands in the block of y.
    tap: np.ndarray  # (·,): where each term of the sum stands, relative to the window, one phase after the other,
    weight: np.ndarray  # (·,): and where the row of w stands that it is multiplied by;
    bounds: np.ndarray  # (phases + 1,): the terms of phase f are bounds[f] to bounds[f + 1].


@functools.lru_cache(maxsize=256)
def _plan(
    batch: int,
    channels: int,
    size: Pair,
    width: int,
    kernel_size: Pair,
    geometry: ConvGeometry,
    adjoint: bool,
    threads: int,
) -> Plan:
    """For y of `size` = (OH, OW), `width` elements a pixel, from images with so many channels (of one group)."""
    axis = backward_axis if adjoint else forward_axis
    down, right = axis(0, kernel_size[0], geometry), axis(1, kernel_size[1], geometry)
    steps, across = -(-size[0] // down.every), -(-size[1] // right.every)
    images = min(batch // threads, PIXELS // max(1, size[0] * size[1]))
    if images > 1:
        rows = steps
    else:
        blocks = max(round(size[0] * size[1] / PIXELS), -(-2 * threads // max(1, batch)))
        images, rows = 1, -(-steps // max(1, min(blocks, steps)))
    height, pitch = (rows - 1) * down.step + down.span, (across - 1) * right.step + right.span
    plane = apart(height, pitch)
    high = min(rows * down.every, size[0])
    origin, widths, windows, places, taps, weights = [], [], [], [], [], []
    for above, first_row, p, hearing_h in down.phases(high):
        for before, first_column, q, hearing_w in right.phases(size[1]):
            image, i, j = np.ogrid[:images, :hearing_h, :hearing_w]
            origin.append(first_row)
            widths.append(hearing_w)
            windows.append(image * channels * plane + i * down.step * pitch + j * right.step)
            line = image * high + i * down.every + first_row
            places.append((line * size[1] + j * right.every + first_column) * width)
            c = np.arange(channels)[:, None, None]
            taps.append(c * plane + (above - down.first)[:, None] * pitch + before - right.first)
            weights.append(((c * down.taps + p[:, None]) * right.taps + q) * width)
    longest = max(table.size for table in windows)
    window, place = (
        np.array([np.pad(table.ravel(), (0, longest - table.size)) for table in tables], np.int64)
        for tables in (windows, places)
    )
    bounds = np.cumsum([0, *(table.size for table in taps)])
    tap, weight = (np.concatenate([table.ravel() for table in tables]).astype(np.int64) for tables in (taps, weights))
    numbers = (np.array(origin, np.int64), np.array(widths, np.int64))
    return Plan(images, rows, steps, down.step, down.first, right.first, height, pitch, plane, down.every, *numbers,
                window, place, tap, weight, bounds)  # fmt: skip


@parallel
def _multiply(x, w, bias, relu, plan, y, threads):
    """y = bias + the convolution of x with w (G, K, O/G), its and the bias's (G, O/G) last axis in whole registers.

    A thread takes a run of blocks: copy, multiply phase by phase, turn.
    """
    (images, rows, steps, step, top, left, height, pitch, plane, every, origin, across, window, place, tap, weight,
     bounds) = plan  # fmt: skip
    groups, depth, width = w.shape
    batch, out_height, out_width = y.shape[0], y.shape[2], y.shape[3]
    channels, outputs, size = x.shape[1] // groups, y.shape[1] // groups, out_height * out_width
    lane = BYTES // x.itemsize
    down, stacks = -(-steps // rows), -(-batch // images)
    tasks = groups * stacks * down
    flat_w, flat_y = w.reshape(-1), y.reshape(-1)
    for t in prange(threads):
        block = np.empty(images * channels * plane, x.dtype)
        product = np.empty(images * rows * every * out_width * width, x.dtype)
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            g, n, first = task // down // stacks, task // down % stacks * images, task % down * rows
            here, high = min(images, batch - n), min(rows * every, out_height - first * every)
            copy_block(x, n, here, g * channels, channels, top + first * step, left, height, pitch, plane,
                        channels * plane, block)  # fmt: skip
            for o in range(0, width, lane):
                b = load(bias[g], o)
                for s in range(here * high * out_width):
                    store(product, s * width + o, b)
            for f in range(len(origin)):
                pixels = here * -(-(high - origin[f]) // every) * across[f]  # a cut block has the first of the table
                for k in range(bounds[f], bounds[f + 1], DEPTH):
                    stop = min(k + DEPTH, bounds[f + 1])
                    add_products(block, 0, window[f], tap[k:stop], flat_w, g * depth * width, weight[k:stop],
                                 product, 0, place[f], pixels, width // lane, 1)  # fmt: skip
            if relu:
                rectify(product[: here * high * out_width * width])
            for i in range(here):
                start = ((n + i) * y.shape[1] + g * outputs) * size + first * every * out_width
                narrow(product, i * high * out_width * width, width, high * out_width, outputs, flat_y, start, size)


@parallel
def _sum_blocks(x, gy, plan, row_shares, sums):
    """sums[s, g, k, o] = Σ columns[pixel, k] · gy[pixel, o] over the share s of the blocks, o in whole registers.

    Thread t takes a share of the blocks and, where one sum alone is large, a share of the rows k.
    """
    images, rows, steps, step, top, left, height, pitch, plane, _, _, _, window, _, tap, _, _ = plan
    block_shares, groups, depth, width = sums.shape
    batch, out_width = gy.shape[0], gy.shape[3]
    channels, outputs, size = x.shape[1] // groups, gy.shape[1] // groups, steps * out_width
    lane = BYTES // x.itemsize
    down, stacks = -(-steps // rows), -(-batch // images)
    tasks = groups * stacks * down
    flat_gy, flat_sums = gy.reshape(-1), sums.reshape(-1)
    for t in prange(block_shares * row_shares):
        s, r = t // row_shares, t % row_shares
        k0, k1 = r * depth // row_shares, (r + 1) * depth // row_shares
        taps = depth // channels
        c0, c1 = k0 // taps, -(-k1 // taps)
        block = np.empty(images * channels * plane, x.dtype)
        turned = np.empty(images * rows * out_width * width, x.dtype)
        each, to = evenly(images * rows * out_width, width), evenly(k1 - k0, width)
        for task in range(s * tasks // block_shares, (s + 1) * tasks // block_shares):
            g, n, first = task // down // stacks, task // down % stacks * images, task % down * rows
            here, count = min(images, batch - n), min(rows, steps - first) * out_width
            copy_block(x, n, here, g * channels + c0, c1 - c0, top + first * step, left, height, pitch, plane,
                        channels * plane, block)  # fmt: skip
            for i in range(here):
                start = ((n + i) * gy.shape[1] + g * outputs) * size + first * out_width
                widen(flat_gy, start, size, outputs, count, turned, i * count * width, width)
            pixels = here * count
            add_products(block, -c0 * plane, tap[k0:k1], window[0, :pixels], turned, 0, each[:pixels], flat_sums,
                         ((s * groups + g) * depth + k0) * width, to, k1 - k0, width // lane, 1)  # fmt: skip


@parallel
def _add_up(sums, gw):
    """gw[g, o, k] = Σ_s sums[s, g, k, o], the shares in order."""
    shares, groups, depth, width = sums.shape
    outputs, lane = gw.shape[1], BYTES // sums.itemsize
    flat, target = sums.reshape(-1), gw.reshape(-1)
    panels = -(-depth // 64)
    for task in prange(groups * panels):
        g, first = task // panels, task % panels * 64
        last = min(depth, first + 64)
        for at in range((g * depth + first) * width, (g * depth + last) * width, lane):
            total = load(flat, at)
            for s in range(1, shares):
                total = total + load(flat, at + s * groups * depth * width)
            store(flat, at, total)
        narrow(flat, (g * depth + first) * width, width, last - first, outputs, target,
               g * outputs * depth + first, depth)  # fmt: skip


@parallel
def _turn_weights(w, transposed, target):
    """target[g, (c, p, q), o] = w[g·O/G + o, c, p, q], transposed target[g, (o, p, q), c]; whole registers."""
    groups, depth, width = target.shape
    outputs, channels, taps = w.shape[0] // groups, w.shape[1], w.shape[2] * w.shape[3]
    flat, onto = w.reshape(-1), target.reshape(-1)
    panels = -(-depth // 64)
    if transposed:
        for row in prange(groups * outputs):
            widen(flat, row * channels * taps, taps, channels, taps, onto, row * taps * width, width)
    else:
        for task in prange(groups * panels):
            g, k = task // panels, task % panels * 64
            widen(flat, g * outputs * depth + k, depth, outputs, min(64, depth - k), onto,
                  (g * depth + k) * width, width)  # fmt: skip


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    """See `cpu`."""
    threads, groups, kernel_size = get_num_threads(), geometry.groups, w.shape[2:]
    inputs, outputs = (w.shape[0] // groups, w.shape[1]) if adjoint else (w.shape[1], w.shape[0] // groups)
    width = whole(outputs, x.dtype)
    turned = np.empty((groups, inputs * kernel_size[0] * kernel_size[1], width), x.dtype)
    _turn_weights(w, adjoint, turned)
    b = np.zeros((groups, width), x.dtype)
    if bias is not None:
        b[:, :outputs] = bias.reshape(groups, outputs)
    y = np.empty((len(x), groups * outputs, *size), x.dtype)
    plan = _plan(len(x), inputs, size, width, kernel_size, geometry, adjoint, threads)
    _multiply(x, turned, b, relu, plan, y, threads)
    return y


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See `cpu`. Large sums are shared out by rows, small ones made by every thread and added in order."""
    threads, groups = get_num_threads(), geometry.groups
    channels, outputs = x.shape[1] // groups, gy.shape[1] // groups
    width = whole(outputs, x.dtype)
    plan = _plan(len(x), channels, gy.shape[2:], width, kernel_size, geometry, False, threads)
    depth = len(plan.tap)
    row_shares = threads if depth * outputs >= LARGE and depth >= 16 * threads else 1
    sums = np.zeros((threads // row_shares, groups, depth, width), x.dtype)
    gw = np.empty((groups, outputs, depth), x.dtype)
    _sum_blocks(x, gy, plan, row_shares, sums)
    _add_up(sums, gw)
    return gw.reshape(gy.shape[1], channels, *kernel_size)
