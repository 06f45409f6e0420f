"""The same functions as array expressions: NumPy's ufuncs hand CuPy arrays to CuPy, an expression a launch.

One pass per operation, as NumPy would: right, not yet fused. `cpu.py` shows what fusing them looks like.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arrays import adam, rmsprop, sgd

__all__ = ["activate", "activate_grad", "adam", "rmsprop", "select", "sgd"]

Array = Any


def activate(kind: str, x: Array) -> Array:
    """y = f(x)."""
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "sigmoid":
        return _sigmoid(x)
    return x * _share(kind, x)


def activate_grad(kind: str, gy: Array, saved: Array) -> Array:
    """gx = gy f'(x); `saved` is y for relu and sigmoid, x for the others."""
    if kind == "relu":
        return gy * (saved > 0)
    if kind == "sigmoid":
        return gy * saved * (1 - saved)
    x, share = saved, _share(kind, saved)
    if kind == "silu":
        return gy * share * (1 + x * (1 - share))
    if kind == "gelu":
        return gy * (share + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))
    slope = 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
    return gy * (share + x * share * (1 - share) * slope)


def select(condition: Array, a: Array, b: Array) -> Array:
    """a where the condition holds, else b."""
    return np.where(condition, a, b)


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x) without overflow: e^−|x| is at most 1."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, small).astype(x.dtype) / (1 + small)


def _share(kind: str, x: Array) -> Array:
    """The factor in y = x · share: sigmoid(x), Φ(x), or Φ by a hyperbolic tangent."""
    if kind == "gelu":
        return (1 + _erf(x * math.sqrt(0.5))) / 2
    return _sigmoid(x if kind == "silu" else 2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def _erf(x: Array) -> Array:
    from cupyx.scipy.special import erf

    return erf(x)
