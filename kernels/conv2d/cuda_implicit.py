"""Version 3, implicit GEMM: a product of matrices of which one is never written (`implicit.cu`, `implicit_weight.cu`).

It multiplies in float32 on the ordinary arithmetic units, whatever the type of the arrays: for exact float32, and for
half types where tensor cores do not know them. Beside x, w and y it takes a copy of w and a small table, or for
`grad_weight` the sums over each part of the batch.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from . import ConvGeometry, Pair
from .cuda_shape import Conv, conv

__all__ = ["applies", "forward", "grad_input", "grad_weight"]

SOURCE, WEIGHT = "conv2d/implicit.cu", "conv2d/implicit_weight.cu"
DEPTH, COLUMNS = 8, 128  # of a tile, as in tile.cuh
THREADS = {128: 256, 64: 128, 32: 128}  # by rows of a tile
# What share of the instructions in the inner loop are multiplications, by rows of a tile (sm_90, float).
SHARE, SHARE_WEIGHT = {128: 0.875, 64: 0.831, 32: 0.749}, {128: 0.811, 64: 0.754, 32: 0.646}
MULTIPROCESSORS = 132  # of an H100; the same tiles on every GPU, as the bits depend on them
BLOCK_COST = 16  # steps in whose time a block starts, writes its sums, and has them added up
PARTS_ADDED = 16  # parts that are read one after the other in the time of a step

Array = Any


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: Any) -> bool:
    """To float32 and the half types, where 31 bits are enough for the rows and columns of a window."""
    return dtype.name in ("float32", "float16", "bfloat16") and sum(weight_shape[2:]) <= 31


def forward(x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
    """See the family's docstring."""
    s = conv(len(x), x.shape[1], x.shape[2:], len(w), w.shape[2:], geometry)
    y = empty((s.N, s.O, s.OH, s.OW), x)
    _multiply(s, x, w, bias, y, relu, adjoint=False)
    return y


