"""One row of a window: shifted, perhaps strided, partly over the border. What the window kernels are made of.

The loops index views from 0 upwards, because only then does LLVM see that no index is negative (which in Python
would count from the end) and vectorises the copy: 4 times as fast.
"""

from __future__ import annotations

from ..jit import serial

__all__ = ["add_row", "copy_row", "inside", "store"]


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
def add_row(weight, source, step, target):
    """target[j] += weight · source[j·step]."""
    if step == 1:
        for j in range(len(target)):
            target[j] += weight * source[j]
    else:
        for j in range(len(target)):
            target[j] += weight * source[j * step]


@serial
def store(product, pitch, bias, y, channel, origin, every, size, first, last):
    """y[n, channel + o, origin + every·(i, j)] = product[o, (row − first)·pitch + j] + bias[channel + o].

    Rows first ≤ row < last, where row = n·size[0] + i.
    """
    for o in range(len(product)):
        for row in range(first, last):
            source = product[o, (row - first) * pitch : (row - first) * pitch + size[1]]
            target = y[row // size[0], channel + o, origin[0] + every[0] * (row % size[0]), origin[1] :]
            if every[1] == 1:
                for j in range(len(source)):
                    target[j] = source[j] + bias[channel + o]
            else:
                for j in range(len(source)):
                    target[j * every[1]] = source[j] + bias[channel + o]
