"""Group norm on a GPU, and with it layer and instance norm.

Rows that fit the registers of a block are read once (`rows.cu`). The longer ones, and backward those of wide planes, go
the way of batch norm: sums first, then one pass that applies them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty, kernel
from . import cuda_sums
from .cuda_apply import apply, layout, wide
from .cuda_sums import PLAIN, SMALL, WEIGHTED

__all__ = ["group_norm", "group_norm_grad"]

SOURCE = "norm/rows.cu"
WARP, THREADS, MOST_THREADS = 32, 256, 512
MOST_SAMPLES, BUSY = 32, 1 << 16  # samples of a team; threads that keep a GPU busy
Array = Any


def group_norm(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    """See `kernels.norm.group_norm`."""
    samples, groups, k, size = x.shape
    y, length = empty(x.shape, x), k * size
    if 0 < length <= MOST_THREADS * _held(x):
        mean, var, rstd = (empty((samples, groups), x, wide(x)) for _ in range(3))
        team, threads = _team(length, _held(x))
        rows = np.int64(samples), groups, length, size, team, 1
        args = x, weight, bias, y, mean, var, rstd, rows, wide(x)(eps)
        _launch("group_norm", x, samples * groups * team, threads, args)
        return y, mean, var, rstd
    statistics = cuda_sums.moments(x.reshape(1, samples * groups, length), eps)
    mean, var, rstd = (v.reshape(samples, groups) for v in statistics)
    apply("normalize", x, (x, mean, rstd, weight, bias, y), layout(x, length, groups), False)
    return y, mean, var, rstd


def group_norm_grad(gy: Array, x: Array, mean: Array, rstd: Array, weight: Array) -> tuple[Array, Array, Array]:
    """See `kernels.norm.group_norm_grad`."""
    samples, groups, k, size = x.shape
    gx, rows, length = empty(x.shape, x), samples * groups, k * size
    if x.size == 0:
        return gx, np.zeros_like(weight), np.zeros_like(weight)
    arrays = gy, x, mean, rstd, weight, None
    if size < SMALL and length <= MOST_THREADS * _held(x):
        parts = _grad_of_rows(arrays, gx)
    else:
        if size >= SMALL:
            parts = cuda_sums.plane_sums(arrays, (1, rows * k, size), PLAIN, shared=k)
            means = cuda_sums.group_means(parts, x, weight, rows, groups, length)
            parts = parts._replace(number=parts.number * samples, channels=groups * k)
        else:
            sums = cuda_sums.plane_sums(arrays, (1, rows, length), WEIGHTED, groups=groups, span=size)
            means = cuda_sums.group_means(sums, x, None, rows, groups, length)
            parts = cuda_sums.column_sums(arrays, layout(x, length, groups), PLAIN)
        apply("grad_input", x, (gy, x, mean, rstd, weight, None, means, gx), layout(x, length, groups))
    gw, gb, _ = cuda_sums.finish(parts, x)
    return gx, gw.reshape(weight.shape), gb.reshape(weight.shape)


def _grad_of_rows(arrays: tuple[Array, ...], gx: Array) -> cuda_sums.Parts:
    """Writes gx; the parts are the sums of each team."""
    x = arrays[1]
    samples, groups, k, size = x.shape
    team, threads = _team(k * size, _held(x))
    each = max(1, min(MOST_SAMPLES, samples * groups * team // BUSY))
    slots = -(-samples // each)
    parts = empty((slots, groups, k, size, 2), x, wide(x))
    rows = np.int64(samples), groups, k * size, size, team, each
    _launch("group_norm_grad", x, slots * groups * team, threads, (*arrays[:5], gx, parts, rows))
    return cuda_sums.Parts(parts, slots * size, groups * k, size)


def _launch(name: str, x: Array, work: int, threads: int, args: tuple[Any, ...]) -> None:
    if x.size:
        kernel(SOURCE, name, x)((-(-work // threads),), (threads,), args)


def _held(x: Array) -> int:
    """Values of a thread that stay in registers, as the source has it."""
    return 4 if x.dtype == np.float64 else 8


def _team(length: int, held: int) -> tuple[int, int]:
    """Threads that share a row, and threads of a block."""
    if length <= WARP * held:
        return min(WARP, 1 << (-(-length // 4) - 1).bit_length()), THREADS
    team = min(MOST_THREADS, 1 << (-(-length // held) - 1).bit_length())
    return team, team
