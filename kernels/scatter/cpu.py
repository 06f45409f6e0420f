"""Adding to places on the CPU: NumPy's own, whose loops are compiled and keep the order."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["add_at", "add_slices", "bincount", "multiply_at", "put_at"]


def add_slices(x: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """Sorted, slices of one place lie side by side, and each such run is summed."""
    outer, _, inner = x.shape
    y = np.zeros((outer, size, inner), x.dtype)
    if places.size:
        order = np.argsort(places, kind="stable")
        found, starts = np.unique(places[order], return_index=True)
        y[:, found] = np.add.reduceat(x.take(order, axis=1), starts, axis=1, dtype=x.dtype)
    return y


def add_at(x: np.ndarray, index: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """NumPy adds one after another."""
    y = np.zeros(shape, x.dtype)
    np.add.at(y, index, x)
    return y


def bincount(numbers: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """NumPy adds one after another."""
    return np.bincount(numbers, weights, size)


def multiply_at(x: np.ndarray, index: tuple[Any, ...], factors: np.ndarray) -> np.ndarray:
    """NumPy multiplies one after another."""
    y = x.copy()
    np.multiply.at(y, index, factors)
    return y


def put_at(x: np.ndarray, index: tuple[Any, ...], values: np.ndarray) -> np.ndarray:
    """NumPy writes one after another."""
    y = x.copy()
    y[index] = values
    return y
