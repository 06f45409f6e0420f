"""Group norm on the CPU, and with it layer and instance norm: a row is what shares one mean and one variance.

A row is summed, centred and scaled while it is in the cache: forward and backward read memory once. Threads take blocks
of rows, and each block adds up the parameters' gradients of its own; the few blocks are added at the end, in order.

Rows of one value a channel (layer norm) run along the channels, others along each channel's plane.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from ..jit import get_num_threads, parallel, prange, serial
from .sums import plane_moments, plane_sums

# Without fused multiply-adds: weight · gy is rounded before its mean is taken off, so that equal values cancel to 0.
_rounded = numba.njit(cache=True, nogil=True)

ALONE = 1 << 13  # elements up to which the caller's thread is done before others are awake


def group_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> tuple[np.ndarray, ...]:
    """See `kernels.norm.group_norm`."""
    y = np.empty_like(x)
    mean, var = np.empty((2, *x.shape[:2]), x.dtype)
    rows = x.shape[0] * x.shape[1]
    flat: Any = [a.reshape(rows, *a.shape[2:]) for a in (x, y, mean, var)]
    if x.size <= ALONE:
        _forward_rows(0, rows, weight, bias, eps, *flat)
    else:
        _forward(_blocks(rows), weight, bias, eps, *flat)
    return y, mean, var, (var + eps) ** -0.5


def group_norm_grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.group_norm_grad`."""
    gx = np.empty_like(x)
    rows = x.shape[0] * x.shape[1]
    blocks = 1 if x.size <= ALONE else _blocks(rows)
    partial = np.zeros((blocks, 2, *weight.shape))
    flat: Any = [a.reshape(rows, *a.shape[2:]) for a in (gy, x, mean, rstd, gx)]
    if blocks == 1:
        _backward_rows(partial[0], 0, rows, weight, *flat)
    else:
        _backward(partial, weight, *flat)
    gw, gb = partial.sum(0).astype(x.dtype)
    return gx, gw, gb


def _blocks(rows: int) -> int:
    return min(rows, get_num_threads())


@parallel
def _forward(blocks, weight, bias, eps, x, y, mean, var):
    rows = x.shape[0]
    for block in prange(blocks):
        _forward_rows(block * rows // blocks, (block + 1) * rows // blocks, weight, bias, eps, x, y, mean, var)


@serial
def _forward_rows(first, last, weight, bias, eps, x, y, mean, var):
    groups, channels, size = len(weight), x.shape[1], x.shape[2]
    for r in range(first, last):
        centre, squares = plane_moments(x[r].reshape(channels * size))
        squares /= max(channels * size, 1)
        w, b, m, scale = (
            weight[r % groups],
            bias[r % groups],
            x.dtype.type(centre),
            x.dtype.type(1 / np.sqrt(squares + eps)),
        )
        mean[r], var[r] = m, squares
        if size == 1:
            _normalize_channels(x[r].reshape(channels), m, scale, w, b, y[r].reshape(channels))
        else:
            for k in range(channels):
                _normalize_plane(x[r, k], m, scale * w[k], b[k], y[r, k])


@serial
def _normalize_channels(x, mean, scale, weight, bias, y):
    for k in range(x.size):
        y[k] = (x[k] - mean) * scale * weight[k] + bias[k]


@serial
def _normalize_plane(x, mean, scale, bias, y):
    # x - mean first: with the mean folded into the bias, a large offset would cancel in float32.
    for i in range(x.size):
        y[i] = (x[i] - mean) * scale + bias


@parallel
def _backward(partial, weight, gy, x, mean, rstd, gx):
    rows, blocks = x.shape[0], len(partial)
    for block in prange(blocks):
        first, last = block * rows // blocks, (block + 1) * rows // blocks
        _backward_rows(partial[block], first, last, weight, gy, x, mean, rstd, gx)


@serial
def _backward_rows(partial, first, last, weight, gy, x, mean, rstd, gx):
    """gx of some rows, and their part of gw and gb: with u = w gy, gx = rstd (u − mean u − x̂ mean(u x̂))."""
    n = x.shape[1]
    for r in range(first, last):
        group = r % len(weight)
        sums = partial[0, group], partial[1, group]
        if x.shape[2] == 1:
            flat = gy[r].reshape(n), x[r].reshape(n), gx[r].reshape(n)
            _backward_channels(*flat, mean[r], rstd[r], weight[group], *sums)
        else:
            _backward_planes(gy[r], x[r], mean[r], rstd[r], weight[group], gx[r], *sums)


@serial
def _backward_channels(gy, x, gx, mean, rstd, weight, gw, gb):
    _multiply(weight, gy, gx)
    product, total = plane_sums(gx, x, mean)
    n = max(x.size, 1)
    shift, slope = x.dtype.type(total / n), x.dtype.type(rstd**2 * product / n)
    for k in range(x.size):
        apart = x[k] - mean
        gx[k] = rstd * ((gx[k] - shift) - slope * apart)
    for k in range(x.size):
        gw[k] += gy[k] * ((x[k] - mean) * rstd)
        gb[k] += gy[k]


@_rounded
def _multiply(a, b, y):
    for k in range(y.size):
        y[k] = a[k] * b[k]


@serial
def _backward_planes(gy, x, mean, rstd, weight, gx, gw, gb):
    product, total, n = np.float64(0), np.float64(0), max(x.size, 1)
    for k in range(len(x)):
        p, t = plane_sums(gy[k], x[k], mean)
        gw[k] += p * rstd
        gb[k] += t
        product += weight[k] * p
        total += weight[k] * t
    shift, slope = x.dtype.type(total / n), x.dtype.type(rstd**2 * product / n)
    for k in range(len(x)):
        _grad_plane(gy[k], x[k], mean, rstd, weight[k], shift, slope, gx[k])


@_rounded
def _grad_plane(gy, x, mean, rstd, weight, shift, slope, gx):
    for i in range(x.size):
        gx[i] = rstd * ((weight * gy[i] - shift) - slope * (x[i] - mean))
