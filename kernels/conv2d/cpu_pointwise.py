"""1x1 convolution with stride 1 and no padding: the image is its own column matrix, so nothing is gathered.

y[n, g] = w[g]·x[n, g] over matrices (channels, pixels); pixels are cut into blocks only to share them among threads.
"""

from __future__ import annotations

import numpy as np

from ..blas import gemm
from ..jit import parallel, prange

__all__ = ["correlate", "correlate_weight"]


@parallel
def correlate(x, w, bias, y, pixels, threads):
    """y (N, G, O/G, S) = w (G, O/G, C/G) · x (N, G, C/G, S) + bias (G, O/G), `pixels` of S at a time."""
    batch, groups, outputs, size = y.shape
    blocks = -(-size // pixels)
    tasks = batch * groups * blocks
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g = task // blocks // groups, task // blocks % groups
            first = task % blocks * pixels
            target = y[n, g, :, first : first + pixels]
            gemm(w[g], x[n, g, :, first : first + pixels], target, 0)
            for o in range(outputs):
                row = target[o]
                for s in range(len(row)):
                    row[s] += bias[g, o]


@parallel
def correlate_weight(x, gy, pixels, threads):
    """gw (T, G, O/G, C/G) = Σ_n gy (N, G, O/G, S) · x (N, G, C/G, S)ᵀ: one partial sum per thread."""
    batch, groups, outputs, size = gy.shape
    blocks = -(-size // pixels)
    tasks = batch * groups * blocks
    partial = np.zeros((threads, groups, outputs, x.shape[2]), x.dtype)
    for t in prange(threads):
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g = task // blocks // groups, task // blocks % groups
            first = task % blocks * pixels
            last = first + pixels
            gemm(gy[n, g, :, first:last], x[n, g, :, first:last].T, partial[t, g], 1)
    return partial
