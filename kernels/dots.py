"""A product by a transpose, a·bᵀ, as what it is: dot products of long rows. Import it only from `cpu*.py` modules.

Sixteen at a time, four rows of a by four of b: every loaded value is used four times, and the sixteen sums stay in
registers, so a core multiplies at its full speed and nothing is copied. OpenBLAS packs both operands of such a
product; with few rows that takes longer than the product itself (16 by 144 rows: 34 GFLOP/s, this 60 to 85).
"""

from __future__ import annotations

from .jit import serial

__all__ = ["FEW_ROWS", "add_dots", "whole_tiles"]

TILE = 4
FEW_ROWS = 128  # up to here these are faster than BLAS
CACHED = 2**17  # elements of a that stay in the second-level cache while the rows of b pass: half a MiB of float32
LONGEST = 2**11  # elements of a row in one go: 64 KiB for the eight rows of a tile, measured best


def whole_tiles(rows: int) -> int:
    """`rows` rounded up to whole tiles."""
    return -(-rows // TILE) * TILE


@serial
def _tile(a, o, b, channels, shifts, k, start, stop, c):
    """c[o:o+4, k:k+4] += the dot products of four rows of a with four of b, past the last row with the last again."""
    m, n = len(a) - 1, len(shifts) - 1
    k0, k1, k2, k3 = k, min(k + 1, n), min(k + 2, n), min(k + 3, n)
    a0, a1 = a[o][start:stop], a[min(o + 1, m)][start:stop]
    a2, a3 = a[min(o + 2, m)][start:stop], a[min(o + 3, m)][start:stop]
    b0 = b[channels[k0]][start + shifts[k0] : stop + shifts[k0]]
    b1 = b[channels[k1]][start + shifts[k1] : stop + shifts[k1]]
    b2 = b[channels[k2]][start + shifts[k2] : stop + shifts[k2]]
    b3 = b[channels[k3]][start + shifts[k3] : stop + shifts[k3]]
    c00 = c01 = c02 = c03 = c10 = c11 = c12 = c13 = a.dtype.type(0)
    c20 = c21 = c22 = c23 = c30 = c31 = c32 = c33 = a.dtype.type(0)
    for j in range(len(a0)):
        c00 += a0[j] * b0[j]
        c01 += a0[j] * b1[j]
        c02 += a0[j] * b2[j]
        c03 += a0[j] * b3[j]
        c10 += a1[j] * b0[j]
        c11 += a1[j] * b1[j]
        c12 += a1[j] * b2[j]
        c13 += a1[j] * b3[j]
        c20 += a2[j] * b0[j]
        c21 += a2[j] * b1[j]
        c22 += a2[j] * b2[j]
        c23 += a2[j] * b3[j]
        c30 += a3[j] * b0[j]
        c31 += a3[j] * b1[j]
        c32 += a3[j] * b2[j]
        c33 += a3[j] * b3[j]
    c[o, k] += c00
    c[o, k + 1] += c01
    c[o, k + 2] += c02
    c[o, k + 3] += c03
    c[o + 1, k] += c10
    c[o + 1, k + 1] += c11
    c[o + 1, k + 2] += c12
    c[o + 1, k + 3] += c13
    c[o + 2, k] += c20
    c[o + 2, k + 1] += c21
    c[o + 2, k + 2] += c22
    c[o + 2, k + 3] += c23
    c[o + 3, k] += c30
    c[o + 3, k + 1] += c31
    c[o + 3, k + 2] += c32
    c[o + 3, k + 3] += c33


@serial
def add_dots(a, b, channels, shifts, start, stop, c):
    """c[o, k] += Σ_j a[o, j] · b[channels[k], j + shifts[k]] over start ≤ j < stop, for every row o of a.

    a and b are C-contiguous; c is at least `whole_tiles` of (rows of a, channels): what is past those means nothing.
    """
    count = -(-(stop - start) // max(256, min(LONGEST, CACHED // max(1, len(a)))))
    for i in range(count):
        first, last = start + i * (stop - start) // count, start + (i + 1) * (stop - start) // count
        for k in range(0, len(shifts), TILE):
            for o in range(0, len(a), TILE):
                _tile(a, o, b, channels, shifts, k, first, last, c)
