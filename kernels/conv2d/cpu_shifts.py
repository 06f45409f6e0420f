"""Version 4, shifts: neighbouring pixels in the lanes of a register, for few output channels.

Version 3 has the output channels there, and with one of them (depthwise, a mask) wastes all lanes but one. Read as one
long row, an output plane is a sum of shifted copies of the input planes:

    y[o, ·] = bias[o] + Σ_k w[o, k] · block[tap[k] + ·]        k = (c, p, q)

which is again a product (`tiles.add_products`), of w by rows that overlap in memory. Every pixel of the padded block
gets a sum, also those between the windows of a stride and between two rows of y; they are left out on the way to y.
The weight gradient has a dot product for each weight: gw[o, k] = ⟨gy[o, ·], block[tap[k] + ·]⟩.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..jit import get_num_threads, parallel, prange
from ..simd import BYTES
from ..tiles import TILE_ROWS, add_products, dot, evenly
from . import ConvGeometry, Pair
from .rows import apart, copy_block, place_row, rectify
from .taps import backward_axis, forward_axis

__all__ = ["applies", "correlate", "correlate_weight", "pays"]

BLOCK = 2**17  # elements of x in a block, so that it stays in the cache


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To every convolution."""
    return True


def pays(channels: int, outputs: int, stride: Pair, weight: bool) -> bool:
    """Whether it is the fastest, for so many channels of one group. Measured.

    A stride is paid with sums that nobody wants; the adjoint has none.
    """
    sums = stride[0] * stride[1]  # for each that is wanted
    return outputs == 1 and (sums == 1 or channels == 1) if weight else outputs * sums <= 8


class Plan(NamedTuple):
    """How a plane is cut into blocks, and the tables."""

    rows: int  # A block holds so many steps of the window downwards
    steps: int  # of all there are;
    top: int  # the first sees the rows of x from `top`
    left: int  # and the columns from `left` on,
    height: int  # `height` rows for all steps of a block
    pitch: int  # of this length.
    plane: int  # A channel takes so many elements of the block.
    step: Pair  # The window moves by so many rows and columns of x,
    every: Pair  # and the pixels that it writes are so far apart in y;
    origin: np.ndarray  # (phases, 2): where the pixels of a phase begin,
    columns: np.ndarray  # (phases,): how many of them stand in a row,
    tap: np.ndarray  # (·,): where each term of their sums stands in the block, one phase after the other,
    weight: np.ndarray  # (·,): and the weight that it is multiplied by;
    bounds: np.ndarray  # (phases + 1,): the terms of phase f are bounds[f] to bounds[f + 1].
    line: np.ndarray  # (outputs or one more,): where the weights of an output channel begin.
    covers: bool  # Whether the phases have all of y.


