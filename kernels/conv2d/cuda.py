"""Convolution on a GPU: the versions, and which of them takes which convolution.

    direct      the definition, pixel by pixel; the best for depthwise
    im2col      columns, unless x is them, and a product by cuBLAS      both of these: any convolution
    implicit    the same product, its columns read in place             no float64; windows of up to 31 rows and columns
    tensor      and on tensor cores: half types, and float32 as TF32    no float64; needs sm_80
    winograd2x2 16 multiplications where the others have 36
    winograd4x4 36 where they have 144                                  no float64; 3x3, stride 1, one group

Each is a module, or an object, with

    applies(geometry, weight_shape, dtype)
    fits(sizes)                                     whether what its kernels count with 32 bits is that small
    forward(x, w, bias, relu, geometry)
    grad_input(gy, w, bias, geometry, input_size)
    grad_weight(x, gy, geometry, kernel_size)

on C-contiguous arrays of one type, none of them empty. Which one is taken follows from sizes, geometry and type, and is
never timed: the same call gives the same bits every time.

All but the first two multiply the zeros around an image, so with a weight that is not finite NaN also reaches pixels
at the border that its tap never saw. The CPU looks at the weight first; here the host would have to wait for the GPU.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyseg.errors import ShapeError

from .. import allow_tf32, chosen, full_accuracy
from ..backend import HALF_TYPES, narrow, native
from ..launch import capability
from . import (
    ConvGeometry,
    Pair,
    cuda_columns,
    cuda_direct,
    cuda_implicit,
    cuda_product,
    cuda_tensor,
    output_size,
)
from .cuda_shape import conv
from .cuda_winograd import Winograd

__all__ = ["ALGORITHMS", "forward", "grad_input", "grad_weight"]

Array = Any
ALGORITHMS: dict[str, Any] = {
    "direct": cuda_direct,
    "im2col": cuda_columns,
    "implicit": cuda_implicit,
    "tensor": cuda_tensor,
    "winograd2x2": Winograd(2),
    "winograd4x4": Winograd(4),
}


def _algorithm(x: Array, geometry: ConvGeometry, weight_shape: tuple[int, ...], images: int, size: Pair) -> Any:
    """The one that `kernels.use` names if it applies, else the first of the rule's that does, for images of `size`.

    **Raises** ShapeError for sizes that are too large for all of them.
    """
    outputs, channels, *kernel_size = weight_shape
    s = conv(images, channels * geometry.groups, size, outputs, (kernel_size[0], kernel_size[1]), geometry)
    rule = _rule(x.dtype, geometry, weight_shape, images, size)
    for name in (chosen("conv2d"), *rule, "implicit", "im2col", "direct"):
        version = ALGORITHMS.get(name or "")
        takes = version is not None and version.applies(geometry, weight_shape, x.dtype) and version.fits(s)
        if version and takes and (name != "tensor" or capability(x) >= 80):
            return version
    raise ShapeError(
        f"conv2d: {images} images ({s.C}, {s.H}, {s.W}) with a weight {weight_shape} are too large for the kernels on "
        "a GPU, which count planes, the pixels of one and the weight with 31 bits; split the input"
    )


def _rule(
    dtype: np.dtype, geometry: ConvGeometry, weight_shape: tuple[int, ...], images: int, size: Pair
) -> tuple[str, ...]:
    """The best version for x (images, C, *size), by what each does for a number that it loads."""
    outputs, channels = weight_shape[0] // geometry.groups, weight_shape[1]
    height, width = output_size(size, (weight_shape[2], weight_shape[3]), geometry)
    if channels == 1 and geometry.groups > 1:
        return ("direct",)  # depthwise: a product of matrices with one row, or one column
    if dtype == np.float64:
        return ("im2col",) if outputs >= 8 and channels * math.prod(weight_shape[2:]) >= 16 else ("direct",)
    tensor_cores = dtype in HALF_TYPES or allow_tf32()
    if _is_product(geometry, weight_shape, size, 16 // dtype.itemsize if tensor_cores else 1):
        return ("im2col",)
    if tensor_cores:
        return ("tensor",)
    name = "winograd2x2" if full_accuracy() else "winograd4x4"
    return (name,) if ALGORITHMS[name].pays(channels, outputs, images * height * width) else ()


def _is_product(geometry: ConvGeometry, weight_shape: tuple[int, ...], size: Pair, chunk: int) -> bool:
    """Whether the convolution is a product for cuBLAS as it stands: images that fill a tile of it, or are one pixel.

    On tensor cores it is at its best with rows of whole chunks; "tensor" copies them into such.
    """
    pixels, kernel_size = size[0] * size[1], (weight_shape[2], weight_shape[3])
    if geometry.groups > 1:
        return False
    if cuda_product.is_whole_image(geometry, kernel_size, size):
        return True  # few windows for a large weight: all others would copy it
    whole = pixels % chunk == weight_shape[1] % chunk == 0
    return cuda_product.is_one_pixel(geometry, kernel_size) and pixels >= cuda_product.TILE and whole


def forward(x: Array, w: Array, geometry: ConvGeometry, bias: Array | None = None, relu: bool = False) -> Array:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    shape = (len(x), len(w), *size)
    if 0 in (x.size, w.size, *shape):
        return _without_products(shape, x, bias, relu)
    version = _algorithm(x, geometry, w.shape, len(x), x.shape[2:])
    return version.forward(native(x), native(w), _native(bias), relu, geometry)


def grad_input(gy: Array, w: Array, geometry: ConvGeometry, input_size: Pair, bias: Array | None = None) -> Array:
    """See the family's docstring."""
    shape = (len(gy), w.shape[1] * geometry.groups, *input_size)
    if 0 in (gy.size, w.size, *shape):
        return _without_products(shape, gy, bias, False)
    version = _algorithm(gy, geometry, w.shape, len(gy), input_size)
    return version.grad_input(native(gy), native(w), _native(bias), geometry, input_size)


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    shape = (gy.shape[1], x.shape[1] // geometry.groups, *kernel_size)
    if 0 in (x.size, gy.size, *shape):
        return _without_products(shape, x, None, False)
    version = _algorithm(x, geometry, shape, len(x), x.shape[2:])
    return version.grad_weight(native(x), native(gy), geometry, kernel_size)


def _native(bias: Array | None) -> Array | None:
    return None if bias is None else native(bias)


def _without_products(shape: tuple[int, ...], like: Array, bias: Array | None, relu: bool) -> Array:
    """A sum of no products is the bias; an empty array is neither read nor launched for."""
    y = np.zeros_like(like, shape=shape, order="C")
    y = y if bias is None else y + bias[:, None, None]
    return narrow(np.maximum(y, 0) if relu else y, like)
