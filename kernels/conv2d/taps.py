"""Where a window looks: the geometry of one axis, for a convolution and for its adjoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from . import ConvGeometry

__all__ = ["Axis", "backward_axis", "forward_axis"]


class Phase(NamedTuple):
    """Outputs origin, origin + every, ... and the taps that they see: `which`, looking at x[i·step + offset]."""

    origin: int
    which: np.ndarray
    offset: np.ndarray


class Axis(NamedTuple):
    """One axis of a correlation: its output i·every + origin looks at x[i·step + offset], phase by phase."""

    taps: int
    every: int
    step: int
    parts: tuple[Phase, ...]

    @property
    def first(self) -> int:
        """Where the first window begins, mostly in the padding."""
        return min((int(part.offset.min()) for part in self.parts), default=0)

    @property
    def span(self) -> int:
        """From there to the end of the last window of the first step."""
        return max((int(part.offset.max()) for part in self.parts), default=0) - self.first + 1

    def phases(self, size: int) -> Iterator[tuple[np.ndarray, int, np.ndarray, int]]:
        """Per phase: offsets, origin, numbers of the taps, and how many of `size` outputs are its own."""
        for origin, which, offset in self.parts:
            yield offset, origin, which, max(0, -(-(size - origin) // self.every))


def forward_axis(axis: int, taps: int, geometry: ConvGeometry) -> Axis:
    """Output i sees x[i·stride + p·dilation − padding] through tap p: one phase."""
    p = np.arange(taps)
    offset = p * geometry.dilation[axis] - geometry.padding[axis][0]
    return Axis(taps, 1, geometry.stride[axis], (Phase(0, p, offset),))


def backward_axis(axis: int, taps: int, geometry: ConvGeometry) -> Axis:
    """The adjoint: gx[h] hears from gy[i] through tap p where i·stride = h + padding − p·dilation.

    Only taps with p·dilation ≡ h + padding (mod stride) reach h. The h of one residue class share their taps, and over
    them gx is a correlation of gy with step 1. Classes that no tap reaches are no phase: their gradient is zero.
    """
    stride, before = geometry.stride[axis], geometry.padding[axis][0]
    reach = np.arange(taps) * geometry.dilation[axis]
    parts = []
    for origin in range(stride):
        p = np.flatnonzero((reach - origin - before) % stride == 0)
        if len(p):
            parts.append(Phase(origin, p, (origin + before - reach[p]) // stride))
    return Axis(taps, stride, 1, tuple(parts))
