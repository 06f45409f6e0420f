"""Version 2, columns: im2col, then one matrix product by cuBLAS. How convolution is taught, and how it used to be done.

    y = w · im2col(x)            gx = col2im(wᵀ · gy)            gw = Σ_n gy · im2col(x)ᵀ

The columns are KH·KW times as large as x, and go to memory and back. They are made for so many images at a time that
they stay below a limit. Half types: products and sums are float32, and what comes out is rounded once. Where x itself
is the columns, `cuda_product` takes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import narrow
from ..im2col import col2im, im2col
from ..matmul import matmul
from . import ConvGeometry, Pair, cuda_product, output_size
from .cuda_parts import finished
from .cuda_product import filters
from .cuda_shape import BITS, Conv

__all__ = ["applies", "fits", "forward", "grad_input", "grad_weight"]

Array = Any
LIMIT = 256 << 20  # bytes of columns at a time, unless those of a single image are more


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """To every convolution."""
    return True


def fits(s: Conv) -> bool:
    """cuBLAS counts with 32 bits: matrices, rows and columns. Columns of one image that are more, 4 GB, take too much
    memory besides. Where x is the columns as it stands there is nothing to write.
    """
    if (s.KH, s.KW, s.OH, s.OW) == (1, 1, s.H, s.W):
        return max(s.N * s.groups, s.H * s.W) < BITS
    return s.C * s.KH * s.KW * s.OH * s.OW < BITS


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    if cuda_product.applies(geometry, w.shape[2:], x.shape[2:]):
        return cuda_product.forward(x, w, bias, relu, geometry)
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    ends = bias is not None or relu  # then the products stay wide until they are through
    parts = []
    for images in _blocks(x, w[0].size * geometry.groups * size[0] * size[1]):
        columns = _by_group(im2col(x[images], w.shape[2:], geometry), geometry.groups)
        y = matmul(filters(w, geometry.groups, len(columns)), columns, wide=ends)
        parts.append(finished(y.reshape(len(columns), len(w), *size), x, bias, relu))
    return _joined(parts)


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    if cuda_product.applies(geometry, w.shape[2:], input_size):
        return cuda_product.grad_input(gy, w, bias, geometry, input_size)
    groups, pixels = geometry.groups, gy.shape[2] * gy.shape[3]
    parts = []
    for images in _blocks(gy, w[0].size * groups * pixels, wide=True):
        part = _by_group(gy[images].reshape(-1, gy.shape[1], pixels), groups)
        columns = matmul(filters(w, groups, len(part)).swapaxes(2, 3), part, wide=True)
        gx = col2im(columns.reshape(len(part), -1, pixels), w.shape[2:], geometry, input_size)
        parts.append(finished(gx, gy, bias, False))
    return _joined(parts)


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    if cuda_product.applies(geometry, kernel_size, x.shape[2:]):
        return cuda_product.grad_weight(x, gy, geometry, kernel_size)
    groups, pixels = geometry.groups, gy.shape[2] * gy.shape[3]
    channels, taps = x.shape[1] // groups, kernel_size[0] * kernel_size[1]
    total: Array = None
    for images in _blocks(x, max(x.shape[1] * taps * pixels, gy.shape[1] * channels * taps), wide=True):
        columns = _by_group(im2col(x[images], kernel_size, geometry), groups)
        part = _by_group(gy[images].reshape(len(columns), -1, pixels), groups)
        sums = matmul(part, columns.swapaxes(2, 3), wide=True).sum(axis=0)
        total = sums if total is None else total + sums
    return narrow(total.reshape(gy.shape[1], channels, *kernel_size), x)


def _blocks(x: Array, elements: int, wide: bool = False) -> Iterator[slice]:
    """x's images in runs, whose memory stays below the limit if each needs so many elements."""
    size = max(x.itemsize, 4) if wide else x.itemsize
    images = max(1, LIMIT // (elements * size))
    return (slice(first, min(first + images, len(x))) for first in range(0, len(x), images))


def _by_group(a: Array, groups: int) -> Array:
    """(N, G·A, P) as (N, G, A, P)."""
    return a.reshape(len(a), groups, a.shape[1] // groups, a.shape[-1])


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
