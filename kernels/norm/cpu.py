"""Normalisation on the CPU: the plane x[n, c] is the unit of work, small enough to be read twice from the
cache.

Every sum is taken plane by plane in float64 and then over the batch in order: the result does not depend on
which thread had which plane, and float32 loses nothing.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange, serial


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """See `kernels.norm.moments`; x is (N, C, S)."""
    mean, var = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    _moments(x, np.empty((2, *x.shape[:2])), mean, var)
    return mean, var


def normalize(x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """See `kernels.norm.normalize`."""
    y = np.empty_like(x)
    _normalize(x, mean, weight * rstd, bias, y)
    return y


def grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.grad`; `share` is 1 / M, and 0 where the statistics are constants."""
    gx, gw, gb = np.empty_like(x), np.empty_like(mean), np.empty_like(mean)
    _grad(gy, x, mean, rstd, weight, x.dtype.type(share), np.empty((2, *x.shape[:2])), gx, gw, gb)
    return gx, gw, gb


@serial
def _plane_moments(x):
    """Mean of one plane, and Σ (x − mean)² around it."""
    total = np.float64(0)  # wide also where x is float32
    for i in range(x.size):
        total += x[i]
    mean = total / x.size
    squares = np.float64(0)
    for i in range(x.size):
        squares += (x[i] - mean) ** 2
    return mean, squares


@serial
def _combine(means, squares, size):
    """Mean and variance of planes of `size` values from each plane's own (Chan, Golub & LeVeque 1983).

    Σ (x − mean)² over all = Σ_planes [Σ (x − m)² + size (m − mean)²]: two sums of positive terms, nothing
    cancels.
    """
    if means.size * size == 0:
        return np.nan, np.nan
    mean = means.sum() / means.size
    total = np.float64(0)  # wide also where x is float32
    for n in range(means.size):
        total += squares[n] + size * (means[n] - mean) ** 2
    return mean, total / (means.size * size)


@parallel
def _moments(x, partial, mean, var):
    batch, channels, size = x.shape
    if size > 0:
        for plane in prange(batch * channels):
            n, c = plane // channels, plane % channels
            partial[0, n, c], partial[1, n, c] = _plane_moments(x[n, c])
    for c in range(channels):
        mean[c], var[c] = _combine(partial[0, :, c], partial[1, :, c], size)


@parallel
def _normalize(x, mean, scale, bias, y):
    # x - mean first: with the mean folded into the bias, a large offset would cancel in float32.
    channels = x.shape[1]
    for plane in prange(x.shape[0] * channels):
        n, c = plane // channels, plane % channels
        for i in range(x.shape[2]):
            y[n, c, i] = (x[n, c, i] - mean[c]) * scale[c] + bias[c]


@serial
def _plane_sums(gy, x, mean):
    """Σ gy (x − mean) and Σ gy of one plane."""
    product, total = np.float64(0), np.float64(0)
    for i in range(x.size):
        product += gy[i] * (x[i] - mean)
        total += gy[i]
    return product, total


@serial
def _finish_sums(partial, rstd, gw, gb):
    """Add up the planes of each channel in the order of the batch."""
    for c in range(gw.size):
        product, total = np.float64(0), np.float64(0)
        for n in range(partial.shape[1]):
            product += partial[0, n, c]
            total += partial[1, n, c]
        gw[c] = product * rstd[c]
        gb[c] = total


@parallel
def _grad(gy, x, mean, rstd, weight, share, partial, gx, gw, gb):
    batch, channels, size = x.shape
    for plane in prange(batch * channels):
        n, c = plane // channels, plane % channels
        partial[0, n, c], partial[1, n, c] = _plane_sums(gy[n, c], x[n, c], mean[c])
    _finish_sums(partial, rstd, gw, gb)
    for plane in prange(batch * channels):
        n, c = plane // channels, plane % channels
        # gx = scale (gy - shift - slope (x - mean))
        scale, shift, slope = weight[c] * rstd[c], gb[c] * share, gw[c] * share * rstd[c]
        for i in range(size):
            gx[n, c, i] = scale * (gy[n, c, i] - shift - slope * (x[n, c, i] - mean[c]))
