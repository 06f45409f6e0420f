"""Normalisation: y = w (x − μ) / sqrt(σ² + ε) + b, in fused passes over memory.

Batch norm has its statistics by channel: `moments`, `normalize`, `grad` and, where they are given, `grad_eval`.
Group norm has them by sample and group of channels: `group_norm` and `group_norm_grad`. Layer norm is group norm with
one group and planes of one value, instance norm with groups of one channel. Local response norm, `response_norm` and
`response_norm_grad`, has no mean, and at each pixel the energy of some neighbouring channels.

**Shapes** by channel x, y, gy, gx (N, C, *) with any number of trailing axes, also none, and every vector (C,);
by group x, y, gy, gx (N, G, K, S), mean and rstd (N, G), weight and bias (G, K).
Statistics of float16 and bfloat16 are float32: their squares do not fit the narrow type.
"""

from __future__ import annotations

import numpy as np

from ..backend import backend, narrow, native

__all__ = [
    "grad", "grad_eval", "group_norm", "group_norm_grad", "moments", "normalize", "response_norm", "response_norm_grad",
]  # fmt: skip


def moments(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(μ, σ², 1 / √(σ² + eps)) of each channel over batch and space: μ = Σ x / M, σ² = Σ (x − μ)² / M.

    Accumulated in float64 around each plane's own mean, on a GPU in float32 (float64 for float64) around one of the
    values, so that a large common offset does not cancel the variance. All are NaN for an empty batch.
    """
    return backend(__name__, x).moments(_planes(native(x)), eps)


def normalize(
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    relu: bool = False,
) -> np.ndarray:
    """y = weight (x − mean) rstd + bias in a single pass, with `relu` max(y, 0)."""
    wide = _planes(native(x))
    channels = _vectors(wide, mean, rstd, weight, bias)
    return narrow(backend(__name__, x).normalize(wide, *channels, relu).reshape(x.shape), x)


def grad(
    gy: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    relu: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gx, gw, gb) of `normalize` where mean and rstd are those of x itself (training).

    With x̂ = (x − mean) rstd: gb = Σ gy, gw = Σ gy x̂, gx = weight rstd (gy − gb / M − x̂ gw / M); with `relu` gy counts
    only where y was not below 0, which alone depends on the bias.
    """
    assert gy.shape == x.shape, (gy.shape, x.shape)
    wide = _planes(native(x))
    vectors = _vectors(wide, mean, rstd, weight, bias)
    gx, gw, gb = backend(__name__, x).grad(_planes(native(gy)), wide, *vectors, relu)
    return narrow(gx.reshape(x.shape), x), narrow(gw, x), narrow(gb, x)


def grad_eval(
    gy: np.ndarray, x: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(gx, gw, gb) of `normalize` for constant mean and rstd: gx = weight rstd gy, gw = Σ gy x̂, gb = Σ gy.

    gw alone needs x: without it gw is None.
    """
    like = gy if x is None else x
    mean, rstd, weight, _ = _vectors(_planes(native(like)), mean, rstd, weight, None)
    values = None if x is None else _planes(native(x))
    gx, gw, gb = backend(__name__, like).grad_eval(_planes(native(gy)), values, mean, rstd, weight)
    return narrow(gx.reshape(like.shape), like), None if x is None else narrow(gw, like), narrow(gb, like)


def group_norm(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(y, μ, σ², 1 / √(σ² + eps)), the last three over the last two axes and accumulated as those of `moments`."""
    wide = native(x)
    affine = _affine(wide, weight, bias)
    y, *statistics = backend(__name__, x).group_norm(wide, *affine, eps)
    return narrow(y, x), *statistics


def group_norm_grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(gx, gw, gb) of `group_norm`: with x̂ = (x − mean) rstd and u = weight gy, over the last two axes,

    gx = rstd (u − mean u − x̂ mean(u x̂)); over N and S gw = Σ gy x̂, gb = Σ gy.
    """
    assert gy.shape == x.shape, (gy.shape, x.shape)
    wide = native(x)
    weight, _ = _affine(wide, weight, None)
    gx, gw, gb = backend(__name__, x).group_norm_grad(native(gy), wide, mean, rstd, weight)
    return narrow(gx, x), narrow(gw, x), narrow(gb, x)


def response_norm(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """y_c = x_c d_c^−beta with d_c = k + alpha / size Σ x_j² over channels c − ⌊size / 2⌋ to c + ⌊(size − 1) / 2⌋."""
    y = backend(__name__, x).response_norm(_planes(native(x)), size, alpha, beta, k)
    return narrow(y.reshape(x.shape), x)


def response_norm_grad(gy: np.ndarray, x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    """gx_c = gy_c d_c^−beta − 2 beta alpha / size x_c Σ gy_j x_j d_j^(−beta − 1), over all j whose window holds c."""
    assert gy.shape == x.shape, (gy.shape, x.shape)
    gx = backend(__name__, x).response_norm_grad(_planes(native(gy)), _planes(native(x)), size, alpha, beta, k)
    return narrow(gx.reshape(x.shape), x)


def _planes(x: np.ndarray) -> np.ndarray:
    """(N, C, *) -> (N, C, S)."""
    return x.reshape(*x.shape[:2], int(np.prod(x.shape[2:])))


def _vectors(x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None):
    """The four vectors: statistics in the type that computes, weight and bias in x's own; no weight is 1, no bias 0."""
    channels, wide = x.shape[1], np.promote_types(x.dtype, np.float32)
    w = np.ones_like(x, shape=(channels,)) if weight is None else narrow(weight, x)
    b = np.zeros_like(x, shape=(channels,)) if bias is None else narrow(bias, x)
    vectors = mean.astype(wide, copy=False), rstd.astype(wide, copy=False), w, b
    assert all(v.shape == (channels,) for v in vectors), ([v.shape for v in vectors], x.shape)
    return tuple(map(native, vectors))


def _affine(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias (G, K) in x's type; no weight is 1, no bias is 0."""
    shape = x.shape[1:3]
    w = np.ones_like(x, shape=shape) if weight is None else native(narrow(weight, x))
    b = np.zeros_like(x, shape=shape) if bias is None else native(narrow(bias, x))
    assert w.shape == b.shape == shape, (w.shape, b.shape, x.shape)
    return w, b
