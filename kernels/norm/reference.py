"""Normalisation in plain loops over one channel at a time: the definition that every backend is tested against."""

from __future__ import annotations

import numpy as np


def moments(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean first, then the mean square of what is left."""
    mean, var = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        mu = sum(values) / len(values)
        mean[c], var[c] = mu, sum((v - mu) ** 2 for v in values) / len(values)
    return mean, var, (var + eps) ** -0.5


def normalize(
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """One channel after the other."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        w = 1 if weight is None else weight[c]
        b = 0 if bias is None else bias[c]
        y[:, c] = w * (x[:, c] - mean[c]) * rstd[c] + b
    return np.maximum(y, 0) if relu else y


def grad(
    gy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chain rule through max(y, 0), y, then x̂, then the variance and the mean, as in the batch norm paper."""
    gy = np.where(normalize(x, mean, rstd, weight, bias) > 0, gy, 0) if relu else gy
    gx, gw, gb = grad_eval(gy, x, mean, rstd, weight)
    for c in range(x.shape[1]):
        w = 1 if weight is None else weight[c]
        count = x[:, c].size
        centred = x[:, c] - mean[c]
        gvar = (w * gy[:, c] * centred).sum() * -0.5 * rstd[c] ** 3
        gmean = -(w * gy[:, c] * rstd[c]).sum() - 2 * gvar * centred.mean()
        gx[:, c] = w * gy[:, c] * rstd[c] + gvar * 2 * centred / count + gmean / count
    return gx, gw, gb


def grad_eval(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The statistics are constants: only y and x̂ stand between gy and x."""
    gx = np.empty_like(x)
    gw, gb = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for c in range(x.shape[1]):
        w = 1 if weight is None else weight[c]
        gx[:, c] = gy[:, c] * w * rstd[c]
        gw[c] = (gy[:, c] * (x[:, c] - mean[c]) * rstd[c]).sum()
        gb[c] = gy[:, c].sum()
    return gx, gw, gb


def group_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Group by group, each a sample of its own."""
    y = np.empty_like(x)
    mean, var, rstd = np.empty((3, *x.shape[:2]), x.dtype)
    for n, g in np.ndindex(x.shape[:2]):
        mean[n, g] = x[n, g].mean()
        var[n, g] = ((x[n, g] - mean[n, g]) ** 2).mean()
        rstd[n, g] = (var[n, g] + eps) ** -0.5
        for k in range(x.shape[2]):
            w = 1 if weight is None else weight[g, k]
            b = 0 if bias is None else bias[g, k]
            y[n, g, k] = w * (x[n, g, k] - mean[n, g]) * rstd[n, g] + b
    return y, mean, var, rstd


def group_norm_grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chain rule through y, then x̂, then the variance and the mean."""
    gx = np.empty_like(x)
    gw, gb = np.zeros((2, *x.shape[1:3]), x.dtype)
    for n, g in np.ndindex(x.shape[:2]):
        w = np.ones(x.shape[2]) if weight is None else weight[g]
        centred, u = x[n, g] - mean[n, g], w[:, None] * gy[n, g]
        gw[g] += (gy[n, g] * centred * rstd[n, g]).sum(1)
        gb[g] += gy[n, g].sum(1)
        gvar = (u * centred).sum() * -0.5 * rstd[n, g] ** 3
        gmean = -(u * rstd[n, g]).sum()
        gx[n, g] = u * rstd[n, g] + (2 * gvar * centred + gmean) / x[n, g].size
    return gx, gw, gb


def response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """Channel by channel, looking at its neighbours."""
    y = np.empty_like(x)
    for n, c in np.ndindex(x.shape[:2]):
        y[n, c] = x[n, c] / _denominator(x[n], c, size, alpha, k) ** beta
    return y


def response_norm_grad(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """The chain rule through each y: its own x, and all x in its denominator."""
    gx = np.zeros_like(x)
    for n, j in np.ndindex(x.shape[:2]):
        d = _denominator(x[n], j, size, alpha, k)
        gx[n, j] += gy[n, j] / d**beta
        for c in _neighbours(j, size, x.shape[1]):
            gx[n, c] += gy[n, j] * x[n, j] * -beta * d ** (-beta - 1) * (2 * alpha / size * x[n, c])
    return gx


def _denominator(x: np.ndarray, c: int, size: int, alpha: float, k: float) -> np.ndarray:
    return k + alpha * sum(x[j] ** 2 for j in _neighbours(c, size, len(x))) / size


def _neighbours(c: int, size: int, channels: int) -> list[int]:
    return [j for j in range(c - size // 2, c - size // 2 + size) if 0 <= j < channels]
