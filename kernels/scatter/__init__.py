"""Adding values to places that integers name: the adjoints of picking by index.

A place that is named several times gets the sum of its values, in the same order at every call: the same bits.

**Indices** are in bounds. `index` is NumPy's: a tuple of full slices, at most one `...`, and arrays of integers that
broadcast; negative ones count from the end.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend, narrow, native

__all__ = ["add_at", "add_slices", "bincount", "multiply_at", "put_at"]


def add_slices(x: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """y[o, places[i]] += x[o, i] into zeros.

    **Shapes** x (outer, n, inner), places (n,) of integers from 0 to `size` - 1, y (outer, `size`, inner).
    """
    assert x.ndim == 3, x.shape
    assert places.shape == x.shape[1:2], (places.shape, x.shape)
    return narrow(backend(__name__, x).add_slices(native(x), places, size), x)


def add_at(x: np.ndarray, index: tuple[Any, ...], shape: tuple[int, ...]) -> np.ndarray:
    """y[index] += x into zeros of this shape, element by element: x has the shape of y[index]."""
    return narrow(backend(__name__, x).add_at(native(x), index, shape), x)


def bincount(numbers: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
    """y[numbers[i]] += weights[i] into `size` zeros, all float64. CuPy's own function adds in an order of chance."""
    assert numbers.shape == weights.shape, (numbers.shape, weights.shape)
    return backend(__name__, weights).bincount(numbers, native(weights), size)


def multiply_at(x: np.ndarray, index: tuple[Any, ...], factors: np.ndarray) -> np.ndarray:
    """y[index] *= factors into a copy of x, element by element: the factors have the shape of x[index]."""
    assert x.dtype == factors.dtype, (x.dtype, factors.dtype)
    return narrow(backend(__name__, x).multiply_at(native(x), index, native(factors)), x)


def put_at(x: np.ndarray, index: tuple[Any, ...], values: np.ndarray) -> np.ndarray:
    """y[index] = values in a copy of x, with an array in `index` for every axis; the last value of a place stays."""
    assert x.dtype == values.dtype, (x.dtype, values.dtype)
    assert len(index) == x.ndim, (len(index), x.shape)
    return backend(__name__, x).put_at(x, index, values)
