"""Activations, losses and updates of one number at a time, as their papers write them: the definition."""

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


def leaky_relu(x: float, slope: float) -> float:
    """x where positive, else slope x."""
    return x if x > 0 else slope * x


def hardtanh(x: float, low: float, high: float) -> float:
    """min(max(x, low), high)."""
    return min(max(x, low), high)


def hardsigmoid(x: float) -> float:
    """min(max(x + 3, 0), 6) / 6."""
    return min(max(x + 3, 0), 6) / 6


def hardswish(x: float) -> float:
    """x hardsigmoid(x)."""
    return x * hardsigmoid(x)


def elu(x: float, alpha: float, s: float, scale: float) -> float:
    """scale x where positive, else scale alpha (e^(s x) − 1)."""
    return scale * (x if x > 0 else alpha * (math.exp(s * x) - 1))


def softplus(x: float, beta: float, threshold: float) -> float:
    """log(1 + e^(beta x)) / beta, and x where beta x is above the threshold."""
    return x if beta * x > threshold else math.log(1 + math.exp(beta * x)) / beta


def mish(x: float) -> float:
    """x tanh(log(1 + e^x))."""
    return x * math.tanh(math.log(1 + math.exp(x)))


def square(x: float, t: float) -> float:
    """(x − t)²."""
    return (x - t) ** 2


def absolute(x: float, t: float) -> float:
    """|x − t|."""
    return abs(x - t)


def huber(x: float, t: float, delta: float, scale: float) -> float:
    """scale d²/2 for d = |x − t| up to delta, beyond it the line that goes on from there with the slope scale delta."""
    d = abs(x - t)
    return scale * (d * d / 2 if d <= delta else delta * (d - delta / 2))


def logistic(x: float, t: float) -> float:
    """−t log σ(x) − (1 − t) log(1 − σ(x))."""
    return -t * math.log(sigmoid(x)) - (1 - t) * math.log(1 - sigmoid(x))


def adam(p: float, g: float, m: float, v: float, step: int, lr: float, beta1: float, beta2: float, eps: float):
    """(p, m, v) after step number `step` of algorithm 1 in Kingma & Ba 2015."""
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return p - lr * m_hat / (math.sqrt(v_hat) + eps), m, v
