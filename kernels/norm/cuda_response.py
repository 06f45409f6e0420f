"""Local response normalisation on a GPU: `response.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty, kernel
from .cuda_apply import wide

__all__ = ["response_norm", "response_norm_grad"]

SOURCE = "norm/response.cu"
THREADS = 256  # as the source has it
BUSY, SHORTEST = 1 << 18, 16  # threads that keep a GPU busy; channels of a thread that are worth its beginning
Array = Any


def response_norm(x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """See `kernels.norm.response_norm`; x is (N, C, S)."""
    y = empty(x.shape, x)
    _launch("response_5" if size == 5 else "response_any", (x, y), size, alpha, beta, k)
    return y


def response_norm_grad(gy: Array, x: Array, size: int, alpha: float, beta: float, k: float) -> Array:
    """See `kernels.norm.response_norm_grad`."""
    gx = empty(x.shape, x)
    if size == 5:
        _launch("response_grad_5", (gy, x, gx), size, alpha, beta, k)
        return gx
    terms = empty(x.shape, x, wide(x))
    _launch("response_terms", (gy, x, terms), size, alpha, beta, k)
    _launch("response_grad_any", (gy, x, terms, gx), size, alpha, beta, k)
    return gx


def _launch(name: str, arrays: tuple[Array, ...], size: int, alpha: float, beta: float, k: float) -> None:
    x = arrays[0]
    samples, channels, pixels = x.shape
    if x.size == 0:
        return
    ways = min(-(-BUSY // (samples * pixels)), max(1, channels // SHORTEST))
    each = -(-channels // ways)
    images = np.int64(samples), np.int64(pixels), channels, each
    formula = min(size, 2 * channels), *map(wide(x), (alpha / size, beta, k))
    threads = samples * pixels * -(-channels // each)
    kernel(SOURCE, name, x)((-(-threads // THREADS),), (THREADS,), (*arrays, images, formula))
