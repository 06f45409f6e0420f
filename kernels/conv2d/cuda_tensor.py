"""Convolution on tensor cores: `tensor.cu` and `tensor_weight.cu`, on the channels-last copies that `layout.cu` makes.

float32 is multiplied as TF32, with 10 bits of mantissa; all types are summed in float32. Needs sm_80. The zeros around
an image, and around gy, are multiplied as well: beside them a weight that is not finite gives NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import allow_tf32
from ..backend import HALF_TYPES
from ..launch import empty, kernel
from . import ConvGeometry, Pair, cuda_parts
from .cuda_parts import Tile
from .cuda_shape import BITS, Conv, conv, extent, taps_apart, whole

__all__ = ["applies", "fits", "forward", "grad_input", "grad_weight"]

LAYOUT, PRODUCT, WEIGHT = "conv2d/layout.cu", "conv2d/tensor.cu", "conv2d/tensor_weight.cu"
LAYOUT_THREADS = 256
SLAB = 64  # bytes of K in a step
TILES = Tile(128, 256, 256, 1, 1.0), Tile(64, 256, 128, 2, 1.3), Tile(64, 64, 128, 4, 2.3)

Array = Any


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: Any) -> bool:
    """To every convolution in a half type, and in float32 where `kernels.use(allow_tf32=True)` permits."""
    return dtype in HALF_TYPES or (dtype == np.float32 and allow_tf32())


def fits(s: Conv) -> bool:
    """Blocks, and the chunks of the copies of a group and of the weight, are counted with 32 bits."""
    channels, pixels = max(s.C, s.O) // s.groups, extent(s)
    chunks, windows = -(-channels // 4), max(s.H * s.W, s.OH * s.OW)  # chunks of float32: the most
    turned = s.groups * s.N * -(-pixels // 64) * -(-chunks // 8)
    made = s.groups * s.stride_h * s.stride_w * cuda_parts.tiles_of(TILES[-1], channels, s.N * windows)
    return max(s.N * pixels * chunks, turned, made, 4 * s.O * s.KH * s.KW * chunks) < BITS


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See `kernels.conv2d.forward`."""
    c = conv(x.shape[0], x.shape[1], x.shape[2:], w.shape[0], w.shape[2:], geometry)
    y = empty((c.N, c.O, c.OH, c.OW), x)
    if y.size:
        c, grid, copy = _copy_input(x, c)
        _multiply(copy, _copy_weight(w, c, adjoint=False), bias, y, c, grid, adjoint=False, relu=relu)
    return y


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See `kernels.conv2d.grad_input`."""
    c = conv(gy.shape[0], w.shape[1] * geometry.groups, input_size, w.shape[0], w.shape[2:], geometry)
    gx = empty((c.N, c.C, c.H, c.W), gy)
    if gx.size:
        rows, first_row = _span(c.H, c.KH, c.stride_h, c.top, c.dilation_h)
        columns, first_column = _span(c.W, c.KW, c.stride_w, c.left, c.dilation_w)
        grid = Grid(rows, columns, first_row, first_column)
        copy = _copy_images(gy, c.groups, grid, (1, 1))
        _multiply(copy, _copy_weight(w, c, adjoint=True), bias, gx, c, grid, adjoint=True, relu=False)
    return gx


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See `kernels.conv2d.grad_weight`."""
    c = conv(x.shape[0], x.shape[1], x.shape[2:], gy.shape[1], kernel_size, geometry)
    gw = empty((c.O, c.C // c.groups, c.KH, c.KW), x)
    if not gw.size:
        return gw
    c, grid, x_copy = _copy_input(x, c)
    gy_copy = _copy_images(gy, c.groups, Grid(c.OH, c.OW, 0, 0), (1, 1))
    rows, pitch, taps = c.O // c.groups, _padded(c.C // c.groups, x), c.KH * c.KW
    steps = -(-c.N * c.OH * c.OW * x.itemsize // SLAB)
    tile, splits = cuda_parts.plan(TILES, rows, taps * pitch, c.groups, steps)
    blocks = c.groups * cuda_parts.tiles_of(tile, rows, taps * pitch) * splits
    parts = empty((splits, c.O, taps, pitch), x, np.float32)
    product = kernel(WEIGHT, "tensor_weight", x, TILE_M=tile.m, TILE_N=tile.n)
    product((blocks,), (tile.threads,), (x_copy, gy_copy, parts, tuple(c), tuple(grid), splits), _shared(tile))
    cuda_parts.add_turned(parts, gw)
    return gw


class Grid(NamedTuple):
    """The pixels of a copy, and which row and column of the original come first: the struct of `tensor.cu`."""

    rows: int
    columns: int
    first_row: int
    first_column: int


def _span(size: int, kernel: int, stride: int, before: int, dilation: int) -> Pair:
    """How many rows of gy the `size` rows of the input hear from, and the first: those i for which a row h and a tap p
    with i · stride = h + before − p · dilation exist."""
    first = -((dilation * (kernel - 1) - before) // stride)
    return max(1, (size - 1 + before) // stride - first + 1), first


def _copy_input(x: Array, c: Conv) -> tuple[Conv, Grid, Array]:
    """The copy of x with its padding, and the convolution of the copy.

    Along an axis on which the kernel has one tap only every stride-th pixel is seen, and copied.
    """
    thin_h, thin_w = c.KH == 1, c.KW == 1
    step = c.stride_h if thin_h else 1, c.stride_w if thin_w else 1
    c = c._replace(stride_h=c.stride_h // step[0], stride_w=c.stride_w // step[1])
    rows = (c.OH - 1) * c.stride_h + (c.KH - 1) * c.dilation_h + 1
    columns = (c.OW - 1) * c.stride_w + (c.KW - 1) * c.dilation_w + 1
    grid = Grid(rows, columns, -c.top, -c.left)
    return c, grid, _copy_images(x, c.groups, grid, step)


def _copy_images(x: Array, groups: int, grid: Grid, step: Pair) -> Array:
    images, channels, h, w = x.shape
    strides = channels // groups * h * w, channels * h * w, h * w
    return _copy(x, (groups, images, channels // groups), grid, step, (h, w), strides)


def _copy_weight(w: Array, c: Conv, adjoint: bool) -> Array:
    """Weights as (group, O/G, KH, KW, C/G), for the adjoint (group, C/G, KH, KW, O/G)."""
    outputs, channels, taps = c.O // c.groups, w.shape[1], c.KH * c.KW
    shape, image, channel = (outputs, channels), channels * taps, taps
    if adjoint:
        shape, image, channel = (channels, outputs), taps, channels * taps
    grid, strides = Grid(c.KH, c.KW, 0, 0), (outputs * channels * taps, image, channel)
    return _copy(w, (c.groups, *shape), grid, (1, 1), (c.KH, c.KW), strides)


def _copy(
    x: Array, shape: tuple[int, int, int], grid: Grid, step: Pair, size: Pair, strides: tuple[int, int, int]
) -> Array:
    """(groups, images, rows, columns, channels in whole chunks) of `x`; `shape` has groups, images, channels."""
    groups, images, channels = shape
    copy = empty((groups, images, grid.rows, grid.columns, _padded(channels, x)), x)
    chunks = copy.shape[-1] * x.itemsize // 16
    blocks = groups * images * -(-grid.rows * grid.columns // 64) * -(-chunks // 8)
    if blocks:
        layout = (*shape, *grid, *size, *step, *map(np.int64, strides))
        kernel(LAYOUT, "channels_last", x)((blocks,), (LAYOUT_THREADS,), (x, copy, layout))
    return copy


def _padded(channels: int, like: Array) -> int:
    """`channels` in whole chunks of 16 bytes."""
    return whole(channels, 16 // like.itemsize)


def _multiply(
    x: Array, w: Array, bias: Array | None, y: Array, c: Conv, grid: Grid, *, adjoint: bool, relu: bool
) -> None:
    stride = (c.stride_h, c.stride_w) if adjoint else (1, 1)
    channels, size = y.shape[1] // c.groups, y.shape[2:]
    pixels = c.N * -(-size[0] // stride[0]) * -(-size[1] // stride[1])  # of the largest phase
    phases = c.groups * stride[0] * stride[1]
    step = taps_apart(c, stride)
    taps = -(-c.KH // step[0]) * -(-c.KW // step[1])  # of the phase with most
    steps = -(-taps * x.shape[-1] * x.itemsize // SLAB)
    tile, count = cuda_parts.plan(TILES, channels, pixels, phases, steps)
    blocks, parts = phases * cuda_parts.tiles_of(tile, channels, pixels), cuda_parts.room(count, y)
    product = kernel(PRODUCT, "tensor", y, TILE_M=tile.m, TILE_N=tile.n)
    args = x, w, bias, y, parts, tuple(c), tuple(grid), adjoint, relu
    product((blocks, count), (tile.threads,), args, _shared(tile))
    if parts is not None:
        cuda_parts.add(parts, y, bias, relu)


def _shared(tile: Tile) -> int:
    """Bytes of shared memory: a ring of four slabs."""
    return 4 * SLAB * (tile.m + tile.n)
