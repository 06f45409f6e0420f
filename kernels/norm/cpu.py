"""Batch norm on the CPU: the plane x[n, c] is the unit of work, small enough to be read twice from the cache.

Every sum is taken plane by plane in float64 and then over the batch in order: the result does not depend on
which thread had which plane, and float32 loses nothing. Planes too small to be worth a loop: `cpu_columns.py`.
"""

from __future__ import annotations

import numpy as np

from ..jit import parallel, prange
from . import cpu_columns
from .cpu_groups import group_norm, group_norm_grad
from .cpu_response import response_norm, response_norm_grad
from .sums import combine, finish_sums, plane_moments, plane_sums

__all__ = [
    "grad", "grad_eval", "group_norm", "group_norm_grad", "moments", "normalize", "response_norm", "response_norm_grad",
]  # fmt: skip

SMALL = 16  # values of a plane below which the columns of (N, C·S) are the unit of work


def moments(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.moments`; x is (N, C, S)."""
    if 0 < x.shape[2] < SMALL:
        mean, var = cpu_columns.moments(x)
    else:
        mean, var = np.empty((2, x.shape[1]), x.dtype)
        _moments(x, np.empty((2, *x.shape[:2])), mean, var)
    return mean, var, (var + eps) ** -0.5


def normalize(
    x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray, bias: np.ndarray, relu: bool
) -> np.ndarray:
    """See `kernels.norm.normalize`."""
    if x.shape[2] < SMALL:
        y = cpu_columns.normalize(x, mean, weight * rstd, bias)
        return np.maximum(y, 0, out=y) if relu else y
    y = np.empty_like(x)
    _normalize(x, mean, weight * rstd, bias, _floor(x, relu), y)
    return y


def grad(
    gy: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray, bias: np.ndarray, relu: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.grad`."""
    if x.shape[2] < SMALL:
        gy = np.where(normalize(x, mean, rstd, weight, bias, False) <= 0, x.dtype.type(0), gy) if relu else gy
        return cpu_columns.grad(gy, x, mean, rstd, weight)
    gx, (gw, gb) = np.empty_like(x), np.empty((2, *mean.shape), x.dtype)
    _grad(gy, x, mean, rstd, weight, bias, relu, np.empty((2, *x.shape[:2])), gx, gw, gb)
    return gx, gw, gb


def _floor(x: np.ndarray, relu: bool) -> np.floating:
    """What y does not go below. Nothing compares with NaN, which therefore stands for no floor."""
    return x.dtype.type(0 if relu else np.nan)


def grad_eval(
    gy: np.ndarray, x: np.ndarray | None, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See `kernels.norm.grad_eval`; without x its gw means nothing."""
    x = gy if x is None else x
    if x.shape[2] < SMALL:
        return cpu_columns.grad_eval(gy, x, mean, rstd, weight)
    gx, (gw, gb) = np.empty_like(gy), np.empty((2, *mean.shape), gy.dtype)
    _grad_eval(gy, x, mean, rstd, weight, np.empty((2, *gy.shape[:2])), gx, gw, gb)
    return gx, gw, gb


@parallel
def _moments(x, partial, mean, var):
    batch, channels, size = x.shape
    if size > 0:
        for plane in prange(batch * channels):
            n, c = plane // channels, plane % channels
            partial[0, n, c], partial[1, n, c] = plane_moments(x[n, c])
    for c in range(channels):
        mean[c], var[c] = combine(partial[0, :, c], partial[1, :, c], size)


@parallel
def _normalize(x, mean, scale, bias, floor, y):
    # x - mean first: with the mean folded into the bias, a large offset would cancel in float32.
    channels = x.shape[1]
    for plane in prange(x.shape[0] * channels):
        n, c = plane // channels, plane % channels
        for i in range(x.shape[2]):
            value = (x[n, c, i] - mean[c]) * scale[c] + bias[c]
            y[n, c, i] = floor if value <= floor else value


@parallel
def _grad(gy, x, mean, rstd, weight, bias, relu, partial, gx, gw, gb):
    batch, channels, size = x.shape
    for plane in prange(batch * channels):
        n, c = plane // channels, plane % channels
        if relu:
            # gy where y is not below 0, for now in gx: `_normalize` once more, whose y has the same bits
            for i in range(size):
                y = (x[n, c, i] - mean[c]) * (weight[c] * rstd[c]) + bias[c]
                gx[n, c, i] = 0 if y <= 0 else gy[n, c, i]
            partial[0, n, c], partial[1, n, c] = plane_sums(gx[n, c], x[n, c], mean[c])
        else:
            partial[0, n, c], partial[1, n, c] = plane_sums(gy[n, c], x[n, c], mean[c])
    finish_sums(partial, rstd, gw, gb)
    share = x.dtype.type(1 / max(batch * size, 1))
    for plane in prange(batch * channels):
        n, c = plane // channels, plane % channels
        # gx = scale (gy - shift - slope (x - mean))
        scale, shift, slope = weight[c] * rstd[c], gb[c] * share, gw[c] * share * rstd[c]
        if relu:
            for i in range(size):
                gx[n, c, i] = scale * (gx[n, c, i] - shift - slope * (x[n, c, i] - mean[c]))
        else:
            for i in range(size):
                gx[n, c, i] = scale * (gy[n, c, i] - shift - slope * (x[n, c, i] - mean[c]))


@parallel
def _grad_eval(gy, x, mean, rstd, weight, partial, gx, gw, gb):
    batch, channels, size = gy.shape
    for plane in prange(batch * channels):
        n, c = plane // channels, plane % channels
        partial[0, n, c], partial[1, n, c] = plane_sums(gy[n, c], x[n, c], mean[c])
        scale = weight[c] * rstd[c]
        for i in range(size):
            gx[n, c, i] = scale * gy[n, c, i]
    finish_sums(partial, rstd, gw, gb)
