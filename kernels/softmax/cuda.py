"""Softmax and cross-entropy on a GPU: `softmax.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty, kernel

__all__ = ["cross_entropy", "cross_entropy_grad", "softmax", "softmax_grad"]

SOURCE = "softmax/softmax.cu"
THREADS, MOST_THREADS, WARP = 256, 512, 32
HELD = 8  # values of a thread that stay in registers: as in the source
Array = Any


def softmax(x: Array, log: bool) -> Array:
    """See `kernels.softmax.softmax` and `log_softmax`."""
    y = empty(x.shape, x)
    _launch("softmax", x, x, y, then=(log,))
    return y


def softmax_grad(gy: Array, y: Array, log: bool) -> Array:
    """See `kernels.softmax.softmax_grad` and `log_softmax_grad`."""
    gx = empty(y.shape, y)
    _launch("softmax_grad", y, gy, y, gx, then=(log,))
    return gx


def cross_entropy(x: Array, target: Array, weight: Array, ignore_index: int) -> tuple[Array, Array]:
    """See `kernels.softmax.cross_entropy`."""
    size = x.shape[0], x.shape[2]
    loss, lse = empty(size, x), empty(size, x, np.float64 if x.dtype == np.float64 else np.float32)
    _launch("cross_entropy", x, x, target, weight, loss, lse, then=(np.int64(ignore_index),))
    return loss, lse


def cross_entropy_grad(gy: Array, x: Array, lse: Array, target: Array, weight: Array, ignore_index: int) -> Array:
    """See `kernels.softmax.cross_entropy_grad`."""
    gx = empty(x.shape, x)
    _launch("cross_entropy_grad", x, gy, x, lse, target, weight, gx, then=(np.int64(ignore_index),))
    return gx


def _launch(name: str, x: Array, *arrays: Array, then: tuple[Any, ...]) -> None:
    if x.size == 0:
        return
    outer, k, inner = x.shape
    team, threads = _team(k, inner)
    shape = np.int64(outer * inner), np.int64(inner), k, team
    blocks = -(-outer * inner * team // threads)
    kernel(SOURCE, name, x)((blocks,), (threads,), (*arrays, shape, *then))


def _team(k: int, inner: int) -> tuple[int, int]:
    """Threads that share a softmax, and threads of a block."""
    if inner > 1:
        return 1, THREADS
    if k <= WARP * HELD:
        return min(WARP, _power_of_two(-(-k // 4))), THREADS
    team = min(MOST_THREADS, _power_of_two(-(-k // HELD)))
    return team, team


def _power_of_two(n: int) -> int:
    """The smallest that is not below n."""
    return 1 << (n - 1).bit_length()
