"""The optimisers' updates on the CPU: parameter, gradient and state read once and written once, in one pass.

An absent state array arrives empty and is never touched: a kernel then has one form, not one per combination. Scalars
are rounded to the parameter's type first, as PyTorch does; a float64 scalar would turn float32 arithmetic into float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..jit import parallel, prange
from . import arrays
from .exponential import strict

CHUNK = 1 << 15


def sgd(p: np.ndarray, g: np.ndarray, buffer: np.ndarray | None, *scalars: Any) -> None:
    """See `kernels.elementwise.sgd_update`; the scalars are lr, momentum, 1 − dampening, weight decay, nesterov."""
    _run(_sgd, _sgd_chunks, arrays.sgd, (p, g, buffer), scalars)


def adam(p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, v_max: np.ndarray | None, *scalars: float) -> None:
    """See `kernels.elementwise.adam_update`."""
    _run(_adam, _adam_chunks, arrays.adam, (p, g, m, v, v_max), scalars)


def rmsprop(
    p: np.ndarray,
    g: np.ndarray,
    square: np.ndarray,
    buffer: np.ndarray | None,
    average: np.ndarray | None,
    *scalars: float,
) -> None:
    """See `kernels.elementwise.rmsprop_update`."""
    _run(_rmsprop, _rmsprop_chunks, arrays.rmsprop, (p, g, square, buffer, average), scalars)


def _run(serial: Any, chunked: Any, by_arrays: Any, given: tuple[np.ndarray | None, ...], scalars: Any) -> None:
    """Launch on flat views, the scalars as one short vector; half types and other layouts go through `arrays`."""
    p = given[0]
    assert p is not None
    if p.dtype not in (np.float32, np.float64) or any(a is not None and not a.flags.c_contiguous for a in given):
        by_arrays(*given, *scalars)
        return
    flat = [p.reshape(-1)[:0] if a is None else a.reshape(-1) for a in given]
    (serial if p.size <= CHUNK else chunked)(*flat, np.array(scalars, p.dtype))


@strict
def _sgd(p, g, buffer, scalars):
    lr, momentum, undamped, decay, nesterov = scalars[0], scalars[1], scalars[2], scalars[3], scalars[4] > 0
    for i in range(p.size):
        d = g[i] + decay * p[i]
        if buffer.size > 0:
            buffer[i] = momentum * buffer[i] + undamped * d
            d = d + momentum * buffer[i] if nesterov else buffer[i]
        p[i] -= lr * d


@strict
def _adam(p, g, m, v, v_max, scalars):
    step_size, rest1, beta2, rest2 = scalars[0], scalars[1], scalars[2], scalars[3]
    correction, eps, decay, shrink = scalars[4], scalars[5], scalars[6], scalars[7]
    for i in range(p.size):
        value = shrink * p[i]
        d = g[i] + decay * value
        m[i] += rest1 * (d - m[i])
        v[i] = beta2 * v[i] + rest2 * d * d
        scale = v[i]
        if v_max.size > 0:
            v_max[i] = max(v_max[i], v[i])
            scale = v_max[i]
        p[i] = value - step_size * (m[i] / (np.sqrt(scale) / correction + eps))


@strict
def _rmsprop(p, g, square, buffer, average, scalars):
    lr, alpha, rest, eps = scalars[0], scalars[1], scalars[2], scalars[3]
    decay, momentum = scalars[4], scalars[5]
    for i in range(p.size):
        d = g[i] + decay * p[i]
        square[i] = alpha * square[i] + rest * d * d
        scale = square[i]
        if average.size > 0:
            average[i] += rest * (d - average[i])
            scale -= average[i] * average[i]
        d /= np.sqrt(scale) + eps
        if buffer.size > 0:
            buffer[i] = momentum * buffer[i] + d
            d = buffer[i]
        p[i] -= lr * d


@parallel
def _sgd_chunks(p, g, buffer, scalars):
    for chunk in prange((p.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(p.size, (chunk + 1) * CHUNK)
        _sgd(p[a:b], g[a:b], buffer[a:b], scalars)


@parallel
def _adam_chunks(p, g, m, v, v_max, scalars):
    for chunk in prange((p.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(p.size, (chunk + 1) * CHUNK)
        _adam(p[a:b], g[a:b], m[a:b], v[a:b], v_max[a:b], scalars)


@parallel
def _rmsprop_chunks(p, g, square, buffer, average, scalars):
    for chunk in prange((p.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(p.size, (chunk + 1) * CHUNK)
        _rmsprop(p[a:b], g[a:b], square[a:b], buffer[a:b], average[a:b], scalars)
