"""Softmax and cross-entropy of one column of K values at a time: the definition."""

from __future__ import annotations

import numpy as np


def log_sum_exp(values: np.ndarray) -> float:
    """log Σ e^v, the largest value taken out."""
    largest = values.max()
    return largest + np.log(np.exp(values - largest).sum())


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Column by column."""
    y = np.empty_like(x)
    for o in range(x.shape[0]):
        for s in range(x.shape[2]):
            y[o, :, s] = x[o, :, s] - log_sum_exp(x[o, :, s])
    return y


def softmax(x: np.ndarray) -> np.ndarray:
    """The exponential of its logarithm."""
    return np.exp(log_softmax(x))


def softmax_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each softmax's matrix of derivatives, diag(y) − y yᵀ, times its gradient."""
    gx = np.empty_like(y)
    for o, s in np.ndindex(y.shape[0], y.shape[2]):
        v = y[o, :, s]
        gx[o, :, s] = (np.diag(v) - np.outer(v, v)) @ gy[o, :, s]
    return gx


def log_softmax_grad(gy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The same with 1 − 1 e^yᵀ, transposed."""
    gx = np.empty_like(y)
    for o, s in np.ndindex(y.shape[0], y.shape[2]):
        derivatives = np.eye(y.shape[1]) - np.exp(y[o, :, s])
        gx[o, :, s] = derivatives.T @ gy[o, :, s]
    return gx


def cross_entropy(
    x: np.ndarray, target: np.ndarray, weight: np.ndarray | None = None, ignore_index: int = -100
) -> tuple[np.ndarray, np.ndarray]:
    """Pixel by pixel."""
    loss, lse = np.zeros(target.shape, x.dtype), np.empty(target.shape, x.dtype)
    for n, s in np.ndindex(target.shape):
        t = target[n, s]
        lse[n, s] = log_sum_exp(x[n, :, s])
        if t != ignore_index:
            loss[n, s] = (1 if weight is None else weight[t]) * (lse[n, s] - x[n, t, s])
    return loss, lse


def cross_entropy_grad(
    gy: np.ndarray,
    x: np.ndarray,
    lse: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
) -> np.ndarray:
    """Pixel by pixel: the softmax minus the one-hot target."""
    gx = np.zeros_like(x)
    for n, s in np.ndindex(target.shape):
        t = target[n, s]
        if t != ignore_index:
            one_hot = np.arange(x.shape[1]) == t
            scale = gy[n, s] * (1 if weight is None else weight[t])
            gx[n, :, s] = scale * (np.exp(x[n, :, s] - lse[n, s]) - one_hot)
    return gx
