"""Cuts the planes of a result into tiles for the blocks of a launch: the host's side of `planes.cuh`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .tables import divisor

__all__ = ["LARGEST", "THREADS", "Tiling", "launches", "narrow_tiles", "tiling"]

THREADS = 256
EACH = 8  # outputs of a thread, where there are enough
BLOCKS = 1024  # that a launch should have: some eight for each multiprocessor of a large GPU
LARGEST = 2**31 - 2**13  # elements that a launch can number, with its threads beyond the end

Array = Any


class Tiling(NamedTuple):
    """The struct `Tiles`, the grid, and the rows of a tile."""

    tiles: tuple[Any, ...]
    grid: tuple[int]
    tile_rows: int


def launches(x: Array, y: Array) -> list[tuple[Array, Array]]:
    """x and y as (P, H, W), in as few parts as keep the number of any element below 2^31; none if y is empty."""
    planes, size = math.prod(x.shape[:-2]), max(math.prod(x.shape[-2:]), math.prod(y.shape[-2:]))
    assert size <= LARGEST, f"a plane of {size} elements is more than a launch can number"
    xs, ys = x.reshape(planes, *x.shape[-2:]), y.reshape(planes, *y.shape[-2:])
    many = LARGEST // max(size, 1)
    return [(xs[i : i + many], ys[i : i + many]) for i in range(0, planes if y.size else 0, many)]


def narrow_tiles(width: int) -> int:
    """log2 of the tiles' width up to 128 with the fewest idle columns, an edge between tiles counting as four."""
    return min(range(7, -1, -1), key=lambda log: (-(-width >> log) << log) + (-(-width >> log)) * 4)


def tiling(x: Array, y: Array, log_columns: int, busy: int = 1, most_rows: int = LARGEST) -> Tiling:
    """Tiles of `EACH` outputs for a thread, fewer where blocks are few; of at most `most_rows` rows.

    A row of a tile occupies as many threads as it has columns, or `busy` if that is more.
    """
    (_, height, width), (planes, out_height, out_width) = x.shape, y.shape
    rows, along = planes * out_height, -(-out_width >> log_columns)
    least = THREADS // max(1 << log_columns, busy)
    tile_rows = max(1, min(EACH * THREADS >> log_columns, most_rows, max(least, rows * along // BLOCKS)))
    tiles = rows, out_width, tile_rows, log_columns, along, divisor(out_height), height, width
    return Tiling(tiles, (-(-rows // tile_rows) * along,), tile_rows)
