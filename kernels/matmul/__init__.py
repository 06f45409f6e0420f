"""Matrix product, alone or batched: y[..., i, j] = Σ_k a[..., i, k] · b[..., k, j].

**Shapes**: a (..., M, K), b (..., K, N) with the same leading dimensions (broadcasting is the caller's business);
y (..., M, N), C-contiguous, in the type of a, or with `wide` in float32 where that is a half type. Transposed views are
taken as they are, without a copy.
"""

from __future__ import annotations

from typing import Any

from ..backend import backend

__all__ = ["matmul"]


def matmul(a: Any, b: Any, wide: bool = False) -> Any:
    """a · b over the last two axes."""
    assert a.shape[:-2] == b.shape[:-2], (a.shape, b.shape)
    assert a.shape[-1] == b.shape[-2], (a.shape, b.shape)
    assert a.dtype == b.dtype, (a.dtype, b.dtype)
    return backend(__name__, a).matmul(a, b, wide)
