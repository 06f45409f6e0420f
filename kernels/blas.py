"""The matrix product inside a kernel: BLAS on views, with accumulation. Import it only from `cpu*.py` modules.

Numba's own `np.dot` wants contiguous blocks and overwrites its result. BLAS can do more: every operand may be a block
of a larger matrix (rows a fixed distance apart), or the transpose of one, and the product may be added to what is
already there. That saves the copies around a product, which for few channels cost as much as the product itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from .jit import JIT, serial

__all__ = ["gemm"]

# The C function under np.dot: SciPy's sgemm or dgemm by `kind`, called without the GIL, matrices by column.
_xxgemm: Any = types.ExternalFunction(
    "numba_xxgemm",
    types.intc(
        *(types.char, types.char, types.char),  # kind, transpose a, transpose b
        *(types.intp, types.intp, types.intp),  # m, n, k
        *(types.voidptr, types.voidptr, types.intp, types.voidptr, types.intp),  # alpha, a, lda, b, ldb
        *(types.voidptr, types.voidptr, types.intp),  # beta, c, ldc
    ),
)
_PLAIN, _TRANSPOSED, _FLOAT, _DOUBLE = ord("n"), ord("t"), ord("s"), ord("d")


def gemm(a, b, c, keep):
    """c = a·b + keep·c for a (M, K), b (K, N), c (M, N); keep is 0 (what c held is ignored) or 1.

    Any views of one element type in which one axis of a and of b, and the last axis of c, has unit stride.
    """
    if keep:
        c += a @ b
    else:
        c[...] = a @ b


@serial
def _layout(a):
    """How BLAS is told about `a`: plain or transposed, and the distance between its rows (or columns)."""
    if a.strides[1] == a.itemsize or a.shape[1] == 1:
        return _PLAIN, max(a.strides[0] // a.itemsize, a.shape[1])
    return _TRANSPOSED, max(a.strides[1] // a.itemsize, a.shape[0])


def _gemm(a, b, c, keep):
    scale = np.empty(2, c.dtype)
    scale[0], scale[1] = 1, keep
    kind = _FLOAT if c.itemsize == 4 else _DOUBLE
    left, lda = _layout(a)
    right, ldb = _layout(b)
    ldc = max(c.strides[0] // c.itemsize, c.shape[1])
    # Fortran sees our rows as columns, that is cᵀ = bᵀ·aᵀ: the operands trade places, nothing is transposed
    m, n, k = c.shape[1], c.shape[0], a.shape[1]
    one, beta = scale.ctypes, scale[1:].ctypes
    _xxgemm(kind, right, left, m, n, k, one, b.ctypes, ldb, a.ctypes, lda, beta, c.ctypes, ldc)
    return scale[0]  # keeps `scale` alive until BLAS has read it


if JIT:
    gemm = serial(_gemm)
