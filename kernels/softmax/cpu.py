"""Softmax on the CPU, and what it shares with the cross-entropy (`cpu_loss.py`).

Side by side lie either the K values of one softmax (inner = 1: a row) or the same class of many pixels (inner
> 1: a block of `BLOCK` pixels, whose maxima and sums fit the first cache). In both the inner loop runs along
memory, and what a second loop reads is still in the cache.
"""

from __future__ import annotations

import numpy as np

from ..elementwise.exponential import exp
from ..elementwise.exponential import log as logarithm
from ..jit import parallel, prange, serial
from .cpu_loss import BLOCK, block_sums, cross_entropy, cross_entropy_grad, largest_of, scaled_exp

__all__ = ["cross_entropy", "cross_entropy_grad", "softmax", "softmax_grad"]


def softmax(x: np.ndarray, log: bool) -> np.ndarray:
    """See `kernels.softmax.softmax` and `log_softmax`."""
    y = np.empty_like(x)
    if x.size == 0:
        return y
    if x.shape[2] != 1:
        _softmax_blocks(x, y, log)
    elif x.size <= ALONE:
        _softmax_rows(_rows(x), _rows(y), log)
    else:
        _softmax_all_rows(_rows(x), _rows(y), log)
    return y


def softmax_grad(gy: np.ndarray, y: np.ndarray, log: bool) -> np.ndarray:
    """See `kernels.softmax.softmax_grad` and `log_softmax_grad`."""
    gx = np.empty_like(y)
    if y.shape[2] != 1:
        _softmax_grad_blocks(gy, y, gx, log)
    elif y.size <= ALONE:
        _softmax_grad_rows(_rows(gy), _rows(y), _rows(gx), log)
    else:
        _softmax_grad_all_rows(_rows(gy), _rows(y), _rows(gx), log)
    return gx


ALONE = 1 << 14  # values that the caller's thread is done with before others are awake
ROWS = 8  # that a thread takes at a time
VALUES = 1 << 10  # in a block of rows


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[:2])


@parallel
def _softmax_all_rows(x, y, log):
    for block in prange((len(x) + ROWS - 1) // ROWS):
        _softmax_rows(x[block * ROWS : (block + 1) * ROWS], y[block * ROWS : (block + 1) * ROWS], log)


@serial
def _softmax_rows(x, y, log):
    """Blocks of rows: the exponentials of all in one long loop, however short a row is."""
    many = max(1, VALUES // x.shape[1])
    largest = np.empty(many, x.dtype)
    for first in range(0, len(x), many):
        rows = min(many, len(x) - first)
        for row in range(rows):
            largest[row] = largest_of(x[first + row], y[first + row])
            _subtract(x[first + row], largest[row], y[first + row])
        _exponentials(y[first : first + rows].reshape(-1))
        for row in range(rows):
            _finish_row(x[first + row], largest[row], y[first + row], log)


@serial
def _subtract(x, shift, y):
    for k in range(x.size):
        y[k] = x[k] - shift


@serial
def _exponentials(y):
    for i in range(y.size):
        y[i] = exp(y[i])


@serial
def _finish_row(x, largest, y, log):
    total = y.dtype.type(0)
    for k in range(y.size):
        total += y[k]
    if log:
        rest = logarithm(total)
        for k in range(x.size):
            y[k] = (x[k] - largest) - rest  # two steps, because `largest` can be large where the difference is not
    else:
        share = x.dtype.type(1 / total)
        for k in range(x.size):
            y[k] *= share


@parallel
def _softmax_grad_all_rows(gy, y, gx, log):
    for block in prange((len(y) + ROWS - 1) // ROWS):
        a, b = block * ROWS, (block + 1) * ROWS
        _softmax_grad_rows(gy[a:b], y[a:b], gx[a:b], log)


@serial
def _softmax_grad_rows(gy, y, gx, log):
    for row in range(len(y)):
        _softmax_grad_row(gy[row], y[row], gx[row], log)


@serial
def _softmax_grad_row(gy, y, gx, log):
    total = y.dtype.type(0)
    if log:
        for k in range(y.size):
            total += gy[k]
        for k in range(y.size):
            gx[k] = gy[k] - exp(y[k]) * total
    else:
        for k in range(y.size):
            total += gy[k] * y[k]
        for k in range(y.size):
            gx[k] = y[k] * (gy[k] - total)


@parallel
def _softmax_blocks(x, y, log):
    blocks = (x.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(x.shape[0] * blocks):
        o, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        largest, total = block_sums(x[o], first, last)
        _finish_sums(total, log)
        for k in range(x.shape[1]):
            if log:
                _subtract_both(x[o, k, first:last], largest, total, y[o, k, first:last])
            else:
                scaled_exp(x[o, k, first:last], largest, total, y[o, k, first:last])


@serial
def _finish_sums(total, log):
    if log:
        for s in range(total.size):
            total[s] = logarithm(total[s])
    else:
        for s in range(total.size):
            total[s] = 1 / total[s]


@serial
def _subtract_both(x, shift, rest, y):
    for s in range(x.size):
        y[s] = (x[s] - shift[s]) - rest[s]


@parallel
def _softmax_grad_blocks(gy, y, gx, log):
    blocks = (y.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(y.shape[0] * blocks):
        o, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, y.shape[2])
        total = np.zeros(last - first, y.dtype)
        for k in range(y.shape[1]):
            _add_to_sums(gy[o, k, first:last], y[o, k, first:last], log, total)
        for k in range(y.shape[1]):
            _subtract_sums(gy[o, k, first:last], y[o, k, first:last], total, log, gx[o, k, first:last])


@serial
def _add_to_sums(gy, y, log, total):
    if log:
        for s in range(total.size):
            total[s] += gy[s]
    else:
        for s in range(total.size):
            total[s] += gy[s] * y[s]


@serial
def _subtract_sums(gy, y, total, log, gx):
    if log:
        for s in range(total.size):
            gx[s] = gy[s] - exp(y[s]) * total[s]
    else:
        for s in range(total.size):
            gx[s] = y[s] * (gy[s] - total[s])
