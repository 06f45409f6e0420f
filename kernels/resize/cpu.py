"""Interpolation on the CPU: y = A x Bᵀ with sparse A and B, one output row at a time.

A row of y first mixes the rows of x that its row of A names, a vectorised pass over each, and then mixes the
columns of that one row. Where it mixes the same rows as the one above, as with nearest neighbours, it is a copy of it.
Neighbouring rows are worked on by the same thread, which has their sources still in its cache.
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


TASKS = 16  # at least, for the threads to share


@parallel
def _product(x, a_index, a_weight, b_index, b_weight, y):
    planes, rows, _ = y.shape
    pieces = 1 if planes >= TASKS else min(rows, (TASKS + planes - 1) // max(planes, 1))
    for task in prange(planes * pieces):
        plane, piece = task // pieces, task % pieces
        first, last = piece * rows // pieces, (piece + 1) * rows // pieces
        _product_rows(x[plane], a_index, a_weight, b_index, b_weight, first, last, y[plane])


@serial
def _product_rows(x, a_index, a_weight, b_index, b_weight, first, last, y):
    mixed = np.empty(x.shape[1], x.dtype)
    for row in range(first, last):
        if row > first and _same(a_index, a_weight, row):
            y[row] = y[row - 1]
            continue
        _mix(x, a_index, a_weight, row, mixed)
        _take(mixed, b_index[0], b_weight[0], y[row])
        for t in range(1, len(b_index)):
            _add_taken(mixed, b_index[t], b_weight[t], y[row])


@serial
def _same(index, weight, row):
    """Whether a row of the matrix is the one above once more."""
    for t in range(len(index)):
        if index[t, row] != index[t, row - 1] or weight[t, row] != weight[t, row - 1]:
            return False
    return True


@serial
def _mix(x, index, weight, row, mixed):
    """mixed = Σ_t weight[t, row] x[index[t, row]]; what has weight 0 is not touched (0 · inf would be NaN)."""
    mixed[:] = 0
    for t in range(len(index)):
        if weight[t, row] != 0:
            _add_scaled(x[index[t, row]], weight[t, row], mixed)


@serial
def _add_scaled(x, scale, y):
    """y += scale x."""
    for w in range(y.size):
        y[w] += scale * x[w]


@serial
def _take(x, index, weight, y):
    """y[j] = weight[j] x[index[j]], 0 where the weight is 0."""
    zero = x.dtype.type(0)
    for j in range(y.size):
        scale, value = weight[j], x[index[j]]
        y[j] = scale * value if scale != zero else zero


@serial
def _add_taken(x, index, weight, y):
    """y[j] += weight[j] x[index[j]], nothing where the weight is 0."""
    zero = x.dtype.type(0)
    for j in range(y.size):
        scale, value = weight[j], x[index[j]]
        y[j] += scale * value if scale != zero else zero
