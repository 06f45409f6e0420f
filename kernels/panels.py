"""The second factor of a product, copied into panels: as wide as a tile, its rows without anything in between.

`tiles.add_products` reads that factor in whole registers, row after row, once for every four rows of the first. Rows
that lie far apart cost a page each, and one that is transposed has no registers to read at all; a copy is made once.
Import it only from modules with kernels.
"""

from __future__ import annotations

from .jit import serial
from .simd import BYTES, load, store, whole_registers
from .tiles import TILE_VECTORS, add_products, evenly, widen

__all__ = ["PANEL", "add_panels", "copy_panels"]

PANEL = TILE_VECTORS  # registers side by side


@serial
def copy_panels(b, b_start, b_row, b_column, rows, columns, panels):
    """`rows` x `columns` of b, of which one distance is 1, to panels that stand one after the other.

    Panel p starts at p·width·rows, for a width of PANEL registers; the last is as wide as it must be, in registers.
    """
    width = PANEL * BYTES // b.itemsize
    for left in range(0, columns, width):
        some, first, at = min(width, columns - left), b_start + left * b_column, left * rows
        line = whole_registers(some, b.itemsize)
        if b_column != 1:
            widen(b, first, b_column, some, rows, panels, at, line)
        else:
            lane = BYTES // b.itemsize
            dense = some // lane * lane
            for k in range(rows):
                source, target = first + k * b_row, at + k * line
                for j in range(0, dense, lane):
                    store(panels, target + j, load(b, source + j))
                for j in range(dense, line):
                    panels[target + j] = b[source + j] if j < some else 0


@serial
def add_panels(a, a_start, a_row, a_column, rows, depth, panels, b_rows, b_columns, c, c_row, columns, keep):
    """c = keep·c + a·b for the first `depth` rows and `columns` columns of b (b_rows, b_columns), which is in panels.

    c starts at 0; its rows are in whole registers, whatever stands past the columns.
    """
    lane = BYTES // c.itemsize
    width = PANEL * lane
    a_line, a_at, c_line = evenly(rows, a_row), evenly(depth, a_column), evenly(rows, c_row)
    for left in range(0, columns, width):
        vectors = (min(width, columns - left) + lane - 1) // lane
        b_at = evenly(depth, whole_registers(min(width, b_columns - left), c.itemsize))
        add_products(a, a_start, a_line, a_at, panels, left * b_rows, b_at, c, left, c_line, rows, vectors, keep)
