"""Version 3, implicit GEMM: a product of matrices of which one is never written (`implicit.cu`, `implicit_weight.cu`).

It multiplies in float32 on the ordinary arithmetic units, whatever the type of the arrays: for exact float32, and for
half types where tensor cores do not know them. Beside x, w and y it takes a copy of w and a small table, and the parts
of sums where `cuda_parts` cuts them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from . import ConvGeometry, Pair, cuda_parts
from .cuda_parts import Tile
from .cuda_shape import BITS, MOST, Conv, conv, extent, taps_apart, whole

__all__ = ["applies", "fits", "forward", "grad_input", "grad_weight"]

SOURCE, WEIGHT = "conv2d/implicit.cu", "conv2d/implicit_weight.cu"
DEPTH = 8  # of a step, as in tile.cuh
# The cost is one over the share of the inner loop's instructions that multiply (sm_90, float).
TILES = Tile(128, 128, 256, 2, 1 / 0.875), Tile(64, 128, 128, 4, 1 / 0.831), Tile(32, 128, 128, 4, 1 / 0.749)
TILES_WEIGHT = Tile(128, 128, 256, 2, 1 / 0.811), Tile(64, 128, 128, 4, 1 / 0.754), Tile(32, 128, 128, 4, 1 / 0.646)

Array = Any


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: Any) -> bool:
    """To float32 and the half types, where 31 bits are enough for the rows and columns of a window."""
    return dtype.name in ("float32", "float16", "bfloat16") and sum(weight_shape[2:]) <= 31


@functools.cache
def fits(s: Conv) -> bool:
    """Pixels, the packed weight and what lies within an image are counted with 32 bits."""
    images, channels = DEPTH // (s.OH * s.OW), max(s.C, s.O)
    if ((images + 1) * channels + 2) * extent(s) >= BITS:  # as far as `_Ahead` leads
        return False
    grid = [s.groups, s.C // s.groups * s.KH * s.KW // TILES[0].n, channels // 32]  # blocks along y and z
    for adjoint in (False, True):
        p = _product(s, adjoint)
        width, slots = whole(p.channels, TILES[0].m), p.slots[0] * p.slots[1]
        if max(p.pixels, slots * s.groups * p.depth * width) >= BITS:
            return False
        grid += [p.phases, slots * s.groups]
    return max(grid) <= MOST


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
    tile, count = cuda_parts.plan(_known(TILES_WEIGHT, x), outputs, columns, s.groups, -(-pixels // DEPTH))
    length = -(-pixels // (DEPTH * count)) * DEPTH
    parts = empty((count, *gw.shape), x, np.float32)
    grid = -(-outputs // tile.m), -(-columns // tile.n), count * s.groups
    args = x, gy, parts, tuple(s), tuple(_ahead(s)), outputs, columns, np.uint32(length)
    kernel(WEIGHT, "implicit_weight", x, ROWS=tile.m)(grid, (tile.threads,), args)
    cuda_parts.add(parts, gw)
    return gw


class _Product(NamedTuple):
    """The product of a forward, or of its adjoint, as far as the sizes say.

    Pixels of y a stride apart are a phase of the adjoint, which has taps of its own. `slots` are the phases with taps,
    by the first of these; `pixels` those of the largest phase; `depth` is that of the phase with most taps, and a step.
    """

    channels: int  # of a group of y
    phases: int
    slots: Pair
    pixels: int
    depth: int


def _product(s: Conv, adjoint: bool) -> _Product:
    every = (s.stride_h, s.stride_w) if adjoint else (1, 1)
    step = taps_apart(s, every)
    sources, channels, size = (s.O, s.C, (s.H, s.W)) if adjoint else (s.C, s.O, (s.OH, s.OW))
    pixels = s.N * -(-size[0] // every[0]) * -(-size[1] // every[1])
    depth = whole(sources // s.groups * -(-s.KH // step[0]) * -(-s.KW // step[1]), DEPTH) + DEPTH
    slots = min(step[0], s.KH), min(step[1], s.KW)
    return _Product(channels // s.groups, every[0] * every[1], slots, pixels, depth)


def _multiply(s: Conv, x: Array, w: Array, bias: Array | None, y: Array, relu: bool, *, adjoint: bool) -> None:
    """The product for all pixels of y."""
    channels, phases, slots, pixels, depth = _product(s, adjoint)
    tile, count = cuda_parts.plan(_known(TILES, x), channels, pixels, s.groups * phases, depth // DEPTH - 1)
    width = whole(channels, tile.m)

    packed = empty((slots[0] * slots[1], s.groups, depth, width), x, np.float32)
    table = empty((slots[0] * slots[1], depth, 2), x, np.int32)
    sides = (x.shape[1] // s.groups, *x.shape[2:]), (channels, *y.shape[2:])
    pack = kernel(SOURCE, "implicit_pack", x, ROWS=tile.m)
    grid: tuple[int, ...] = (-(-depth // 32), width // 32, slots[0] * slots[1] * s.groups)
    pack(grid, (32, 8), (w, packed, table, tuple(s), *sides, adjoint, slots[1], depth, width))
    grid = width // tile.m * -(-pixels // tile.n), s.groups, phases * count
    parts = cuda_parts.room(count, y)
    args = x, packed, table, bias, y, parts, tuple(s), *sides, adjoint, relu, depth, width
    kernel(SOURCE, "implicit", x, ROWS=tile.m)(grid, (tile.threads,), args)
    if parts is not None:
        cuda_parts.add(parts, y, bias, relu)


def _known(tiles: tuple[Tile, ...], x: Array) -> tuple[Tile, ...]:
    """Those that the kernels are compiled for in the type of x."""
    return tiles if x.dtype == np.float32 else (tiles[0], tiles[2])


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
    return _Ahead(h, height, w, width, s.stride_h, x, s.stride_h * s.W - width, x_image - height * s.W, gy, gy_image)
