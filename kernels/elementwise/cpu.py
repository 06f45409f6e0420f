"""Element-wise kernels on the CPU: serial loops over a chunk, and one parallel loop over the chunks of a
large array.

Waking numba's pool costs about as much as `CHUNK` simple operations: smaller arrays are done by the caller's own
thread. The kind of activation is a number tested once per chunk, so that all of them
share one compilation.
"""

from __future__ import annotations

import math

import numpy as np

from ..backend import native
from ..jit import parallel, prange
from . import cpu_curves as curves
from .cpu_losses import loss, loss_grad, loss_sum
from .cpu_parts import glu, glu_grad, scale
from .cpu_updates import adam, rmsprop, sgd
from .exponential import normal, sigmoid, strict

__all__ = ["activate", "activate_grad", "adam", "glu", "glu_grad", "loss", "loss_grad", "loss_sum"]
__all__ += ["rmsprop", "scale", "select", "sgd"]

CHUNK = 1 << 15

RELU, SIGMOID, SILU, GELU, GELU_TANH = range(5)
KINDS = {"relu": RELU, "sigmoid": SIGMOID, "silu": SILU, "gelu": GELU, "gelu_tanh": GELU_TANH}
ALONE = {RELU: 1 << 17}  # elements up to which a kind that costs next to nothing stays on the caller's thread


def activate(kind: str, x: np.ndarray, *settings: float) -> np.ndarray:
    """y = f(x)."""
    if kind not in KINDS:
        return curves.curve(kind, x, *settings)
    y = np.empty_like(x)
    (_activate if x.size <= ALONE.get(KINDS[kind], CHUNK) else _activate_chunks)(KINDS[kind], x.ravel(), y.ravel())
    return y


def activate_grad(kind: str, gy: np.ndarray, saved: np.ndarray, *settings: float) -> np.ndarray:
    """gx = gy f'(x), from f's output where f is relu or sigmoid, else from its input."""
    if kind not in KINDS:
        return curves.curve_grad(kind, gy, saved, *settings)
    gx = np.empty_like(gy)
    run = _activate_grad if gy.size <= ALONE.get(KINDS[kind], CHUNK) else _activate_grad_chunks
    run(KINDS[kind], gy.ravel(), saved.ravel(), gx.ravel())
    return gx


def select(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a where the condition holds, else b. NumPy's own is a branch per element, on real masks a coin toss each."""
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    if math.prod(shape) < SHORT or a.dtype != b.dtype or a.dtype not in (np.float32, np.float64):
        return np.where(condition, a, b)
    y = np.empty(shape, a.dtype)
    b_flat = native(b).reshape(-1) if b.size == 1 else _flat(b, shape)
    a_flat = native(a).reshape(-1) if a.size == 1 < b.size else _flat(a, shape)
    (_select if y.size <= ALONE[RELU] else _select_chunks)(_flat(condition, shape), a_flat, b_flat, y.reshape(-1))
    return y


SHORT = 1 << 10  # elements up to which NumPy is done before a kernel has looked at its arguments


def _flat(v: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return native(v if v.shape == shape else np.broadcast_to(v, shape)).reshape(-1)


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
            y[i] = x[i] * normal(x[i])[0]
    else:
        for i in range(x.size):
            y[i] = x[i] * sigmoid(2 * _tanh_argument(np.float64(x[i])))


@strict
def _activate_grad(kind, gy, saved, gx):
    zero, one, peak = gy.dtype.type(0), gy.dtype.type(1), gy.dtype.type(0.3989422804014327)  # 1 / √(2π)
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
            share, bell = normal(saved[i])
            gx[i] = gy[i] * (share + saved[i] * bell * peak)
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
def _select(condition, a, b, y):
    # both values are read before the choice: then it is a vector instruction, and not a branch
    if b.size < y.size:
        other = b[0]
        for i in range(y.size):
            value = a[i]
            y[i] = value if condition[i] else other
    elif a.size < y.size:
        value = a[0]
        for i in range(y.size):
            other = b[i]
            y[i] = value if condition[i] else other
    else:
        for i in range(y.size):
            value, other = a[i], b[i]
            y[i] = value if condition[i] else other


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
def _select_chunks(condition, x, z, y):
    for chunk in prange((y.size + CHUNK - 1) // CHUNK):
        a, b = chunk * CHUNK, min(y.size, (chunk + 1) * CHUNK)
        _select(condition[a:b], x if x.size == 1 else x[a:b], z if z.size == 1 else z[a:b], y[a:b])
