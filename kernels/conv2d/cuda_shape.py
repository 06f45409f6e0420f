"""The struct Conv of `conv.cuh`: a convolution's sizes, as one argument of a kernel."""

from __future__ import annotations

from typing import NamedTuple

from . import ConvGeometry, Pair, output_size

__all__ = ["Conv", "conv", "pixel_grid"]

THREADS = 256  # of a block that has a thread for each pixel
BLOCKS = 4096  # as many as keep the largest GPU busy to the end: it holds about a thousand


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


def pixel_grid(pixels: int, planes: int) -> tuple[Pair, Pair]:
    """(grid, block) for a thread a pixel along x, and along y the planes, of which it takes every so-manyth.

    What a thread works out about its pixel then serves several planes, where there are more of them than blocks are
    of use. Images are cut so that at most a third of the threads have no pixel, except very small ones.
    """
    wanted = pixels if pixels <= 64 else -(-pixels // 4)
    across = min(THREADS, 1 << max(wanted - 1, 0).bit_length())
    down, columns = THREADS // across, -(-pixels // across)
    return (columns, min(-(-planes // down), 65535, max(1, BLOCKS // columns))), (across, down)
