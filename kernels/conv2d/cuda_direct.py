"""Version 1, direct: the definition, pixel by pixel (`direct.cu`, `direct_weight.cu`, `depthwise.cu`).

What it multiplies it fetches from the first-level cache, product by product. The others keep a tile in shared memory
and in registers, and fetch far less; but a depthwise convolution has next to nothing to keep: this version is for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty, kernel
from . import ConvGeometry, Pair, cuda_parts
from .cuda_shape import BITS, THREADS, Conv, conv, pixel_grid

__all__ = ["applies", "fits", "forward", "grad_input", "grad_weight"]

Array = Any
ROWS, DEPTHWISE_ROWS = 4, 8  # pixels of a thread, as in direct.cu and depthwise.cu
TAPS = 9  # of a block, as in direct_weight.cu
FILL = 1024  # blocks that fill the largest GPU
PARTS = 128  # of a sum, at most


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """To every convolution."""
    return True


def fits(s: Conv) -> bool:
    """Pixels of a plane, the weight and planes are counted with 32 bits; a thread's count may go beyond the last plane.

    Such a plane is 4 GB, of a half type.
    """
    planes, pixels = s.N * max(s.C, s.O), max(s.H * s.W, s.OH * s.OW)
    return max(2 * planes, pixels, s.O * (s.C // s.groups) * s.KH * s.KW) < BITS


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    s = conv(len(x), x.shape[1], x.shape[2:], len(w), w.shape[2:], geometry)
    y = empty((s.N, s.O, s.OH, s.OW), x)
    if _is_unrolled(s, s.stride_h):
        _depthwise(s, x, w, bias, y, False, relu)
    else:
        _correlate("direct_forward", s, x, w, bias, y, 1, (relu,))
    return y


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    s = conv(len(gy), w.shape[1] * geometry.groups, input_size, len(w), w.shape[2:], geometry)
    gx = empty((s.N, s.C, s.H, s.W), gy)
    if _is_unrolled(s, 1):  # a convolution of gy with each filter turned round
        turned = s._replace(H=s.OH, W=s.OW, OH=s.H, OW=s.W, top=s.KH - 1 - s.top, left=s.KW - 1 - s.left)
        _depthwise(turned, gy, w, bias, gx, True, False)
    else:
        _correlate("direct_grad_input", s, gy, w, bias, gx, s.stride_h, ())
    return gx


def _is_unrolled(s: Conv, stride: int) -> bool:
    """Whether `depthwise.cu` knows the window, with this stride."""
    known = (s.KH, s.KW, s.dilation_h, s.dilation_w) == (3, 3, 1, 1) and stride in (1, 2)
    return known and s.stride_h == s.stride_w == stride and s.C == s.O == s.groups


def _depthwise(s: Conv, x: Array, w: Array, bias: Array | None, y: Array, turned: bool, relu: bool) -> None:
    pixels, planes = -(-s.OH // DEPTHWISE_ROWS) * s.OW, s.N * s.C
    _, (across, down) = pixel_grid(pixels, planes)
    tiles = -(-pixels // across)
    run = kernel("conv2d/depthwise.cu", "depthwise", y, WINDOW=3, STRIDE=s.stride_h)
    run((tiles * -(-planes // down),), (across, down), (x, w, bias, y, s, planes, tiles, turned, relu))


def _correlate(
    name: str, s: Conv, x: Array, w: Array, bias: Array | None, y: Array, every: int, more: tuple[Any, ...]
) -> None:
    """Threads for strips of ROWS pixels, `every` apart, of so many channels."""
    outputs, (height, width) = y.shape[1] // s.groups, y.shape[2:]
    channels = 1 if outputs == 1 else 4
    strips = -(-height // (every * ROWS)) * every
    tasks = s.N * s.groups * -(-outputs // channels)
    grid, block = pixel_grid(strips * width, tasks)
    kernel("conv2d/direct.cu", name, y, OUTPUTS=channels)(grid, block, (x, w, bias, y, s, tasks, *more))


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    s = conv(len(x), x.shape[1], x.shape[2:], gy.shape[1], kernel_size, geometry)
    gw = empty((s.O, s.C // s.groups, s.KH, s.KW), x)
    blocks, pixels = s.O * (s.C // s.groups) * -(-s.KH * s.KW // TAPS), s.N * s.OH * s.OW
    # Each thread has some pixels to walk through, or the sum within the block would take longer.
    count = max(1, min(FILL // blocks, PARTS, pixels // (8 * THREADS)))
    parts = empty((count, *gw.shape), x, cuda_parts.wide(x))
    length = np.int64(-(-pixels // count))
    kernel("conv2d/direct_weight.cu", "direct_grad_weight", x)((blocks, count), (THREADS,), (x, gy, parts, s, length))
    cuda_parts.add(parts, gw)
    return gw
