"""Moments and sums of channels on a GPU, in two steps: `sums.cu`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from .cuda_apply import Layout, layout, wide

__all__ = ["SMALL", "Parts", "column_sums", "finish", "group_means", "moments", "plane_sums"]

SOURCE = "norm/sums.cu"
WARP, THREADS, HIGH, HELD, LANES = 32, 256, 8, 8, 32  # as the source has them
BLOCKS = 1024  # that keep a GPU busy
SMALL = 64  # values of a plane below which the columns of (N, C·S) are added up, and not the planes
PLAIN, RELU, WEIGHTED = 0, 1, 2
Array = Any


class Parts(NamedTuple):
    """What blocks have left: `array` is (…, channels, span, 2 or 3), `number` are those of one channel."""

    array: Array
    number: int
    channels: int
    span: int


def moments(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """(μ, σ², 1 / √(σ² + eps)) of each channel of x (N, C, S)."""
    _, channels, size = x.shape
    mean, var, rstd = (empty((channels,), x, wide(x)) for _ in range(3))
    if x.size == 0:
        for vector in (mean, var, rstd):
            vector.fill(np.nan)
    else:
        parts = _column_moments(x) if size < SMALL else _plane_moments(x)
        args = x, parts.array, mean, var, rstd, *map(np.int64, (*parts[1:], size)), wide(x)(eps)
        _finish("finish_moments", x, channels, args)
    return mean, var, rstd


def _plane_moments(x: Array) -> Parts:
    batch, channels, size = x.shape
    splits, threads = _splits(batch, channels, size)
    parts = Parts(empty((splits, channels, 3), x, wide(x)), splits, channels, 1)
    planes = np.int64(size), batch, channels, 1, 0, np.int64(1)
    kernel(SOURCE, "plane_moments", x)((splits * channels,), (threads,), (x, parts.array, planes))
    return parts


def _column_moments(x: Array) -> Parts:
    _, channels, size = x.shape
    blocks, splits = _column_grid(x)
    parts = Parts(empty((splits, channels, size, 3), x, wide(x)), splits * size, channels, size)
    kernel(SOURCE, "column_moments", x)((blocks, splits), (WARP, HIGH), (x, parts.array, layout(x, size)))
    return parts


def plane_sums(
    arrays: tuple[Array, ...], shape: tuple[int, int, int], mode: int, shared: int = 1, groups: int = 0, span: int = 1
) -> Parts:
    """The parts of Σ gy x̂ and Σ gy of the planes of shape (N, C, S); `arrays` are gy, x, mean, rstd, weight, bias.

    `shared` channels have one mean. For WEIGHTED there are `groups` weights of S / span values in turn.
    """
    gy = arrays[0]
    batch, channels, size = shape
    splits, threads = _splits(batch, channels, size)
    parts = Parts(empty((splits, channels, 2), gy, wide(gy)), splits, channels, 1)
    planes = np.int64(size), batch, channels, shared, groups, np.int64(span)
    kernel(SOURCE, "plane_sums", gy)((splits * channels,), (threads,), (*arrays, parts.array, planes, mode))
    return parts


def column_sums(arrays: tuple[Array, ...], rows: Layout, mode: int) -> Parts:
    """The same sums of the columns of `rows`."""
    gy, span = arrays[0], int(rows[2])
    blocks, splits = _column_grid(gy)
    channels = int(rows[1]) // span
    parts = Parts(empty((splits, channels, span, 2), gy, wide(gy)), splits * span, channels, span)
    kernel(SOURCE, "column_sums", gy)((blocks, splits), (WARP, HIGH), (*arrays, parts.array, rows, mode))
    return parts


def finish(parts: Parts, like: Array, weight: Array = None, values: int = 0) -> tuple[Array, Array, Array]:
    """(gw, gb, means): with weight, for batch norm, the means of w gy x̂ and w gy over a channel's values."""
    gw, gb = (empty((parts.channels,), like) for _ in range(2))
    means = None if weight is None else empty((parts.channels, 2), like, wide(like))
    args = parts.array, weight, gw, gb, means, *map(np.int64, (*parts[1:], values))
    _finish("finish_sums", like, parts.channels, args)
    return gw, gb, means


def group_means(parts: Parts, like: Array, weight: Array, rows: int, groups: int, values: int) -> Array:
    """The means of w gy x̂ and w gy over each row, a sample's group, from the sums of its channels."""
    means = empty((rows, 2), like, wide(like))
    channels = parts.channels // rows
    args = parts.array, weight, means, *map(np.int64, (rows, parts.number * channels)), channels, groups
    kernel(SOURCE, "group_means", like)((-(-rows * WARP // THREADS),), (THREADS,), (*args, wide(like)(values)))
    return means


def _finish(name: str, like: Array, channels: int, args: tuple[Any, ...]) -> None:
    kernel(SOURCE, name, like)((-(-channels // WARP),), (WARP, LANES), args)


def _splits(batch: int, channels: int, size: int) -> tuple[int, int]:
    """Blocks for each channel, and their threads: a warp has four segments of a plane to itself, unless GPUs starve."""
    segments = batch * -(-size // (WARP * HELD))
    warps = min(THREADS // WARP, 1 << (segments - 1).bit_length())
    return max(1, min(segments // (4 * warps), -(-BLOCKS // channels))), WARP * warps


def _column_grid(x: Array) -> tuple[int, int]:
    """Blocks along the columns, and along the rows."""
    blocks = -(-x.size // len(x) // WARP)
    return blocks, max(1, min(-(-len(x) // (HIGH * HELD)), BLOCKS // blocks))
