"""Pooling. The maximum chooses a place in each window; after that it is linear: gather, with scatter as adjoint.

Means over windows, of one size or sharing out the plane, are linear outright.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from ..kernels import pool as kernel
from ..kernels.pool import PoolGeometry
from .checks import floating, is_float, pair, real, tensor_arg
from .choice import where
from .elementwise import abs_
from .halves import in_float32
from .shape import reshape

Pair = tuple[int, int]


class MaxPool2d(Op):
    """y = largest x in each window, and where it was: h·W + w in its plane"""

    geometry: PoolGeometry
    outputs = ("y", "indices")

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.size = x.shape[-2:]
        y, self.indices = self.largest(x)
        return y, self.indices

    def largest(self, x: Array) -> tuple[Array, Array]:
        """The maxima and their places."""
        return kernel.max_forward(x, self.geometry)

    def backward(self, gy: Tensor, _: None) -> Tensor:
        return PoolScatter(self.indices, self.size, self.geometry)(gy)


class AdaptiveMaxPool2d(MaxPool2d):
    """y = largest x in each of OH x OW windows that share out the plane, and where it was"""

    geometry: Any  # (OH, OW)

    def largest(self, x: Array) -> tuple[Array, Array]:
        """The maxima and their places."""
        return kernel.adaptive_max_forward(x, self.geometry)


class MaxUnpool2d(Op):
    """y = zeros with x put at its index in each plane, the last one where several meet; backward: PoolGather"""

    indices: Array
    size: Pair

    def forward(self, x: Array) -> Array:
        return kernel.put(x, self.indices, self.size)

    def backward(self, gy: Tensor) -> Tensor:
        return PoolGather(self.indices, self.size)(gy)


class PoolScatter(Op):
    """y = zeros with x added at its index in each plane; adjoint: PoolGather"""

    indices: Array
    size: Pair
    windows: PoolGeometry | Pair | None = None  # in which the maxima were found, if that is what the indices are

    def forward(self, x: Array) -> Array:
        return kernel.scatter(x, self.indices, self.size, self.windows)

    def backward(self, gy: Tensor) -> Tensor:
        return PoolGather(self.indices, self.size, self.windows)(gy)


class PoolGather(Op):
    """y = x at each index of its plane; adjoint: PoolScatter"""

    indices: Array
    size: Pair
    windows: PoolGeometry | Pair | None = None

    def forward(self, x: Array) -> Array:
        return kernel.gather(x, self.indices)

    def backward(self, gy: Tensor) -> Tensor:
        return PoolScatter(self.indices, self.size, self.windows)(gy)


class AvgPool2d(Op):
    """y = mean of x in each window; adjoint: AvgPool2dAdjoint"""

    geometry: PoolGeometry
    count_include_pad: bool
    divisor: int | None

    def forward(self, x: Array) -> Array:
        self.size = x.shape[-2:]
        return kernel.avg_forward(x, self.geometry, self.count_include_pad, self.divisor)

    def backward(self, gy: Tensor) -> Tensor:
        return AvgPool2dAdjoint(self.geometry, self.count_include_pad, self.divisor, self.size)(gy)


class AvgPool2dAdjoint(Op):
    """y = x spread evenly over the window that it was the mean of; adjoint: AvgPool2d"""

    geometry: PoolGeometry
    count_include_pad: bool
    divisor: int | None
    size: Pair

    def forward(self, x: Array) -> Array:
        return kernel.avg_adjoint(x, self.geometry, self.size, self.count_include_pad, self.divisor)

    def backward(self, gy: Tensor) -> Tensor:
        return AvgPool2d(self.geometry, self.count_include_pad, self.divisor)(gy)


class AdaptiveAvgPool2d(Op):
    """y = mean of x in each of OH x OW windows that share out the plane; adjoint: AdaptiveAvgPool2dAdjoint"""

    output: Pair

    def forward(self, x: Array) -> Array:
        self.size = x.shape[-2:]
        return kernel.adaptive_avg_forward(x, self.output)

    def backward(self, gy: Tensor) -> Tensor:
        return AdaptiveAvgPool2dAdjoint(self.size)(gy)


class AdaptiveAvgPool2dAdjoint(Op):
    """y = x spread evenly over the window that it was the mean of; adjoint: AdaptiveAvgPool2d"""

    size: Pair

    def forward(self, x: Array) -> Array:
        self.output = x.shape[-2:]
        return kernel.adaptive_avg_adjoint(x, self.size)

    def backward(self, gy: Tensor) -> Tensor:
        return AdaptiveAvgPool2d(self.output)(gy)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window, NaN if it holds one; with `return_indices` also its place h·W + w.

    **Shapes** input (N, C, H, W) or (C, H, W); OH = ⌊(H + 2·padding - dilation·(KH - 1) - 1) / stride⌋ + 1, rounded up
    with `ceil_mode` unless the last window would start in the padding. `stride` is the kernel size by default.
    Integers are pooled on the CPU only, as in PyTorch.
    """
    if tensor_arg("max_pool2d", "input", input).device != "cpu" and not is_float(input.dtype):
        raise DTypeError(
            f"max_pool2d: input must be of a floating-point type on {str(input.device)!r}, got {input.dtype}; "
            "use .to(dtype), or .cpu()"
        )
    x, geometry = _geometry("max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode)
    y, indices = MaxPool2d(geometry)(x)
    if input.ndim == 3:
        y, indices = reshape(y, *y.shape[1:]), reshape(indices, *indices.shape[1:])
    return (y, indices) if return_indices else y


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window: its sum divided by its size, by its pixels inside the input if not
    `count_include_pad`, or by `divisor_override`. Shapes as in `max_pool2d`.
    """
    if not is_float(tensor_arg("avg_pool2d", "input", input).dtype):
        raise DTypeError(f"avg_pool2d: input must be of a floating-point type, got {input.dtype}")
    x, geometry = _geometry("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
        raise ArgumentError(f"avg_pool2d: divisor_override must be an integer other than 0, got {divisor_override!r}")
    y = AvgPool2d(geometry, count_include_pad, divisor_override)(x)
    return reshape(y, *y.shape[1:]) if input.ndim == 3 else y


@in_float32
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """The p-norm of each window, (Σ x^p)^(1/p) for p = `norm_type`: 1 is the sum, infinity the largest |x|.

    As in PyTorch no absolute value is taken, so for odd p a negative sum gives NaN, and a window that `ceil_mode` lets
    hang over the edge is scaled up to its full size. Where the sum is 0 so is the gradient.
    """
    caller = "lp_pool2d"
    x, window = floating(caller, input), pair(caller, "kernel_size", kernel_size, 1)
    if norm_type in (math.inf, -math.inf):
        sign = math.copysign(1.0, norm_type)
        return sign * max_pool2d(sign * abs_(x), window, stride, ceil_mode=ceil_mode)
    if norm_type == 0:
        raise ArgumentError(f"{caller}: norm_type must not be 0")
    total = avg_pool2d(x**norm_type, window, stride, ceil_mode=ceil_mode) * float(window[0] * window[1])
    empty = total.detach() == 0.0
    return where(empty, 0.0 if norm_type > 0 else math.inf, where(empty, 1.0, total) ** (1.0 / norm_type))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The means of OH x OW windows that share out the plane, whatever its size.

    Window i covers the rows ⌊i·H/OH⌋ to ⌈(i + 1)·H/OH⌉ - 1, likewise the columns. None in `output_size` keeps that
    axis. **Shapes** input (N, C, H, W) or (C, H, W).
    """
    x, size = _adaptive("adaptive_avg_pool2d", input, output_size)
    y = AdaptiveAvgPool2d(size)(x)
    return reshape(y, *y.shape[1:]) if input.ndim == 3 else y


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest elements of OH x OW windows that share out the plane; windows as in `adaptive_avg_pool2d`.

    With `return_indices` also their places h·W + w, the first of equals.
    """
    x, size = _adaptive("adaptive_max_pool2d", input, output_size)
    if x.shape[1] == 0 and input.ndim == 4:
        raise ShapeError(f"adaptive_max_pool2d: input must have channels, got shape {input.shape}")
    y, indices = AdaptiveMaxPool2d(size)(x)
    if input.ndim == 3:
        y, indices = reshape(y, *y.shape[1:]), reshape(indices, *indices.shape[1:])
    return (y, indices) if return_indices else y


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool2d` with the places of the maxima."""
    return adaptive_max_pool2d(input, output_size, return_indices=True)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool2d` with the places of the maxima."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)


def max_unpool2d(
    input: Tensor, indices: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None
) -> Tensor:
    """The maxima of `max_pool2d` back at their places, zeros elsewhere: what DeconvNets call unpooling.

    **Shapes** input and indices (N, C, H, W) or (C, H, W); OH = (H - 1)·stride - 2·padding + KH, or `output_size`
    (OH, OW or a whole shape), less than a stride away from that: pooling maps several sizes to one.
    Where indices repeat the last element stays, and each receives the gradient of that place, as in PyTorch.
    **Raises** BoundsError for an index outside the output. **Source** Zeiler & Fergus (2014), section 2.1.
    """
    caller = "max_unpool2d"
    x, places = tensor_arg(caller, "input", input), tensor_arg(caller, "indices", indices)
    real(caller, input=x)
    if places.dtype != np.int64:
        raise DTypeError(f"{caller}: indices must be int64, got {places.dtype}")
    if places.shape != x.shape:
        raise ShapeError(f"{caller}: indices must have input's shape {x.shape}, got {places.shape}")
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}")
    size = _unpooled_size(caller, x, kernel_size, stride, padding, output_size)
    if x.data.size and not (places.data.min() >= 0 and places.data.max() < size[0] * size[1]):
        raise BoundsError(
            f"{caller}: indices run from {places.data.min()} to {places.data.max()}, an output of size {size} has "
            f"{size[0] * size[1]} places"
        )
    batch = x if x.ndim == 4 else reshape(x, 1, *x.shape)
    y = MaxUnpool2d(places.data.reshape(batch.shape).copy(), size)(batch)
    return y if x.ndim == 4 else reshape(y, *y.shape[1:])


def _unpooled_size(caller: str, x: Tensor, kernel_size: Any, stride: Any, padding: Any, output_size: Any) -> Pair:
    window = pair(caller, "kernel_size", kernel_size, 1)
    step = window if stride is None else pair(caller, "stride", stride, 1)
    around = pair(caller, "padding", padding, 0)
    axes = zip(x.shape[-2:], step, window, around, strict=True)
    usual = tuple((n - 1) * s - 2 * p + k for n, s, k, p in axes)
    size = usual if output_size is None else tuple(output_size)
    if len(size) not in (2, 4):
        raise ArgumentError(f"{caller}: output_size must have 2 or 4 numbers, got {size}")
    if min(size) < 0 or any(abs(n - u) >= s for n, u, s in zip(size[-2:], usual, step, strict=True)):
        raise ArgumentError(
            f"{caller}: output_size {size[-2:]} must be less than stride {step} away from {usual} and not negative"
        )
    return size[-2], size[-1]


def _geometry(
    caller: str, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Tensor, PoolGeometry]:
    """The input with a batch axis, and the checked geometry."""
    x = tensor_arg(caller, "input", input)
    window = pair(caller, "kernel_size", kernel_size, 1)
    step = window if stride is None or stride in ((), []) else pair(caller, "stride", stride, 1)
    around, d = pair(caller, "padding", padding, 0), pair(caller, "dilation", dilation, 1)
    if any(2 * p > k for p, k in zip(around, window, strict=True)):
        raise ArgumentError(f"{caller}: padding {around} must be at most half of kernel_size {window}")
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}")
    geometry = PoolGeometry(window, step, around, d, bool(ceil_mode))
    size = kernel.output_size((x.shape[-2], x.shape[-1]), geometry)
    if min(size) < 1:
        raise ShapeError(f"{caller}: the output would have size {size} (input {x.shape}, kernel_size {window})")
    return (x if x.ndim == 4 else reshape(x, 1, *x.shape)), geometry


def _adaptive(caller: str, input: Tensor, output_size: Any) -> tuple[Tensor, Pair]:
    """The input with a batch axis, and the checked output size."""
    x = tensor_arg(caller, "input", input)
    given = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size, output_size)
    try:
        wanted = [None if n is None else operator.index(n) for n in given]
    except TypeError:
        wanted = []
    if len(wanted) != 2 or any(n is not None and n < 0 for n in wanted):
        raise ArgumentError(f"{caller}: output_size must be a number or two, 0 or more or None, got {output_size!r}")
    if x.ndim not in (3, 4) or 0 in x.shape[-2:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W) with pixels, got shape {x.shape}")
    real(caller, input=x)
    h, w = (n if m is None else m for n, m in zip(x.shape[-2:], wanted, strict=True))
    return (x if x.ndim == 4 else reshape(x, 1, *x.shape)), (h, w)
