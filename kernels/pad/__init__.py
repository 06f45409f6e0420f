"""Padding: what stands around an array, along any of its axes; its adjoint adds up what came from one element.

Along an axis padding is a selection: place i of the result copies element `places(...)[i]`, or none where a number
goes in.

**Shapes** `widths` has (before, after) for every axis of x; negative widths crop.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..backend import backend

__all__ = ["adjoint", "pad", "places"]

Widths = tuple[tuple[int, int], ...]


def pad(x: np.ndarray, widths: Widths, mode: str, value: float = 0.0) -> np.ndarray:
    """y = x with the widths around it, in mode 'constant' of `value`. Of any element type."""
    assert len(widths) == x.ndim, (widths, x.shape)
    return backend(__name__, x).pad(x, widths, mode, value)


def adjoint(gy: np.ndarray, widths: Widths, mode: str) -> np.ndarray:
    """Adjoint of `pad` with value 0: every gy added to the element that it is a copy of."""
    assert len(widths) == gy.ndim, (widths, gy.shape)
    return backend(__name__, gy).adjoint(gy, widths, mode)


@functools.lru_cache(256)
def places(mode: str, n: int, before: int, after: int) -> Any:
    """Which element of an axis of size `n` each place of the result copies, -1 for none; not to be changed.

    'reflect' mirrors without the edge, 'replicate' repeats it, 'circular' goes round what is not cropped away.
    """
    i = np.arange(-before, n + after)
    if mode == "constant":
        source = np.where((i >= 0) & (i < n), i, -1)
    elif mode == "replicate":
        source = i.clip(0, n - 1)
    elif mode == "reflect":
        source = np.abs((n - 1) - np.abs((n - 1) - i))
    else:
        first = max(-before, 0)
        source = first + (i - first) % max(n - first - max(-after, 0), 1)
    return source.astype(np.int32)
