"""One step of one parameter, array by array: the definition of each optimiser, and what runs where no kernel does.

The functions have the names and arguments of the fused kernels in `kernels/elementwise`, which do the same in one pass
over memory for float32 and float64 on the CPU; `updates_for` chooses. All write `p` and its state in place; `g` stays.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array
from ..kernels import elementwise

__all__ = ["adafactor_update", "adam_update", "rmsprop_update", "sgd_update", "updates_for"]


def updates_for(p: Array, g: Array) -> Any:
    """The module whose update functions serve these arrays: the kernels, or this one."""
    fused = isinstance(p, np.ndarray) and p.dtype in (np.float32, np.float64)
    return elementwise if fused and p.flags.c_contiguous and g.flags.c_contiguous else sys.modules[__name__]


def sgd_update(
    p: Array,
    g: Array,
    momentum_buffer: Array | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """b ← μb + (1 - τ)g,  p ← p - lr · b, or along g + μb for Nesterov; without a buffer b is g."""
    g = _decayed(p, g, weight_decay)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += (1 - dampening) * g
        g = g + momentum * momentum_buffer if nesterov else momentum_buffer
    p -= lr * g


def adam_update(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    v_max: Array | None = None,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """m ← β₁m + (1 - β₁)g,  v ← β₂v + (1 - β₂)g²,  p ← p - lr · m̂ / (√v̂ + ε); the largest v so far with `v_max`."""
    xp = array_module(p)
    if decoupled:
        p *= 1 - lr * weight_decay
    else:
        g = _decayed(p, g, weight_decay)
    m += (1 - beta1) * (g - m)
    v *= beta2
    v += (1 - beta2) * g * g
    if v_max is not None:
        v = xp.maximum(v_max, v, out=v_max)
    scale = xp.sqrt(v) / (1 - beta2**step) ** 0.5 + eps
    p -= lr / (1 - beta1**step) * (m / scale)


def rmsprop_update(
    p: Array,
    g: Array,
    square_avg: Array,
    momentum_buffer: Array | None = None,
    grad_avg: Array | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """v ← αv + (1 - α)g²,  p ← p - lr · g / (√v + ε); v less the squared mean of g with `grad_avg`."""
    g = _decayed(p, g, weight_decay)
    v = square_avg
    v *= alpha
    v += (1 - alpha) * g * g
    if grad_avg is not None:
        grad_avg += (1 - alpha) * (g - grad_avg)
        v = v - grad_avg * grad_avg
    change = g / (array_module(p).sqrt(v) + eps)
    if momentum_buffer is not None:
        momentum_buffer *= momentum
        momentum_buffer += change
        change = momentum_buffer
    p -= lr * change


def adafactor_update(
    p: Array,
    g: Array,
    row_var: Array | None,
    col_var: Array | None,
    variance: Array | None,
    *,
    step: int,
    lr: float,
    beta2_decay: float,
    eps1: float,
    eps2: float,
    d: float,
    weight_decay: float,
) -> None:
    """The step of Adafactor, see there; with `variance` instead of means over rows and columns for vectors."""
    if p.size == 0:
        return
    new = float(step) ** beta2_decay  # the share of the new gradient in the running means
    rate = max(eps2, _root_mean_square(p)) * min(lr, step**-0.5)
    if weight_decay:
        p *= 1 - lr * weight_decay
    squares = g * g
    if row_var is not None and col_var is not None:
        row_var += new * (squares.mean(axis=-1, keepdims=True) - row_var)
        col_var += new * (squares.mean(axis=-2, keepdims=True) - col_var)
        xp = array_module(p)
        v = row_var * (col_var / xp.maximum(row_var.mean(axis=-2, keepdims=True), eps1))
    else:
        assert variance is not None
        variance += new * (squares - variance)
        v = variance
    update = g / array_module(p).sqrt(array_module(p).maximum(v, eps1 * eps1))
    p -= (rate / max(1.0, _root_mean_square(update) / d)) * update


def _root_mean_square(x: Array) -> float:
    wide = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    return float((wide * wide).mean() ** 0.5)


def _decayed(p: Array, g: Array, weight_decay: float) -> Array:
    return g + weight_decay * p if weight_decay else g
