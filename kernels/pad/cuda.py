"""Padding on a GPU: one pass for the last two axes, by the kernels of `kernels/resize`.

Padding copies, so forward it is `pick`. The adjoint adds what came from one element: a product with the matrices that
have a 1 where `places` says, transposed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import native
from ..resize import Taps, taps_of
from ..resize.cuda import pick, product
from ..tables import remembered
from . import Widths, places

__all__ = ["adjoint", "pad"]

Array = Any
Axis = tuple[int, int, int]  # its size in x, before, after


def pad(x: Array, widths: Widths, mode: str, value: float) -> Array:
    """See `kernels.pad.pad`."""

    def along(x: Array, down: Axis, across: Axis) -> Array:
        return pick(x, places(mode, *down), places(mode, *across), value)

    return _pairwise(x, widths, x.shape, along)


def adjoint(gy: Array, widths: Widths, mode: str) -> Array:
    """See `kernels.pad.adjoint`."""

    def along(gy: Array, down: Axis, across: Axis) -> Array:
        rows, columns = (_matrix(mode, *axis) for axis in (down, across))
        return product(gy, rows.by_input, columns.by_input)

    sizes = [m - before - after for m, (before, after) in zip(gy.shape, widths, strict=True)]
    return _pairwise(gy, widths, sizes, along)


def _pairwise(x: Array, widths: Widths, sizes: Any, along: Any) -> Array:
    """`along(x, down, across)` for the last two axes, and each axis before them that has widths, with all behind it."""
    shape, x = list(x.shape), native(x)
    axes = [(n, *pair) for n, pair in zip(sizes, widths, strict=True)]
    if any(pair != (0, 0) for pair in widths[-2:]) or not any(w for pair in widths for w in pair):
        matrix = [1] * (2 - len(shape)) + shape[-2:]
        y = along(x.reshape(*shape[:-2], *matrix), *([(1, 0, 0)] * 2 + axes)[-2:])
        shape[-2:] = y.shape[len(y.shape) - len(shape[-2:]) :]
        x = y.reshape(shape)
    for axis, pair in enumerate(widths[:-2]):
        if pair != (0, 0):
            behind = int(np.prod(shape[axis + 1 :]))
            y = along(x.reshape(*shape[: axis + 1], behind), axes[axis], (behind, 0, 0))
            shape[axis] = y.shape[-2]
            x = y.reshape(shape)
    return x


@remembered
def _matrix(mode: str, n: int, before: int, after: int) -> Taps:
    source = places(mode, n, before, after)[:, None]
    return taps_of(n, np.maximum(source, 0), (source >= 0).astype(float))
