"""Softmax and cross-entropy on the CPU.

Side by side lie either the K values of one softmax (inner = 1: a row) or the same class of many pixels (inner
> 1: a block of `BLOCK` pixels, whose maxima and sums fit the first cache). In both the inner loop runs along
memory.
"""

from __future__ import annotations

import math

import numpy as np

from ..elementwise.exponential import exp
from ..jit import parallel, prange, serial

BLOCK = 256


def softmax(x: np.ndarray, log: bool) -> np.ndarray:
    """See `kernels.softmax.softmax` and `log_softmax`."""
    y = np.empty_like(x)
    if x.shape[2] == 1:
        _softmax_rows(x[:, :, 0], y[:, :, 0], log)
    else:
        _softmax_blocks(x, y, log)
    return y


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """See `kernels.softmax.cross_entropy`."""
    loss, lse = np.empty_like(x, shape=target.shape), np.empty_like(x, shape=target.shape)
    _cross_entropy(x, target, weight, ignore_index, loss, lse)
    return loss, lse


def cross_entropy_grad(
    gy: np.ndarray, x: np.ndarray, lse: np.ndarray, target: np.ndarray, weight: np.ndarray, ignore_index: int
) -> np.ndarray:
    """See `kernels.softmax.cross_entropy_grad`."""
    gx = np.empty_like(x)
    _cross_entropy_grad(gy, x, lse, target, weight, ignore_index, gx)
    return gx


@parallel
def _softmax_rows(x, y, log):
    for row in prange(x.shape[0]):
        _softmax_row(x[row], y[row], log)


@serial
def _softmax_row(x, y, log):
    largest = x[0]
    for k in range(x.size):
        largest = max(largest, x[k])
    total = x.dtype.type(0)
    for k in range(x.size):
        y[k] = exp(x[k] - largest)
        total += y[k]
    if log:
        total = math.log(total)
        for k in range(x.size):
            y[k] = (x[k] - largest) - total
    else:
        for k in range(x.size):
            y[k] /= total


@serial
def _block_sums(x, first, last):
    """max_k x[k, s] and Σ_k e^(x[k, s] − max) for the pixels s = first..last-1."""
    largest, total = x[0, first:last].copy(), np.zeros(last - first, x.dtype)
    for k in range(1, x.shape[0]):
        row = x[k, first:last]
        for s in range(row.size):
            largest[s] = row[s] if row[s] > largest[s] else largest[s]
    for k in range(x.shape[0]):
        row = x[k, first:last]
        for s in range(row.size):
            total[s] += exp(row[s] - largest[s])
    return largest, total


@serial
def _scaled_exp(x, shift, scale, y):
    """y = scale e^(x − shift), the last step of softmax and of the cross-entropy's gradient."""
    for s in range(x.size):
        y[s] = scale[s] * exp(x[s] - shift[s])


@serial
def _subtract_both(x, shift, rest, y):
    """y = (x − shift) − rest: two steps, because shift can be large where x − shift is not."""
    for s in range(x.size):
        y[s] = (x[s] - shift[s]) - rest[s]


@parallel
def _softmax_blocks(x, y, log):
    blocks = (x.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(x.shape[0] * blocks):
        o, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        largest, total = _block_sums(x[o], first, last)
        for s in range(total.size):
            total[s] = math.log(total[s]) if log else 1 / total[s]
        for k in range(x.shape[1]):
            if log:
                _subtract_both(x[o, k, first:last], largest, total, y[o, k, first:last])
            else:
                _scaled_exp(x[o, k, first:last], largest, total, y[o, k, first:last])


@parallel
def _cross_entropy(x, target, weight, ignore_index, loss, lse):
    blocks = (x.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(x.shape[0] * blocks):
        n, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        largest, total = _block_sums(x[n], first, last)
        for s in range(first, last):
            t = target[n, s]
            log_total = math.log(total[s - first])
            lse[n, s] = largest[s - first] + log_total
            if t == ignore_index:
                loss[n, s] = 0
            elif 0 <= t < x.shape[1]:
                loss[n, s] = weight[t] * ((largest[s - first] - x[n, t, s]) + log_total)
            else:
                loss[n, s] = np.nan


@parallel
def _cross_entropy_grad(gy, x, lse, target, weight, ignore_index, gx):
    blocks = (x.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(x.shape[0] * blocks):
        n, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        scale = np.zeros(last - first, x.dtype)
        for s in range(first, last):
            t = target[n, s]
            if t != ignore_index:
                scale[s - first] = gy[n, s] * weight[t] if 0 <= t < x.shape[1] else np.nan
        for k in range(x.shape[1]):
            _scaled_exp(x[n, k, first:last], lse[n, first:last], scale, gx[n, k, first:last])
        for s in range(first, last):
            t = target[n, s]
            if 0 <= t < x.shape[1]:
                gx[n, t, s] -= scale[s - first]
