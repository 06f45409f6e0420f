"""Element-wise kernels: activations and losses with their derivatives, choices, and the optimisers' updates.

NumPy computes these on one thread, with a pass over memory and a temporary for every operation. Here each is
one pass, on all threads where the array is large; small arrays stay on the calling thread and cost no launch.

**Shapes** all arrays of a call have the same shape, and results are new arrays, except for the updates: they
write p and its state in place. Those are one pass for C-contiguous arrays, on the CPU of float32 and float64, on
a GPU of half types too; for all others `arrays.py`.
"""

from __future__ import annotations

import numpy as np

from ..backend import backend, narrow, native

__all__ = [
    "activate",
    "activate_grad",
    "adam_update",
    "glu",
    "glu_grad",
    "loss",
    "loss_grad",
    "loss_sum",
    "rmsprop_update",
    "scale",
    "select",
    "sgd_update",
]


def activate(kind: str, x: np.ndarray, *settings: float) -> np.ndarray:
    """y = f(x).

    - relu: max(x, 0), and NaN stays NaN, as in all of these; leaky_relu: x where positive, else `slope` x
    - sigmoid: 1 / (1 + e^−x); silu: x sigmoid(x); gelu: x Φ(x), Φ the normal distribution function
    - gelu_tanh: Φ(x) ≈ (1 + tanh u) / 2 = sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
    - hardtanh: min(max(x, `low`), `high`); hardsigmoid: h = min(max(x + 3, 0), 6) / 6; hardswish: x h
    - elu: `scale` x where positive, else `scale` `alpha` (e^(`s` x) − 1); all three must be given
    - softplus: log(1 + e^(`beta` x)) / `beta`, and x where `beta` x is above `threshold`; mish: x tanh(log(1 + e^x))
    """
    y = backend(__name__, x).activate(kind, native(x), *settings)
    return narrow(y, x).reshape(x.shape)  # `native` gives 0-d an axis


def activate_grad(kind: str, gy: np.ndarray, saved: np.ndarray, *settings: float) -> np.ndarray:
    """gx = gy f'(x), from f's output where f is sigmoid, from either where it is relu, else from its input.

    Where two pieces meet the slope is 0 for relu and the hard ones (1 for hardswish at 3), else the left one.
    """
    assert gy.shape == saved.shape, (gy.shape, saved.shape)
    gx = backend(__name__, gy).activate_grad(kind, native(gy), native(saved), *settings)
    return narrow(gx, gy).reshape(gy.shape)


def loss(kind: str, x: np.ndarray, t: np.ndarray, *settings: float) -> np.ndarray:
    """y = ℓ(x, t), with d = x − t.

    - square: d²; absolute: |d|
    - huber: `scale` · (d²/2 where |d| <= `delta`, else `delta` (|d| − `delta`/2))
    - logistic: −t log σ(x) − (1 − t) log(1 − σ(x)), σ the sigmoid
    """
    assert x.shape == t.shape, (x.shape, t.shape)
    return narrow(backend(__name__, x).loss(kind, native(x), native(t), *settings), x).reshape(x.shape)


def loss_sum(kind: str, x: np.ndarray, t: np.ndarray, *settings: float) -> np.ndarray:
    """Σ ℓ(x, t), without axes; half types are summed in float32."""
    assert x.shape == t.shape, (x.shape, t.shape)
    return narrow(backend(__name__, x).loss_sum(kind, native(x), native(t), *settings), x)


def loss_grad(kind: str, gy: np.ndarray, x: np.ndarray, t: np.ndarray, *settings: float) -> np.ndarray:
    """gx = gy dℓ/dx; gy has x's shape, or no axes where the losses were summed."""
    assert x.shape == t.shape, (x.shape, t.shape)
    assert gy.shape in ((), x.shape), (gy.shape, x.shape)
    gx = backend(__name__, x).loss_grad(kind, native(gy), native(x), native(t), *settings)
    return narrow(gx, x).reshape(x.shape)


def glu(x: np.ndarray) -> np.ndarray:
    """y = a sigmoid(b) for the halves a and b of x (outer, 2, inner); y is (outer, inner)."""
    return narrow(backend(__name__, x).glu(native(x)), x)


def glu_grad(gy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """gx (outer, 2, inner), whose halves are gy σ and gy a σ (1 − σ) with σ = sigmoid(b); gy is (outer, inner)."""
    return narrow(backend(__name__, x).glu_grad(native(gy), native(x)), x)


def scale(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """y = x · factors, one for each part of x: the factors have x's leading axes, and the size 1 in the others."""
    assert x.ndim == factors.ndim, (x.shape, factors.shape)
    k = next((k for k, n in enumerate(factors.shape) if n != x.shape[k]), x.ndim)
    assert all(n == 1 for n in factors.shape[k:]), (x.shape, factors.shape)
    return narrow(backend(__name__, x).scale(native(x), native(factors)), x).reshape(x.shape)


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


def _check(p: np.ndarray, *others: np.ndarray | None) -> None:
    for array in (p, *others):
        if array is not None:
            assert (array.shape, array.dtype) == (p.shape, p.dtype), (array.shape, array.dtype)
