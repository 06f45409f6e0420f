"""Convolution on a GPU: the versions, and which of them takes which convolution.

    direct      the definition, pixel by pixel; the best for depthwise
    im2col      columns, and one matrix product by cuBLAS               both of these: any convolution
    implicit    the same product, its columns read in place             no float64; windows of up to 31 rows and columns
    tensor      and on tensor cores: half types, and float32 as TF32    no float64; needs sm_80
    winograd    36 multiplications where the others have 144            no float64; 3x3, stride 1, one group

Each is a module with

    applies(geometry, weight_shape, dtype)
    forward(x, w, bias, relu, geometry)
    grad_input(gy, w, bias, geometry, input_size)
    grad_weight(x, gy, geometry, kernel_size)

on C-contiguous arrays of one type, none of them empty. Which one is taken follows from sizes, geometry and type, and is
never timed: the same call gives the same bits every time.

All but the first two multiply the zeros around an image, so with a weight that is not finite NaN also reaches pixels
at the border that its tap never saw. The CPU looks at the weight first; here the host would have to wait for the GPU.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .. import allow_tf32, chosen, full_accuracy
from ..backend import HALF_TYPES, native
from ..launch import capability
from . import ConvGeometry, Pair, cuda_columns, cuda_direct, cuda_implicit, cuda_tensor, cuda_winograd, output_size

__all__ = ["ALGORITHMS", "forward", "grad_input", "grad_weight"]

Array = Any
ALGORITHMS: dict[str, ModuleType] = {
    "direct": cuda_direct,
    "im2col": cuda_columns,
    "implicit": cuda_implicit,
    "tensor": cuda_tensor,
    "winograd": cuda_winograd,
}


def _algorithm(x: Array, geometry: ConvGeometry, weight_shape: tuple[int, ...], windows: int) -> ModuleType:
    """The one that `kernels.use` names if it applies, else the first of the rule's that does."""
    for name in (chosen("conv2d"), *_rule(x.dtype, geometry, weight_shape, windows), "implicit", "im2col"):
        version = ALGORITHMS.get(name or "")
        if version and version.applies(geometry, weight_shape, x.dtype) and (name != "tensor" or capability(x) >= 80):
            return version
    return cuda_direct


def _rule(dtype: np.dtype, geometry: ConvGeometry, weight_shape: tuple[int, ...], windows: int) -> tuple[str, ...]:
    """The best version for `windows` = N·OH·OW places of the window, by what each does for a number that it loads."""
    outputs, channels, taps = weight_shape[0] // geometry.groups, weight_shape[1], weight_shape[2] * weight_shape[3]
    if channels == 1 and geometry.groups > 1:
        return ("direct",)  # depthwise: a product of matrices with one row, or one column
    if dtype == np.float64:
        return ("im2col",) if outputs >= 8 and channels * taps >= 16 else ("direct",)
    if dtype in HALF_TYPES or allow_tf32():
        return ("tensor",)
    # Winograd saves three products of four, and moves 4.5 more numbers for each one of x and of y: it needs as many
    # products for each of these as make up for it.
    dense = channels * outputs >= 24 * (channels + outputs)
    return ("winograd",) if dense and windows >= 1024 and not full_accuracy() else ()


def forward(x: Array, w: Array, geometry: ConvGeometry, bias: Array | None = None, relu: bool = False) -> Array:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    shape = (len(x), len(w), *size)
    if 0 in (x.size, w.size, *shape):
        return _without_products(shape, x, bias, relu)
    version = _algorithm(x, geometry, w.shape, len(x) * size[0] * size[1])
    return version.forward(native(x), native(w), _native(bias), relu, geometry)


def grad_input(gy: Array, w: Array, geometry: ConvGeometry, input_size: Pair, bias: Array | None = None) -> Array:
    """See the family's docstring."""
    shape = (len(gy), w.shape[1] * geometry.groups, *input_size)
    if 0 in (gy.size, w.size, *shape):
        return _without_products(shape, gy, bias, False)
    version = _algorithm(gy, geometry, w.shape, len(gy) * gy.shape[2] * gy.shape[3])
    return version.grad_input(native(gy), native(w), _native(bias), geometry, input_size)


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    shape = (gy.shape[1], x.shape[1] // geometry.groups, *kernel_size)
    if 0 in (x.size, gy.size, *shape):
        return _without_products(shape, x, None, False)
    version = _algorithm(x, geometry, shape, len(gy) * gy.shape[2] * gy.shape[3])
    return version.grad_weight(native(x), native(gy), geometry, kernel_size)


def _native(bias: Array | None) -> Array | None:
    return None if bias is None else native(bias)


def _without_products(shape: tuple[int, ...], like: Array, bias: Array | None, relu: bool) -> Array:
    """A sum of no products is the bias; an empty array is neither read nor launched for."""
    return cuda_columns.finished(np.zeros_like(like, shape=shape, order="C"), bias, relu, like)
