"""Windows to columns and back on a GPU: `im2col.cu`."""

from __future__ import annotations

from typing import Any

from ..backend import native
from ..conv2d import ConvGeometry, Pair
from ..conv2d.cuda_shape import Conv, conv, pixel_grid
from ..launch import empty, kernel

__all__ = ["col2im", "im2col"]

Array = Any


def im2col(x: Array, kernel_size: Pair, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    s = conv(len(x), x.shape[1], x.shape[2:], 1, kernel_size, geometry)
    columns = empty((s.N, s.C * s.KH * s.KW, s.OH * s.OW), x)
    _launch("im2col", native(x), columns, s, s.OH * s.OW)
    return columns


def col2im(columns: Array, kernel_size: Pair, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    channels = columns.shape[1] // (kernel_size[0] * kernel_size[1])
    s = conv(len(columns), channels, input_size, 1, kernel_size, geometry)
    x = empty((s.N, s.C, s.H, s.W), columns)
    _launch("col2im", native(columns), x, s, s.H * s.W)
    return x


def _launch(name: str, source: Array, target: Array, s: Conv, pixels: int) -> None:
    if target.size:
        grid, block = pixel_grid(pixels, s.N * s.C)
        kernel("im2col/im2col.cu", name, target)(grid, block, (source, target, s))
