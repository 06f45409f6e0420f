"""The cross-entropy on the CPU, and the sums of exponentials that it shares with softmax; layouts as in `cpu.py`."""

from __future__ import annotations

import numpy as np

from ..elementwise.exponential import exp, log
from ..jit import parallel, prange, serial

__all__ = [
    "BLOCK",
    "LANES",
    "block_sums",
    "cross_entropy",
    "cross_entropy_grad",
    "largest_of",
    "row_sums",
    "scaled_exp",
]

BLOCK = 256  # pixels taken at a time
ROWS = 8
LANES = 32


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray, ignore_index: int
) -> tuple[np.ndarray, np.ndarray]:
    """See `kernels.softmax.cross_entropy`."""
    loss, lse = np.empty_like(x, shape=target.shape), np.empty_like(x, shape=target.shape)
    (_loss_rows if x.shape[2] == 1 else _loss_blocks)(x, target, weight, ignore_index, loss, lse)
    return loss, lse


def cross_entropy_grad(
    gy: np.ndarray, x: np.ndarray, lse: np.ndarray, target: np.ndarray, weight: np.ndarray, ignore_index: int
) -> np.ndarray:
    """See `kernels.softmax.cross_entropy_grad`."""
    gx = np.empty_like(x)
    (_grad_rows if x.shape[2] == 1 else _grad_blocks)(gy, x, lse, target, weight, ignore_index, gx)
    return gx


@serial
def row_sums(x, y):
    """max x and Σ e^(x − max), the exponentials left in y."""
    largest, total = largest_of(x, y), x.dtype.type(0)
    for k in range(x.size):
        y[k] = exp(x[k] - largest)
        total += y[k]
    return largest, total


@serial
def largest_of(x, lanes):
    """The largest of a row, column by column of `LANES`: a NaN, which is passed over, keeps the compiler from doing so.

    `lanes` is scratch of x's size, or of `LANES` elements.
    """
    whole = x.size // LANES * LANES if x.size >= 2 * LANES else 0
    if whole > 0:
        best = lanes[:LANES]
        for j in range(LANES):
            best[j] = x[j]
        for first in range(LANES, whole, LANES):
            piece = x[first : first + LANES]
            for j in range(LANES):
                best[j] = piece[j] if piece[j] > best[j] else best[j]
    largest = x[0]
    for j in range(LANES if whole > 0 else 0):
        largest = max(largest, lanes[j])
    a = b = c = largest  # four at a time, none of which waits for another
    rest = (x.size - whole) // 4 * 4
    for k in range(whole, whole + rest, 4):
        largest, a, b, c = max(largest, x[k]), max(a, x[k + 1]), max(b, x[k + 2]), max(c, x[k + 3])
    for k in range(whole + rest, x.size):
        largest = max(largest, x[k])
    return max(max(largest, a), max(b, c))


@serial
def block_sums(x, first, last):
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
def scaled_exp(x, shift, scale, y):
    """y = scale e^(x − shift), the last step of softmax and of the cross-entropy's gradient."""
    for s in range(x.size):
        y[s] = scale[s] * exp(x[s] - shift[s])


@serial
def _loss(x, largest, log_total, weight):
    """The loss of one pixel from its x_t: in two steps, because `largest` can be large where the difference is not."""
    return weight * ((largest - x) + log_total)


@parallel
def _loss_rows(x, target, weight, ignore_index, loss, lse):
    classes = x.shape[1]
    for block in prange((len(x) + ROWS - 1) // ROWS):
        scratch = np.empty(classes, x.dtype)
        for n in range(block * ROWS, min(len(x), (block + 1) * ROWS)):
            row, t = x[n].reshape(classes), target[n, 0]
            largest, total = row_sums(row, scratch)
            log_total = log(total)
            lse[n, 0] = largest + log_total
            if t == ignore_index:
                loss[n, 0] = 0
            else:
                loss[n, 0] = _loss(row[t], largest, log_total, weight[t]) if 0 <= t < classes else np.nan


@parallel
def _grad_rows(gy, x, lse, target, weight, ignore_index, gx):
    classes = x.shape[1]
    for block in prange((len(x) + ROWS - 1) // ROWS):
        for n in range(block * ROWS, min(len(x), (block + 1) * ROWS)):
            t, scale = target[n, 0], x.dtype.type(0)
            if t != ignore_index:
                scale = gy[n, 0] * weight[t] if 0 <= t < classes else x.dtype.type(np.nan)
            _scaled_exp_row(x[n].reshape(classes), lse[n, 0], scale, gx[n].reshape(classes))
            if 0 <= t < classes:
                gx[n, t, 0] -= scale


@serial
def _scaled_exp_row(x, shift, scale, y):
    for k in range(x.size):
        y[k] = scale * exp(x[k] - shift)


@parallel
def _loss_blocks(x, target, weight, ignore_index, loss, lse):
    blocks = (x.shape[2] + BLOCK - 1) // BLOCK
    for task in prange(x.shape[0] * blocks):
        n, first = task // blocks, task % blocks * BLOCK
        last = min(first + BLOCK, x.shape[2])
        largest, total = block_sums(x[n], first, last)
        _take_logs(largest, total, lse[n, first:last])
        for s in range(first, last):
            t = target[n, s]
            if t == ignore_index:
                loss[n, s] = 0
            elif 0 <= t < x.shape[1]:
                loss[n, s] = _loss(x[n, t, s], largest[s - first], total[s - first], weight[t])
            else:
                loss[n, s] = np.nan


@serial
def _take_logs(largest, total, lse):
    """Replace the sums by their logarithms, and write those of the whole."""
    for s in range(total.size):
        total[s] = log(total[s])
        lse[s] = largest[s] + total[s]


@parallel
def _grad_blocks(gy, x, lse, target, weight, ignore_index, gx):
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
            scaled_exp(x[n, k, first:last], lse[n, first:last], scale, gx[n, k, first:last])
        for s in range(first, last):
            t = target[n, s]
            if 0 <= t < x.shape[1]:
                gx[n, t, s] -= scale[s - first]
