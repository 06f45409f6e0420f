"""Max and average pooling, each forward a linear or selecting map with its adjoint.

Max pooling is split in two: `max_forward` finds which pixel wins, and `gather` / `scatter` move values along
that choice. Given the choice pooling is linear, `scatter` is the adjoint of `gather`, and derivatives of
every order are these two alone. Average pooling is linear outright: `avg_forward` and `avg_adjoint`, and for windows
that share out the plane `adaptive_avg_forward` and `adaptive_avg_adjoint`.

**Shapes** x (N, C, H, W), y and indices (N, C, OH, OW). Leading axes may be any number, also none: (H, W) is
one plane.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..backend import backend, narrow, native

__all__ = [
    "PoolGeometry", "adaptive_avg_adjoint", "adaptive_avg_forward", "adaptive_max_forward", "avg_adjoint",
    "avg_forward", "gather", "max_forward", "output_size", "put", "scatter",
]  # fmt: skip

Pair = tuple[int, int]


class PoolGeometry(NamedTuple):
    """The window of a pooling op, each pair (height, width); `padding` is the same on both sides."""

    kernel_size: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False


def output_size(size: Pair, geometry: PoolGeometry) -> Pair:
    """Windows along each axis: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    With `ceil_mode` the division rounds up, and a last window that would start in the right padding is
    dropped.
    """

    def along(axis: int) -> int:
        kernel, stride, padding, dilation = (pair[axis] for pair in geometry[:4])
        room = size[axis] + 2 * padding - dilation * (kernel - 1) - 1
        windows = (room + (stride - 1 if geometry.ceil_mode else 0)) // stride + 1
        if geometry.ceil_mode and (windows - 1) * stride >= size[axis] + padding:
            windows -= 1
        return windows

    return along(0), along(1)


def max_forward(x: np.ndarray, geometry: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of every window, and its place h·W + w in the plane (int64).

    The first of several equal maxima wins; a NaN wins over everything, as in PyTorch. A window that holds no
    pixel at all (only wide dilation can make one) yields −inf and place −1.
    """
    y, indices = backend(__name__, x).max_forward(native(x), geometry)
    return narrow(y, x), indices


def adaptive_max_forward(x: np.ndarray, size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The largest value of each of `size` windows that share out the plane, and its place, as in `max_forward`.

    Window i of n covers the rows ⌊i·H/n⌋ to ⌈(i + 1)·H/n⌉ - 1, likewise the columns: neighbours may overlap by one.
    """
    y, indices = backend(__name__, x).adaptive_max_forward(native(x), size)
    return narrow(y, x), indices


def gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """y[n, c, o] = x[n, c, indices[n, c, o]], the plane of x read as one row; place −1 reads 0."""
    assert x.shape[:-2] == indices.shape[:-2], (x.shape, indices.shape)
    return narrow(backend(__name__, x).gather(native(x), native(indices)), x)


def scatter(
    gy: np.ndarray, indices: np.ndarray, input_size: Pair, windows: PoolGeometry | Pair | None = None
) -> np.ndarray:
    """Adjoint of `gather`: every gy is added to the pixel of its place, in order, so sums repeat bit for bit.

    `windows` says that the places are those of `max_forward` by this geometry, or of `adaptive_max_forward` with this
    size: a pixel then need only be looked for in the windows that hold it.
    """
    assert gy.shape == indices.shape, (gy.shape, indices.shape)
    assert not isinstance(windows, PoolGeometry) or gy.shape[-2:] == output_size(input_size, windows), gy.shape
    return narrow(backend(__name__, gy).scatter(native(gy), native(indices), input_size, windows), gy)


def put(x: np.ndarray, indices: np.ndarray, size: Pair) -> np.ndarray:
    """Zeros with every x put at its place; of several with one place the last stays."""
    assert x.shape == indices.shape, (x.shape, indices.shape)
    return narrow(backend(__name__, x).put(native(x), native(indices), size), x)


def avg_forward(
    x: np.ndarray,
    geometry: PoolGeometry,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """y[o] = (sum of window o) / divisor, where the divisor is the window's pixel count (see `divisors`)."""
    assert geometry.dilation == (1, 1), geometry
    by_row, by_column = divisors(x.shape[-2:], geometry, count_include_pad, divisor_override)
    return narrow(backend(__name__, x).avg_forward(native(x), geometry, by_row, by_column), x)


def avg_adjoint(
    gy: np.ndarray,
    geometry: PoolGeometry,
    input_size: Pair,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """Adjoint of `avg_forward`: gx[h, w] = sum over the windows o that hold (h, w) of gy[o] / divisor[o]."""
    assert geometry.dilation == (1, 1), geometry
    assert gy.shape[-2:] == output_size(input_size, geometry), (gy.shape, input_size, geometry)
    by_row, by_column = divisors(input_size, geometry, count_include_pad, divisor_override)
    return narrow(backend(__name__, gy).avg_adjoint(native(gy), geometry, input_size, by_row, by_column), gy)


def adaptive_avg_forward(x: np.ndarray, size: Pair) -> np.ndarray:
    """The mean of each of `size` windows that share out the plane as in `adaptive_max_forward`."""
    return narrow(backend(__name__, x).adaptive_avg_forward(native(x), size), x)


def adaptive_avg_adjoint(gy: np.ndarray, input_size: Pair) -> np.ndarray:
    """Adjoint of `adaptive_avg_forward`: each gy in equal shares over the pixels of its window."""
    return narrow(backend(__name__, gy).adaptive_avg_adjoint(native(gy), input_size), gy)


@functools.lru_cache(256)
def divisors(
    size: tuple[int, ...], geometry: PoolGeometry, count_include_pad: bool, divisor_override: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """The divisor of window (oh, ow) as a product by_row[oh] · by_column[ow], two int64 vectors, not to be changed.

    A window counts its pixels, and with `count_include_pad` those of the padding too, but never what
    `ceil_mode` lets hang over beyond the padding.
    """
    height, width = size
    windows = output_size((height, width), geometry)
    if divisor_override is not None:
        return np.full(windows[0], divisor_override, np.int64), np.ones(windows[1], np.int64)

    def along(axis: int) -> np.ndarray:
        kernel, stride, padding = (pair[axis] for pair in geometry[:3])
        first = np.arange(windows[axis], dtype=np.int64) * stride - padding
        last = np.minimum(first + kernel, size[axis] + padding)
        if not count_include_pad:
            first, last = np.maximum(first, 0), np.minimum(last, size[axis])
        return last - first

    return along(0), along(1)
