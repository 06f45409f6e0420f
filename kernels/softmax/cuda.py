"""Softmax and cross-entropy on a GPU: `softmax.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty, kernel

__all__ = ["cross_entropy", "cross_entropy_grad", "softmax", "softmax_grad"]

SOURCE = "softmax/softmax.cu"
THREADS = 256
Array = Any


def softmax(x: Array, log: bool) -> Array:
    """See `kernels.softmax.softmax` and `log_softmax`."""
    y = empty(x.shape, x)
    _launch("softmax", x, (x, y, *_sizes(x), log))
    return y


def softmax_grad(gy: Array, y: Array, log: bool) -> Array:
    """See `kernels.softmax.softmax_grad` and `log_softmax_grad`."""
    gx = empty(y.shape, y)
    _launch("softmax_grad", y, (gy, y, gx, *_sizes(y), log))
    return gx


def cross_entropy(x: Array, target: Array, weight: Array, ignore_index: int) -> tuple[Array, Array]:
    """See `kernels.softmax.cross_entropy`."""
    size = x.shape[0], x.shape[2]
    loss, lse = empty(size, x), empty(size, x, np.float64 if x.dtype == np.float64 else np.float32)
    _launch("cross_entropy", x, (x, target, weight, loss, lse, *_sizes(x), np.int64(ignore_index)))
    return loss, lse


def cross_entropy_grad(gy: Array, x: Array, lse: Array, target: Array, weight: Array, ignore_index: int) -> Array:
    """See `kernels.softmax.cross_entropy_grad`."""
    gx = empty(x.shape, x)
    if x.size:
        _, k, inner = _sizes(x)
        args = gy, x, lse, target, weight, gx, np.int64(x.size), k, inner, np.int64(ignore_index)
        kernel(SOURCE, "cross_entropy_grad", x)((_blocks(x.size),), (THREADS,), args)
    return gx


def _sizes(x: Array) -> tuple[np.int64, int, np.int64]:
    outer, k, inner = x.shape
    return np.int64(outer * inner), k, np.int64(inner)


def _launch(name: str, x: Array, args: tuple[Any, ...]) -> None:
    """A block for each row, its threads as many as its values; where softmaxes lie side by side, a thread for each."""
    if x.size == 0:
        return
    outer, k, inner = x.shape
    if inner > 1:
        grid, threads = _blocks(outer * inner), THREADS
    else:
        grid, threads = outer, max(32, min(THREADS, 1 << (k - 1).bit_length()))
    kernel(SOURCE, name, x)((grid,), (threads,), args)


def _blocks(threads: int) -> int:
    return -(-threads // THREADS)
