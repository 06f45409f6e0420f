"""Interpolation as a product with dense matrices, written out: the definition."""

from __future__ import annotations

import numpy as np

from . import Taps


def matrix(taps: Taps) -> np.ndarray:
    """The (out_size, in_size) matrix that the taps describe output by output."""
    dense = np.zeros((taps.out_size, taps.in_size))
    for output in range(taps.out_size):
        for index, weight in zip(taps.by_output.source[:, output], taps.by_output.weight[:, output], strict=True):
            dense[output, index] += weight
    return dense


def resize(x: np.ndarray, taps_h: Taps, taps_w: Taps) -> np.ndarray:
    """Every output is a sum over every input."""
    return _product(x, matrix(taps_h), matrix(taps_w))


def adjoint(gy: np.ndarray, taps_h: Taps, taps_w: Taps) -> np.ndarray:
    """The same sum with the matrices transposed."""
    return _product(gy, matrix(taps_h).T, matrix(taps_w).T)


def _product(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    y = np.zeros((*x.shape[:-2], len(a), len(b)), x.dtype)
    for i, h in np.argwhere(a):
        for j, w in np.argwhere(b):
            y[..., i, j] += a[i, h] * b[j, w] * x[..., h, w]
    return y
