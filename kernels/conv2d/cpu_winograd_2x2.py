"""Version 5, Winograd's F(2x2, 3x3): 16 multiplications where a 3x3 convolution of stride 1 has 36.

Its transforms add and halve, and nothing grows: in float32 it is as exact as a plain sum. See `winograd`.
"""

from __future__ import annotations

import functools

from . import Pair, winograd
from .winograd import applies

__all__ = ["applies", "correlate", "correlate_weight", "pays"]

correlate = functools.partial(winograd.correlate, 2)
correlate_weight = functools.partial(winograd.correlate_weight, 2)


def pays(batch: int, channels: int, size: Pair, weight: bool) -> bool:
    """Whether it is faster than a plain sum: tiles fill registers, and windows are not most of the work. Measured."""
    tiles = batch * -(-size[0] // 2) * -(-size[1] // 2)
    return channels >= 16 and tiles >= 128
