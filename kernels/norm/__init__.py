"""Normalisation by channel: y = w (x − μ) / sqrt(σ² + ε) + b, in three fused passes over memory.

Batch norm is `moments`, `normalize` and `grad` as they stand. Instance norm of (N, C, *) is the same on the
view (1, N·C, *), and group norm on (1, N·G, C/G·S), both without weight and bias, which belong to other axes
there.

**Shapes** x, y, gy, gx (N, C, *) with any number of trailing axes, also none; every vector (C,).
Statistics of float16 and bfloat16 are float32: their squares do not fit the narrow type.
"""

from __future__ import annotations

import numpy as np

from ..backend import backend, narrow, native

__all__ = ["grad", "grad_eval", "moments", "normalize"]


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel over batch and space: μ = Σ x / M, σ² = Σ (x − μ)² / M.

    Accumulated in float64 around each plane's own mean, so that a large common offset does not cancel the
    variance. Both are NaN for an empty batch.
    """
    return backend(__name__, x).moments(_planes(native(x)))


def normalize(
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    """y = weight (x − mean) rstd + bias in a single pass."""
    wide = _planes(native(x))
    channels = _vectors(wide, mean, rstd, weight, bias)
    return narrow(backend(__name__, x).normalize(wide, *channels).reshape(x.shape), x)


def grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gx, gw, gb) of `normalize` where mean and rstd are those of x itself (training).

    With x̂ = (x − mean) rstd: gb = Σ gy, gw = Σ gy x̂, gx = weight rstd (gy − gb / M − x̂ gw / M).
    """
    return _grad(gy, x, mean, rstd, weight, x.size // max(x.shape[1], 1))


def grad_eval(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gx, gw, gb) of `normalize` for constant mean and rstd: gx = weight rstd gy, gw = Σ gy x̂, gb = Σ gy."""
    return _grad(gy, x, mean, rstd, weight, np.inf)


def _grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None, count: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Constant statistics are those of infinitely many values: the two terms through them vanish as 1 / count."""
    assert gy.shape == x.shape, (gy.shape, x.shape)
    wide = _planes(native(x))
    mean, rstd, weight, _ = _vectors(wide, mean, rstd, weight, None)
    share = 1 / count if count else 0.0
    gx, gw, gb = backend(__name__, x).grad(_planes(native(gy)), wide, mean, rstd, weight, share)
    return narrow(gx.reshape(x.shape), x), narrow(gw, x), narrow(gb, x)


def _planes(x: np.ndarray) -> np.ndarray:
    """(N, C, *) -> (N, C, S)."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def _vectors(x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None):
    """The four per-channel vectors in x's type; no weight is 1, no bias is 0."""
    channels = x.shape[1]
    ones, zeros = np.ones_like(x, shape=channels), np.zeros_like(x, shape=channels)
    vectors = (mean, rstd, ones if weight is None else weight, zeros if bias is None else bias)
    assert all(v.shape == (channels,) for v in vectors), ([v.shape for v in vectors], x.shape)
    return tuple(native(narrow(v, x)) for v in vectors)
