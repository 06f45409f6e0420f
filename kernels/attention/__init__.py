"""Attention in one pass: y = softmax(scale · q kᵀ) v, head by head, without the matrix of all shares in memory.

    forward   (y, top, total)   top_i = max_j scale q_i·k_j,  total_i = Σ_j e^(scale q_i·k_j − top_i)
    grad      (gq, gk, gv)      p_ij = e^(scale q_i·k_j − top_i) / total_i,  gs = p (gy vᵀ − Σ_j p gy vᵀ),
                                gq = scale gs k,  gk = scale gsᵀ q,  gv = pᵀ gy

top and total, by which the backward has the shares p again, stay two: their sum top + log total would be rounded where
scores are large, and every share with it.

**Shapes**: q (B, L, E), k (B, S, E), v (B, S, V), y and gy (B, L, V), top and total (B, L), float32 for half types;
none of them empty. With `causal` place i attends to places j <= i.
"""

from __future__ import annotations

from typing import Any

from ..backend import backend, narrow

__all__ = ["forward", "grad"]


def forward(q: Any, k: Any, v: Any, scale: float, causal: bool) -> tuple[Any, Any, Any]:
    """(y, top, total)."""
    _check(q, k, v)
    y, top, total = backend(__name__, q).forward(q, k, v, scale, causal)
    return narrow(y, q), top, total


def grad(gy: Any, q: Any, k: Any, v: Any, top: Any, total: Any, scale: float, causal: bool) -> tuple[Any, Any, Any]:
    """(gq, gk, gv)."""
    _check(q, k, v)
    assert gy.shape == (*q.shape[:2], v.shape[2]), (gy.shape, q.shape, v.shape)
    gq, gk, gv = backend(__name__, q).grad(gy, q, k, v, top, total, scale, causal)
    return narrow(gq, q), narrow(gk, k), narrow(gv, v)


def _check(q: Any, k: Any, v: Any) -> None:
    assert q.ndim == 3, q.shape
    assert q.shape[::2] == k.shape[::2], (q.shape, k.shape)
    assert k.shape[:2] == v.shape[:2], (k.shape, v.shape)
    assert q.dtype == k.dtype == v.dtype, (q.dtype, k.dtype, v.dtype)
    assert 0 not in (*q.shape, *v.shape), (q.shape, v.shape)
