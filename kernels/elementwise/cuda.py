"""The same functions as array expressions: NumPy's ufuncs hand CuPy arrays to CuPy, an expression a launch.

One pass per operation, as NumPy would: right, not yet fused. `cpu.py` shows what fusing them looks like.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .arrays import adam, rmsprop, sgd

__all__ = [
    "activate", "activate_grad", "adam", "glu", "glu_grad", "loss", "loss_grad", "loss_sum", "rmsprop", "scale",
    "select", "sgd",
]  # fmt: skip

Array = Any


def activate(kind: str, x: Array, *settings: float) -> Array:
    """y = f(x)."""
    if kind in CURVES:
        return CURVES[kind][0](x, *settings).astype(x.dtype, copy=False)
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "sigmoid":
        return _sigmoid(x)
    return x * _share(kind, x)


def activate_grad(kind: str, gy: Array, saved: Array, *settings: float) -> Array:
    """gx = gy f'(x); `saved` is y for relu and sigmoid, x for the others."""
    if kind in CURVES:
        return (gy * CURVES[kind][1](saved, *settings)).astype(gy.dtype, copy=False)
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


def scale(x: Array, factors: Array) -> Array:
    """y = x times the factor of its part."""
    return (x.reshape(factors.size, -1) * factors.reshape(-1, 1)).reshape(x.shape) if x.size else x.copy()


def glu(x: Array) -> Array:
    """y = a sigmoid(b) for the halves of axis 1."""
    return x[:, 0] * _sigmoid(x[:, 1])


def glu_grad(gy: Array, x: Array) -> Array:
    """gx, of both halves."""
    share = _sigmoid(x[:, 1])
    gx = x.copy()
    gx[:, 0], gx[:, 1] = gy * share, gy * x[:, 0] * share * (1 - share)
    return gx


def loss(kind: str, x: Array, t: Array, *settings: float) -> Array:
    """y = ℓ(x, t)."""
    if kind == "logistic":
        return (1 - t) * x + _softplus(-x, 1.0, np.inf)
    return DISTANCES[kind][0](x - t, *settings)


def loss_sum(kind: str, x: Array, t: Array, *settings: float) -> Array:
    """Σ ℓ(x, t)."""
    return loss(kind, x, t, *settings).sum()


def loss_grad(kind: str, gy: Array, x: Array, t: Array, *settings: float) -> Array:
    """gx = gy dℓ/dx."""
    return gy.reshape(gy.shape if gy.size == x.size else (1,) * x.ndim) * (
        _sigmoid(x) - t if kind == "logistic" else DISTANCES[kind][1](x - t, *settings)
    )


def _softplus(x: Array, beta: float, threshold: float) -> Array:
    z = x * beta
    return np.where(z > threshold, x, (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / beta)


def _elu(x: Array, alpha: float, s: float, scale: float) -> Array:
    return np.where(x > 0, x * scale, np.expm1(np.minimum(x, 0) * s) * (alpha * scale))


def _elu_slope(x: Array, alpha: float, s: float, scale: float) -> Array:
    return np.where(x > 0, scale, np.exp(np.minimum(x, 0) * s) * (alpha * s * scale))


def _mish_slope(x: Array) -> Array:
    t = np.tanh(_softplus(x, 1.0, np.inf))
    return t + x * (1 - t * t) * _sigmoid(x)


CURVES: dict[str, Any] = {  # f and f'
    "leaky_relu": (lambda x, slope: np.where(x > 0, x, x * slope), lambda x, slope: np.where(x > 0, 1, slope)),
    "hardtanh": (lambda x, a, b: np.minimum(np.maximum(x, a), b), lambda x, a, b: (x > a) & (x < b)),
    "hardsigmoid": (lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6, lambda x: ((x > -3) & (x < 3)) / 6),
    "hardswish": (
        lambda x: x * (np.minimum(np.maximum(x + 3, 0), 6) / 6),
        lambda x: np.where(x >= 3, 1, np.where(x <= -3, 0, (2 * x + 3) / 6)),
    ),
    "elu": (_elu, _elu_slope),
    "softplus": (_softplus, lambda x, beta, threshold: np.where(beta * x > threshold, 1, _sigmoid(beta * x))),
    "mish": (lambda x: x * np.tanh(_softplus(x, 1.0, np.inf)), _mish_slope),
}
DISTANCES: dict[str, Any] = {  # of d = x - t
    "square": (lambda d: d * d, lambda d: 2 * d),
    "absolute": (np.abs, lambda d: (d > 0) * 1 - (d < 0)),  # 0 at NaN
    "huber": (
        lambda d, delta, scale: scale * np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2)),
        lambda d, delta, scale: scale * np.clip(d, -delta, delta),
    ),
}


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
