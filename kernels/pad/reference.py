"""Padding, one element at a time: the definition."""

from __future__ import annotations

import numpy as np

from . import Widths


def source(i: int, mode: str, n: int, before: int, after: int) -> int | None:
    """The element that place i of the result copies, found by walking from the edge; None for none."""
    at, low, high = i - before, max(-before, 0), n - max(-after, 0)  # what is left of the axis
    if mode == "constant":
        return at if 0 <= at < n else None
    if mode == "replicate":
        return min(max(at, 0), n - 1)
    while mode == "reflect" and not 0 <= at < n:
        at = -at if at < 0 else 2 * (n - 1) - at
    while mode == "circular" and not low <= at < high:
        at += high - low if at < low else low - high
    return at


def pad(x: np.ndarray, widths: Widths, mode: str, value: float = 0.0) -> np.ndarray:
    """Ask of every element of the result where it comes from."""
    y = np.full([n + b + a for n, (b, a) in zip(x.shape, widths, strict=True)], value, x.dtype)
    for place in np.ndindex(y.shape):
        origin = [source(i, mode, n, *w) for i, n, w in zip(place, x.shape, widths, strict=True)]
        if None not in origin:
            y[place] = x[tuple(origin)]
    return y


def adjoint(gy: np.ndarray, widths: Widths, mode: str) -> np.ndarray:
    """Add every element to the one that it would come from."""
    gx = np.zeros([m - b - a for m, (b, a) in zip(gy.shape, widths, strict=True)], gy.dtype)
    for place in np.ndindex(gy.shape):
        origin = [source(i, mode, n, *w) for i, n, w in zip(place, gx.shape, widths, strict=True)]
        if None not in origin:
            gx[tuple(origin)] += gy[place]
    return gx
