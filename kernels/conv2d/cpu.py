"""Convolution on the CPU: the versions, and which of them takes which convolution.

    direct      the definition, row by row
    im2col      columns, and one matrix product
    implicit    the same product, its columns read in place
    shifts      and with pixels in the lanes of a register, not channels         all of these: any convolution
    winograd2x2 16 multiplications where the others have 36
    winograd4x4 36 where they have 144                                           3x3, stride 1, one group

Each is a module with `applies(geometry, weight_shape)`,

    correlate(x, w, bias, relu, geometry, size, adjoint)  the convolution of x with w, or its adjoint, onto `size`
    correlate_weight(x, gy, geometry, kernel_size)        the gradient of w

on C-contiguous arrays of float32 or float64. None instead of a result says that it is not finite, and that only a plain
sum tells which pixels see what is not.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .. import chosen, full_accuracy
from ..backend import narrow, native
from . import (
    ConvGeometry,
    Pair,
    cpu_columns,
    cpu_direct,
    cpu_implicit,
    cpu_shifts,
    cpu_winograd_2x2,
    cpu_winograd_4x4,
    output_size,
)

__all__ = ["ALGORITHMS", "forward", "grad_input", "grad_weight"]

ALGORITHMS = {
    "direct": cpu_direct,
    "im2col": cpu_columns,
    "implicit": cpu_implicit,
    "shifts": cpu_shifts,
    "winograd2x2": cpu_winograd_2x2,
    "winograd4x4": cpu_winograd_4x4,
}


def _algorithm(
    x: np.ndarray, outputs: int, size: Pair, geometry: ConvGeometry, kernel_size: Pair, stride: Pair, weight: bool
) -> ModuleType:
    """The one that `kernels.use` names if it applies, else the fastest, as measured (see the worklog).

    float64 is for checks, where a plain sum is worth more than speed.
    """
    channels = x.shape[1] // geometry.groups
    weight_shape = (outputs, channels, *kernel_size)
    named = ALGORITHMS.get(chosen("conv2d") or "")  # there are versions that only the GPU has
    if named is not None and named.applies(geometry, weight_shape):
        return named
    if cpu_shifts.pays(channels, outputs // geometry.groups, stride, weight):
        return cpu_shifts
    fast = cpu_winograd_2x2 if full_accuracy() else cpu_winograd_4x4
    if x.dtype == np.float32 and fast.applies(geometry, weight_shape) and fast.pays(len(x), channels, size, weight):
        return fast
    return cpu_implicit


def _correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray:
    bias = None if bias is None else native(bias)
    if adjoint and not np.isfinite(w.sum()):
        # A gather would multiply such a weight by the zeros around gy too, and NaN would reach pixels it never saw.
        return cpu_columns.correlate(x, w, bias, relu, geometry, size, adjoint)
    outputs = w.shape[1] * geometry.groups if adjoint else len(w)
    algorithm = _algorithm(x, outputs, size, geometry, w.shape[2:], (1, 1) if adjoint else geometry.stride, False)
    y: np.ndarray | None = algorithm.correlate(x, w, bias, relu, geometry, size, adjoint)
    return cpu_implicit.correlate(x, w, bias, relu, geometry, size, adjoint) if y is None else y


def forward(
    x: np.ndarray, w: np.ndarray, geometry: ConvGeometry, bias: np.ndarray | None = None, relu: bool = False
) -> np.ndarray:
    """See the family's docstring."""
    size = output_size(x.shape[2:], w.shape[2:], geometry)
    return narrow(_correlate(native(x), native(w), bias, relu, geometry, size, False), x)


def grad_input(
    gy: np.ndarray, w: np.ndarray, geometry: ConvGeometry, input_size: Pair, bias: np.ndarray | None = None
) -> np.ndarray:
    """See the family's docstring."""
    return narrow(_correlate(native(gy), native(w), bias, False, geometry, input_size, True), gy)


def grad_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray:
    """See the family's docstring."""
    x_, gy_ = native(x), native(gy)
    algorithm = _algorithm(x_, gy.shape[1], gy.shape[2:], geometry, kernel_size, geometry.stride, True)
    gw: np.ndarray | None = algorithm.correlate_weight(x_, gy_, geometry, kernel_size)
    return narrow(cpu_implicit.correlate_weight(x_, gy_, geometry, kernel_size) if gw is None else gw, x)
