"""The struct Conv of `conv.cuh`: a convolution's sizes, as one argument of a kernel."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from . import ConvGeometry, Pair, output_size

__all__ = ["BITS", "MOST", "Conv", "conv", "extent", "pixel_grid", "taps_apart", "whole"]

THREADS = 256  # of a block that has a thread for each pixel
BITS = 1 << 31  # no number is as large that a kernel counts with 32 bits, and its sign
MOST = 60000  # groups and the like along y and z of a grid, which end at 65535: room for the parts of sums
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


@functools.lru_cache(1024)
def conv(batch: int, channels: int, size: Pair, outputs: int, kernel_size: Pair, geometry: ConvGeometry) -> Conv:
    """The sizes of the convolution of x (batch, channels, *size) onto `outputs` channels."""
    stride, ((top, _), (left, _)), dilation, groups = geometry
    windows = output_size(size, kernel_size, geometry)
    return Conv(batch, channels, *size, outputs, *kernel_size, *windows, *stride, top, left, *dilation, groups)


def whole(size: int, unit: int) -> int:
    """`size`, or the next number of whole units."""
    return -(-size // unit) * unit


def extent(c: Conv) -> int:
    """The pixels of a plane with all around it that a window sees: no plane of x, of gy or of a copy has more."""
    rows = max(c.H, c.OH * c.stride_h) + c.top + c.KH * c.dilation_h
    return rows * (max(c.W, c.OW * c.stride_w) + c.left + c.KW * c.dilation_w)


def taps_apart(c: Conv, every: Pair) -> Pair:
    """How far apart the taps are that a pixel hears from, where only pixels `every` apart share theirs (`taps.cuh`)."""
    return every[0] // math.gcd(every[0], c.dilation_h), every[1] // math.gcd(every[1], c.dilation_w)


def pixel_grid(pixels: int, planes: int) -> tuple[Pair, Pair]:
    """(grid, block) for a thread a pixel along x, and along y the planes, of which it takes every so-manyth.

    What a thread works out about its pixel then serves several planes, where there are more of them than blocks are
    of use. Images are cut so that at most a third of the threads have no pixel, except very small ones.
    """
    wanted = pixels if pixels <= 64 else -(-pixels // 4)
    across = min(THREADS, 1 << max(wanted - 1, 0).bit_length())
    down, columns = THREADS // across, -(-pixels // across)
    return (columns, min(-(-planes // down), 65535, max(1, BLOCKS // columns))), (across, down)
