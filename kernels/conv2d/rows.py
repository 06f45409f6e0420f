"""One row of a window: shifted, perhaps strided, partly over the border. What the window kernels are made of.

The loops index views from 0 upwards, because only then does LLVM see that no index is negative (which in Python
would count from the end) and vectorises the copy: 4 times as fast.
"""

from __future__ import annotations

from ..jit import serial

__all__ = ["add_row", "apart", "copy_block", "copy_row", "inside", "place_row", "rectify"]


@serial
def inside(width, offset, step, size):
    """The outputs lo ≤ j < hi, of `size`, that see the image: 0 ≤ j·step + offset < width."""
    lo = min(max(0, -(offset // step)), size)
    return lo, max(lo, min(size, (width - 1 - offset) // step + 1))


@serial
def copy_row(source, step, target):
    """target[j] = source[j·step]."""
    if step == 1:  # said apart, because only contiguous rows vectorise
        for j in range(len(target)):
            target[j] = source[j]
    else:
        for j in range(len(target)):
            target[j] = source[j * step]


@serial
def place_row(source, step, bias, target, every, count):
    """target[j·every] = source[j·step] + bias for j < count."""
    if step == every == 1:
        for j in range(count):
            target[j] = source[j] + bias
    else:
        for j in range(count):
            target[j * every] = source[j * step] + bias


@serial
def add_row(weight, source, step, target, every, count):
    """target[j·every] += weight · source[j·step] for j < count."""
    if step == every == 1:
        for j in range(count):
            target[j] += weight * source[j]
    else:
        for j in range(count):
            target[j * every] += weight * source[j * step]


@serial
def rectify(row):
    """row = max(row, 0); NaN stays NaN."""
    zero = row.dtype.type(0)
    for j in range(row.size):
        row[j] = zero if row[j] <= zero else row[j]


def apart(height: int, pitch: int) -> int:
    """From one channel of a block to the next: a power of two apart they would share a line of the cache."""
    plane = height * pitch
    return plane + 16 * (plane % 256 == 0)


@serial
def copy_block(x, n, images, channel, channels, top, left, height, pitch, plane, image, block):
    """block[i, c, r, j] = x[n + i, channel + c, top + r, left + j], zero beyond the borders.

    In the flat block rows stand `pitch` apart, channels `plane`, images `image`.
    """
    rows, width = x.shape[2:]
    lo, hi = min(max(0, -left), pitch), min(pitch, width - left)
    for i in range(images):
        for c in range(channels):
            for r in range(height):
                start = i * image + c * plane + r * pitch
                target = block[start : start + pitch]
                if 0 <= top + r < rows and lo < hi:
                    target[:lo] = 0
                    copy_row(x[n + i, channel + c, top + r, lo + left :], 1, target[lo:hi])
                    target[hi:] = 0
                else:
                    target[:] = 0
