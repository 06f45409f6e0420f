"""Version 2, columns: im2col, then one matrix product by cuBLAS. How convolution is taught, and how it used to be done.

    y = w · im2col(x)            gx = col2im(wᵀ · gy)            gw = Σ_n gy · im2col(x)ᵀ

The columns are KH·KW times as large as x, and go to memory and back. They are made for so many images at a time that
they stay below a limit. Half types: products and sums are float32, and what comes out is rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..backend import narrow
from ..im2col import col2im, im2col
from ..matmul import matmul
from . import ConvGeometry, Pair, output_size

__all__ = ["applies", "finished", "forward", "grad_input", "grad_weight"]

Array = Any
LIMIT = 256 << 20  # bytes of columns at a time, unless those of a single image are more


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """To every convolution."""
    return True


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    ends = bias is not None or relu  # then the products stay wide until they are through
    parts = []
    for images in _blocks(x, w[0].size * geometry.groups * size[0] * size[1]):
        columns = _columns(x[images], w.shape[2:], geometry)
        y = matmul(_filters(w, geometry.groups, len(columns)), columns, wide=ends)
        parts.append(finished(y.reshape(len(columns), len(w), *size), bias, relu, x))
    return _joined(parts)


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    groups, pixels = geometry.groups, gy.shape[2] * gy.shape[3]
    parts = []
    for images in _blocks(gy, w[0].size * groups * pixels, wide=True):
        part = _by_group(gy[images].reshape(-1, gy.shape[1], pixels), groups)
        columns = matmul(_filters(w, groups, len(part)).swapaxes(2, 3), part, wide=True)
        if _one_to_one(w.shape[2:], geometry):
            gx = columns.reshape(len(part), -1, *input_size)
        else:
            gx = col2im(columns.reshape(len(part), -1, pixels), w.shape[2:], geometry, input_size)
        parts.append(finished(gx, bias, False, gy))
    return _joined(parts)


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    groups, pixels = geometry.groups, gy.shape[2] * gy.shape[3]
    channels, taps = x.shape[1] // groups, kernel_size[0] * kernel_size[1]
    total: Array = None
    for images in _blocks(x, max(x.shape[1] * taps * pixels, gy.shape[1] * channels * taps), wide=True):
        columns = _columns(x[images], kernel_size, geometry)
        part = _by_group(gy[images].reshape(len(columns), -1, pixels), groups)
        sums = matmul(part, columns.swapaxes(2, 3), wide=True).sum(axis=0)
        total = sums if total is None else total + sums
    return narrow(total.reshape(gy.shape[1], channels, *kernel_size), x)


def _blocks(x: Array, elements: int, wide: bool = False) -> Iterator[slice]:
    """x's images in runs, whose memory stays below the limit if each needs so many elements."""
    size = max(x.itemsize, 4) if wide else x.itemsize
    images = max(1, LIMIT // (elements * size))
    return (slice(first, min(first + images, len(x))) for first in range(0, len(x), images))


def _columns(x: Array, kernel_size: Pair, geometry: ConvGeometry) -> Array:
    """im2col of x as (N, G, C/G·KH·KW, P); where the window is one pixel that is x itself."""
    if _one_to_one(kernel_size, geometry):
        columns = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    else:
        columns = im2col(x, kernel_size, geometry)
    return _by_group(columns, geometry.groups)


def _one_to_one(kernel_size: Pair, geometry: ConvGeometry) -> bool:
    """Whether each pixel of y sees the one pixel of x in the same place."""
    return tuple(kernel_size) == (1, 1) and geometry[:2] == ConvGeometry()[:2]


def _by_group(a: Array, groups: int) -> Array:
    """(N, G·A, P) as (N, G, A, P)."""
    return a.reshape(len(a), groups, a.shape[1] // groups, a.shape[-1])


def _filters(w: Array, groups: int, images: int) -> Array:
    """w as the matrices (N, G, O/G, C/G·KH·KW), the same for every image."""
    matrices = w.reshape(1, groups, len(w) // groups, -1)
    return np.broadcast_to(matrices, (images, *matrices.shape[1:]))


def finished(y: Array, bias: Array | None, relu: bool, like: Array) -> Array:
    """The bias of each channel, then max(y, 0) if asked for, in the type of `like`."""
    y = y if bias is None else y + bias.astype(y.dtype)[:, None, None]
    return narrow(np.maximum(y, 0) if relu else y, like)


def _joined(parts: list[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
