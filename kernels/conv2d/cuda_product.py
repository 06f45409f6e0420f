"""Version 2 where there are no columns to make: the convolution is a matrix product as it stands, for cuBLAS alone.

    y[b] = w · x[b]            gx[b] = wᵀ · gy[b]            gw = Σ_b gy[b] · x[b]ᵀ

A window of one pixel has an image for each b, its channels for rows and its pixels for columns. A window as large as
the image, as in the classifier of VGG and in DeconvNet's way back from it, has all images for columns, and one b.
Nothing is copied: cuBLAS is told of the strides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend import HALF_TYPES
from ..launch import empty
from ..matmul.cuda import multiply
from . import ConvGeometry, Pair, cuda_parts

__all__ = ["applies", "filters", "forward", "grad_input", "grad_weight", "is_one_pixel", "is_whole_image"]

Array = Any
TILE = 128  # rows and columns that cuBLAS, too, has a block compute


def is_one_pixel(geometry: ConvGeometry, kernel_size: Pair) -> bool:
    """Whether each pixel of y sees the one pixel of x in the same place."""
    return tuple(kernel_size) == (1, 1) and geometry[:2] == ConvGeometry()[:2]


def is_whole_image(geometry: ConvGeometry, kernel_size: Pair, size: Pair) -> bool:
    """Whether the one pixel of y sees all of x, and nothing beside it."""
    dense = all(d == 1 or k == 1 for d, k in zip(geometry.dilation, kernel_size, strict=True))
    return dense and tuple(kernel_size) == tuple(size) and geometry.padding == ConvGeometry().padding


def applies(geometry: ConvGeometry, kernel_size: Pair, size: Pair) -> bool:
    """Whether the convolution of images of this size is one of the two."""
    return is_one_pixel(geometry, kernel_size) or is_whole_image(geometry, kernel_size, size)


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    size = x.shape[2:] if is_one_pixel(geometry, w.shape[2:]) else (1, 1)
    ends = bias is not None or relu  # then the products stay wide until they are through
    y = empty((len(x), len(w), *size), x, cuda_parts.wide(x) if ends else None)
    m = _matrices(x, w, y, geometry)
    multiply(m.w, m.x, m.y)
    return cuda_parts.finished(y, x, bias, relu)


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    shape = len(gy), w.shape[1] * geometry.groups, *input_size
    gx = empty(shape, gy, None if bias is None else cuda_parts.wide(gy))
    m = _matrices(gx, w, gy, geometry)
    multiply(m.w.swapaxes(2, 3), m.y, m.x)
    return cuda_parts.finished(gx, gy, bias, False)


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring.

    So many images at a time as fill the GPU, each batch added to the sums of the one before; then these are added up.
    """
    gw = empty((gy.shape[1], x.shape[1] // geometry.groups, *kernel_size), x)
    m = _matrices(x, gw, gy, geometry)
    batch, groups, outputs, channels = m.w.shape
    tiles = groups * -(-outputs // TILE) * -(-channels // TILE)
    together = min(batch, -(-2 * cuda_parts.MULTIPROCESSORS // tiles))
    alone = batch == 1 or (together == 1 and x.dtype not in HALF_TYPES)
    sums = gw if alone else empty((together, *gw.shape), x, cuda_parts.wide(x))
    parts = sums.reshape(together, *m.w.shape[1:])
    for first in range(0, batch, together):
        images = slice(first, min(first + together, batch))
        multiply(m.y[images], m.x[images].swapaxes(2, 3), parts[: images.stop - first], add=first > 0)
    if sums is not gw:
        cuda_parts.add(sums, gw)
    return gw


class _Matrices(NamedTuple):
    """Views in which y = w · x, each (B, G, rows, columns); w is the same for every b."""

    x: Array
    w: Array
    y: Array


def _matrices(x: Array, w: Array, y: Array, geometry: ConvGeometry) -> _Matrices:
    groups = geometry.groups
    if is_whole_image(geometry, w.shape[2:], x.shape[2:]):  # (N, G, C/G·H·W) and (N, G, O/G), turned
        x, y = (a.reshape(1, len(a), groups, -1).transpose(0, 2, 3, 1) for a in (x, y))
    else:
        x, y = (a.reshape(len(a), groups, -1, a.shape[2] * a.shape[3]) for a in (x, y))
    return _Matrices(x, filters(w, groups, len(x)), y)


def filters(w: Array, groups: int, images: int) -> Array:
    """w as the matrices (N, G, O/G, C/G·KH·KW), the same for every image."""
    matrices = w.reshape(1, groups, len(w) // groups, -1)
    return np.broadcast_to(matrices, (images, *matrices.shape[1:]))
