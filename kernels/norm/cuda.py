"""Batch norm on a GPU: sums of channels (`cuda_sums.py`), and one pass over memory that applies them (`apply.cu`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import empty
from . import cuda_sums
from .cuda_apply import apply, layout
from .cuda_groups import group_norm, group_norm_grad
from .cuda_response import response_norm, response_norm_grad
from .cuda_sums import PLAIN, RELU, SMALL, Parts

__all__ = [
    "grad", "grad_eval", "group_norm", "group_norm_grad", "moments", "normalize", "response_norm", "response_norm_grad",
]  # fmt: skip

Array = Any


def moments(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """See `kernels.norm.moments`; x is (N, C, S)."""
    return cuda_sums.moments(x, eps)


def normalize(x: Array, mean: Array, rstd: Array, weight: Array, bias: Array, relu: bool) -> Array:
    """See `kernels.norm.normalize`."""
    y = empty(x.shape, x)
    apply("normalize", x, (x, mean, rstd, weight, bias, y), layout(x, x.shape[2]), relu)
    return y


def grad(
    gy: Array, x: Array, mean: Array, rstd: Array, weight: Array, bias: Array, relu: bool
) -> tuple[Array, Array, Array]:
    """See `kernels.norm.grad`."""
    gx = empty(x.shape, x)
    if x.size == 0:
        return gx, np.zeros_like(weight), np.zeros_like(weight)
    parts = _sums((gy, x, mean, rstd, weight, bias), RELU if relu else PLAIN)
    gw, gb, means = cuda_sums.finish(parts, x, weight, x.size // x.shape[1])
    arrays = gy, x, mean, rstd, weight, bias if relu else None, means, gx
    apply("grad_input", x, arrays, layout(x, x.shape[2]))
    return gx, gw, gb


def grad_eval(gy: Array, x: Array | None, mean: Array, rstd: Array, weight: Array) -> tuple[Array, Array | None, Array]:
    """See `kernels.norm.grad_eval`: gx is gy normalised by the same scale around 0."""
    gx = normalize(gy, None, rstd, weight, None, False)
    if gy.size == 0:
        return gx, np.zeros_like(weight), np.zeros_like(weight)
    return gx, *cuda_sums.finish(_sums((gy, x, mean, rstd, None, None), PLAIN), gy)[:2]


def _sums(arrays: tuple[Array, ...], mode: int) -> Parts:
    gy = arrays[0]
    if gy.shape[2] < SMALL:
        return cuda_sums.column_sums(arrays, layout(gy, gy.shape[2]), mode)
    return cuda_sums.plane_sums(arrays, gy.shape, mode)
