"""Losses of pairs of numbers on the CPU: one pass over both arrays, summed or not, and one for the gradient.

Within a pass the work goes by blocks that stay in the first cache: a loop for the kind of loss, then one that adds
up or weighs. A block's sum is taken in the arrays' type, what comes after in float64.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange, serial
from .exponential import exp, log1p, sigmoid, strict

__all__ = ["loss", "loss_grad", "loss_sum"]

CHUNK = 1 << 15
BLOCK = 1 << 10

SQUARE, ABSOLUTE, HUBER, LOGISTIC = range(4)
KINDS = {"square": SQUARE, "absolute": ABSOLUTE, "huber": HUBER, "logistic": LOGISTIC}


def loss(kind: str, x: np.ndarray, t: np.ndarray, delta: float = 0.0, scale: float = 0.0) -> np.ndarray:
    """y = ℓ(x, t)."""
    y = np.empty_like(x)
    run = _losses if x.size <= CHUNK else _loss_chunks
    run(KINDS[kind], float(delta), float(scale), x.ravel(), t.ravel(), y.ravel())
    return y


def loss_sum(kind: str, x: np.ndarray, t: np.ndarray, delta: float = 0.0, scale: float = 0.0) -> np.ndarray:
    """Σ ℓ(x, t), without axes."""
    if x.size <= CHUNK:
        return np.asarray(_sum(KINDS[kind], float(delta), float(scale), x.ravel(), t.ravel()), x.dtype)
    sums = np.empty((x.size + CHUNK - 1) // CHUNK)
    _sum_chunks(KINDS[kind], float(delta), float(scale), x.ravel(), t.ravel(), sums)
    return np.asarray(sums.sum(), x.dtype)


def loss_grad(
    kind: str, gy: np.ndarray, x: np.ndarray, t: np.ndarray, delta: float = 0.0, scale: float = 0.0
) -> np.ndarray:
    """gx = gy dℓ/dx; gy is of x's shape or a single number."""
    gx = np.empty_like(x)
    run = _grad if x.size <= CHUNK else _grad_chunks
    run(KINDS[kind], float(delta), float(scale), gy.ravel(), x.ravel(), t.ravel(), gx.ravel())
    return gx


@strict
def _losses(kind, delta, scale, x, t, y):
    real = x.dtype.type
    zero, half, one = real(0), real(0.5), real(1)
    bound, factor = real(delta), real(scale)
    if kind == SQUARE:
        for i in range(y.size):
            y[i] = (x[i] - t[i]) * (x[i] - t[i])
    elif kind == ABSOLUTE:
        for i in range(y.size):
            y[i] = abs(x[i] - t[i])
    elif kind == HUBER:
        for i in range(y.size):
            d = abs(x[i] - t[i])
            near = d * d * (half * factor)
            far = (d - half * bound) * (bound * factor)
            y[i] = far if d > bound else near
    else:
        for i in range(y.size):
            soft = log1p(exp(-abs(x[i]))) + (-x[i] if x[i] < zero else zero)
            y[i] = (one - t[i]) * x[i] + soft


@strict
def _slopes(kind, delta, scale, x, t, gx):
    real = x.dtype.type
    zero, one = real(0), real(1)
    bound, factor = real(delta), real(scale)
    if kind == SQUARE:
        for i in range(gx.size):
            d = x[i] - t[i]
            gx[i] = d + d
    elif kind == ABSOLUTE:
        for i in range(gx.size):
            d = x[i] - t[i]
            up = one if d > zero else zero
            gx[i] = -one if d < zero else up
    elif kind == HUBER:
        for i in range(gx.size):
            d = x[i] - t[i]
            d = -bound if d < -bound else d
            gx[i] = (bound if d > bound else d) * factor
    else:
        for i in range(gx.size):
            gx[i] = sigmoid(x[i]) - t[i]


@serial
def _total(y):
    total = y.dtype.type(0)
    for i in range(y.size):
        total += y[i]
    return np.float64(total)


@strict
def _sum(kind, delta, scale, x, t):
    y, total = np.empty(BLOCK, x.dtype), 0.0
    for a in range(0, x.size, BLOCK):
        b = min(a + BLOCK, x.size)
        _losses(kind, delta, scale, x[a:b], t[a:b], y[: b - a])
        total += _total(y[: b - a])
    return total


@strict
def _grad(kind, delta, scale, gy, x, t, gx):
    for a in range(0, x.size, BLOCK):
        b = min(a + BLOCK, x.size)
        _slopes(kind, delta, scale, x[a:b], t[a:b], gx[a:b])
        _weigh(gy if gy.size < x.size else gy[a:b], gx[a:b])


@strict
def _weigh(gy, gx):
    if gy.size == 1:
        weight = gy[0]
        for i in range(gx.size):
            gx[i] *= weight
    else:
        for i in range(gx.size):
            gx[i] *= gy[i]


@parallel
def _loss_chunks(kind, delta, scale, x, t, y):
    for chunk in prange((x.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK)
        _losses(kind, delta, scale, x[a:b], t[a:b], y[a:b])


@parallel
def _sum_chunks(kind, delta, scale, x, t, sums):
    for chunk in prange(sums.size):
        a, b = chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK)
        sums[chunk] = _sum(kind, delta, scale, x[a:b], t[a:b])


@parallel
def _grad_chunks(kind, delta, scale, gy, x, t, gx):
    for chunk in prange((x.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK)
        _grad(kind, delta, scale, gy if gy.size < x.size else gy[a:b], x[a:b], t[a:b], gx[a:b])
