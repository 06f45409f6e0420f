"""Normalisation by given means on a GPU, and its gradient by given sums, in one pass over memory: `apply.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import kernel

__all__ = ["Layout", "apply", "layout", "wide"]

SOURCE = "norm/apply.cu"
THREADS, ROWS = 256, 4  # as the source has them
Array = Any
Layout = tuple[Any, ...]


def wide(x: Array) -> type:
    """The type of statistics."""
    return np.float64 if x.dtype == np.float64 else np.float32


def layout(x: Array, shared: int, groups: int = 0) -> Layout:
    """x (N, C, S), or (N, G, K, S), as rows of columns; `shared` columns have one mean, a row `groups` of its own."""
    rows = x.shape[0]
    return *map(np.int64, (rows, x.size // max(rows, 1), x.shape[-1], shared)), groups


def apply(name: str, x: Array, arrays: tuple[Array, ...], rows: Layout, *then: Any) -> None:
    """A thread for ROWS rows of one column, or of a pack of columns."""
    if x.size == 0:
        return
    pack = 16 // x.dtype.itemsize
    width = 1 if x.shape[-1] % pack else pack
    threads = -(-x.shape[0] // ROWS) * (x.size // x.shape[0] // width)
    kernel(SOURCE, name, x)((-(-threads // THREADS),), (THREADS,), (*arrays, rows, *then))
