"""The windows of an image as the columns of a matrix, and back: the two halves of unfold and fold.

    im2col:  columns[n, (c, p, q), (i, j)] = x[n, c, i·s_h − top + p·d_h, j·s_w − left + q·d_w], zero outside x
    col2im:  its adjoint, every column entry added to the pixel it came from

The geometry is `conv2d.ConvGeometry` (groups play no part), so that w · im2col(x) is the convolution.

**Shapes**: x (N, C, H, W), columns (N, C·KH·KW, OH·OW), C-contiguous results in the type of the argument.
"""

from __future__ import annotations

from typing import Any

from ..backend import backend
from ..conv2d import ConvGeometry, Pair

__all__ = ["col2im", "im2col"]


def im2col(x: Any, kernel_size: Pair, geometry: ConvGeometry) -> Any:
    """columns (N, C·KH·KW, OH·OW) of x: one row per channel and tap, one column per output pixel."""
    return backend(__name__, x).im2col(x, kernel_size, geometry)


def col2im(columns: Any, kernel_size: Pair, geometry: ConvGeometry, input_size: Pair) -> Any:
    """x (N, C, H, W) for `input_size` = (H, W): overlapping windows add up, untouched pixels are zero."""
    return backend(__name__, columns).col2im(columns, kernel_size, geometry, input_size)
