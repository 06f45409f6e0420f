"""The definition in plain loops over output pixels and taps; the tests' yardstick."""

from __future__ import annotations

import numpy as np

from ..conv2d import ConvGeometry, Pair, output_size
from ..conv2d.reference import window_taps

__all__ = ["col2im", "im2col"]


def im2col(x: np.ndarray, kernel_size: Pair, geometry: ConvGeometry) -> np.ndarray:
    """Read every pixel that a tap sees."""
    size = output_size(x.shape[2:], kernel_size, geometry)
    columns = np.zeros((*x.shape[:2], *kernel_size, *size), x.dtype)
    for i, j, p, q, h, v in window_taps(x.shape[2:], kernel_size, geometry):
        columns[:, :, p, q, i, j] = x[:, :, h, v]
    return columns.reshape(len(x), x.shape[1] * kernel_size[0] * kernel_size[1], size[0] * size[1])


def col2im(columns: np.ndarray, kernel_size: Pair, geometry: ConvGeometry, input_size: Pair) -> np.ndarray:
    """Add every entry to the pixel that its tap saw."""
    size = output_size(input_size, kernel_size, geometry)
    channels = columns.shape[1] // (kernel_size[0] * kernel_size[1])
    windows = columns.reshape(len(columns), channels, *kernel_size, *size)
    x = np.zeros((len(columns), channels, *input_size), columns.dtype)
    for i, j, p, q, h, v in window_taps(input_size, kernel_size, geometry):
        x[:, :, h, v] += windows[:, :, p, q, i, j]
    return x
