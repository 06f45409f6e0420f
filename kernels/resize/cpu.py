"""Interpolation on the CPU: y = A x Bᵀ with sparse A and B, one output row at a time.

A row of y first mixes the rows of x that its row of A names, a vectorised pass over each, and then mixes the
columns of that one row. Neighbouring rows are worked on by the same thread, which has their sources still in
its cache.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange, serial
from . import Rows


def product(x: np.ndarray, a: Rows, b: Rows) -> np.ndarray:
    """A x Bᵀ for every plane of x: `resize` with the taps by output, its adjoint with the taps by input."""
    y = np.empty((*x.shape[:-2], a.source.shape[1], b.source.shape[1]), x.dtype)
    planes = int(np.prod(x.shape[:-2]))
    _product(
        x.reshape(planes, *x.shape[-2:]),
        a.source,
        a.weight.astype(x.dtype),
        b.source,
        b.weight.astype(x.dtype),
        y.reshape(planes, *y.shape[-2:]),
    )
    return y


@parallel
def _product(x, a_index, a_weight, b_index, b_weight, y):
    planes, rows, _ = y.shape
    for task in prange(planes * rows):
        plane, row = task // rows, task % rows
        mixed = np.zeros(x.shape[2], x.dtype)
        for t in range(a_index.shape[0]):
            if a_weight[t, row] != 0:
                _add_scaled(x[plane, a_index[t, row]], a_weight[t, row], mixed)
        y[plane, row, :] = 0
        for t in range(b_index.shape[0]):
            _add_taken(mixed, b_index[t], b_weight[t], y[plane, row])


@serial
def _add_scaled(x, scale, y):
    """y += scale x."""
    for w in range(y.size):
        y[w] += scale * x[w]


@serial
def _add_taken(x, index, weight, y):
    """y[j] += weight[j] x[index[j]], but nothing where the weight is 0 (0 · inf would be NaN)."""
    zero = x.dtype.type(0)
    for j in range(y.size):
        scale, value = weight[j], x[index[j]]
        y[j] += scale * value if scale != zero else zero
