"""Small tables that kernels are handed beside their arrays: made on the CPU once, copied to a device once.

    @remembered
    def edges(rows, width): ...            # called again with the very same `rows` and an equal `width`: not computed

    kernel(...)(grid, block, (x, on_device(edges(rows, 32), x)))

What cannot be hashed, arrays and tuples of arrays, is known again by its identity: comparing the contents would cost
what remembering saves. So a table must not be changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .launch import device_number, to_device

__all__ = ["divisor", "on_device", "remembered"]

MOST = 512  # tables kept, the latest used ones

Result = TypeVar("Result")


def remembered(function: Callable[..., Result]) -> Callable[..., Result]:
    """`function`, computed once for the same arguments."""

    @functools.lru_cache(MOST)
    def computed(*keys: _Key) -> Result:
        return function(*(key.value for key in keys))

    @functools.wraps(function)
    def call(*args: Any) -> Result:
        return computed(*map(_Key, args))

    return call


def on_device(table: np.ndarray, like: Any) -> Any:
    """`table` on the device of `like`, the same copy at every call; of a structured type its bytes (CuPy has none)."""
    return _copied(table, device_number(like))


def divisor(d: int) -> tuple[Any, ...]:
    """The `Divisor` of divisor.cuh, for d from 1 to 2^31 - 1."""
    k = (d - 1).bit_length()
    return np.int32(d), np.uint32(-(-(1 << 31 + k) // d)), np.int32(31 + k)


class _Key:
    """An argument by which a result is found again. It keeps the argument alive, so nothing else gets its identity."""

    def __init__(self, value: Any) -> None:
        self.value = value
        try:
            self.hash, self.by_value = hash(value), True
        except TypeError:
            self.hash, self.by_value = id(value), False

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: Any) -> bool:
        if self.value is other.value:
            return True
        return bool(self.by_value and other.by_value and self.value == other.value)


@remembered
def _copied(table: np.ndarray, device: int | None) -> Any:
    plain = table if table.dtype.names is None else np.ascontiguousarray(table).reshape(-1).view(np.uint8)
    return to_device(plain, device)
