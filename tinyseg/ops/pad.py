"""Padding: what stands around a Tensor's last axes; its adjoint crops.

Zeros (or another number) are an op of their own. The three other modes only repeat elements that are there, so each is
a selection along its axis, with the selection's adjoint.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from .checks import tensor_arg
from .indexing import GetItem, IndexSelect

MODES = ("constant", "reflect", "replicate", "circular")


class Pad(Op):
    """y = x with `value` around it, `widths` = (before, after) for each axis; adjoint: crop"""

    widths: tuple[tuple[int, int], ...]
    value: float

    def forward(self, x: Array) -> Array:
        return array_module(x).pad(x, self.widths, constant_values=self.value)

    def backward(self, gy: Tensor) -> Tensor:
        inner = tuple(slice(before, n - after) for (before, after), n in zip(self.widths, gy.shape, strict=True))
        return GetItem(inner)(gy)


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Padding by (before, after) pairs, the last axis first, as in PyTorch; negative widths crop.

    **Modes** 'constant' with `value` (0), 'reflect' (without the edge), 'replicate' (the edge), 'circular'.
    **Raises** ShapeError where a mode has too little to repeat, or a crop leaves nothing.
    """
    x = tensor_arg("pad", "input", input)
    if mode not in MODES:
        raise ArgumentError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if mode != "constant" and value:
        raise ArgumentError(f"pad: value is for mode 'constant', got {value} with mode {mode!r}")
    widths = _widths(x, pad)
    for place, (before, after) in enumerate(widths):
        n = x.shape[place]
        if n + before + after < 0 or (mode != "constant" and n == 0 and (before, after) != (0, 0)):
            raise ShapeError(f"pad: widths {(before, after)} leave nothing of axis {place} of size {n}")
    if mode == "constant" or not any(w for pair in widths for w in pair):
        return _pad_constant(x, widths, value or 0.0)
    for place, (before, after) in enumerate(widths):
        if (before, after) != (0, 0):
            source = _source_index(mode, x.shape[place], before, after)
            x = IndexSelect(array_module(x.data).asarray(source), place)(x)
    return x


def _widths(x: Tensor, pad: Any) -> list[tuple[int, int]]:
    """(before, after) for every axis, the first axis first."""
    try:
        flat = [operator.index(n) for n in pad]
    except TypeError:
        raise DTypeError(f"pad: pad must be a sequence of integers, got {pad!r}") from None
    if len(flat) % 2 or len(flat) // 2 > x.ndim:
        raise ArgumentError(f"pad: expected (before, after) pairs for at most {x.ndim} axes, got pad {tuple(flat)}")
    return [(0, 0)] * (x.ndim - len(flat) // 2) + [(flat[i], flat[i + 1]) for i in range(len(flat) - 2, -1, -2)]


def _pad_constant(x: Tensor, widths: list[tuple[int, int]], value: float) -> Tensor:
    if any(w < 0 for pair in widths for w in pair):
        ends = [(max(-b, 0), n - max(-a, 0)) for (b, a), n in zip(widths, x.shape, strict=True)]
        x = GetItem(tuple(slice(i, j) for i, j in ends))(x)
    outer = tuple((max(b, 0), max(a, 0)) for b, a in widths)
    return Pad(outer, value)(x)


def _source_index(mode: str, n: int, before: int, after: int) -> np.ndarray[Any, Any]:
    """Which element of an axis of size `n` each padded place copies."""
    places = np.arange(-before, n + after)
    if mode == "replicate":
        return places.clip(0, n - 1)
    if mode == "reflect":
        if max(before, after) >= n:
            raise ShapeError(f"pad: mode 'reflect' needs widths below the axis size {n}, got {(before, after)}")
        return np.abs((n - 1) - np.abs((n - 1) - places))
    first, kept = max(-before, 0), n - max(-before, 0) - max(-after, 0)
    if max(before, after) > kept:
        raise ShapeError(f"pad: mode 'circular' needs widths up to the axis size {kept}, got {(before, after)}")
    return first + (places - first) % max(kept, 1)  # what is cropped away does not come round again
