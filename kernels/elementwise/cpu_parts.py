"""Kernels on the CPU in which parts of an array, side by side in memory, share a number or are each other's factor.

Chunks are cut from the flat result, wherever parts begin or end: few large parts are as parallel as many small ones.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange
from .exponential import sigmoid, strict

__all__ = ["glu", "glu_grad", "scale"]

CHUNK = 1 << 15


def scale(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """y = x times the factor of its part."""
    y = np.empty_like(x)
    length = x.size // max(1, factors.size)
    if x.size <= CHUNK:
        _scale(x.ravel(), factors.ravel(), length, 0, x.size, y.ravel())
    else:
        _scale_chunks(x.ravel(), factors.ravel(), length, y.ravel())
    return y


def glu(x: np.ndarray) -> np.ndarray:
    """y = a sigmoid(b) for the halves a and b of axis 1."""
    outer, _, inner = x.shape
    y = np.empty((outer, inner), x.dtype)
    if y.size <= CHUNK:
        _glu(x.ravel(), inner, 0, y.size, y.ravel())
    else:
        _glu_chunks(x.ravel(), inner, y.ravel())
    return y


def glu_grad(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """gx, whose halves are gy σ and gy a σ (1 − σ) with σ = sigmoid(b)."""
    gx = np.empty_like(x)
    if gy.size <= CHUNK:
        _glu_grad(gy.ravel(), x.ravel(), x.shape[2], 0, gy.size, gx.ravel())
    else:
        _glu_grad_chunks(gy.ravel(), x.ravel(), x.shape[2], gx.ravel())
    return gx


@strict
def _scale(x, factors, length, start, end, y):
    if length == 1:
        _times(x[start:end], factors[start:end], y[start:end])
        return
    while start < end:
        part = start // length
        stop = min(end, (part + 1) * length)
        _times(x[start:stop], factors[part : part + 1], y[start:stop])
        start = stop


@strict
def _times(x, factors, y):
    if factors.size == y.size:
        for i in range(y.size):
            y[i] = x[i] * factors[i]
    else:
        factor = factors[0]
        for i in range(y.size):
            y[i] = x[i] * factor


@strict
def _glu(x, inner, start, end, y):
    while start < end:
        row = start // inner
        stop = min(end, (row + 1) * inner)
        a, b = row * inner + start, row * inner + stop
        _gate(x[a:b], x[a + inner : b + inner], y[start:stop])
        start = stop


@strict
def _gate(a, b, y):
    for i in range(y.size):
        y[i] = a[i] * sigmoid(b[i])


@strict
def _glu_grad(gy, x, inner, start, end, gx):
    while start < end:
        row = start // inner
        stop = min(end, (row + 1) * inner)
        a, b = row * inner + start, row * inner + stop
        _gate_grad(gy[start:stop], x[a:b], x[a + inner : b + inner], gx[a:b], gx[a + inner : b + inner])
        start = stop


@strict
def _gate_grad(gy, a, b, ga, gb):
    one = gy.dtype.type(1)
    for i in range(gy.size):
        share = sigmoid(b[i])
        g = gy[i] * share
        gb[i] = g * a[i] * (one - share)
        ga[i] = g


@parallel
def _scale_chunks(x, factors, length, y):
    for chunk in prange((y.size + CHUNK - 1) // CHUNK):
        _scale(x, factors, length, chunk * CHUNK, min(y.size, (chunk + 1) * CHUNK), y)


@parallel
def _glu_chunks(x, inner, y):
    for chunk in prange((y.size + CHUNK - 1) // CHUNK):
        _glu(x, inner, chunk * CHUNK, min(y.size, (chunk + 1) * CHUNK), y)


@parallel
def _glu_grad_chunks(gy, x, inner, gx):
    for chunk in prange((gy.size + CHUNK - 1) // CHUNK):
        _glu_grad(gy, x, inner, chunk * CHUNK, min(gy.size, (chunk + 1) * CHUNK), gx)
