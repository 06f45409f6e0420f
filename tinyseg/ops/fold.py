"""Unfold and fold: the windows of an image as the columns of a matrix, and their sum back into an image.

Each is the other's adjoint. Convolution is a matrix product between the two:
conv2d(x, w) = w · unfold(x), and its input gradient is fold(wᵀ · gy).
"""

from __future__ import annotations

from typing import Any

from ..engine import Array, Op, Tensor
from ..errors import ShapeError
from ..kernels import im2col as kernel
from ..kernels.conv2d import ConvGeometry
from ..kernels.conv2d import output_size as window_count
from .checks import pair, real, tensor_arg
from .shape import reshape

Pair = tuple[int, int]


class Unfold(Op):
    """columns[n, (c, p, q), (i, j)] = x[n, c, s·i + d·p - pad, s·j + d·q - pad]; adjoint: Fold"""

    kernel_size: Pair
    geometry: ConvGeometry

    def forward(self, x: Array) -> Array:
        self.size = x.shape[2:]
        return kernel.im2col(x, self.kernel_size, self.geometry)

    def backward(self, gy: Tensor) -> Tensor:
        return Fold(self.kernel_size, self.geometry, self.size)(gy)


class Fold(Op):
    """x = the columns added up at the pixels that Unfold reads them from; adjoint: Unfold"""

    kernel_size: Pair
    geometry: ConvGeometry
    size: Pair

    def forward(self, columns: Array) -> Array:
        return kernel.col2im(columns, self.kernel_size, self.geometry, self.size)

    def backward(self, gy: Tensor) -> Tensor:
        return Unfold(self.kernel_size, self.geometry)(gy)


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Every window of the image as a column: the channels' KH x KW patches one after the other.

    **Shapes** (N, C, H, W) to (N, C·KH·KW, L), or (C, H, W) to (C·KH·KW, L), with L = OH·OW windows, where
    OH = ⌊(H + 2·padding - dilation·(KH - 1) - 1) / stride⌋ + 1. **Raises** ShapeError, ArgumentError, DTypeError.
    """
    caller = "unfold"
    x = _float_arg(caller, input)
    window, geometry = _geometry(caller, kernel_size, dilation, padding, stride)
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}")
    count = window_count((x.shape[-2], x.shape[-1]), window, geometry)
    if min(count) < 1:
        raise ShapeError(f"{caller}: there would be {count} windows (input {x.shape}, kernel_size {window})")
    y = Unfold(window, geometry)(x if x.ndim == 4 else reshape(x, 1, *x.shape))
    return y if x.ndim == 4 else reshape(y, *y.shape[1:])


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The columns that `unfold` makes of an image of `output_size` = (H, W), added up where windows overlap.

    fold(unfold(x)) is x times the number of windows that hold each pixel, which is fold(unfold(ones)).
    **Shapes** (N, C·KH·KW, L) to (N, C, H, W), or (C·KH·KW, L) to (C, H, W), with L as in `unfold`.
    **Raises** ShapeError, ArgumentError, DTypeError.
    """
    caller = "fold"
    x = _float_arg(caller, input)
    size = pair(caller, "output_size", output_size, 1)
    window, geometry = _geometry(caller, kernel_size, dilation, padding, stride)
    if x.ndim not in (2, 3) or 0 in x.shape[-2:]:
        raise ShapeError(f"{caller}: input must be (N, C·KH·KW, L) or (C·KH·KW, L), only N may be 0, got {x.shape}")
    if x.shape[-2] % (window[0] * window[1]):
        raise ShapeError(f"{caller}: the {x.shape[-2]} rows of input {x.shape} are no multiple of kernel_size {window}")
    count = window_count(size, window, geometry)
    if min(count) < 1 or count[0] * count[1] != x.shape[-1]:
        raise ShapeError(
            f"{caller}: output_size {size} with kernel_size {window}, dilation {geometry.dilation}, "
            f"padding {tuple(before for before, _ in geometry.padding)}, stride {geometry.stride} has "
            f"{count[0]}·{count[1]} windows, but input {x.shape} has {x.shape[-1]} columns"
        )
    y = Fold(window, geometry, size)(x if x.ndim == 3 else reshape(x, 1, *x.shape))
    return y if x.ndim == 3 else reshape(y, *y.shape[1:])


def _float_arg(caller: str, input: Any) -> Tensor:
    x = tensor_arg(caller, "input", input)
    real(caller, input=x)
    return x


def _geometry(caller: str, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple[Pair, ConvGeometry]:
    window, d = pair(caller, "kernel_size", kernel_size, 1), pair(caller, "dilation", dilation, 1)
    (h, w), s = pair(caller, "padding", padding, 0), pair(caller, "stride", stride, 1)
    return window, ConvGeometry(s, ((h, h), (w, w)), d)
