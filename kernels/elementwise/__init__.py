"""Element-wise kernels: activations with their derivatives, choices, and the optimisers' updates.

NumPy computes these on one thread, with a pass over memory and a temporary for every operation. Here each is
one pass, on all threads where the array is large; small arrays stay on the calling thread and cost no launch.

**Shapes** all arrays of a call have the same shape, and results are new arrays, except for the updates: they
write p and its state in place. These are one pass for C-contiguous float32 and float64 on the CPU, else `arrays.py`.
"""

from __future__ import annotations

import numpy as np

from ..backend import backend, narrow, native

__all__ = [
    "adam_update",
    "gelu",
    "gelu_grad",
    "relu",
    "relu_grad",
    "rmsprop_update",
    "select",
    "sgd_update",
    "sigmoid",
    "sigmoid_grad",
    "silu",
    "silu_grad",
]


def relu(x: np.ndarray) -> np.ndarray:
    """y = max(x, 0); NaN stays NaN."""
    return _activate("relu", x)


def relu_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """gx = gy where y > 0, else 0; `y` may be relu's output or its input."""
    return _activate_grad("relu", gy, y)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """y = 1 / (1 + e^−x)."""
    return _activate("sigmoid", x)


def sigmoid_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """gx = gy y (1 − y) with sigmoid's output y."""
    return _activate_grad("sigmoid", gy, y)


def silu(x: np.ndarray) -> np.ndarray:
    """y = x sigmoid(x)."""
    return _activate("silu", x)


def silu_grad(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """gx = gy σ (1 + x (1 − σ)) with σ = sigmoid(x)."""
    return _activate_grad("silu", gy, x)


def gelu(x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """y = x Φ(x), Φ the normal distribution function.

    With `approximate` 'tanh' Φ(x) ≈ (1 + tanh u) / 2 = sigmoid(2u), u = √(2/π) (x + 0.044715 x³).
    """
    return _activate("gelu_tanh" if approximate == "tanh" else "gelu", x)


def gelu_grad(gy: np.ndarray, x: np.ndarray, approximate: str = "none") -> np.ndarray:
    """gx = gy (Φ(x) + x Φ'(x))."""
    return _activate_grad("gelu_tanh" if approximate == "tanh" else "gelu", gy, x)


def select(condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a where the condition holds, else b; the three broadcast, a and b are of one type."""
    return backend(__name__, condition).select(condition, a, b)


def sgd_update(
    p: np.ndarray,
    g: np.ndarray,
    momentum_buffer: np.ndarray | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> None:
    """One step of SGD: d = g + weight_decay p, buffer = momentum buffer + (1 − dampening) d, p −= lr buffer.

    Without a buffer p −= lr d; `nesterov` takes d + momentum buffer in its place. PyTorch's first step is the
    one from a zero buffer with dampening 0.
    """
    _check(p, g, momentum_buffer)
    backend(__name__, p).sgd(p, g, momentum_buffer, lr, momentum, 1 - dampening, weight_decay, nesterov)


def adam_update(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    v_max: np.ndarray | None = None,
    *,
    step: int,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> None:
    """Step number `step` (from 1) of Adam, with `decoupled` decay AdamW, with `v_max` AMSGrad.

    d = g + weight_decay p, or p *= 1 − lr weight_decay if decoupled; m += (1 − β1)(d − m); v = β2 v + (1 −
    β2) d²; p −= lr / (1 − β1^step) · m / (√v / √(1 − β2^step) + eps), √v_max in place of √v for AMSGrad.
    **Source** Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019; rounding order of PyTorch.
    """
    _check(p, g, m, v, v_max)
    coupled, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    scalars = lr / (1 - beta1**step), 1 - beta1, beta2, 1 - beta2, (1 - beta2**step) ** 0.5, eps, coupled, shrink
    backend(__name__, p).adam(p, g, m, v, v_max, *scalars)


def rmsprop_update(
    p: np.ndarray,
    g: np.ndarray,
    square_avg: np.ndarray,
    momentum_buffer: np.ndarray | None = None,
    grad_avg: np.ndarray | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
) -> None:
    """One step of RMSprop: d = g + weight_decay p, s = α s + (1 − α) d², p −= lr d / (√s + eps).

    With `grad_avg` (centred) a += (1 − α)(d − a) and √(s − a²) in place of √s; with a momentum buffer
    buffer = momentum buffer + d / (√s + eps), p −= lr buffer.
    """
    _check(p, g, square_avg, momentum_buffer, grad_avg)
    scalars = lr, alpha, 1 - alpha, eps, weight_decay, momentum
    backend(__name__, p).rmsprop(p, g, square_avg, momentum_buffer, grad_avg, *scalars)


def _activate(kind: str, x: np.ndarray) -> np.ndarray:
    return narrow(backend(__name__, x).activate(kind, native(x)), x).reshape(x.shape)  # `native` gives 0-d an axis


def _activate_grad(kind: str, gy: np.ndarray, saved: np.ndarray) -> np.ndarray:
    assert gy.shape == saved.shape, (gy.shape, saved.shape)
    return narrow(backend(__name__, gy).activate_grad(kind, native(gy), native(saved)), gy).reshape(gy.shape)


def _check(p: np.ndarray, *others: np.ndarray | None) -> None:
    for array in (p, *others):
        if array is not None:
            assert (array.shape, array.dtype) == (p.shape, p.dtype), (array.shape, array.dtype)
