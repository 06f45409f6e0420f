"""Pooling in plain loops over one window at a time: the definition that every backend is tested against."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from . import PoolGeometry, output_size

Pair = tuple[int, int]


def window(place: Pair, size: Pair, geometry: PoolGeometry) -> Iterator[Pair]:
    """The pixels (h, w) inside the image that window `place` = (oh, ow) covers, row by row."""
    for i in range(geometry.kernel_size[0]):
        for j in range(geometry.kernel_size[1]):
            h = place[0] * geometry.stride[0] - geometry.padding[0] + i * geometry.dilation[0]
            w = place[1] * geometry.stride[1] - geometry.padding[1] + j * geometry.dilation[1]
            if 0 <= h < size[0] and 0 <= w < size[1]:
                yield h, w


def max_forward(x: np.ndarray, geometry: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """Walk every window and remember the best pixel so far."""
    *planes, height, width = x.shape
    windows = output_size((height, width), geometry)
    y = np.full((*planes, *windows), -np.inf, x.dtype)
    indices = np.full(y.shape, -1, np.int64)
    for *plane, oh, ow in np.ndindex(y.shape):
        o = (*plane, oh, ow)
        for h, w in window((oh, ow), (height, width), geometry):
            value = x[(*plane, h, w)]
            if indices[o] < 0 or value > y[o] or np.isnan(value):
                y[o], indices[o] = value, h * width + w
    return y, indices


def adaptive_max_forward(x: np.ndarray, size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Cut out every window and remember its best pixel."""
    *planes, height, width = x.shape
    y = np.empty((*planes, *size), x.dtype)
    indices = np.full(y.shape, -1, np.int64)
    for *plane, oh, ow in np.ndindex(y.shape):
        o = (*plane, oh, ow)
        rows, columns = adaptive_window((oh, ow), (height, width), size)
        for h in range(rows.start, rows.stop):
            for w in range(columns.start, columns.stop):
                value = x[(*plane, h, w)]
                if indices[o] < 0 or value > y[o] or np.isnan(value):
                    y[o], indices[o] = value, h * width + w
    return y, indices


def gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Read one pixel per output."""
    y = np.zeros(indices.shape, x.dtype)
    width = x.shape[-1]
    for *plane, oh, ow in np.ndindex(indices.shape):
        place = indices[(*plane, oh, ow)]
        if place >= 0:
            y[(*plane, oh, ow)] = x[(*plane, place // width, place % width)]
    return y


def scatter(gy: np.ndarray, indices: np.ndarray, input_size: Pair, windows: object = None) -> np.ndarray:
    """Add one output's gradient to one pixel, wherever the windows are."""
    gx = np.zeros((*gy.shape[:-2], *input_size), gy.dtype)
    for *plane, oh, ow in np.ndindex(indices.shape):
        place = indices[(*plane, oh, ow)]
        if place >= 0:
            gx[(*plane, place // input_size[1], place % input_size[1])] += gy[(*plane, oh, ow)]
    return gx


def put(x: np.ndarray, indices: np.ndarray, size: Pair) -> np.ndarray:
    """Write one value to one pixel."""
    y = np.zeros((*x.shape[:-2], *size), x.dtype)
    for *plane, oh, ow in np.ndindex(indices.shape):
        place = indices[(*plane, oh, ow)]
        if place >= 0:
            y[(*plane, place // size[1], place % size[1])] = x[(*plane, oh, ow)]
    return y


def divisor(
    place: Pair, size: Pair, geometry: PoolGeometry, count_include_pad: bool, divisor_override: int | None
) -> int:
    """Count the pixels of one window one by one, in the image or in the image with its padding around it."""
    if divisor_override is not None:
        return divisor_override
    if not count_include_pad:
        return len(list(window(place, size, geometry)))
    padded = (size[0] + 2 * geometry.padding[0], size[1] + 2 * geometry.padding[1])
    return len(list(window(place, padded, geometry._replace(padding=(0, 0)))))


def avg_forward(
    x: np.ndarray, geometry: PoolGeometry, count_include_pad: bool = True, divisor_override: int | None = None
) -> np.ndarray:
    """Sum every window and divide."""
    *planes, height, width = x.shape
    y = np.zeros((*planes, *output_size((height, width), geometry)), x.dtype)
    for *plane, oh, ow in np.ndindex(y.shape):
        pixels = [x[(*plane, *pixel)] for pixel in window((oh, ow), (height, width), geometry)]
        count = divisor((oh, ow), (height, width), geometry, count_include_pad, divisor_override)
        y[(*plane, oh, ow)] = sum(pixels) / count
    return y


def avg_adjoint(
    gy: np.ndarray,
    geometry: PoolGeometry,
    input_size: Pair,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    """Give every pixel of a window its share of the window's gradient."""
    gx = np.zeros((*gy.shape[:-2], *input_size), gy.dtype)
    for *plane, oh, ow in np.ndindex(gy.shape):
        count = divisor((oh, ow), input_size, geometry, count_include_pad, divisor_override)
        for h, w in window((oh, ow), input_size, geometry):
            gx[(*plane, h, w)] += gy[(*plane, oh, ow)] / count
    return gx


def adaptive_window(place: Pair, size: Pair, output: Pair) -> tuple[slice, slice]:
    """The rows and columns that window `place` of `output` covers."""
    first = [math.floor(o * n / m) for o, n, m in zip(place, size, output, strict=True)]
    last = [math.ceil((o + 1) * n / m) for o, n, m in zip(place, size, output, strict=True)]
    return slice(first[0], last[0]), slice(first[1], last[1])


def adaptive_avg_forward(x: np.ndarray, size: Pair) -> np.ndarray:
    """Cut out every window and take its mean."""
    y = np.empty((*x.shape[:-2], *size), x.dtype)
    for oh, ow in np.ndindex(size):
        y[..., oh, ow] = x[(..., *adaptive_window((oh, ow), x.shape[-2:], size))].mean((-2, -1))
    return y


def adaptive_avg_adjoint(gy: np.ndarray, input_size: Pair) -> np.ndarray:
    """Give every pixel of a window its share of the window's gradient."""
    gx = np.zeros((*gy.shape[:-2], *input_size), gy.dtype)
    for oh, ow in np.ndindex(gy.shape[-2:]):
        rows, columns = adaptive_window((oh, ow), input_size, gy.shape[-2:])
        count = (rows.stop - rows.start) * (columns.stop - columns.start)
        gx[..., rows, columns] += gy[..., oh, ow, None, None] / count
    return gx
