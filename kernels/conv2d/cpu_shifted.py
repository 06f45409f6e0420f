"""Stride-1 convolution without columns ("implicit GEMM"): every tap is a shift of one padded copy of the input.

Lay a block of input rows out flat, all padded to the same pitch. What tap (p, q) sees is then the same memory, read
from another place,

    columns[(c, p, q), s] = padded[c, s + shift(p, q)],   shift = (down[p] − top)·pitch + right[q] − left

so each tap is a small matrix product on a view, and nothing is copied KH·KW times:

    correlate          y[:, block]      = Σ_{p, q} w[p, q] · padded[:, block + shift(p, q)]      (O, C) · (C, P)
    correlate_weight   gw[o, c, p, q]  += gy[o, block] · padded[c, block + shift(p, q)]          dot products

The price: where the pitch is longer than a row of output, the products between the rows are thrown away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..blas import gemm_in_pieces
from ..dots import add_dots
from ..jit import parallel, prange, serial
from .rows import copy_row, inside, store

__all__ = ["Shifts", "correlate", "correlate_weight", "shifts"]


@serial
def _pad(x, n, channel, top, left, pitch, padded):
    """padded[c, r·pitch + j] = x[n, channel + c, r + top, j + left], zeros beyond its borders."""
    height, width = x.shape[2:]
    lo, hi = inside(width, left, 1, pitch)
    for c in range(len(padded)):
        for r in range(padded.shape[1] // pitch):
            target = padded[c][r * pitch : (r + 1) * pitch]
            if 0 <= r + top < height and lo < hi:
                target[:lo] = 0
                copy_row(x[n, channel + c, r + top, lo + left :], 1, target[lo:hi])
                target[hi:] = 0
            else:
                target[:] = 0


class Shifts(NamedTuple):
    """How a block is laid out for the taps (down[p], right[q])."""

    top: int  # the padded block starts this many rows below the block's first row of output,
    left: int  # and this many columns to its right (both mostly negative)
    beyond: int  # rows of it past the block's own: what the lowest tap sees, and one for the last shift to run into
    pitch: int
    starts: np.ndarray  # of each tap (p, q) in the flat padded block


def shifts(down: np.ndarray, right: np.ndarray, width: int) -> Shifts:
    """The layout for rows of `width` outputs."""
    top, left = int(down.min()), int(right.min())
    pitch = width + int(right.max()) - left
    starts = (down[:, None] - top) * pitch + (right - left)
    return Shifts(top, left, int(down.max()) - top + 1, pitch, starts.ravel())


@parallel
def correlate(x, w, bias, layout, y, origin, every, size, rows_per_block, piece, threads):
    """y[n, o, origin + every·(i, j)] = bias[o] + Σ w[g, (p, q), o, c] · x[n, c, i + down[p], j + right[q]].

    w is (G, KH·KW, O/G, C/G). Every thread takes a run of blocks: pad, add up the products of the taps, store.
    """
    groups, taps, outputs, channels = w.shape
    blocks = -(-size[0] // rows_per_block)
    tasks = x.shape[0] * groups * blocks
    for t in prange(threads):
        padded = np.empty((channels, (rows_per_block + layout.beyond) * layout.pitch), x.dtype)
        product_space = np.empty(outputs * rows_per_block * layout.pitch, x.dtype)
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g = task // blocks // groups, task // blocks % groups
            first = task % blocks * rows_per_block
            last = min(size[0], first + rows_per_block)
            length = (last - first) * layout.pitch
            product = product_space[: outputs * length].reshape(outputs, length)
            _pad(x, n, g * channels, first + layout.top, layout.left, layout.pitch, padded)
            for k in range(taps):
                start = layout.starts[k]
                gemm_in_pieces(w[g, k], padded[:, start : start + length], product, min(k, 1), piece)
            row = n * size[0]
            store(product, layout.pitch, bias, y, g * outputs, origin, every, size, row + first, row + last)


@parallel
def correlate_weight(x, gy, layout, from_channel, starts, rows_per_block, partial):
    """partial[t, g, o, k] += Σ gy[n, o, i, j] · x[n, c, i + down[p], j + right[q]] for k = (c, p, q), one sum a thread.

    k reads channel `from_channel[k]` from `starts[k]`; the last two axes of `partial` are rounded up to `whole_tiles`.
    """
    threads, groups = partial.shape[:2]
    outputs, channels = gy.shape[1] // groups, x.shape[1] // groups
    blocks = -(-gy.shape[2] // rows_per_block)
    tasks = x.shape[0] * groups * blocks
    for t in prange(threads):
        padded = np.empty((channels, (rows_per_block + layout.beyond) * layout.pitch), x.dtype)
        spread = np.empty((outputs, rows_per_block * layout.pitch), x.dtype)  # gy, zeros between its rows
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g = task // blocks // groups, task // blocks % groups
            first = task % blocks * rows_per_block
            _pad(x, n, g * channels, first + layout.top, layout.left, layout.pitch, padded)
            _pad(gy, n, g * outputs, first, 0, layout.pitch, spread)
            add_dots(spread, padded, from_channel, starts, 0, spread.shape[1], partial[t, g])
