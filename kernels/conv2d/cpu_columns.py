"""Convolution by columns: the windows of a block of pixels copied side by side (im2col), then one matrix product.

    correlate          y[:, block]  = w · columns(x)[:, block]                 (O, K) · (K, P),  K = C/G·KH·KW
    correlate_weight   gw          += gy[:, block] · columns(x)[:, block]ᵀ     (O, P) · (P, K)

The output is walked row by row, the rows of the whole batch numbered through (row = n·OH + i), so that a block is one
product whether it holds eight rows of a large image or several small images. Any stride, dilation and size.
"""

from __future__ import annotations

import numpy as np

from ..blas import gemm, gemm_in_pieces
from ..dots import add_dots
from ..jit import parallel, prange, serial
from .rows import copy_row, inside, store

__all__ = ["correlate", "correlate_weight"]


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


@parallel
def correlate(x, w, bias, down, right, step, y, origin, every, size, rows_per_block, piece, threads):
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
            gemm_in_pieces(w[g], columns, product, 0, piece)
            store(product, size[1], bias, y, g * outputs, origin, every, size, first, last)


@parallel
def correlate_weight(x, gy, down, right, step, rows_per_block, few, partial):
    """partial[t, g, o, k] += Σ gy[n, o, i, j] · x[n, c, i·step + down[p], j·step + right[q]] for k = (c, p, q).

    One sum a thread; its last two axes are rounded up to `whole_tiles`. `few` says that the rows of gy are too few for
    BLAS (see `dots`).
    """
    threads, groups = partial.shape[:2]
    size = gy.shape[2:]
    outputs, channels = gy.shape[1] // groups, x.shape[1] // groups
    depth = channels * len(down) * len(right)
    rows = gy.shape[0] * size[0]
    blocks = -(-rows // rows_per_block)
    for t in prange(threads):
        columns_space = np.empty(depth * rows_per_block * size[1], x.dtype)
        gy_space = np.empty(outputs * rows_per_block * size[1], x.dtype)
        every_row, unshifted = np.arange(depth), np.zeros(depth, np.int64)
        itself = np.zeros(1, np.int64)  # one tap at offset 0: the columns of gy are gy
        for task in range(t * groups * blocks // threads, (t + 1) * groups * blocks // threads):
            g = task // blocks
            first = task % blocks * rows_per_block
            last = min(rows, first + rows_per_block)
            width = (last - first) * size[1]
            columns = columns_space[: depth * width].reshape(depth, width)
            block = gy_space[: outputs * width].reshape(outputs, width)
            _gather(x, g * channels, down, right, step, size, first, last, columns)
            _gather(gy, g * outputs, itself, itself, (1, 1), size, first, last, block)
            if few:
                add_dots(block, columns, every_row, unshifted, 0, width, partial[t, g])
            else:
                gemm(block, columns.T, partial[t, g, :outputs, :depth], 1)
