"""Pooling. The maximum chooses a place in each window; after that it is linear: gather, with scatter as adjoint."""

from __future__ import annotations

from typing import Any

from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import pool as kernel
from ..kernels.pool import PoolGeometry
from .checks import pair, tensor_arg
from .shape import reshape

Pair = tuple[int, int]


class MaxPool2d(Op):
    """y = largest x in each window, and where it was: h·W + w in its plane"""

    geometry: PoolGeometry
    outputs = ("y", "indices")

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.size = x.shape[-2:]
        y, self.indices = kernel.max_forward(x, self.geometry)
        return y, self.indices

    def backward(self, gy: Tensor, _: None) -> Tensor:
        return PoolScatter(self.indices, self.size)(gy)


class PoolScatter(Op):
    """y = zeros with x added at its index in each plane; adjoint: PoolGather"""

    indices: Array
    size: Pair

    def forward(self, x: Array) -> Array:
        return kernel.scatter(x, self.indices, self.size)

    def backward(self, gy: Tensor) -> Tensor:
        return PoolGather(self.indices, self.size)(gy)


class PoolGather(Op):
    """y = x at each index of its plane; adjoint: PoolScatter"""

    indices: Array
    size: Pair

    def forward(self, x: Array) -> Array:
        return kernel.gather(x, self.indices)

    def backward(self, gy: Tensor) -> Tensor:
        return PoolScatter(self.indices, self.size)(gy)


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
    """
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
    x, geometry = _geometry("avg_pool2d", input, kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is not None and (not isinstance(divisor_override, int) or divisor_override == 0):
        raise ArgumentError(f"avg_pool2d: divisor_override must be an integer other than 0, got {divisor_override!r}")
    y = AvgPool2d(geometry, count_include_pad, divisor_override)(x)
    return reshape(y, *y.shape[1:]) if input.ndim == 3 else y


def _geometry(
    caller: str, input: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Tensor, PoolGeometry]:
    """The input with a batch axis, and the checked geometry."""
    x = tensor_arg(caller, "input", input)
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W), only N may be 0, got shape {x.shape}")
    window = pair(caller, "kernel_size", kernel_size, 1)
    step = window if stride is None or stride == () else pair(caller, "stride", stride, 1)
    around, d = pair(caller, "padding", padding, 0), pair(caller, "dilation", dilation, 1)
    if any(2 * p > k for p, k in zip(around, window, strict=True)):
        raise ArgumentError(f"{caller}: padding {around} must be at most half of kernel_size {window}")
    geometry = PoolGeometry(window, step, around, d, bool(ceil_mode))
    size = kernel.output_size((x.shape[-2], x.shape[-1]), geometry)
    if min(size) < 1:
        raise ShapeError(f"{caller}: the output would have size {size} (input {x.shape}, kernel_size {window})")
    return (x if x.ndim == 4 else reshape(x, 1, *x.shape)), geometry
