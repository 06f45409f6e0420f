"""Version 3, depthwise: one input channel per group, so there is nothing to multiply matrices with.

Every plane is copied once with its padding; an output row is then a sum of shifted rows of that copy, one per tap, and
a register holds neighbouring pixels of it until the last tap has been added. Strides are taken from the sum for
stride 1.
"""

from __future__ import annotations

import numba
import numpy as np

from ..jit import parallel, prange
from ..simd import BYTES
from ..tiles import add_products
from . import ConvGeometry, Pair
from .rows import copy_block
from .taps import backward_axis, forward_axis

__all__ = ["applies", "correlate", "correlate_weight"]


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """Where every group has one input and one output channel."""
    return tuple(weight_shape[:2]) == (geometry.groups, 1)


@parallel
def _correlate(x, w, bias, top, left, height, pitch, steps, taps, which, every, origin, across, y, threads):
    """The pixels of one phase: y[n, g, origin + every·(i, j)] = bias[g] + Σ_k w[g, which[k]] · x[... + taps[k]]."""
    planes = y.shape[0] * y.shape[1]
    lane = BYTES // x.itemsize
    here = np.zeros(1, np.int64)
    for t in prange(threads):
        vectors = -(-((across[0] - 1) * steps[0] * pitch + (across[1] - 1) * steps[1] + 1) // lane)
        padded = np.zeros(height * pitch + lane, x.dtype)
        total = np.empty(vectors * lane, x.dtype)
        flat_w = w.reshape(-1)
        for task in range(t * planes // threads, (t + 1) * planes // threads):
            n, g = task // y.shape[1], task % y.shape[1]
            copy_block(x, n, 1, g, 1, top, left, height, pitch, 0, 0, padded)
            total[:] = bias[g]
            add_products(flat_w, g * w.shape[1], here, which, padded, 0, taps, total, 0, here, 1, vectors, 1)
            for i in range(across[0]):
                source = total[i * steps[0] * pitch :]
                target = y[n, g, origin[0] + i * every[0], origin[1] :]
                for j in range(across[1]):
                    target[j * every[1]] = source[j * steps[1]]


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    """See `cpu`."""
    axis = backward_axis if adjoint else forward_axis
    down, right = axis(0, w.shape[2], geometry), axis(1, w.shape[3], geometry)
    steps = (-(-size[0] // down.every), -(-size[1] // right.every))
    height, pitch = (steps[0] - 1) * down.step + down.span, (steps[1] - 1) * right.step + right.span
    every, weights = (down.every, right.every), w.reshape(len(w), -1)
    b = np.zeros(len(w), x.dtype) if bias is None else bias
    y = np.zeros((*x.shape[:2], *size), x.dtype)
    for above, r, p, rows in down.phases(size[0]):
        for before, s, q, columns in right.phases(size[1]):
            taps = ((above - down.first)[:, None] * pitch + before - right.first).ravel()
            which = (p[:, None] * right.taps + q).ravel()
            if rows and columns:
                _correlate(x, weights, b, down.first, right.first, height, pitch, (down.step, right.step), taps, which,
                           every, (r, s), (rows, columns), y, numba.get_num_threads())  # fmt: skip
    return y


@parallel
def _correlate_weight(x, gy, top, left, height, pitch, step, taps, gw, threads):
    channels = gy.shape[1]
    for t in prange(threads):
        padded = np.zeros(height * pitch, x.dtype)
        for g in range(t * channels // threads, (t + 1) * channels // threads):
            for n in range(gy.shape[0]):
                copy_block(x, n, 1, g, 1, top, left, height, pitch, 0, 0, padded)
                for i in range(gy.shape[2]):
                    row = gy[n, g, i]
                    for k in range(len(taps)):
                        source = padded[i * step[0] * pitch + taps[k] :]
                        total = x.dtype.type(0)
                        if step[1] == 1:
                            for j in range(len(row)):
                                total += row[j] * source[j]
                        else:
                            for j in range(len(row)):
                                total += row[j] * source[j * step[1]]
                        gw[g, k] += total


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See `cpu`: each channel sums over the batch on one thread."""
    down, right = (forward_axis(a, kernel_size[a], geometry) for a in (0, 1))
    height, pitch = (gy.shape[2] - 1) * down.step + down.span, (gy.shape[3] - 1) * right.step + right.span
    taps = ((down.parts[0].offset - down.first)[:, None] * pitch + right.parts[0].offset - right.first).ravel()
    gw = np.zeros((gy.shape[1], len(taps)), x.dtype)
    step = (down.step, right.step)
    _correlate_weight(x, gy, down.first, right.first, height, pitch, step, taps, gw, numba.get_num_threads())
    return gw.reshape(-1, 1, *kernel_size)