@functools.lru_cache(maxsize=256)
def _plan(
    tasks: int, channels: int, outputs: int, size: Pair, kernel_size: Pair, geometry: ConvGeometry, adjoint: bool
) -> Plan:
    """For y of `size` = (OH, OW), in so many channels a group; a plane is cut into `tasks` blocks or more."""
    axis = backward_axis if adjoint else forward_axis
    down, right = axis(0, kernel_size[0], geometry), axis(1, kernel_size[1], geometry)
    steps, across = -(-size[0] // down.every), -(-size[1] // right.every)
    pitch = (across - 1) * right.step + right.span
    fitting = (BLOCK // max(1, channels * pitch) - down.span) // down.step + 1
    rows = max(1, min(steps, fitting, -(-steps // tasks)))
    height = (rows - 1) * down.step + down.span
    plane = apart(height, pitch)
    each = (1, outputs) if adjoint else (channels, 1)  # w is (channels, outputs, ...) where it is read backwards
    c, size_of = np.arange(channels)[:, None, None], kernel_size[0] * kernel_size[1]
    origins, columns, taps, weights, covered = [], [], [], [], 0
    for above, first_row, p, many in down.phases(size[0]):
        for before, first_column, q, hearing in right.phases(size[1]):
            origins.append((first_row, first_column))
            columns.append(hearing)
            covered += many * hearing
            taps.append((c * plane + (above - down.first)[:, None] * pitch + before - right.first).ravel())
            weights.append((c * each[1] * size_of + p[:, None] * right.taps + q).ravel())
    # three rows of a product cost more than four: the fourth goes where nobody looks
    o = np.minimum(np.arange(outputs + (outputs % TILE_ROWS == TILE_ROWS - 1)), outputs - 1)
    bounds = np.cumsum([0, *(len(table) for table in taps)])
    tap, weight = (np.concatenate([np.zeros(0, np.int64), *tables]) for tables in (taps, weights))
    return Plan(rows, steps, down.first, right.first, height, pitch, plane, (down.step, right.step),
                (down.every, right.every), np.array(origins, np.int64).reshape(-1, 2), np.array(columns, np.int64), tap,
                weight, bounds, o * each[0] * size_of, covered == size[0] * size[1])  # fmt: skip


@parallel
def _correlate(x, w, bias, relu, plan, y, threads):
    """y = bias + the convolution of x with the groups w (G, ·). A thread takes a run of blocks: copy, sum, place."""
    (rows, steps, top, left, height, pitch, plane, step, every, origin, columns, tap, weight, bounds, line,
     _) = plan  # fmt: skip
    groups, whole = len(w), len(line)
    batch, out_height = y.shape[0], y.shape[2]
    channels, outputs = x.shape[1] // groups, y.shape[1] // groups
    lane = BYTES // x.itemsize
    down = -(-steps // rows)
    tasks = batch * groups * down
    flat_w, flat_y = w.reshape(-1), y.reshape(-1)
    for t in prange(threads):
        length = rows * step[0] * pitch + lane
        block, sums = np.zeros(channels * plane + lane, x.dtype), np.empty(whole * length, x.dtype)
        to = evenly(whole, length)
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g, first = task // down // groups, task // down % groups, task % down * rows
            high = min(rows * every[0], out_height - first * every[0])
            copy_block(x, n, 1, g * channels, channels, top + first * step[0], left, height, pitch, plane, 0, block)
            for f in range(len(origin)):
                many, k0, k1 = -(-(high - origin[f, 0]) // every[0]), bounds[f], bounds[f + 1]
                last = (many - 1) * step[0] * pitch + (columns[f] - 1) * step[1]
                if last >= 0:
                    add_products(flat_w, g * w.shape[1], line, weight[k0:k1], block, 0, tap[k0:k1], sums, 0, to, whole,
                                 last // lane + 1, 0)  # fmt: skip
                for o in range(outputs):
                    for i in range(many):
                        source = sums[o * length + i * step[0] * pitch :]
                        row = first * every[0] + origin[f, 0] + i * every[0]
                        place_row(source, step[1], bias[g, o], y[n, g * outputs + o, row, origin[f, 1] :], every[1],
                               columns[f])  # fmt: skip
            if relu:
                for o in range(outputs):
                    start = ((n * y.shape[1] + g * outputs + o) * out_height + first * every[0]) * y.shape[3]
                    rectify(flat_y[start : start + high * y.shape[3]])


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    """See `cpu`."""
    threads, groups = get_num_threads(), geometry.groups
    inputs, outputs = (w.shape[0] // groups, w.shape[1]) if adjoint else (w.shape[1], w.shape[0] // groups)
    tasks = -(-threads // max(1, len(x) * groups))
    plan = _plan(tasks, inputs, outputs, size, w.shape[2:], geometry, adjoint)
    b = (np.zeros(groups * outputs, x.dtype) if bias is None else bias).reshape(groups, outputs)
    y = np.empty((len(x), groups * outputs, *size), x.dtype)
    if not plan.covers:
        y[:] = b.reshape(-1, 1, 1)
    _correlate(x, w.reshape(groups, -1), b, relu, plan, y, threads)
    return y


@parallel
def _correlate_weight(x, gy, plan, gw, threads):
    """gw[g, o, k] = Σ_n ⟨gy[n, g, o, ·], block[tap[k] + ·]⟩; a plane of gy is spread out to lie as the block does."""
    rows, steps, top, left, height, pitch, plane, step, _, _, _, tap, _, _, _, _ = plan
    groups, outputs = gw.shape[:2]
    channels, width = x.shape[1] // groups, gy.shape[3]
    down = -(-steps // rows)
    for t in prange(threads):
        block = np.zeros(channels * plane, x.dtype)
        spread = np.zeros(max(0, (rows - 1) * step[0] * pitch + (width - 1) * step[1] + 1), x.dtype)
        for filter in range(t * groups * outputs // threads, (t + 1) * groups * outputs // threads):
            g, o = filter // outputs, filter % outputs
            for task in range(len(x) * down):
                n, first = task // down, task % down * rows
                copy_block(x, n, 1, g * channels, channels, top + first * step[0], left, height, pitch, plane, 0, block)
                many = min(rows, steps - first)
                for i in range(many):
                    place_row(
                        gy[n, filter, first + i], 1, x.dtype.type(0), spread[i * step[0] * pitch :], step[1], width
                    )
                length = (many - 1) * step[0] * pitch + (width - 1) * step[1] + 1
                for k in range(len(tap)):
                    gw[g, o, k] += dot(spread[:length], block[tap[k] :])


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray | None:
    """See `cpu`: a filter is summed over the batch on one thread. None where the result is not finite."""
    groups = geometry.groups
    channels, outputs = x.shape[1] // groups, gy.shape[1] // groups
    plan = _plan(1, channels, outputs, gy.shape[2:], kernel_size, geometry, False)
    gw = np.zeros((groups, outputs, len(plan.tap)), x.dtype)
    _correlate_weight(x, gy, plan, gw, get_num_threads())
    if not np.isfinite(gw).all():  # between the rows of gy stands 0, and 0 times infinity is not 0
        return None
    return gw.reshape(groups * outputs, channels, *kernel_size)
