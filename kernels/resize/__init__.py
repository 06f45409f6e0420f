"""Resizing by interpolation. Along one axis it is a sparse matrix A, kept as taps; over a plane y = A_h x
A_wᵀ.

The adjoint is the same product with both matrices transposed, gx = A_hᵀ gy A_w: each pixel gathers from the
outputs that used it, so no two threads write the same place and no atomic is needed. One kernel does both.

**Shapes** x, gx (N, C, H, W), y, gy (N, C, OH, OW). Leading axes may be any number.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..backend import backend, narrow, native

__all__ = [
    "Rows", "Taps", "adjoint", "bicubic_taps", "bilinear_taps", "nearest_exact_taps", "nearest_taps",
    "resize", "spaced_taps", "taps_of",
]  # fmt: skip

CUBIC = -0.75  # the free parameter of bicubic interpolation: PyTorch's and OpenCV's choice


class Rows(NamedTuple):
    """A sparse matrix by rows: row i has `weight[t, i]` in column `source[t, i]` for every tap t.

    Rows with fewer taps than others are filled up with weight 0, which is skipped and never multiplied.
    `source` is unsigned: numba then leaves out Python's meaning of a negative index, and gathers at three
    times the speed.
    """

    source: np.ndarray
    weight: np.ndarray


class Taps(NamedTuple):
    """The interpolation matrix (out_size, in_size) of one axis, by outputs and by inputs (its transpose)."""

    in_size: int
    out_size: int
    by_output: Rows
    by_input: Rows


@functools.lru_cache(256)
def nearest_taps(in_size: int, out_size: int, scale: float | None = None, dtype: type = np.float32) -> Taps:
    """Output d copies input floor(d · r), with r = in_size / out_size or 1 / scale where a factor is given.

    Where d · r falls next to a whole number, rounding decides which pixel is copied, and we round as PyTorch
    does: for float64 images `dtype` multiplies in float64, for all others in float32, and float32 goes to the
    floor.
    """
    if out_size in (in_size, 2 * in_size):  # PyTorch then copies or doubles every pixel whatever the scale says
        scale = None
    wide: Any = np.float64 if dtype == np.float64 else np.float32
    position = np.arange(out_size).astype(wide) * wide(_ratio(in_size, out_size, scale))
    index = np.floor(position.astype(np.float32)).astype(np.int64)
    return taps_of(in_size, np.minimum(index, in_size - 1)[:, None], np.ones((out_size, 1)))


@functools.lru_cache(256)
def nearest_exact_taps(in_size: int, out_size: int, scale: float | None = None, dtype: type = np.float32) -> Taps:
    """Output d copies input ⌊(d + ½) r⌋, the pixel under its centre; r is rounded to float32 as in `nearest_taps`."""
    wide: Any = np.float64 if dtype == np.float64 else np.float32
    position = (np.arange(out_size) + 0.5) * float(wide(_ratio(in_size, out_size, scale)))
    index = np.floor(position.astype(np.float32)).astype(np.int64)
    return taps_of(in_size, np.minimum(index, in_size - 1)[:, None], np.ones((out_size, 1)))


@functools.lru_cache(256)
def spaced_taps(in_size: int, step: int) -> Taps:
    """Input i is output i · step; between them, and nowhere else, stand zeros."""
    output = np.arange((in_size - 1) * step + 1)
    return taps_of(in_size, output[:, None] // step, (output[:, None] % step == 0).astype(float))


@functools.lru_cache(256)
def bilinear_taps(in_size: int, out_size: int, align_corners: bool, scale: float | None = None) -> Taps:
    """Output d mixes the two inputs around its source position s with weights 1 − (s − ⌊s⌋) and s − ⌊s⌋.

    With `align_corners` s = d (in_size − 1) / (out_size − 1), so that the first and last pixels keep their
    places; without s = (d + ½) r − ½, at least 0, with r as in `nearest_taps`. Past the last pixel it is
    repeated.
    """
    if out_size == in_size:  # copied whatever the scale says, as in PyTorch
        scale = None
    position = np.maximum(_positions(in_size, out_size, align_corners, scale), 0)
    lower = np.minimum(position.astype(np.int64), in_size - 1)
    upper = np.minimum(lower + 1, in_size - 1)
    fraction = np.clip(position - lower, 0, 1)
    return taps_of(in_size, np.stack([lower, upper], 1), np.stack([1 - fraction, fraction], 1))


@functools.lru_cache(256)
def bicubic_taps(in_size: int, out_size: int, align_corners: bool, scale: float | None = None) -> Taps:
    """Output d mixes the four inputs around its source position by Keys' cubic; edge pixels are repeated outwards.

    The position is that of `bilinear_taps` but may lie before the first pixel.
    **Source** Keys, Cubic convolution interpolation for digital image processing (1981), with a = -0.75.
    """
    position = _positions(in_size, out_size, align_corners, scale)
    lower = np.floor(position).astype(np.int64)
    index = lower[:, None] + np.arange(-1, 3)
    return taps_of(in_size, index.clip(0, in_size - 1), cubic(position[:, None] - index))


def cubic(t: Any) -> Any:
    """Keys' kernel: the weight of a pixel at distance |t| < 2."""
    t, a = abs(t), CUBIC
    inner, outer = ((a + 2) * t - (a + 3)) * t * t + 1, ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, inner, outer * (t < 2))


