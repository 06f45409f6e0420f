"""Matrix product on the CPU: large products are cut into blocks of rows and shared among numba's threads.

BLAS would share them among its own threads, but one process should have one pool (see `jit.launch`).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from ..backend import HALF_TYPES, narrow
from ..blas import gemm
from ..jit import parallel, prange

__all__ = ["matmul"]

# Below this many multiply-adds a launch costs more than it saves, and OpenBLAS keeps to one thread by itself.
SMALL = 2**18


def matmul(a: np.ndarray, b: np.ndarray, wide: bool = False) -> np.ndarray:
    """See the family's docstring."""
    dtype = np.float32 if a.dtype in HALF_TYPES else a.dtype
    a_, b_ = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    like = a_ if wide else a
    work = a_.size * b_.shape[-1]
    if work <= SMALL or dtype not in (np.float32, np.float64):
        return narrow(np.ascontiguousarray(np.matmul(a_, b_)), like)
    y = np.empty((*a_.shape[:-1], b_.shape[-1]), dtype)
    _multiply(_stack(a_), _stack(b_), _stack(y), numba.get_num_threads())
    return narrow(y, like)


def _stack(m: np.ndarray) -> np.ndarray:
    """(..., M, K) as (batch, M, K), copied only where BLAS could not read the view: no unit stride, or overlaps."""
    rows, columns = m.strides[-2:]
    readable = (columns == m.itemsize and rows >= columns * m.shape[-1]) or (
        rows == m.itemsize and columns >= rows * m.shape[-2]
    )
    if not readable:
        m = np.ascontiguousarray(m)
    return m.reshape(math.prod(m.shape[:-2]), *m.shape[-2:])


@parallel
def _multiply(a, b, y, threads):
    """y[n] = a[n]·b[n]; where products are few, each is cut into a block per thread along the longer side of y.

    A block is computed by one thread in one call, so the bits never depend on timing.
    """
    batch, rows, columns = y.shape
    pieces = 1 if batch >= 4 * threads else threads
    for task in prange(batch * pieces):
        n, piece = task // pieces, task % pieces
        if rows >= columns:
            first, last = piece * rows // pieces, (piece + 1) * rows // pieces
            gemm(a[n, first:last], b[n], y[n, first:last], 0)
        else:
            first, last = piece * columns // pieces, (piece + 1) * columns // pieces
            gemm(a[n], b[n, :, first:last], y[n, :, first:last], 0)
