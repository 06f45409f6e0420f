"""Element-wise kernels on the CPU: serial loops over a chunk, and one parallel loop over the chunks of a
large array.

A launch on numba's pool costs some 50 us, the time of about `CHUNK` simple operations: smaller arrays are
done by the caller's own thread. The kind of activation is a number tested once per chunk, so that all of them
share one compilation.
"""

from __future__ import annotations

import math

import numpy as np

from ..jit import parallel, prange
from .cpu_updates import adam, rmsprop, sgd
from .exponential import exp, sigmoid, strict

__all__ = ["activate", "activate_grad", "adam", "combine", "rmsprop", "sgd"]

CHUNK = 1 << 15

RELU, SIGMOID, SILU, GELU, GELU_TANH, ADD, MULTIPLY = range(7)
KINDS = {
    "relu": RELU,
    "sigmoid": SIGMOID,
    "silu": SILU,
    "gelu": GELU,
    "gelu_tanh": GELU_TANH,
    "add": ADD,
    "multiply": MULTIPLY,
}


def activate(kind: str, x: np.ndarray) -> np.ndarray:
    """y = f(x)."""
    y = np.empty_like(x)
    (_activate if x.size <= CHUNK else _activate_chunks)(KINDS[kind], x.ravel(), y.ravel())
    return y


def activate_grad(kind: str, gy: np.ndarray, saved: np.ndarray) -> np.ndarray:
    """gx = gy f'(x), from f's output where f is relu or sigmoid, else from its input."""
    gx = np.empty_like(gy)
    run = _activate_grad if gy.size <= CHUNK else _activate_grad_chunks
    run(KINDS[kind], gy.ravel(), saved.ravel(), gx.ravel())
    return gx


def combine(kind: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a + b or a · b."""
    y = np.empty_like(a)
    (_combine if a.size <= CHUNK else _combine_chunks)(KINDS[kind], a.ravel(), b.ravel(), y.ravel())
    return y


@strict
def _activate(kind, x, y):
    zero = x.dtype.type(0)
    if kind == RELU:
        for i in range(x.size):
            y[i] = zero if x[i] <= zero else x[i]
    elif kind == SIGMOID:
        for i in range(x.size):
            y[i] = sigmoid(x[i])
    elif kind == SILU:
        for i in range(x.size):
            y[i] = x[i] * sigmoid(x[i])
    elif kind == GELU:
        for i in range(x.size):
            y[i] = x[i] * _normal(x[i])
    else:
        for i in range(x.size):
            y[i] = x[i] * sigmoid(2 * _tanh_argument(np.float64(x[i])))


@strict
def _activate_grad(kind, gy, saved, gx):
    zero, one = gy.dtype.type(0), gy.dtype.type(1)
    if kind == RELU:
        for i in range(gy.size):
            gx[i] = zero if saved[i] <= zero else gy[i]
    elif kind == SIGMOID:
        for i in range(gy.size):
            gx[i] = gy[i] * saved[i] * (one - saved[i])
    elif kind == SILU:
        for i in range(gy.size):
            s = sigmoid(saved[i])
            gx[i] = gy[i] * s * (one + saved[i] * (one - s))
    elif kind == GELU:
        for i in range(gy.size):
            x = np.float64(saved[i])
            gx[i] = gy[i] * (_normal(x) + x * exp(-0.5 * x * x) * 0.3989422804014327)  # 1 / √(2π)
    else:
        for i in range(gy.size):
            x = np.float64(saved[i])
            s = sigmoid(2 * _tanh_argument(x))
            gx[i] = gy[i] * (s + x * s * (1 - s) * 2 * ROOT * (1 + 3 * 0.044715 * x * x))


ROOT = math.sqrt(2 / math.pi)


@strict
def _tanh_argument(x):
    return ROOT * (x + 0.044715 * x * x * x)


@strict
def _normal(x):
    """Φ(x) = (1 + erf(x / √2)) / 2, by erfc so that the lower tail keeps its digits."""
    return 0.5 * math.erfc(-np.float64(x) * 0.7071067811865476)


@strict
def _combine(kind, a, b, y):
    if kind == ADD:
        for i in range(y.size):
            y[i] = a[i] + b[i]
    else:
        for i in range(y.size):
            y[i] = a[i] * b[i]


@parallel
def _activate_chunks(kind, x, y):
    for chunk in prange((x.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(x.size, (chunk + 1) * CHUNK)
        _activate(kind, x[a:b], y[a:b])


@parallel
def _activate_grad_chunks(kind, gy, saved, gx):
    for chunk in prange((gy.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(gy.size, (chunk + 1) * CHUNK)
        _activate_grad(kind, gy[a:b], saved[a:b], gx[a:b])


@parallel
def _combine_chunks(kind, x, z, y):
    for chunk in prange((y.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(y.size, (chunk + 1) * CHUNK)
        _combine(kind, x[a:b], z[a:b], y[a:b])
