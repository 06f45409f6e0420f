"""Matrix product on the CPU: blocks that fit the caches, each a run of `tiles.add_products`.

The tile reads a by single elements, four rows at a time, and b in whole registers, row after row. So b is copied panel
by panel, as wide as a tile, into memory where nothing lies between its rows; so is a where its rows are not contiguous
(a transpose). A copy is read once for every row, or every column, of the other factor, and costs little.
"""

from __future__ import annotations

import math

import numpy as np

from ..backend import HALF_TYPES, narrow
from ..jit import get_num_threads, parallel, prange, serial
from ..panels import PANEL, copy_panels
from ..simd import BYTES, whole_registers
from ..tiles import add_products, dot, evenly, widen

__all__ = ["matmul"]

# Up to this many multiply-adds NumPy's product is done before a kernel has been entered, on one thread of OpenBLAS;
SMALL = 2**18
# up to this many one thread is done before a second has been woken.
ALONE = 2**20
DEPTH = 384  # of a and b at a time: a panel of b (147 kB) and
ROWS = 96  # so many rows of a (147 kB) stay in the second cache
FEW = 8  # rows, for which b is not worth a copy


def matmul(a: np.ndarray, b: np.ndarray, wide: bool = False) -> np.ndarray:
    """See the family's docstring."""
    dtype = np.float32 if a.dtype in HALF_TYPES else a.dtype
    a_, b_ = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    like = a_ if wide else a
    work = a_.size * b_.shape[-1]
    if work <= SMALL or dtype not in (np.float32, np.float64):
        return narrow(np.ascontiguousarray(np.matmul(a_, b_)), like)
    y = np.empty((*a_.shape[:-1], b_.shape[-1]), dtype)
    stack = y.reshape(math.prod(y.shape[:-2]), *y.shape[-2:])
    if work <= ALONE:
        _multiply_alone(*_flat(a_), *_flat(b_), stack, a.shape[-1])
    else:
        _multiply(*_flat(a_), *_flat(b_), stack, a.shape[-1], *_pieces(stack))
    return narrow(y, like)


def _flat(m: np.ndarray) -> tuple[np.ndarray, int, int, int]:
    """(elements, distances between matrices, rows, columns) of (..., M, K), copied unless rows or columns are dense."""
    each = math.prod(m.shape[-2:])
    if m.ndim > 2 and not any(m.strides[:-2]):  # one matrix for all
        elements, _, row, column = _flat(m[(0,) * (m.ndim - 2)])
        return elements, 0, row, column
    turned = m.swapaxes(-1, -2)
    if turned.flags.c_contiguous and not m.flags.c_contiguous and m.flags.writeable:
        return turned.reshape(-1), each, 1, m.shape[-2]
    m = np.ascontiguousarray(m)
    return (m if m.flags.writeable else m.copy()).reshape(-1), each, m.shape[-1], 1


def _pieces(y: np.ndarray) -> tuple[int, int]:
    """Into how many parts the rows and the columns of each product are cut, so that there are parts for all threads."""
    threads = get_num_threads()
    batch, rows, columns = y.shape
    if batch >= 4 * threads:
        return 1, 1
    parts = threads if batch % threads else 1
    return (1, parts) if columns >= parts * PANEL * BYTES // y.itemsize or columns > rows else (parts, 1)


@parallel
def _multiply(a, a_batch, a_row, a_column, b, b_batch, b_row, b_column, y, depth, row_pieces, column_pieces):
    """y[n] = a[n]·b[n], each in pieces. One thread computes a piece, so the bits never depend on timing."""
    batch, rows, columns = y.shape
    flat, lane = y.reshape(-1), BYTES // y.itemsize
    for task in prange(batch * row_pieces * column_pieces):
        n, i, j = task // column_pieces // row_pieces, task // column_pieces % row_pieces, task % column_pieces
        top, bottom = i * rows // row_pieces, (i + 1) * rows // row_pieces
        vectors = (columns + lane - 1) // lane
        left, right = j * vectors // column_pieces * lane, (j + 1) * vectors // column_pieces * lane
        _block(a, n * a_batch + top * a_row, a_row, a_column, b, n * b_batch + left * b_column, b_row, b_column,
               flat, (n * rows + top) * columns + left, columns, bottom - top, min(right, columns) - left,
               depth)  # fmt: skip


@serial
def _multiply_alone(a, a_batch, a_row, a_column, b, b_batch, b_row, b_column, y, depth):
    """The same on the caller's thread."""
    batch, rows, columns = y.shape
    for n in range(batch):
        _block(a, n * a_batch, a_row, a_column, b, n * b_batch, b_row, b_column, y.reshape(-1), n * rows * columns,
               columns, rows, columns, depth)  # fmt: skip


@serial
def _block(a, a_start, a_row, a_column, b, b_start, b_row, b_column, y, y_start, y_row, rows, columns, depth):
    """y = a·b for `rows` x `columns` of y, each matrix in a flat array from its start on."""
    if rows <= FEW and a_column == 1 and b_column != 1:
        _dots(a, a_start, a_row, b, b_start, b_column, y, y_start, y_row, rows, columns, depth)
        return
    lane = BYTES // y.itemsize
    width, high = PANEL * lane, min(rows, ROWS)
    in_place = columns // width * width if rows <= FEW and b_column == 1 else 0  # columns of b that are not copied
    most = min(depth, DEPTH // 8 if in_place else DEPTH)
    turn = a_column != 1 and columns > width
    pitch = whole_registers(most, y.itemsize)
    panels = np.empty(most * whole_registers(columns - in_place, y.itemsize), y.dtype)
    turned = np.empty(high * pitch if turn else 0, y.dtype)
    rest = np.empty(high * width, y.dtype)  # for the panel that reaches beyond y
    y_line, rest_line, a_line = evenly(high, y_row), evenly(high, width), evenly(high, pitch if turn else a_row)
    for k in range(0, depth, most):
        deep, start = min(most, depth - k), b_start + k * b_row
        every = evenly(deep, 1 if turn else a_column)
        copy_panels(b, start + in_place * b_column, b_row, b_column, deep, columns - in_place, panels)
        for top in range(0, rows, ROWS):
            here, source, first = min(ROWS, rows - top), a, a_start + top * a_row + k * a_column
            if turn:
                widen(a, first, a_column, deep, here, turned, 0, pitch)
                source, first = turned, 0
            for left in range(0, columns, width):
                vectors, target = (min(width, columns - left) + lane - 1) // lane, y_start + top * y_row + left
                copied, inside = left >= in_place, left + vectors * lane <= columns
                add_products(source, first, a_line, every, panels if copied else b,
                             (left - in_place) * deep if copied else start + left,
                             evenly(deep, vectors * lane if copied else b_row), y if inside else rest,
                             target if inside else 0, y_line if inside else rest_line, here, vectors,
                             inside and k > 0)  # fmt: skip
                if not inside:
                    _add_rest(rest, width, here, columns - left, y, target, y_row, k > 0)


@serial
def _dots(a, a_start, a_row, b, b_start, b_column, y, y_start, y_row, rows, columns, depth):
    """The same for few rows of a and columns of b, all dense: each is read once, and nothing is copied."""
    for j in range(columns):
        for i in range(rows):
            row = a[a_start + i * a_row : a_start + i * a_row + depth]
            y[y_start + i * y_row + j] = dot(row, b[b_start + j * b_column :])


@serial
def _add_rest(rest, width, rows, columns, y, y_start, y_row, keep):
    for i in range(rows):
        for j in range(columns):
            at = y_start + i * y_row + j
            y[at] = (y[at] if keep else 0) + rest[i * width + j]
