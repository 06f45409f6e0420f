"""Softmax and cross-entropy over the middle of three axes, each in one launch and without a temporary.

**Shapes** x (outer, K, inner): attention is (rows, K, 1), a map of class scores (N, C, H·W). Everything is
computed after subtracting the largest of the K values, so that no e^x overflows.
"""

from __future__ import annotations

import numpy as np

from ..backend import backend, narrow, native

__all__ = ["cross_entropy", "cross_entropy_grad", "log_softmax", "log_softmax_grad", "softmax", "softmax_grad"]


def softmax(x: np.ndarray) -> np.ndarray:
    """y_k = e^x_k / Σ_j e^x_j. Where all K values are −inf, or one is +inf or NaN, all K results are NaN."""
    return narrow(backend(__name__, x).softmax(native(x), False), x)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """y_k = x_k − log Σ_j e^x_j, exact also where softmax underflows to 0."""
    return narrow(backend(__name__, x).softmax(native(x), True), x)


def softmax_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """gx_k = y_k (gy_k − Σ_j gy_j y_j) with softmax's output y."""
    return _grad(gy, y, False)


def log_softmax_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """gx_k = gy_k − e^y_k Σ_j gy_j with log_softmax's output y."""
    return _grad(gy, y, True)


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, ignore_index: int = -100
) -> tuple[np.ndarray, np.ndarray]:
    """(loss, lse): lse = log Σ_k e^x_k and loss = weight_t (lse − x_t) for t = target, 0 where t is ignored.

    **Shapes** x (N, C, S), target int64 and both results (N, S), weight (C,). A target outside the classes
    that is not `ignore_index` gives NaN, never a read outside x.
    """
    loss, lse = backend(__name__, x).cross_entropy(native(x), *_classes(x, target, weight), ignore_index)
    return narrow(loss, x), lse


def cross_entropy_grad(
    gy: np.ndarray,
    x: np.ndarray,
    lse: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
) -> np.ndarray:
    """gx[n, k, s] = gy[n, s] weight_t (e^(x_k − lse) − [k = t]), the gradient of `cross_entropy`'s loss."""
    assert gy.shape == lse.shape == target.shape, (gy.shape, lse.shape, target.shape)
    classes = _classes(x, target, weight)
    gx = backend(__name__, x).cross_entropy_grad(native(gy), native(x), native(lse), *classes, ignore_index)
    return narrow(gx, x)


def _grad(gy: np.ndarray, y: np.ndarray, log: bool) -> np.ndarray:
    assert gy.shape == y.shape, (gy.shape, y.shape)
    return narrow(backend(__name__, y).softmax_grad(native(gy), native(y), log), y)


def _classes(x: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Targets as int64, and a weight per class in the type that the kernels compute in."""
    assert target.shape == (x.shape[0], x.shape[2]), (target.shape, x.shape)
    weights = np.ones_like(x, shape=(x.shape[1],)) if weight is None else narrow(weight, x)
    return native(target.astype(np.int64, copy=False)), native(weights)