def taps_of(in_size: int, index: np.ndarray, weight: np.ndarray) -> Taps:
    """Both forms of the matrix whose row d has `weight[d, t]` in column `index[d, t]`; weights 0 are left out."""
    out_size = len(index)
    output, tap = np.nonzero(weight)
    index, weight = index[output, tap], weight[output, tap]
    order = np.argsort(index, kind="stable")
    by_input = _rows(in_size, index[order], output[order], weight[order])
    return Taps(in_size, out_size, _rows(out_size, output, index, weight), by_input)


def resize(x: np.ndarray, taps_h: Taps, taps_w: Taps) -> np.ndarray:
    """y[oh, ow] = Σ_h Σ_w A_h[oh, h] A_w[ow, w] x[h, w] for each plane."""
    assert x.shape[-2:] == (taps_h.in_size, taps_w.in_size), (x.shape, taps_h.in_size, taps_w.in_size)
    return narrow(backend(__name__, x).product(native(x), taps_h.by_output, taps_w.by_output), x)


def adjoint(gy: np.ndarray, taps_h: Taps, taps_w: Taps) -> np.ndarray:
    """Adjoint of `resize`: gx[h, w] = Σ_oh Σ_ow A_h[oh, h] A_w[ow, w] gy[oh, ow]."""
    assert gy.shape[-2:] == (taps_h.out_size, taps_w.out_size), (gy.shape, taps_h.out_size, taps_w.out_size)
    return narrow(backend(__name__, gy).product(native(gy), taps_h.by_input, taps_w.by_input), gy)


def _positions(in_size: int, out_size: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """Where the centre of each output lies among the inputs."""
    d = np.arange(out_size)
    if align_corners:
        return d * ((in_size - 1) / (out_size - 1) if out_size > 1 else 0.0)
    return (d + 0.5) * _ratio(in_size, out_size, scale) - 0.5


def _ratio(in_size: int, out_size: int, scale: float | None) -> float:
    """Input pixels per output pixel."""
    return in_size / out_size if scale is None else 1 / scale


def _rows(size: int, row: np.ndarray, column: np.ndarray, weight: np.ndarray) -> Rows:
    """The entries of a sparse matrix, sorted by row, as a table with one line per tap."""
    tap = np.arange(len(row)) - np.searchsorted(row, row)  # the entry's number within its row
    table = Rows(np.zeros((tap.max(initial=0) + 1, size), np.uint64), np.zeros((tap.max(initial=0) + 1, size)))
    table.source[tap, row], table.weight[tap, row] = column, weight
    return table
