"""The struct Conv of `conv.cuh`: a convolution's sizes, as one argument of a kernel."""

from __future__ import annotations

from typing import NamedTuple

from . import ConvGeometry, Pair, output_size

__all__ = ["Conv", "conv"]


class Conv(NamedTuple):
    """Member for member the struct of `conv.cuh`."""

    N: int
    C: int
    H: int
    W: int
    O: int  # noqa: E741 (the name of the formula)
    KH: int
    KW: int
    OH: int
    OW: int
    stride_h: int
    stride_w: int
    top: int
    left: int
    dilation_h: int
    dilation_w: int
    groups: int


def conv(batch: int, channels: int, size: Pair, outputs: int, kernel_size: Pair, geometry: ConvGeometry) -> Conv:
    """The sizes of the convolution of x (batch, channels, *size) onto `outputs` channels."""
    stride, ((top, _), (left, _)), dilation, groups = geometry
    windows = output_size(size, kernel_size, geometry)
    return Conv(batch, channels, *size, outputs, *kernel_size, *windows, *stride, top, left, *dilation, groups)
