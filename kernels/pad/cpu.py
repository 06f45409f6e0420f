"""Padding by NumPy: copies of slices, axis by axis."""

from __future__ import annotations

import numpy as np

from ..backend import HALF_TYPES
from . import Widths, places


def pad(x: np.ndarray, widths: Widths, mode: str, value: float) -> np.ndarray:
    """See `kernels.pad.pad`."""
    if mode == "constant":
        inner = tuple(slice(max(-b, 0), n - max(-a, 0)) for (b, a), n in zip(widths, x.shape, strict=True))
        outer = [(max(b, 0), max(a, 0)) for b, a in widths]
        return np.pad(x[inner], outer, constant_values=np.asarray(value).astype(x.dtype)) if outer else x.copy()
    for axis, (before, after) in enumerate(widths):
        if (before, after) != (0, 0):
            x = x.take(places(mode, x.shape[axis], before, after), axis=axis)
    return x


def adjoint(gy: np.ndarray, widths: Widths, mode: str) -> np.ndarray:
    """See `kernels.pad.adjoint`."""
    if mode == "constant":
        return pad(gy, tuple((-before, -after) for before, after in widths), mode, 0.0)
    gx = gy.astype(np.float32) if gy.dtype in HALF_TYPES else gy
    for axis, (before, after) in enumerate(widths):
        if (before, after) != (0, 0):
            gx = _added(gx, mode, axis, before, after)
    return gx.astype(gy.dtype, copy=False)


def _added(gy: np.ndarray, mode: str, axis: int, before: int, after: int) -> np.ndarray:
    """Along one axis: the elements' own places, to which those of the padding are added one slice after the other."""
    n = gy.shape[axis] - before - after
    gx = np.zeros((*gy.shape[:axis], n, *gy.shape[axis + 1 :]), gy.dtype)
    line, sums = np.moveaxis(gy, axis, 0), np.moveaxis(gx, axis, 0)
    first, end = max(-before, 0), n - max(-after, 0)
    sums[first:end] = line[first + before : end + before]
    for i, element in enumerate(places(mode, n, before, after).tolist()):
        if not first <= i - before < end:
            sums[element] += line[i]
    return gx
