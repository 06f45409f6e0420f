"""Products in tiles and parts: which tile, into how many parts its sums are cut, and what adds these up (`parts.cu`).

Every version that is a matrix product asks `plan`, in each direction. It knows sizes only: the same on every GPU, as
the bits depend on it.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from .cuda_shape import THREADS, pixel_grid

__all__ = ["Tile", "add", "add_turned", "finished", "plan", "room", "tiles_of", "wide"]

SOURCE = "conv2d/parts.cu"
MULTIPROCESSORS = 132  # of an H100
ALONE = 0.6  # share of the resident blocks' time that is gone also where there are fewer of them
START = 4  # steps in whose time a block starts, and writes its results
START_OF_PART = 16  # the same of a block that writes sums in float, which are read again
LAUNCH = 4  # steps of the first tile, in whose time one more kernel starts
ADDED = 16  # parts that a thread adds up in the time of a step

Array = Any


class Tile(NamedTuple):
    """The part of a matrix that a block computes, and how well it does it."""

    m: int
    n: int
    threads: int
    resident: int  # blocks on a multiprocessor at once
    cost: float  # of a multiplication, for what else is done to make it


@functools.cache
def plan(tiles: tuple[Tile, ...], m: int, n: int, count: int, steps: int) -> tuple[Tile, int]:
    """The tile, and the number of parts of a sum, with which `count` products of m x n are done first.

    A sum has so many steps; each part has the same number, but for the last. Blocks that share a multiprocessor take as
    long together as one after the other, but a few of them do not use all of it.
    """

    def time(tile: Tile, parts: int) -> float:
        blocks = -(-count * tiles_of(tile, m, n) * parts // MULTIPROCESSORS)
        rounds, rest = divmod(blocks, tile.resident)
        busy = rounds * tile.resident + (max(rest, ALONE * tile.resident) if rest else 0)
        length = -(-steps // parts) + (START_OF_PART if parts > 1 else START)
        after = (LAUNCH + parts / ADDED) * tiles[0].m * tiles[0].n if parts > 1 else 0.0
        return busy * length * tile.m * tile.n * tile.cost + after

    choices = [(tile, parts) for tile in tiles for parts in _parts(steps, tile, count * tiles_of(tile, m, n))]
    return min(choices, key=lambda choice: time(*choice))


def tiles_of(tile: Tile, m: int, n: int) -> int:
    """How many of them a product of m x n takes."""
    return -(-m // tile.m) * -(-n // tile.n)


def _parts(steps: int, tile: Tile, tiles: int) -> list[int]:
    """How many parts there may be: none empty, and no more than give every place on the GPU four blocks."""
    most = max(1, min(steps, -(-4 * MULTIPROCESSORS * tile.resident // tiles)))
    lengths = {-(-steps // parts) for parts in range(1, most + 1)} - {0}
    return sorted(-(-steps // length) for length in lengths) or [1]


def wide(like: Array) -> np.dtype:
    """The type of sums."""
    return np.dtype(np.float64 if like.dtype == np.float64 else np.float32)


def finished(sums: Array, like: Array, bias: Array | None, relu: bool) -> Array:
    """The sums plus the bias of each channel, then max(y, 0) if asked for; in place, unless `like` has another type."""
    same = sums.dtype == like.dtype
    y = sums if same else empty(sums.shape, like)
    if not same or bias is not None or relu:
        add(sums, y, bias, relu)
    return y


def room(parts: int, y: Array) -> Array | None:
    """For the parts of y, where there are several."""
    return empty((parts, *y.shape), y, np.float32) if parts > 1 else None


def add(parts: Array, y: Array, bias: Array | None = None, relu: bool = False) -> None:
    """y = the sum over the first axis of `parts`, plus the bias of each channel, then max(y, 0) if asked for."""
    channels, planes, width = (1, 1, y.size) if bias is None else (y.shape[1], y.size // _plane(y), _plane(y))
    grid, block = pixel_grid(width, planes)
    args = parts, bias, y, parts.size // y.size, planes, channels, np.int64(width), relu
    kernel(SOURCE, "sum_of_parts", y)(grid, block, args)


def _plane(y: Array) -> int:
    size: int = y.shape[2] * y.shape[3]
    return size


def add_turned(parts: Array, gw: Array) -> None:
    """gw (O, C, KH, KW) = the sum over the first axis of `parts` (., O, KH·KW, C and more)."""
    args = parts, gw, len(parts), *gw.shape[:2], *parts.shape[2:]
    kernel(SOURCE, "sum_of_turned_parts", gw)((-(-gw.size // THREADS),), (THREADS,), args)
