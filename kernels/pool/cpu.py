"""Pooling on the CPU: the windows of an output row walk in step along the row.

Looping over the window's places outside and over the row's windows inside turns the inner loop into a plain
pass over two rows, without a bounds test, that the compiler vectorises: `span` says beforehand which windows
have the place (i, j) inside the image. Rows are cut with slices because a slice starts at 0: numba then sees
that no index is negative and drops its Python-like wrap-around.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange, serial
from . import PoolGeometry, output_size

Pair = tuple[int, int]


def max_forward(x: np.ndarray, geometry: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """See `kernels.pool.max_forward`."""
    windows = output_size((x.shape[-2], x.shape[-1]), geometry)
    y = np.empty((*x.shape[:-2], *windows), x.dtype)
    indices = np.empty(y.shape, np.int64)
    _max_rows(_planes(x), _planes(y), _planes(indices), _pieces(y), *geometry[:4])
    return y, indices


def adaptive_max_forward(x: np.ndarray, size: Pair) -> tuple[np.ndarray, np.ndarray]:
    """See `kernels.pool.adaptive_max_forward`."""
    y = np.empty((*x.shape[:-2], *size), x.dtype)
    indices = np.empty(y.shape, np.int64)
    _adaptive_max_rows(_planes(x), _planes(y), _planes(indices))
    return y, indices


def gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """See `kernels.pool.gather`."""
    y = np.empty(indices.shape, x.dtype)
    _gather(_flat_planes(x), _flat_planes(indices), _flat_planes(y))
    return y


def scatter(gy: np.ndarray, indices: np.ndarray, input_size: Pair, windows: PoolGeometry | Pair | None) -> np.ndarray:
    """See `kernels.pool.scatter`: a pass over the places, whatever the windows are."""
    gx = np.empty((*gy.shape[:-2], *input_size), gy.dtype)
    _scatter(_flat_planes(gy), _flat_planes(indices), _flat_planes(gx))
    return gx


def put(x: np.ndarray, indices: np.ndarray, size: Pair) -> np.ndarray:
    """See `kernels.pool.put`."""
    y = np.zeros((*x.shape[:-2], *size), x.dtype)
    _put(_flat_planes(x), _flat_planes(indices), _flat_planes(y))
    return y


def avg_forward(x: np.ndarray, geometry: PoolGeometry, by_row: np.ndarray, by_column: np.ndarray) -> np.ndarray:
    """See `kernels.pool.avg_forward`; the divisor of window (oh, ow) is by_row[oh] · by_column[ow]."""
    y = np.empty((*x.shape[:-2], len(by_row), len(by_column)), x.dtype)
    _avg_rows(_planes(x), _planes(y), *geometry[:3], by_row, by_column)
    return y


def avg_adjoint(
    gy: np.ndarray, geometry: PoolGeometry, input_size: Pair, by_row: np.ndarray, by_column: np.ndarray
) -> np.ndarray:
    """See `kernels.pool.avg_adjoint`."""
    gx = np.empty((*gy.shape[:-2], *input_size), gy.dtype)
    _avg_adjoint_rows(_planes(gy), _planes(gx), *geometry[:3], by_row, by_column)
    return gx


def adaptive_avg_forward(x: np.ndarray, size: Pair) -> np.ndarray:
    """See `kernels.pool.adaptive_avg_forward`."""
    y = np.empty((*x.shape[:-2], *size), x.dtype)
    _adaptive_avg_planes(_planes(x), _planes(y))
    return y


def adaptive_avg_adjoint(gy: np.ndarray, input_size: Pair) -> np.ndarray:
    """See `kernels.pool.adaptive_avg_adjoint`."""
    gx = np.empty((*gy.shape[:-2], *input_size), gy.dtype)
    _adaptive_avg_adjoint_planes(_planes(gy), _planes(gx))
    return gx


TASKS = 16  # at least, for the threads to share


def _pieces(y: np.ndarray) -> int:
    """How many tasks share the rows of one plane."""
    planes = int(np.prod(y.shape[:-2]))
    return 1 if planes >= TASKS else max(1, min(y.shape[-2], -(-TASKS // max(planes, 1))))


def _planes(x: np.ndarray) -> np.ndarray:
    """(..., H, W) -> (P, H, W), P counted because -1 cannot be inferred for an empty array."""
    return x.reshape(int(np.prod(x.shape[:-2])), *x.shape[-2:])


def _flat_planes(x: np.ndarray) -> np.ndarray:
    """(..., H, W) -> (P, H·W)."""
    return x.reshape(int(np.prod(x.shape[:-2])), x.shape[-2] * x.shape[-1])


@serial
def span(offset, stride, size, windows):
    """The windows first..last-1 whose place o·stride + offset lies in 0..size-1."""
    first = max(0, -(offset // stride))  # the ceiling of -offset / stride
    last = min(windows, (size - 1 - offset) // stride + 1)
    return first, max(first, last)


@serial
def _take_every(source, stride, target):
    """target[o] = source[o·stride]."""
    for o in range(target.size):
        target[o] = source[o * stride]


@serial
def _max_row(values, y, indices, number, stride):
    """Let one more place of every window compete; it is the place `number` in the first window.

    The values come side by side: only so do the selections become vector instructions. Left scalar they
    become branches, on real pictures a coin toss each, and the row takes five times as long.
    """
    for o in range(y.size):
        value, best, index = values[o], y[o], indices[o]
        # index < 0: the first pixel always enters, even -inf; value != value: a NaN wins and stays
        better = (value > best) | (value != value) | (index < 0)
        y[o] = value if better else best
        indices[o] = number + o * stride if better else index


@parallel
def _max_rows(x, y, indices, pieces, kernel_size, stride, padding, dilation):
    for task in prange(x.shape[0] * pieces):
        plane, piece = task // pieces, task % pieces
        buffer = np.empty(y.shape[2], x.dtype)
        for oh in range(piece * y.shape[1] // pieces, (piece + 1) * y.shape[1] // pieces):
            best, index = y[plane, oh], indices[plane, oh]
            _max_window_row(x[plane], oh, best, index, buffer, kernel_size, stride, padding, dilation)


@serial
def _max_window_row(x, oh, y, indices, buffer, kernel_size, stride, padding, dilation):
    height, width = x.shape
    y[:] = -np.inf
    indices[:] = -1
    for i in range(kernel_size[0]):
        h = oh * stride[0] - padding[0] + i * dilation[0]
        if h < 0 or h >= height:
            continue
        for j in range(kernel_size[1]):
            offset = j * dilation[1] - padding[1]
            first, last = span(offset, stride[1], width, y.size)
            w = first * stride[1] + offset
            if first < last:
                values = x[h, w:]
                if stride[1] != 1:
                    _take_every(values, stride[1], buffer[: last - first])
                    values = buffer
                _max_row(values, y[first:last], indices[first:last], h * width + w, stride[1])


@parallel
def _adaptive_max_rows(x, y, indices):
    # The windows of a row differ in width, so each is walked on its own; there are few of them.
    planes, height, width = x.shape
    rows, columns = y.shape[1], y.shape[2]
    for task in prange(planes * rows):
        plane, oh = task // rows, task % rows
        top, bottom = oh * height // rows, -(-(oh + 1) * height // rows)
        for ow in range(columns):
            left, right = ow * width // columns, -(-(ow + 1) * width // columns)
            window = x[plane, top:bottom, left:right]
            best, h, w = _largest(window)
            y[plane, oh, ow] = best
            indices[plane, oh, ow] = (top + h) * width + left + w


@serial
def _largest(window):
    """The largest value, and its row and column: the first of equals, the last NaN."""
    best, place = window[0, 0], (0, 0)
    for h in range(window.shape[0]):
        row = window[h]
        for w in range(row.size):
            value = row[w]
            if not value <= best and (value > best or value != value):  # one test for nearly all of them
                best, place = value, (h, w)
    return best, place[0], place[1]


@parallel
def _adaptive_avg_planes(x, y):
    for plane in prange(x.shape[0]):
        _means_of_windows(x[plane], y[plane])


@serial
def _means_of_windows(x, y):
    (height, width), (rows, columns) = x.shape, y.shape
    for oh in range(rows):
        top, bottom = oh * height // rows, -(-(oh + 1) * height // rows)
        for ow in range(columns):
            left, right = ow * width // columns, -(-(ow + 1) * width // columns)
            total = np.float64(0)
            for h in range(top, bottom):
                total += _sum(x[h, left:right])
            y[oh, ow] = total / ((bottom - top) * (right - left))


@serial
def _sum(row):
    total = np.float64(0)
    for w in range(row.size):
        total += row[w]
    return total


@parallel
def _adaptive_avg_adjoint_planes(gy, gx):
    # A plane belongs to one thread: windows that overlap add up in their order.
    for plane in prange(gx.shape[0]):
        gx[plane] = 0
        _spread_over_windows(gy[plane], gx[plane])


@serial
def _spread_over_windows(gy, gx):
    (height, width), (rows, columns) = gx.shape, gy.shape
    for oh in range(rows):
        top, bottom = oh * height // rows, -(-(oh + 1) * height // rows)
        for ow in range(columns):
            left, right = ow * width // columns, -(-(ow + 1) * width // columns)
            share = gy.dtype.type(gy[oh, ow] / ((bottom - top) * (right - left)))
            for h in range(top, bottom):
                _add_to_all(gx[h, left:right], share)


@serial
def _add_to_all(row, value):
    for w in range(row.size):
        row[w] += value


@parallel
def _gather(x, indices, y):
    for plane in prange(x.shape[0]):
        for o in range(y.shape[1]):
            place = indices[plane, o]
            y[plane, o] = x[plane, place] if place >= 0 else 0


@parallel
def _scatter(gy, indices, gx):
    # A plane belongs to one thread: pixels that several windows chose sum up in the order of the windows.
    for plane in prange(gx.shape[0]):
        gx[plane, :] = 0
        for o in range(gy.shape[1]):
            place = indices[plane, o]
            if place >= 0:
                gx[plane, place] += gy[plane, o]


@parallel
def _put(x, indices, y):
    for plane in prange(y.shape[0]):
        for o in range(x.shape[1]):
            place = indices[plane, o]
            if place >= 0:
                y[plane, place] = x[plane, o]


@parallel
def _avg_rows(x, y, kernel_size, stride, padding, by_row, by_column):
    # A box is separable: add the window's rows into one, then add up pieces of that row.
    planes, height, width = x.shape
    rows, columns = y.shape[1], y.shape[2]
    for task in prange(planes * rows):
        plane, oh = task // rows, task % rows
        total, window = np.zeros(width), np.zeros(columns)  # float64, also for float32: windows can be large
        top = oh * stride[0] - padding[0]
        for h in range(max(top, 0), min(top + kernel_size[0], height)):
            row = x[plane, h]
            for w in range(width):
                total[w] += row[w]
        for j in range(kernel_size[1]):
            first, last = span(j - padding[1], stride[1], width, columns)
            if first < last:
                _add_every(total[first * stride[1] + j - padding[1] :], stride[1], window[first:last])
        for ow in range(columns):
            y[plane, oh, ow] = window[ow] / (by_row[oh] * by_column[ow])


@serial
def _add_every(source, stride, target):
    """target[o] += source[o·stride]."""
    for o in range(target.size):
        target[o] += source[o * stride]


@serial
def _spread_every(source, stride, target):
    """target[o·stride] += source[o], the adjoint of `_add_every`."""
    for o in range(source.size):
        target[o * stride] += source[o]


@parallel
def _avg_adjoint_rows(gy, gx, kernel_size, stride, padding, by_row, by_column):
    # A row of gx gathers the windows that hold it, so that no two threads ever write the same pixel.
    planes, height, width = gx.shape
    rows, columns = gy.shape[1], gy.shape[2]
    for task in prange(planes * height):
        plane, h = task // height, task % height
        window, total = np.zeros(columns), np.zeros(width)
        for i in range(kernel_size[0]):
            top = h + padding[0] - i
            oh = top // stride[0]
            if top < 0 or top % stride[0] != 0 or oh >= rows:
                continue
            for ow in range(columns):
                window[ow] += gy[plane, oh, ow] / (by_row[oh] * by_column[ow])
        for j in range(kernel_size[1]):
            first, last = span(j - padding[1], stride[1], width, columns)
            if first < last:
                _spread_every(window[first:last], stride[1], total[first * stride[1] + j - padding[1] :])
        gx[plane, h, :] = total
