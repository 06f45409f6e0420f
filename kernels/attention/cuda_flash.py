"""Attention in one pass over the keys, with no matrix of scores in memory: `flash.cu` and `flash_grad.cu`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import allow_tf32
from ..backend import HALF_TYPES, native
from ..launch import capability, empty, kernel

__all__ = ["Flash"]

THREADS, STREAMED = 128, 32  # as in flash.cuh
WIDTHS = 32, 64, 128  # features that a row of a tile has room for; tensor cores do without the first
Array = Any


@dataclass(frozen=True)
class Flash:
    """The kernels with products of one of two kinds: by `tiles_tensor.cuh`, or else by `tiles_plain.cuh`."""

    tensor: bool

    def applies(self, q: Array, v: Array) -> bool:
        """Whether the products are for this type and size, and the device has cp.async: from sm_80 on.

        Tensor cores are for half types, and for float32 where `kernels.use(allow_tf32=True)` permits; else float32.
        """
        single = q.dtype == np.float32
        if not (q.dtype in HALF_TYPES or (single and allow_tf32()) if self.tensor else single):
            return False
        return max(q.shape[2], v.shape[2]) <= WIDTHS[-1] and capability(q) >= 80

    def forward(self, q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array, Array]:
        """See the family's docstring."""
        q, k, v = map(native, (q, k, v))
        y = empty((*q.shape[:2], v.shape[2]), q)
        top, total = (empty(q.shape[:2], q, np.float32) for _ in range(2))
        rows, shared = self._forward_tiles(q, v)
        launch = kernel("attention/flash.cu", "flash", q, **self._defines(q, v))
        args = q, k, v, y, top, total, _shape(q, v), scale, causal
        launch((len(q) * -(-q.shape[1] // rows),), (THREADS,), args, shared)
        return y, top, total

    def grad(
        self, gy: Array, q: Array, k: Array, v: Array, top: Array, total: Array, scale: float, causal: bool
    ) -> tuple[Array, Array, Array]:
        """See the family's docstring."""
        gy, q, k, v = map(native, (gy, q, k, v))
        gq, gk, gv = (empty(t.shape, t) for t in (q, k, v))
        mean = empty(q.shape[:2], q, np.float32)
        rows, shared = self._grad_tiles(q, v)
        given, rest = (gy, q, k, v, top, total), (_shape(q, v), scale, causal)
        for name, owned, args in (("queries", q, (gq, mean)), ("keys", k, (mean, gk, gv))):
            launch = kernel("attention/flash_grad.cu", f"flash_grad_{name}", q, **self._defines(q, v))
            launch((len(q) * -(-owned.shape[1] // rows),), (THREADS,), (*given, *args, *rest), shared)
        return gq, gk, gv

    def _forward_tiles(self, q: Array, v: Array) -> tuple[int, int]:
        """(rows that a block owns, bytes of its tiles): queries, keys, values."""
        rows = 128 if self.tensor or self._width(q, v) <= 64 else 64
        return rows, self._bytes(q, v, rows + 2 * STREAMED, rows)

    def _grad_tiles(self, q: Array, v: Array) -> tuple[int, int]:
        """The same of the backward: queries, gy, keys, values."""
        rows = 64 if self.tensor or self._width(q, v) <= 64 else 32
        return rows, self._bytes(q, v, 2 * rows + 2 * STREAMED, rows)

    def _bytes(self, q: Array, v: Array, rows: int, exchanged: int) -> int:
        exchange = 0 if self.tensor else 4 * exchanged * (STREAMED + 8)
        return rows * (self._width(q, v) * q.dtype.itemsize + 16) + exchange

    def _width(self, q: Array, v: Array) -> int:
        return next(width for width in WIDTHS[self.tensor :] if width >= max(q.shape[2], v.shape[2]))

    def _defines(self, q: Array, v: Array) -> dict[str, int]:
        return {"TENSOR": int(self.tensor), "WIDTH": self._width(q, v)}


def _shape(q: Array, v: Array) -> tuple[int, int, int, int]:
    """The struct Shape of flash.cuh."""
    return q.shape[1], v.shape[1], q.shape[2], v.shape[2]
