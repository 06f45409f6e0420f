"""Batch norm of vectors and of very small planes: (N, C, S) is read as rows of C·S columns, each with its channel's μ.

All loops run along the rows of memory. The sums of a block of columns stay in the cache while its rows go by.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import parallel, prange, serial
from .sums import combine, finish_sums

ALONE = 1 << 15  # values that the caller's thread is done with before others are awake
COLUMNS = 64  # of a block, whose sums are added up together
ROWS = 16


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of `kernels.norm.moments`; x is (N, C, S)."""
    partial: Any = np.zeros((2, *x.shape[1:]))
    flat, means, squares = _rows(x), partial[0].reshape(-1), partial[1].reshape(-1)
    if x.size <= ALONE:
        _column_moments(flat, means, squares)
    else:
        _moments(flat, means, squares)
    mean, var = np.empty((2, x.shape[1]), x.dtype)
    _combine_columns(partial[0], partial[1], len(x), mean, var)
    return mean, var


def normalize(x: np.ndarray, mean: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """See `kernels.norm.normalize`, with scale = weight · rstd."""
    y = np.empty_like(x)
    arrays = [_rows(x), *_by_column(x, mean, scale, bias), _rows(y)]
    (_normalize_rows if x.size <= ALONE else _normalize)(*arrays)
    return y


def grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.grad`."""
    gw, gb = _sums(gy, x, mean, rstd)
    gx, share = np.empty_like(x), x.dtype.type(1 / max(len(x) * x.shape[2], 1))
    vectors = _by_column(x, mean, weight * rstd, gb * share, gw * share * rstd)
    arrays = [_rows(gy), _rows(x), *vectors, _rows(gx)]
    (_grad_rows if x.size <= ALONE else _grad)(*arrays)
    return gx, gw, gb


def grad_eval(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.grad_eval`: gx is gy normalised by the same scale around 0."""
    zeros = np.zeros_like(mean)
    return normalize(gy, zeros, weight * rstd, zeros), *_sums(gy, x, mean, rstd)


def _sums(gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """gw = Σ gy (x − mean) rstd and gb = Σ gy."""
    partial: Any = np.zeros((2, *x.shape[1:]))
    flat = _rows(gy), _rows(x), *_by_column(x, mean), partial[0].reshape(-1), partial[1].reshape(-1)
    (_column_sums if x.size <= ALONE else _add_columns)(*flat)
    gw, gb = np.empty((2, *mean.shape), x.dtype)
    finish_sums(partial.transpose(0, 2, 1), rstd, gw, gb)
    return gw, gb


def _rows(x: np.ndarray) -> Any:
    return x.reshape(len(x), x.shape[1] * x.shape[2])


def _by_column(x: np.ndarray, *vectors: np.ndarray) -> Any:
    return [np.repeat(v, x.shape[2]) for v in vectors]


@serial
def _column_moments(x, means, squares):
    """Mean of each column, and Σ (x − mean)² around it."""
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(means.size):
            means[j] += row[j]
    for j in range(means.size):
        means[j] /= max(x.shape[0], 1)
    for n in range(x.shape[0]):
        row = x[n]
        for j in range(means.size):
            squares[j] += (row[j] - means[j]) ** 2


@parallel
def _moments(x, means, squares):
    for block in prange((means.size + COLUMNS - 1) // COLUMNS):
        a, b = block * COLUMNS, min(means.size, (block + 1) * COLUMNS)
        _column_moments(x[:, a:b], means[a:b], squares[a:b])


@serial
def _combine_columns(means, squares, batch, mean, var):
    for c in range(mean.size):
        mean[c], var[c] = combine(means[c], squares[c], batch)


@serial
def _normalize_rows(x, mean, scale, bias, y):
    for n in range(x.shape[0]):
        row, target = x[n], y[n]
        for j in range(mean.size):
            target[j] = (row[j] - mean[j]) * scale[j] + bias[j]


@parallel
def _normalize(x, mean, scale, bias, y):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        a, b = block * ROWS, min(x.shape[0], (block + 1) * ROWS)
        _normalize_rows(x[a:b], mean, scale, bias, y[a:b])


@serial
def _column_sums(gy, x, mean, products, totals):
    """Σ gy (x − mean) and Σ gy of each column."""
    for n in range(x.shape[0]):
        g, row = gy[n], x[n]
        for j in range(mean.size):
            products[j] += g[j] * (row[j] - mean[j])
            totals[j] += g[j]


@parallel
def _add_columns(gy, x, mean, products, totals):
    for block in prange((mean.size + COLUMNS - 1) // COLUMNS):
        a, b = block * COLUMNS, min(mean.size, (block + 1) * COLUMNS)
        _column_sums(gy[:, a:b], x[:, a:b], mean[a:b], products[a:b], totals[a:b])


@serial
def _grad_rows(gy, x, mean, scale, shift, slope, gx):
    for n in range(x.shape[0]):
        g, row, target = gy[n], x[n], gx[n]
        for j in range(mean.size):
            target[j] = scale[j] * (g[j] - shift[j] - slope[j] * (row[j] - mean[j]))


@parallel
def _grad(gy, x, mean, scale, shift, slope, gx):
    for block in prange((x.shape[0] + ROWS - 1) // ROWS):
        a, b = block * ROWS, min(x.shape[0], (block + 1) * ROWS)
        _grad_rows(gy[a:b], x[a:b], mean, scale, shift, slope, gx[a:b])
