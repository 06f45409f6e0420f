"""Resizing: along each axis a sparse linear map, given as taps; its adjoint uses the transposed taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import resize as kernel
from ..kernels.resize import Taps
from .checks import pair, tensor_arg


class Resize(Op):
    """y = A_h x A_wᵀ for each plane; adjoint: ResizeAdjoint"""

    rows: Taps
    columns: Taps

    def forward(self, x: Array) -> Array:
        return kernel.resize(x, self.rows, self.columns)

    def backward(self, gy: Tensor) -> Tensor:
        return ResizeAdjoint(self.rows, self.columns)(gy)


class ResizeAdjoint(Op):
    """y = A_hᵀ x A_w for each plane; adjoint: Resize"""

    rows: Taps
    columns: Taps

    def forward(self, x: Array) -> Array:
        return kernel.adjoint(x, self.rows, self.columns)

    def backward(self, gy: Tensor) -> Tensor:
        return Resize(self.rows, self.columns)(gy)


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the planes of (N, C, H, W) to `size`, or to ⌊size · scale_factor⌋, by 'nearest' or 'bilinear'.

    Source position of output i: with align_corners i·(in - 1)/(out - 1); without it (i + ½)·scale - ½, at least 0,
    where scale is in/out if `size` is given or `recompute_scale_factor`, else 1/scale_factor exactly as passed.
    'nearest' takes ⌊i·scale⌋. **Raises** ArgumentError, ShapeError.
    """
    x = tensor_arg("interpolate", "input", input)
    _check_options(x, mode, align_corners, antialias, recompute_scale_factor, size)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"interpolate: give size or scale_factor, one of them; got {size!r} and {scale_factor!r}")
    out, scales = _target(x, size, scale_factor)
    if recompute_scale_factor:
        scales = (None, None)
    if min(out) < 1:
        raise ShapeError(f"interpolate: the output would have size {out} (input {x.shape})")
    if mode == "nearest":
        taps = [kernel.nearest_taps(n, m, s, x.dtype.type) for n, m, s in zip(x.shape[2:], out, scales, strict=True)]
    else:
        corners = bool(align_corners)
        taps = [kernel.bilinear_taps(n, m, corners, s) for n, m, s in zip(x.shape[2:], out, scales, strict=True)]
    return Resize(*taps)(x)


def _check_options(
    x: Tensor, mode: str, align_corners: bool | None, antialias: bool, recompute: bool | None, size: Any
) -> None:
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ShapeError(f"interpolate: input must be (N, C, H, W), only N may be 0, got shape {x.shape}")
    if mode not in ("nearest", "bilinear"):
        raise ArgumentError(f"interpolate: mode must be 'nearest' or 'bilinear', got {mode!r}")
    if mode == "nearest" and align_corners is not None:
        raise ArgumentError("interpolate: align_corners is for mode 'bilinear' only")
    if antialias:
        raise ArgumentError("interpolate: antialias=True is not supported")
    if recompute and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor needs scale_factor, got size")


def _target(x: Tensor, size: Any, scale_factor: Any) -> tuple[tuple[int, int], tuple[float | None, float | None]]:
    if size is not None:
        return pair("interpolate", "size", size, 1), (None, None)
    given = scale_factor if isinstance(scale_factor, Sequence) else (scale_factor, scale_factor)
    if len(given) != 2 or any(not isinstance(f, int | float) or not 0 < f < math.inf for f in given):
        raise ArgumentError(f"interpolate: scale_factor must be a positive number or two, got {scale_factor!r}")
    h, w = (float(f) for f in given)
    return (math.floor(x.shape[2] * h), math.floor(x.shape[3] * w)), (h, w)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """`interpolate` under its older name."""
    return interpolate(input, size, scale_factor, mode, align_corners)
