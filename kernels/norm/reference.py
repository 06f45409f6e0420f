"""Normalisation in plain loops over one channel at a time: the definition that every backend is tested against."""

from __future__ import annotations

import numpy as np


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean first, then the mean square of what is left."""
    mean, var = np.empty(x.shape[1], x.dtype), np.empty(x.shape[1], x.dtype)
    for c in range(x.shape[1]):
        values = [float(v) for v in x[:, c].ravel()]
        mu = sum(values) / len(values)
        mean[c], var[c] = mu, sum((v - mu) ** 2 for v in values) / len(values)
    return mean, var


def normalize(
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """One channel after the other."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        w = 1 if weight is None else weight[c]
        b = 0 if bias is None else bias[c]
        y[:, c] = w * (x[:, c] - mean[c]) * rstd[c] + b
    return y


def grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The chain rule through y, then x̂, then the variance and the mean, as in the batch norm paper."""
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
