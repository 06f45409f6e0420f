"""Matrix product on a GPU: the vendor's GEMM, cuBLAS. This is the one family without kernels of our own.

cuBLAS takes matrices column by column. What lies in memory row by row is to it the transpose, so it is asked for

    yᵀ = bᵀ · aᵀ

and a transposed view of ours is one that it turns on its way. CuPy's matmul would copy that view; nor does it give a
float32 result for factors of a half type, and an environment variable tells it whether to compute in TF32.
"""

from __future__ import annotations

import importlib
import math
from typing import Any, NamedTuple

import numpy as np

from .. import allow_tf32
from ..backend import HALF_TYPES
from ..emulated import EmulatedArray
from ..launch import capability, empty, on_device_of

__all__ = ["matmul", "multiply"]

Array = Any
CODES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}  # cudaDataType, in library_types.h of CUDA
NO_HALF_SUMS = 16  # CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION, which CuPy has no name for
FACTORS = {name: (np.ones(1, name), np.zeros(1, name)) for name in ("float32", "float64")}  # of a b, and of y


class Matrices(NamedTuple):
    """Matrices as cuBLAS is told of them: their columns are contiguous, or their rows if it has to turn them, and begin
    `leading` elements apart; the matrices begin `stride` elements apart, 0 is one for all."""

    array: Array
    turned: int
    leading: int
    stride: int


def matmul(a: Array, b: Array, wide: bool = False) -> Array:
    """See the family's docstring."""
    if a.dtype.name not in CODES:
        return np.matmul(a, b)  # integers, of which cuBLAS knows nothing
    y = empty((*a.shape[:-1], b.shape[-1]), a, np.float32 if wide and a.dtype in HALF_TYPES else None)
    if a.size:
        multiply(a, b, y)
    elif y.size:
        y.fill(0)  # sums of no products
    return y


def multiply(a: Array, b: Array, y: Array, add: bool = False) -> None:
    """y = a · b, or with `add` y + a · b; y has rows or columns that are contiguous, and may be a view.

    It has the type of the factors, or is float32 where that is a half type.
    """
    if y.size == 0:
        return
    if a.dtype.name == "bfloat16" and capability(a) < 80:
        a, b = a.astype(np.float32), b.astype(np.float32)
        if y.dtype.name == "bfloat16":
            y[...] = matmul(a, b).astype(y.dtype)
            return
    result = _matrices(y)
    if result.turned:
        multiply(b.swapaxes(-1, -2), a.swapaxes(-1, -2), y.swapaxes(-1, -2), add)
        return
    assert result.array is y, y.strides
    with on_device_of(y):
        _multiply(_matrices(b), _matrices(a), result, a.shape[-1], add)


def _matrices(a: Array) -> Matrices:
    """How cuBLAS reads `a` (..., rows, columns), whose rows are its columns; copied if neither is contiguous."""
    rows, columns = a.shape[-2:]
    row, column = (step // a.itemsize for step in a.strides[-2:])
    stride = _stride(a)
    if stride is not None:
        if (columns == 1 or column == 1) and (rows == 1 or row >= columns):
            return Matrices(a, 0, columns if rows == 1 else row, stride)
        if (rows == 1 or row == 1) and (columns == 1 or column >= rows):
            return Matrices(a, 1, rows if columns == 1 else column, stride)
    return _matrices(a.copy(order="C"))


def _stride(a: Array) -> int | None:
    """How many elements each matrix lies behind the one before; None where that is not always the same."""
    stride, expected = 0, None
    for size, step in zip(reversed(a.shape[:-2]), reversed(a.strides[:-2]), strict=True):
        if size == 1:
            continue
        if step < 0 or expected not in (None, step):
            return None
        stride = step if expected is None else stride
        expected = step * size
    return stride // a.itemsize


def _multiply(b: Matrices, a: Matrices, result: Matrices, depth: int, add: bool) -> None:
    """result = a · b, or with `add` result + a · b, in one call.

    Its mode is set for this call alone: CuPy's functions use the same handle.
    Half types are summed in float32 throughout: without NO_HALF_SUMS, a sum that is computed in parts (split K) may
    have them rounded to the half type before they are added.
    """
    y = result.array
    cublas, handle = _library(y)
    precision = "float64" if y.dtype == np.float64 else "float32"
    compute = cublas.CUBLAS_COMPUTE_64F if precision == "float64" else cublas.CUBLAS_COMPUTE_32F
    if a.array.dtype == np.float32 and allow_tf32():
        compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32
    one, zero = (number.ctypes.data for number in FACTORS[precision])
    kept = one if add else zero  # of what is in y
    (rows, columns), batch = y.shape[-2:], math.prod(y.shape[:-2])
    head = handle, b.turned, a.turned, columns, rows, depth, one
    left, right = ((_address(m.array), CODES[m.array.dtype.name], m.leading) for m in (b, a))
    to = _address(y), CODES[y.dtype.name], result.leading
    before = cublas.getMathMode(handle)
    cublas.setMathMode(handle, NO_HALF_SUMS)
    try:
        if batch == 1:  # for which cuBLAS has more ways to cut the sum
            cublas.gemmEx(*head, *left, *right, kept, *to, compute, cublas.CUBLAS_GEMM_DEFAULT)
        else:
            strided = *left, b.stride, *right, a.stride, kept, *to, result.stride
            cublas.gemmStridedBatchedEx(*head, *strided, batch, compute, cublas.CUBLAS_GEMM_DEFAULT)
    finally:
        cublas.setMathMode(handle, before)


def _library(y: Array) -> tuple[Any, int]:
    """cuBLAS by CuPy's names, and the handle of the device in use."""
    if isinstance(y, EmulatedArray):
        return importlib.import_module("..emulator.cublas", __package__), 0
    import cupy

    return cupy.cuda.cublas, cupy.cuda.device.get_cublas_handle()


def _address(array: Array) -> int:
    return array.ctypes.data if isinstance(array, EmulatedArray) else array.data.ptr
