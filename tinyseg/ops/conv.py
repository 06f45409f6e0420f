"""Convolution and transposed convolution: three linear ops, each the gradient of the other two.

    y  = Conv2d(x, w)            forward
    gx = Conv2dInput(gy, w)      the gradient for the input, and the forward pass of the transposed convolution
    gw = Conv2dWeight(x, gy)     the gradient for the weight

Every backward below is written with these three, so derivatives of any order need no other kernel. They are what
cuDNN calls Forward, BackwardData and BackwardFilter.
"""

from __future__ import annotations

from typing import Any

from ..casting import lowered
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import conv2d as kernel
from ..kernels.conv2d import ConvGeometry
from .activation import ReluGrad
from .checks import pair, real, same_kind
from .pad import pad as pad_
from .reduce import sum
from .shape import reshape

Pair = tuple[int, int]


class Conv2d(Op):
    """y[n,o,i,j] = b[o] + Σ w[o,c,p,q] x[n,c, s·i + d·p - pad, s·j + d·q - pad]"""

    geometry: ConvGeometry
    saves = {"x": "w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        self.size, self.kernel_size = x.shape[2:], w.shape[2:]
        return kernel.forward(x, w, self.geometry, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        return self.gradients(gy, *self.saved)

    def gradients(self, gy: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor | None, ...]:
        gx = Conv2dInput(self.geometry, self.size)(gy, w, None) if self.needs[0] else None
        gw = Conv2dWeight(self.geometry, self.kernel_size)(x, gy) if self.needs[1] else None
        return gx, gw, sum(gy, (0, 2, 3)) if self.needs[2] else None


class Conv2dRelu(Conv2d):
    """y = max(Conv2d(x, w, b), 0) without a pass over memory of its own: while a block of y is in the cache"""

    saves = {"x": "w", "w": "x", "y": "x w b"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        self.size, self.kernel_size = x.shape[2:], w.shape[2:]
        return kernel.forward(x, w, self.geometry, b, relu=True)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, y = self.saved
        return self.gradients(ReluGrad(y.data)(gy), x, w)


class Conv2dInput(Op):
    """x[n,c,h,w] = b[c] + Σ w[o,c,p,q] gy[n,o,i,j] over all (i, p) with s·i + d·p - pad = h, likewise (j, q)"""

    geometry: ConvGeometry
    size: Pair
    saves = {"gy": "w", "w": "gy"}

    def forward(self, gy: Array, w: Array, b: Array) -> Array:
        self.kernel_size = w.shape[2:]
        return kernel.grad_input(gy, w, self.geometry, self.size, b)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        gy, w = self.saved
        ggy = Conv2d(self.geometry)(ggx, w, None) if self.needs[0] else None
        gw = Conv2dWeight(self.geometry, self.kernel_size)(ggx, gy) if self.needs[1] else None
        return ggy, gw, sum(ggx, (0, 2, 3)) if self.needs[2] else None


class Conv2dWeight(Op):
    """w[o,c,p,q] = Σ x[n,c, s·i + d·p - pad, s·j + d·q - pad] gy[n,o,i,j] over n, i, j"""

    geometry: ConvGeometry
    kernel_size: Pair
    saves = {"x": "gy", "gy": "x"}

    def forward(self, x: Array, gy: Array) -> Array:
        self.size = x.shape[2:]
        return kernel.grad_weight(x, gy, self.geometry, self.kernel_size)

    def backward(self, ggw: Tensor) -> tuple[Tensor | None, ...]:
        x, gy = self.saved
        gx = Conv2dInput(self.geometry, self.size)(gy, ggw, None) if self.needs[0] else None
        return gx, Conv2d(self.geometry)(x, ggw, None) if self.needs[1] else None


@lowered
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    *,
    relu: bool = False,
) -> Tensor:
    """Cross-correlation of the input with each filter, plus bias: y[o] = b[o] + Σ_c w[o, c] ⋆ x[c].

    **Shapes** input (N, C, H, W) or (C, H, W); weight (O, C/groups, KH, KW); bias (O,);
    output (N, O, OH, OW) with OH = ⌊(H + 2·padding - dilation·(KH - 1) - 1) / stride⌋ + 1.
    `padding` is a number, a pair, 'valid' (none) or 'same' (OH = H, stride 1; an odd rest goes right and below).
    With `relu` the result is max(y, 0), bit for bit that of `relu(conv2d(...))`, with a pass over memory less.
    **Raises** ShapeError, ArgumentError, DTypeError, DeviceError.
    **Source** Dumoulin & Visin, A guide to convolution arithmetic, Relationships 6 and 15.
    """
    same_kind("conv2d", input=input, weight=weight, bias=bias)
    real("conv2d", input=input)
    stride, dilation = pair("conv2d", "stride", stride, 1), pair("conv2d", "dilation", dilation, 1)
    around = padding if isinstance(padding, str) else pair("conv2d", "padding", padding, 0)
    _check("conv2d", input, weight, groups)
    if input.shape[-3] != weight.shape[1] * groups:
        raise ShapeError(
            f"conv2d: weight expects {weight.shape[1]} channels per group but input has {input.shape[-3]} channels / "
            f"{groups} group{'s' * (groups > 1)} (input {input.shape}, weight {weight.shape})"
        )
    if weight.shape[0] % groups:
        raise ShapeError(f"conv2d: groups {groups} must divide the {weight.shape[0]} filters of weight {weight.shape}")
    _check_bias("conv2d", bias, weight.shape[0])
    geometry = ConvGeometry(stride, _padding(around, weight.shape[2:], stride, dilation), dilation, groups)
    size = kernel.output_size(input.shape[-2:], weight.shape[2:], geometry)
    if min(size) < 1:
        (top, bottom), (left, right) = geometry.padding
        padded = input.shape[-2] + top + bottom, input.shape[-1] + left + right
        window = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True))
        raise ShapeError(f"conv2d: the window {window} (dilation included) is larger than the padded input {padded}")
    op = Conv2dRelu if relu else Conv2d
    return _batched(input, lambda x: op(geometry)(x, weight, bias))


