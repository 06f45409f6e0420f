"""Padding: what stands around a Tensor's last axes, and its adjoint."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import pad as kernel
from .checks import tensor_arg

MODES = ("constant", "reflect", "replicate", "circular")
Widths = tuple[tuple[int, int], ...]


class Pad(Op):
    """y = x with `widths` = (before, after) around each axis, filled as `mode` says; adjoint (value 0): PadAdjoint"""

    widths: Widths
    mode: str
    value: float = 0.0

    def forward(self, x: Array) -> Array:
        return kernel.pad(x, self.widths, self.mode, self.value)

    def backward(self, gy: Tensor) -> Tensor:
        return PadAdjoint(self.widths, self.mode)(gy)


class PadAdjoint(Op):
    """y = each element of x added to the one that it is a copy of; adjoint: Pad"""

    widths: Widths
    mode: str

    def forward(self, x: Array) -> Array:
        return kernel.adjoint(x, self.widths, self.mode)

    def backward(self, gy: Tensor) -> Tensor:
        return Pad(self.widths, self.mode)(gy)


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
        if (before, after) != (0, 0):
            _check_repeats(mode, n, before, after)
    return Pad(tuple(widths), mode, value or 0.0)(x)


def _check_repeats(mode: str, n: int, before: int, after: int) -> None:
    if mode == "reflect" and max(before, after) >= n:
        raise ShapeError(f"pad: mode 'reflect' needs widths below the axis size {n}, got {(before, after)}")
    kept = n - max(-before, 0) - max(-after, 0)
    if mode == "circular" and max(before, after) > kept:
        raise ShapeError(f"pad: mode 'circular' needs widths up to the axis size {kept}, got {(before, after)}")


def _widths(x: Tensor, pad: Any) -> list[tuple[int, int]]:
    """(before, after) for every axis, the first axis first."""
    try:
        flat = [operator.index(n) for n in pad]
    except TypeError:
        raise DTypeError(f"pad: pad must be a sequence of integers, got {pad!r}") from None
    if len(flat) % 2 or len(flat) // 2 > x.ndim:
        raise ArgumentError(f"pad: expected (before, after) pairs for at most {x.ndim} axes, got pad {tuple(flat)}")
    return [(0, 0)] * (x.ndim - len(flat) // 2) + [(flat[i], flat[i + 1]) for i in range(len(flat) - 2, -1, -2)]
