"""Resizing: along each axis a sparse linear map, given as taps; its adjoint uses the transposed taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import resize as kernel
from ..kernels.resize import Taps
from .checks import is_float, pair, tensor_arg
from .pool import AdaptiveAvgPool2d


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


NEAREST: dict[str, Any] = {"nearest": kernel.nearest_taps, "nearest-exact": kernel.nearest_exact_taps}
SMOOTH: dict[str, Any] = {"bilinear": kernel.bilinear_taps, "bicubic": kernel.bicubic_taps}
MODES = (*NEAREST, *SMOOTH, "area")
FEW = 128  # output rows and columns up to which PyTorch places the nearest neighbours of float64 images in float32


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the planes of (N, C, H, W) to `size`, or to ⌊size · scale_factor⌋.

    **Modes** 'nearest' takes pixel ⌊i·scale⌋, 'nearest-exact' ⌊(i + ½)·scale⌋; 'bilinear' mixes the 2x2 and 'bicubic'
    the 4x4 pixels around the source position; 'area' is `adaptive_avg_pool2d`.
    Source position of output i: with align_corners i·(in - 1)/(out - 1); without it (i + ½)·scale - ½, for 'bilinear'
    at least 0. There scale is in/out if `size` is given or `recompute_scale_factor`, else 1/scale_factor as passed,
    also where ⌊size · scale_factor⌋ has cut something off.
    **Raises** ArgumentError, ShapeError, DTypeError (integers have nearest neighbours only).
    """
    x = tensor_arg("interpolate", "input", input)
    _check_options(x, mode, align_corners, antialias, recompute_scale_factor, size)
    if (size is None) == (scale_factor is None):
        raise ArgumentError(f"interpolate: give size or scale_factor, one of them; got {size!r} and {scale_factor!r}")
    out, scales = _target(x, size, scale_factor)
    if recompute_scale_factor:
        scales = (None, None)
    if min(out) < 1 or 0 in x.shape[2:]:
        raise ShapeError(f"interpolate: the output would have size {out} (input {x.shape})")
    along = list(zip(x.shape[2:], out, scales, strict=True))
    if mode == "area":
        return AdaptiveAvgPool2d(out)(x)
    if mode in NEAREST:
        wide = x.dtype.type if out[0] + out[1] > FEW else np.float32
        return Resize(*(NEAREST[mode](n, m, s, wide) for n, m, s in along))(x)
    return Resize(*(SMOOTH[mode](n, m, bool(align_corners), s) for n, m, s in along))(x)


def _check_options(
    x: Tensor, mode: str, align_corners: bool | None, antialias: bool, recompute: bool | None, size: Any
) -> None:
    if mode not in MODES:
        raise ArgumentError(f"interpolate: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    if x.ndim != 4 or (x.shape[1] == 0 and mode != "area"):
        raise ShapeError(f"interpolate: input must be (N, C, H, W), only N may be 0, got shape {x.shape}")
    if align_corners is not None and mode not in SMOOTH:
        raise ArgumentError(f"interpolate: align_corners is for modes 'bilinear' and 'bicubic', got mode {mode!r}")
    if antialias:
        raise ArgumentError("interpolate: antialias=True is not supported")
    if recompute and size is not None:
        raise ArgumentError("interpolate: recompute_scale_factor needs scale_factor, got size")
    if not is_float(x.dtype) and (mode not in NEAREST or x.dtype.kind == "b"):
        raise DTypeError(f"interpolate: input must be of a floating-point type for mode {mode!r}, got {x.dtype}")


def _target(x: Tensor, size: Any, scale_factor: Any) -> tuple[tuple[int, int], tuple[float | None, float | None]]:
    if size is not None:
        if isinstance(size, Sequence) and len(size) != 2:
            raise ArgumentError(f"interpolate: size must be one number or two, got {size!r}")
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


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` in mode 'nearest'."""
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` in mode 'bilinear' with align_corners=True: the corner pixels keep their places."""
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def zero_insert(input: Tensor, stride: Any) -> Tensor:
    """The planes of (N, C, H, W) with stride - 1 zeros between neighbouring pixels: ((H - 1)·stride + 1, ...).

    What a transposed convolution of this stride convolves: with p = K - 1 - padding and w turned by 180 degrees and
    with its two channel axes swapped it is `conv2d(zero_insert(x, stride), w, padding=p)`, which multiplies by all the
    zeros where `conv_transpose2d` leaves them out.
    **Source** Dumoulin & Visin (2016), section 4.5.
    """
    x, steps = tensor_arg("zero_insert", "input", input), pair("zero_insert", "stride", stride, 1)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"zero_insert: input must be (N, C, H, W) with pixels, got shape {x.shape}")
    return Resize(*(kernel.spaced_taps(n, step) for n, step in zip(x.shape[2:], steps, strict=True)))(x)
