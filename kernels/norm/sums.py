"""The sums that normalisations of every layout are made of; in float64, whatever they add up (CPU kernels only)."""

from __future__ import annotations

import numpy as np

from ..jit import serial

__all__ = ["combine", "finish_sums", "plane_moments", "plane_sums"]


@serial
def plane_moments(x):
    """Mean of one plane, and Σ (x − mean)² around it."""
    total = np.float64(0)  # wide also where x is float32
    for i in range(x.size):
        total += x[i]
    mean = total / max(x.size, 1)
    squares = np.float64(0)
    for i in range(x.size):
        squares += (x[i] - mean) ** 2
    return mean, squares


@serial
def combine(means, squares, size):
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


@serial
def plane_sums(gy, x, mean):
    """Σ gy (x − mean) and Σ gy of one plane."""
    product, total = np.float64(0), np.float64(0)
    for i in range(x.size):
        product += gy[i] * (x[i] - mean)
        total += gy[i]
    return product, total


@serial
def finish_sums(partial, rstd, gw, gb):
    """Add up the planes of each channel in the order of the batch."""
    for c in range(gw.size):
        product, total = np.float64(0), np.float64(0)
        for n in range(partial.shape[1]):
            product += partial[0, n, c]
            total += partial[1, n, c]
        gw[c] = product * rstd[c]
        gb[c] = total