@lowered
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The gradient of `conv2d` for its input, used as a layer: every input pixel spreads its filter over the output.

    **Shapes** input (N, C, H, W) or (C, H, W); weight (C, O/groups, KH, KW); bias (O,);
    output (N, O, OH, OW) with OH = (H - 1)·stride - 2·padding + dilation·(KH - 1) + output_padding + 1.
    `output_padding` (below the larger of stride and dilation) only enlarges the output at the right and bottom: it
    chooses among the input sizes that the convolution maps to H.
    **Raises** ShapeError, ArgumentError, DTypeError, DeviceError.
    **Source** Dumoulin & Visin, A guide to convolution arithmetic, Relationship 14.
    """
    caller = "conv_transpose2d"
    same_kind(caller, input=input, weight=weight, bias=bias)
    real(caller, input=input)
    s, p, d = (
        pair(caller, "stride", stride, 1),
        pair(caller, "padding", padding, 0),
        pair(caller, "dilation", dilation, 1),
    )
    extra = pair(caller, "output_padding", output_padding, 0)
    _check(caller, input, weight, groups)
    if input.shape[-3] != weight.shape[0] or weight.shape[0] % groups:
        raise ShapeError(
            f"{caller}: weight expects {weight.shape[0]} channels in {groups} group{'s' * (groups > 1)} but input has "
            f"{input.shape[-3]} channels (input {input.shape}, weight {weight.shape})"
        )
    _check_bias(caller, bias, weight.shape[1] * groups)
    if any(e >= max(si, di) for e, si, di in zip(extra, s, d, strict=True)):
        raise ArgumentError(f"{caller}: output_padding {extra} must be below the larger of stride {s} and dilation {d}")
    axes_ = zip(input.shape[-2:], s, p, d, weight.shape[2:], extra, strict=True)
    size = tuple((n - 1) * si - 2 * pi + di * (k - 1) + e + 1 for n, si, pi, di, k, e in axes_)
    if min(size) < 1:
        raise ShapeError(f"{caller}: the output would have size {size} (input {input.shape}, padding {p})")
    geometry = ConvGeometry(s, ((p[0], p[0]), (p[1], p[1])), d, groups)
    if extra[0] >= s[0] or extra[1] >= s[1]:  # only with dilation > stride: more windows fit than the input has pixels
        input = pad_(input, (0, extra[1] // s[1], 0, extra[0] // s[0]))
    return _batched(input, lambda x: Conv2dInput(geometry, (size[0], size[1]))(x, weight, bias))


def _batched(input: Tensor, function: Any) -> Tensor:
    if input.ndim == 4:
        return function(input)
    y = function(reshape(input, 1, *input.shape))
    return reshape(y, *y.shape[1:])


def _check(caller: str, input: Tensor, weight: Tensor, groups: int) -> None:
    if input.ndim not in (3, 4):
        raise ShapeError(f"{caller}: input must be (N, C, H, W) or (C, H, W), got shape {input.shape}")
    if weight.ndim != 4 or 0 in weight.shape:
        raise ShapeError(f"{caller}: weight must have four axes, none of them empty, got shape {weight.shape}")
    if not isinstance(groups, int) or groups < 1:
        raise ArgumentError(f"{caller}: groups must be a positive integer, got {groups!r}")
    if 0 in input.shape[-3:]:
        raise ShapeError(f"{caller}: input has an empty axis besides the batch: shape {input.shape}")


def _check_bias(caller: str, bias: Tensor | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(f"{caller}: bias must have shape {(channels,)}, got {bias.shape}")


def _padding(padding: Any, kernel_size: Pair, stride: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """((top, bottom), (left, right)) from PyTorch's argument."""
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ArgumentError(f"conv2d: padding='same' needs stride 1, got {stride}")
        rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True))
        return (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)
    if isinstance(padding, str):
        raise ArgumentError(f"conv2d: padding must be a number, a pair, 'valid' or 'same', got {padding!r}")
    h, w = padding
    return (h, h), (w, w)
