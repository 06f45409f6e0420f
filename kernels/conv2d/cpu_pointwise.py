"""1x1 convolution with stride 1 and no padding: the image is its own column matrix, so nothing is gathered.

y[n, g] = w[g]·x[n, g] over matrices (channels, pixels); pixels are cut into blocks only to share them among threads.
"""

from __future__ import annotations

import numpy as np

from ..blas import gemm
from ..dots import add_dots
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
def correlate_weight(x, gy, pixels, few, partial):
    """partial (T, G, O/G, C/G) += Σ_n gy (N, G, O/G, S) · x (N, G, C/G, S)ᵀ, one sum a thread.

    Its last two axes are rounded up to `whole_tiles`. `few`: the rows of gy are too few for BLAS (see `dots`).
    """
    threads = partial.shape[0]
    batch, groups, outputs, size = gy.shape
    channels = x.shape[2]
    blocks = -(-size // pixels)
    tasks = batch * groups * blocks
    for t in prange(threads):
        every_row, unshifted = np.arange(channels), np.zeros(channels, np.int64)
        for task in range(t * tasks // threads, (t + 1) * tasks // threads):
            n, g = task // blocks // groups, task // blocks % groups
            first = task % blocks * pixels
            last = min(size, first + pixels)
            if few:
                add_dots(gy[n, g], x[n, g], every_row, unshifted, first, last, partial[t, g])
            else:
                gemm(gy[n, g, :, first:last], x[n, g, :, first:last].T, partial[t, g, :outputs, :channels], 1)