def grad_input(gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
    """See the family's docstring."""
    s = conv(len(gy), w.shape[1] * geometry.groups, input_size, len(w), w.shape[2:], geometry)
    gx = empty((s.N, s.C, s.H, s.W), gy)
    _multiply(s, gy, w, bias, gx, False, adjoint=True)
    return gx


def grad_weight(x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
    """See the family's docstring."""
    s = conv(len(x), x.shape[1], x.shape[2:], gy.shape[1], kernel_size, geometry)
    gw = empty((s.O, s.C // s.groups, s.KH, s.KW), x)
    outputs, columns, pixels = s.O // s.groups, gw.size // s.O, s.N * s.OH * s.OW
    assert pixels < 1 << 31, pixels
    rows = min(_tiles(x), key=lambda rows: -(-outputs // rows) * rows / SHARE_WEIGHT[rows])
    down, across = -(-outputs // rows), -(-columns // COLUMNS)
    together = MULTIPROCESSORS * 512 // THREADS[rows]  # blocks
    count, steps = _parts(down * across * s.groups, -(-pixels // DEPTH), together, 65535 // s.groups)
    parts = empty((count, gw.size), x, np.float32)
    args = x, gy, parts, tuple(s), tuple(_ahead(s)), outputs, columns, np.uint32(steps * DEPTH)
    product = kernel(WEIGHT, "implicit_weight", x, ROWS=rows)
    product((down, across, count * s.groups), (THREADS[rows],), args)
    add = kernel(WEIGHT, "implicit_sum", x, ROWS=rows)
    add((-(-gw.size // 256),), (256,), (parts, gw, count, np.int64(gw.size)))
    return gw


def _multiply(s: Conv, x: Array, w: Array, bias: Array | None, y: Array, relu: bool, *, adjoint: bool) -> None:
    """The product for all pixels of y. Those `every` apart are a phase: it has taps of its own, `step` apart."""
    every = (s.stride_h, s.stride_w) if adjoint else (1, 1)
    step = every[0] // math.gcd(every[0], s.dilation_h), every[1] // math.gcd(every[1], s.dilation_w)
    slots = min(step[0], s.KH), min(step[1], s.KW)  # phases with taps, by the first of these
    sources, channels, phases = x.shape[1] // s.groups, y.shape[1] // s.groups, every[0] * every[1]
    pixels = s.N * -(-y.shape[2] // every[0]) * -(-y.shape[3] // every[1])  # of the largest phase
    assert pixels < 1 << 31, pixels
    rows = _rows(channels, -(-pixels // COLUMNS) * s.groups * phases, _tiles(x))
    depth = _rounded(sources * -(-s.KH // step[0]) * -(-s.KW // step[1]), DEPTH) + DEPTH
    width = _rounded(channels, rows)

    packed = empty((slots[0] * slots[1], s.groups, depth, width), x, np.float32)
    assert packed.size < 1 << 31, packed.shape
    table = empty((slots[0] * slots[1], depth, 2), x, np.int32)
    sides = (sources, *x.shape[2:]), (channels, *y.shape[2:])
    assert max(map(math.prod, sides)) < 1 << 31, sides  # within an image the kernels count with 32 bits
    pack = kernel(SOURCE, "implicit_pack", x, ROWS=rows)
    grid: tuple[int, ...] = (-(-depth // 32), width // 32, slots[0] * slots[1] * s.groups)
    pack(grid, (32, 8), (w, packed, table, tuple(s), *sides, adjoint, slots[1], depth, width))
    grid = width // rows * -(-pixels // COLUMNS), s.groups, phases
    args = x, packed, table, bias, y, tuple(s), *sides, adjoint, relu, depth, width
    kernel(SOURCE, "implicit", x, ROWS=rows)(grid, (THREADS[rows],), args)


def _tiles(x: Array) -> tuple[int, ...]:
    """Rows of the tiles that there are for the type of x."""
    return (128, 64, 32) if x.dtype == np.float32 else (128, 32)


@functools.cache
def _rows(channels: int, others: int, tiles: tuple[int, ...]) -> int:
    """The rows of the tiles with which `others` columns of tiles for so many channels are done first.

    Blocks that share a multiprocessor take as long together as they would one after the other.
    """

    def time(rows: int) -> float:
        return -(-(-(-channels // rows) * others) // MULTIPROCESSORS) * rows / SHARE[rows]

    return min(tiles, key=time)


@functools.cache
def _parts(tiles: int, steps: int, together: int, most: int) -> tuple[int, int]:
    """Into how many parts to cut the `steps` of each tile so that all are done first, and the steps of a part."""

    def time(count: int) -> int:
        return -(-tiles * count // together) * (-(-steps // count) + BLOCK_COST) + count // PARTS_ADDED

    most = max(1, min(steps, most, 4 * together // tiles))
    each = -(-steps // min(range(1, most + 1), key=time))
    return -(-steps // each), each


class _Ahead(NamedTuple):
    """Member for member the struct of `implicit_weight.cu`."""

    h: int
    height: int
    w: int
    width: int
    next_h: int
    x: int
    x_next_row: int
    x_next_image: int
    gy: int
    gy_next_image: int


def _ahead(s: Conv) -> _Ahead:
    """DEPTH windows further on: images, rows and columns are the digits of a number."""
    images, rest = divmod(DEPTH, s.OH * s.OW)
    rows, columns = divmod(rest, s.OW)
    h, w, height, width = rows * s.stride_h, columns * s.stride_w, s.OH * s.stride_h, s.OW * s.stride_w
    x_image, gy_image = s.C * s.H * s.W, (s.O - 1) * s.OH * s.OW
    x, gy = images * x_image + h * s.W + w, images * gy_image + DEPTH
    assert max(x + x_image + s.stride_h * s.W, gy + gy_image) < 1 << 31, s  # added up with 32 bits
    return _Ahead(h, height, w, width, s.stride_h, x, s.stride_h * s.W - width, x_image - height * s.W, gy, gy_image)


def _rounded(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
