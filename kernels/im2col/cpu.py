"""Windows to columns and back in numba, one image plane at a time: planes never meet, so nothing races.

Within a plane both directions walk the taps; a tap's row of columns is an image row shifted (and strided), and what
the shift carries past the border is padding.
"""

from __future__ import annotations

import numpy as np

from ..backend import narrow, native
from ..conv2d import ConvGeometry, Pair, output_size
from ..conv2d.rows import copy_row, inside
from ..jit import parallel, prange

__all__ = ["col2im", "im2col"]


def _starts(geometry: ConvGeometry) -> Pair:
    return -geometry.padding[0][0], -geometry.padding[1][0]


def im2col(x: np.ndarray, kernel_size: Pair, geometry: ConvGeometry) -> np.ndarray:
    """See the family's docstring."""
    size = output_size(x.shape[2:], kernel_size, geometry)
    planes = native(x).reshape(-1, *x.shape[2:])
    windows = np.empty((len(planes), *kernel_size, *size), planes.dtype)
    _unfold(planes, windows, _starts(geometry), geometry.stride, geometry.dilation)
    depth = x.shape[1] * kernel_size[0] * kernel_size[1]
    return narrow(windows.reshape(len(x), depth, size[0] * size[1]), x)


def col2im(columns: np.ndarray, kernel_size: Pair, geometry: ConvGeometry, input_size: Pair) -> np.ndarray:
    """See the family's docstring."""
    size = output_size(input_size, kernel_size, geometry)
    channels = columns.shape[1] // (kernel_size[0] * kernel_size[1])
    windows = native(columns).reshape(len(columns) * channels, *kernel_size, *size)
    planes = np.zeros((len(windows), *input_size), windows.dtype)
    _fold(windows, planes, _starts(geometry), geometry.stride, geometry.dilation)
    return narrow(planes.reshape(len(columns), channels, *input_size), columns)


@parallel
def _unfold(planes, windows, start, step, dilation):
    """windows[plane, p, q, i, j] = planes[plane, i·step + start + p·dilation, ...], zero outside."""
    _, height, width = planes.shape
    _, taps_h, taps_w, rows, columns = windows.shape
    for plane in prange(len(planes)):
        for p in range(taps_h):
            for q in range(taps_w):
                offset = start[1] + q * dilation[1]
                lo, hi = inside(width, offset, step[1], columns)
                for i in range(rows):
                    target = windows[plane, p, q, i]
                    h = i * step[0] + start[0] + p * dilation[0]
                    if lo == hi or h < 0 or h >= height:
                        target[:] = 0
                        continue
                    source = planes[plane, h, lo * step[1] + offset :]
                    target[:lo] = 0
                    copy_row(source, step[1], target[lo:hi])
                    target[hi:] = 0


@parallel
def _fold(windows, planes, start, step, dilation):
    """The adjoint of `_unfold`: planes start at zero, taps are added in their order, a plane belongs to one thread."""
    _, height, width = planes.shape
    _, taps_h, taps_w, rows, columns = windows.shape
    for plane in prange(len(planes)):
        for p in range(taps_h):
            for q in range(taps_w):
                offset = start[1] + q * dilation[1]
                lo, hi = inside(width, offset, step[1], columns)
                for i in range(rows):
                    h = i * step[0] + start[0] + p * dilation[0]
                    if lo < hi and 0 <= h < height:
                        target = planes[plane, h, lo * step[1] + offset :]
                        source = windows[plane, p, q, i, lo:hi]
                        for j in range(len(source)):
                            target[j * step[1]] += source[j]
