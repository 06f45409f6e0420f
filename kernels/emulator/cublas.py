"""cuBLAS for emulated arrays: as much of CuPy's `cublas` module as `kernels/matmul` calls, under the same names.

Arguments are plain addresses and numbers there, so matrices are read and written where the arguments say that they are.
"""

from __future__ import annotations

import ctypes

import ml_dtypes
import numpy as np

from .settings import LaunchRecord, note_launch

__all__ = [
    "CUBLAS_COMPUTE_32F", "CUBLAS_COMPUTE_32F_FAST_TF32", "CUBLAS_COMPUTE_64F", "CUBLAS_GEMM_DEFAULT", "gemmEx",
    "gemmStridedBatchedEx", "getMathMode", "setMathMode",
]  # fmt: skip

CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT = 68, 70, 77, -1
_TYPES = {0: np.float32, 1: np.float64, 2: np.float16, 14: ml_dtypes.bfloat16}  # cudaDataType
_mode = [0]


def getMathMode(handle: int) -> int:
    """What `setMathMode` has set."""
    return _mode[0]


def setMathMode(handle: int, mode: int) -> None:
    """Sums of half types in several parts are always float32 here; the mode is only kept."""
    _mode[0] = mode


def gemmEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc, computeType, algo
):
    """C = op(A) op(B) for column-major matrices, C m x n, where op transposes or does not."""
    a = _matrices(A, Atype, 1, *((k, m) if transa else (m, k)), lda, 0)
    b = _matrices(B, Btype, 1, *((n, k) if transb else (k, n)), ldb, 0)
    _multiply(a, transa, b, transb, alpha, beta, _matrices(C, Ctype, 1, m, n, ldc, 0), computeType)
    note_launch(LaunchRecord("cublasGemmEx", (1, 1, 1), (1, 1, 1), 0))


def gemmStridedBatchedEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta, C, Ctype, ldc,
    strideC, batchCount, computeType, algo,
):  # fmt: skip
    """The same for `batchCount` matrices each, so many elements apart."""
    a = _matrices(A, Atype, batchCount, *((k, m) if transa else (m, k)), lda, strideA)
    b = _matrices(B, Btype, batchCount, *((n, k) if transb else (k, n)), ldb, strideB)
    _multiply(a, transa, b, transb, alpha, beta, _matrices(C, Ctype, batchCount, m, n, ldc, strideC), computeType)
    note_launch(LaunchRecord("cublasGemmStridedBatchedEx", (batchCount, 1, 1), (1, 1, 1), 0))


def _matrices(address: int, code: int, batch: int, rows: int, columns: int, leading: int, stride: int) -> np.ndarray:
    """(batch, rows, columns) of memory: element (r, c) of matrix i stands at address + i·stride + r + c·leading."""
    assert leading >= max(rows, 1), f"cublas: columns of {rows} elements cannot begin {leading} apart"
    dtype = np.dtype(_TYPES[code])
    size = (batch - 1) * stride + (columns - 1) * leading + rows
    memory = np.frombuffer((ctypes.c_char * (size * dtype.itemsize)).from_address(address), dtype)
    steps = (stride * dtype.itemsize, dtype.itemsize, leading * dtype.itemsize)
    return np.lib.stride_tricks.as_strided(memory, (batch, rows, columns), steps)


def _multiply(a, transa, b, transb, alpha, beta, c, compute):
    """c = op(a) op(b) + beta c, multiplied and summed in the type of `compute`, and rounded once."""
    wide = np.dtype(np.float64 if compute == CUBLAS_COMPUTE_64F else np.float32)
    one, old = (_matrices(p, wide.num - np.dtype(np.float32).num, 1, 1, 1, 1, 0).item() for p in (alpha, beta))
    assert (one, old) in ((1, 0), (1, 1)), (one, old)
    a, b = (m.astype(wide) for m in (a.swapaxes(1, 2) if transa else a, b.swapaxes(1, 2) if transb else b))
    if compute == CUBLAS_COMPUTE_32F_FAST_TF32:
        a, b = _to_tf32(a), _to_tf32(b)
    with np.errstate(all="ignore"):  # a GPU says nothing of what is not finite
        c[...] = np.matmul(a, b) + c.astype(wide) if old else np.matmul(a, b)


def _to_tf32(x: np.ndarray) -> np.ndarray:
    """Rounded to the ten bits of mantissa that TF32 has, as `to_tf32` of ptx.cuh."""
    bits = x.view(np.uint32)
    return np.where(np.isfinite(x), (bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000), bits).view(np.float32)
