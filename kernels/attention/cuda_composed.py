"""Attention of three steps: a product for all scores, a softmax over each row of them, a product with the values.

The products are cuBLAS's and the softmax between them is `scores.cu`, which reads the scores once and writes the shares
over them. The matrix (L, S) of a head is in memory; of heads there are as many at a time as WORKSPACE has room for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..launch import empty, kernel
from ..matmul import matmul

__all__ = ["applies", "forward", "grad", "scores_bytes"]

SOURCE = "attention/scores.cu"
THREADS, HELD = 256, 8  # as in scores.cu
WORKSPACE = 1 << 28  # bytes of scores, of which the backward has two
Array = Any


def applies(q: Array, v: Array) -> bool:
    """It always does."""
    return True


def forward(q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array, Array]:
    """See the family's docstring."""
    top, total = (empty(q.shape[:2], q, _wide(q)) for _ in range(2))
    parts = []
    for some in _heads(q, k):
        s = matmul(q[some], k[some].swapaxes(1, 2), wide=True)
        p = _over(s, q)
        _launch("shares", (s, p, top[some], total[some]), s, q, scale, causal)
        parts.append(matmul(p, v[some]))
    return _joined(parts), top, total


def grad(
    gy: Array, q: Array, k: Array, v: Array, top: Array, total: Array, scale: float, causal: bool
) -> tuple[Array, Array, Array]:
    """See the family's docstring."""
    parts = []
    for some in _heads(q, k):
        s = matmul(q[some], k[some].swapaxes(1, 2), wide=True)
        dp = matmul(gy[some], v[some].swapaxes(1, 2), wide=True)
        p, gs = _over(s, q), _over(dp, q)
        _launch("shares_grad", (s, dp, p, gs, top[some], total[some]), s, q, scale, causal)
        gk, gv = matmul(gs.swapaxes(1, 2), q[some]), matmul(p.swapaxes(1, 2), gy[some])
        parts.append((matmul(gs, k[some]), gk, gv))
    gq, gk, gv = map(_joined, zip(*parts, strict=True))
    return gq, gk, gv


def scores_bytes(q: Array, k: Array) -> int:
    """The size of the scores of all heads together."""
    return q.shape[0] * q.shape[1] * k.shape[1] * np.dtype(_wide(q)).itemsize


def _wide(q: Array) -> type:
    """The type that is computed in."""
    return np.float64 if q.dtype == np.float64 else np.float32


def _heads(q: Array, k: Array) -> Iterator[slice]:
    """Runs of heads whose scores fit into the workspace together; a single one need not."""
    most = max(1, WORKSPACE * len(q) // scores_bytes(q, k))
    return (slice(start, start + most) for start in range(0, len(q), most))


def _over(s: Array, q: Array) -> Array:
    """Where the shares go: over the scores, if the type is the same."""
    return s if s.dtype == q.dtype else empty(s.shape, q)


def _launch(name: str, arrays: tuple[Array, ...], s: Array, q: Array, scale: float, causal: bool) -> None:
    """A warp for each row of scores, or a block if a warp's registers cannot hold it."""
    heads, length, columns = s.shape
    warps = min(THREADS // 32, -(-columns // (32 * HELD)))
    block = (32, THREADS // 32) if warps == 1 else (32 * warps, 1)
    rows = heads * length
    args = *arrays, np.int64(rows), length, columns, _wide(q)(scale), causal
    kernel(SOURCE, name, q)((-(-rows // block[1]),), block, args)


def _joined(parts: Any) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
