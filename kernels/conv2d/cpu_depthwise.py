"""Depthwise convolution: one input channel per group, so there is nothing to multiply matrices with.

A product (1, KH·KW) · (KH·KW, P) would spend its time gathering columns that are used once. Instead every output row
is a weighted sum of shifted input rows, one tap at a time, in a buffer that stays in the first-level cache.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange, serial
from .rows import add_row, inside

__all__ = ["correlate", "correlate_weight"]


@serial
def _dot_row(a, source, step):
    """Σ a[j] · source[j·step]."""
    total = a.dtype.type(0)
    if step == 1:
        for j in range(len(a)):
            total += a[j] * source[j]
    else:
        for j in range(len(a)):
            total += a[j] * source[j * step]
    return total


@serial
def _row(plane, w, bias, down, right, step, i, row):
    """One output row: bias + Σ w[p, q] · plane[i·step + down[p], j·step + right[q]]."""
    height, width = plane.shape
    row[:] = bias
    for p in range(len(down)):
        h = i * step[0] + down[p]
        if 0 <= h < height:
            for q in range(len(right)):
                lo, hi = inside(width, right[q], step[1], len(row))
                if lo < hi:
                    source = plane[h, lo * step[1] + right[q] :]
                    add_row(w[p * len(right) + q], source, step[1], row[lo:hi])


@parallel
def correlate(x, w, bias, down, right, step, y, origin, every, size, threads):
    """As in `cpu_columns`, for one input channel per group: w (G, O/G, KH·KW), every output plane a task of its own."""
    outputs = w.shape[1]
    planes = y.shape[0] * y.shape[1]
    for t in prange(threads):
        row = np.empty(size[1], x.dtype)
        for task in range(t * planes // threads, (t + 1) * planes // threads):
            n, o = task // y.shape[1], task % y.shape[1]
            plane, kernel = x[n, o // outputs], w[o // outputs, o % outputs]
            for i in range(size[0]):
                _row(plane, kernel, bias[o], down, right, step, i, row)
                target = y[n, o, origin[0] + every[0] * i, origin[1] :]
                for j in range(size[1]):
                    target[j * every[1]] = row[j]


@serial
def _plane_weight(plane, gy, down, right, step, gw):
    """gw[p, q] += Σ gy[i, j] · plane[i·step + down[p], j·step + right[q]]."""
    height, width = plane.shape
    for p in range(len(down)):
        for q in range(len(right)):
            lo, hi = inside(width, right[q], step[1], gy.shape[1])
            for i in range(gy.shape[0]):
                h = i * step[0] + down[p]
                if 0 <= h < height and lo < hi:
                    source = plane[h, lo * step[1] + right[q] :]
                    gw[p * len(right) + q] += _dot_row(gy[i, lo:hi], source, step[1])


@parallel
def correlate_weight(x, gy, down, right, step, gw, threads):
    """gw (G, O/G, KH·KW) += as in `cpu_columns`: each channel sums over the batch on one thread."""
    channels = gy.shape[1]
    outputs = channels // x.shape[1]
    for t in prange(threads):
        for o in range(t * channels // threads, (t + 1) * channels // threads):
            for n in range(gy.shape[0]):
                _plane_weight(x[n, o // outputs], gy[n, o], down, right, step, gw[o // outputs, o % outputs])
