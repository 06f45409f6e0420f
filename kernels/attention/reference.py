"""The definition in plain loops; the tests' yardstick."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["forward"]


def forward(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, causal: bool) -> np.ndarray:
    """One mean of the values for every place, each weighted by e^(scale q·k)."""
    y = np.zeros((*q.shape[:2], v.shape[2]), q.dtype)
    for n, i in np.ndindex(q.shape[:2]):
        places = range(min(i + 1, k.shape[1]) if causal else k.shape[1])
        weights = [math.exp(scale * sum(q[n, i, e] * k[n, j, e] for e in range(q.shape[2]))) for j in places]
        for j, weight in zip(places, weights, strict=True):
            y[n, i] += weight / sum(weights) * v[n, j]
    return y
