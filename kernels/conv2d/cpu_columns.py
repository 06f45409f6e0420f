"""Version 2, columns: im2col, then one matrix product. How convolution is taught, and how it used to be done.

    y = w · im2col(x)            gx = col2im(wᵀ · gy)            gw = Σ_n gy · im2col(x)ᵀ

The columns are KH·KW times as large as x, and writing them takes longer than the product.
"""

from __future__ import annotations

import numpy as np

from ..im2col import col2im, im2col
from ..matmul import matmul
from . import ConvGeometry, Pair
from .reference import finish

__all__ = ["applies", "correlate", "correlate_weight"]


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To every convolution."""
    return True


def _flat(a: np.ndarray) -> np.ndarray:
    """(N, C, H, W) as (N, C, P)."""
    return a.reshape(*a.shape[:2], a.shape[2] * a.shape[3])


def _by_group(a: np.ndarray, groups: int) -> np.ndarray:
    """(N, G·A, P) as (N, G, A, P)."""
    return a.reshape(len(a), groups, a.shape[1] // groups, a.shape[-1])


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    """See `cpu`."""
    groups, kernel_size = geometry.groups, w.shape[2:]
    matrices = w.reshape(1, groups, w.shape[0] // groups, -1)
    matrices = np.broadcast_to(matrices, (len(x), *matrices.shape[1:]))
    if adjoint:
        pixels = _by_group(_flat(x), groups)
        columns = matmul(matrices.swapaxes(2, 3), pixels)
        columns = columns.reshape(len(x), groups * columns.shape[2], columns.shape[3])
        return finish(col2im(columns, kernel_size, geometry, size), bias, relu)
    columns = _by_group(im2col(x, kernel_size, geometry), groups)
    y = matmul(matrices, columns).reshape(len(x), w.shape[0], *size)
    return finish(y, bias, relu)


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See `cpu`."""
    columns = _by_group(im2col(x, kernel_size, geometry), geometry.groups)
    pixels = _by_group(_flat(gy), geometry.groups)
    gw = matmul(pixels, columns.swapaxes(2, 3)).sum(axis=0)
    return gw.reshape(gy.shape[1], x.shape[1] // geometry.groups, *kernel_size)
