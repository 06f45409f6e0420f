"""Activations and updates of one number at a time, as their papers write them: the definition."""

from __future__ import annotations

import math


def relu(x: float) -> float:
    """max(x, 0)."""
    return x if x > 0 else 0.0


def sigmoid(x: float) -> float:
    """1 / (1 + e^−x)."""
    return 1 / (1 + math.exp(-x))


def silu(x: float) -> float:
    """x sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: float) -> float:
    """x Φ(x)."""
    return x * (1 + math.erf(x / math.sqrt(2))) / 2


def gelu_tanh(x: float) -> float:
    """x Φ(x), Φ by a hyperbolic tangent."""
    return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def adam(p: float, g: float, m: float, v: float, step: int, lr: float, beta1: float, beta2: float, eps: float):
    """(p, m, v) after step number `step` of algorithm 1 in Kingma & Ba 2015."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return p - lr * m_hat / (math.sqrt(v_hat) + eps), m, v
