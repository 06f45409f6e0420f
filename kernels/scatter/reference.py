"""Adding to places in plain loops: the definition."""

from __future__ import annotations

from typing import Any

import numpy as np


def add_slices(x: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Slice by slice."""
    outer, n, inner = x.shape
    y = np.zeros((outer, size, inner), x.dtype)
    for o in range(outer):
        for i in range(n):
            for d in range(inner):
                y[o, places[i], d] += x[o, i, d]
    return y


def add_at(x: np.ndarray, index: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Number by number: the index, applied to the numbers of all places, says where each one goes."""
    y = np.zeros(shape, x.dtype)
    numbers = np.arange(y.size).reshape(shape)[index]
    for place, value in zip(numbers.ravel(), x.ravel(), strict=True):
        y.flat[place] += value
    return y


def multiply_at(x: np.ndarray, index: tuple[Any, ...], factors: np.ndarray) -> np.ndarray:
    """Number by number."""
    y = x.copy()
    numbers = np.arange(y.size).reshape(y.shape)[index]
    for place, factor in zip(numbers.ravel(), factors.ravel(), strict=True):
        y.flat[place] *= factor
    return y


def put_at(x: np.ndarray, index: tuple[Any, ...], values: np.ndarray) -> np.ndarray:
    """Number by number."""
    y = x.copy()
    numbers = np.arange(y.size).reshape(y.shape)[index]
    for place, value in zip(numbers.ravel(), values.ravel(), strict=True):
        y.flat[place] = value
    return y
