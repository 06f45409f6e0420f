"""Local response normalisation on the CPU: a few columns of all channels are the unit of work, and stay in the cache.

Denominators, their powers and sums over windows are float64, also for float32. Every sum is taken anew: from a running
one the oldest value would be subtracted again, which leaves the rounding of large ones behind.
"""

from __future__ import annotations

import numpy as np

from ..elementwise.exponential import exp, log, strict
from ..jit import parallel, prange, serial

__all__ = ["response_norm", "response_norm_grad"]

WIDTH = 256  # columns of a task


def response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """See `kernels.norm.response_norm`; x is (N, C, S)."""
    y = np.empty_like(x)
    _forward(x, size, alpha / size, float(beta), float(k), y)
    return y


def response_norm_grad(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """See `kernels.norm.response_norm_grad`."""
    gx = np.empty_like(x)
    _backward(gy, x, size, alpha / size, float(beta), float(k), gx)
    return gx


@parallel
def _forward(x, size, scale, beta, k, y):
    batch, channels, columns = x.shape
    pieces = -(-columns // WIDTH)
    for task in prange(batch * pieces):
        n, start = task // pieces, task % pieces * WIDTH
        end = min(start + WIDTH, columns)
        d, power = np.empty(end - start), np.empty(end - start)
        for c in range(channels):
            _denominators(x[n, :, start:end], c, size, scale, k, d)
            _powers(d, -beta, power)
            _times(x[n, c, start:end], power, y[n, c, start:end])


@parallel
def _backward(gy, x, size, scale, beta, k, gx):
    batch, channels, columns = x.shape
    pieces = -(-columns // WIDTH)
    for task in prange(batch * pieces):
        n, start = task // pieces, task % pieces * WIDTH
        end = min(start + WIDTH, columns)
        d, total = np.empty(end - start), np.empty(end - start)
        powers, terms = np.empty((channels, end - start)), np.empty((channels, end - start))
        for c in range(channels):
            _denominators(x[n, :, start:end], c, size, scale, k, d)
            _powers(d, -beta, powers[c])
            _terms(gy[n, c, start:end], x[n, c, start:end], powers[c], d, terms[c])
        for c in range(channels):
            total[:] = 0
            for j in range(max(c - (size - 1) // 2, 0), min(c + size // 2 + 1, channels)):
                _add(terms[j], total)
            values = gy[n, c, start:end], x[n, c, start:end]
            _gradient(*values, powers[c], 2 * scale * beta, total, gx[n, c, start:end])


@serial
def _denominators(x, c, size, scale, k, d):
    """k + scale Σ x² over the channels around c."""
    d[:] = 0
    for j in range(max(c - size // 2, 0), min(c + (size - 1) // 2 + 1, len(x))):
        _add_squares(x[j], d)
    for i in range(d.size):
        d[i] = k + scale * d[i]


@serial
def _add_squares(x, total):
    for i in range(x.size):
        v = np.float64(x[i])
        total[i] += v * v


@serial
def _add(x, total):
    for i in range(x.size):
        total[i] += x[i]


@strict
def _powers(d, exponent, y):
    """d^exponent as e^(exponent log d), in vector instructions; what is not positive and finite as NumPy has it."""
    usual = True
    for i in range(d.size):
        y[i] = exp(exponent * log(d[i]))
        usual &= (d[i] > 0) & (d[i] < np.inf)
    if not usual:
        for i in range(d.size):
            y[i] = d[i] ** exponent


@strict
def _times(x, factors, y):
    for i in range(x.size):
        y[i] = x[i] * factors[i]


@strict
def _terms(gy, x, powers, d, terms):
    for i in range(x.size):
        terms[i] = gy[i] * powers[i] * x[i] / d[i]


@strict
def _gradient(gy, x, powers, factor, sums, gx):
    for i in range(x.size):
        gx[i] = gy[i] * powers[i] - factor * x[i] * sums[i]
