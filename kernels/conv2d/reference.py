"""The definition in plain loops: for every output pixel, every tap of its window. Slow; the tests' yardstick."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import ConvGeometry, Pair, output_size

__all__ = ["finish", "forward", "grad_input", "grad_weight", "window_taps"]


def window_taps(size: Pair, kernel_size: Pair, geometry: ConvGeometry) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Every (i, j, p, q, h, w) where tap (p, q) of the window at output (i, j) sees the input pixel (h, w)."""
    (top, _), (left, _) = geometry.padding
    for i, j in np.ndindex(output_size(size, kernel_size, geometry)):
        for p, q in np.ndindex(kernel_size):
            h = i * geometry.stride[0] - top + p * geometry.dilation[0]
            w = j * geometry.stride[1] - left + q * geometry.dilation[1]
            if 0 <= h < size[0] and 0 <= w < size[1]:
                yield i, j, p, q, h, w


def _channels(outputs: int, per_group: int, groups: int) -> Iterator[tuple[int, slice]]:
    """Every output channel with the input channels of its group."""
    for o in range(outputs):
        first = o // (outputs // groups) * per_group
        yield o, slice(first, first + per_group)


def forward(
    x: np.ndarray, w: np.ndarray, geometry: ConvGeometry, bias: np.ndarray | None = None, relu: bool = False
) -> np.ndarray:
    """The sum over channels and taps, as the family's formula has it."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    y = np.zeros((x.shape[0], w.shape[0], *size), x.dtype)
    for o, group in _channels(w.shape[0], w.shape[1], geometry.groups):
        for i, j, p, q, h, v in window_taps(x.shape[2:], w.shape[2:], geometry):
            y[:, o, i, j] += x[:, group, h, v] @ w[o, :, p, q]
    return finish(y, bias, relu)


def grad_input(
    gy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, input_size: Pair, bias: np.ndarray | None = None
) -> np.ndarray:
    """The same loop with x and y trading places."""
    gx = np.zeros((gy.shape[0], w.shape[1] * geometry.groups, *input_size), gy.dtype)
    for o, group in _channels(w.shape[0], w.shape[1], geometry.groups):
        for i, j, p, q, h, v in window_taps(input_size, w.shape[2:], geometry):
            gx[:, group, h, v] += gy[:, o, i, j, None] * w[o, :, p, q]
    return finish(gx, bias, False)


def finish(y: np.ndarray, bias: np.ndarray | None, relu: bool) -> np.ndarray:
    """The bias of each channel, then max(y, 0) if asked for."""
    y = y if bias is None else y + bias[:, None, None]
    return np.maximum(y, 0) if relu else y


def grad_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """The same loop with w and y trading places."""
    gw = np.zeros((gy.shape[1], x.shape[1] // geometry.groups, *kernel_size), x.dtype)
    for o, group in _channels(gw.shape[0], gw.shape[1], geometry.groups):
        for i, j, p, q, h, v in window_taps(x.shape[2:], kernel_size, geometry):
            gw[o, :, p, q] += gy[:, o, i, j] @ x[:, group, h, v]
    return gw
