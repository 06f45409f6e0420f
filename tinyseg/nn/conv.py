"""Layers with a weight that multiplies: convolution, transposed convolution, linear."""

from __future__ import annotations

import math
from typing import Any

from ..creation import empty
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from ..ops.checks import pair
from . import functional as F
from . import init
from .module import Module, Parameter

__all__ = ["Conv2d", "ConvTranspose2d", "Linear"]

Pair = tuple[int, int]


def _reset(weight: Tensor, bias: Tensor | None) -> None:
    """PyTorch's default: both uniform in ±1/√(fan-in)."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = init.fans(weight)[0]
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)


def _made(shape: tuple[int, ...], device: str | None, dtype: Any) -> Parameter:
    return Parameter(empty(*shape, dtype=dtype, device=device))


class _Conv(Module):
    """What both convolutions share: the checked settings, the weight and the bias."""

    weight: Parameter
    bias: Parameter | None

    def _set(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, dilation: Any) -> None:
        caller = type(self).__name__
        for name, n in (("in_channels", in_channels), ("out_channels", out_channels)):
            if not isinstance(n, int) or n < 1:
                raise ArgumentError(f"{caller}: {name} must be a positive integer, got {n!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = pair(caller, "kernel_size", kernel_size, 1)
        self.stride, self.dilation = pair(caller, "stride", stride, 1), pair(caller, "dilation", dilation, 1)

    def _set_groups(self, groups: int) -> None:
        if not isinstance(groups, int) or groups < 1 or self.in_channels % groups or self.out_channels % groups:
            raise ArgumentError(
                f"{type(self).__name__}: groups must divide in_channels {self.in_channels} and "
                f"out_channels {self.out_channels}, got {groups!r}"
            )
        self.groups = groups

    def _set_weights(self, first: int, second: int, bias: bool, device: str | None, dtype: Any) -> None:
        self.weight = _made((first, second // self.groups, *self.kernel_size), device, dtype)
        self.bias = _made((self.out_channels,), device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the default initial values again."""
        _reset(self.weight, self.bias)


class Conv2d(_Conv):
    """`functional.conv2d` with its weight (out, in/groups, KH, KW) and bias (out,).

    `padding_mode` 'zeros', 'reflect', 'replicate' or 'circular' says what stands around the input.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._set(in_channels, out_channels, kernel_size, stride, dilation)
        self._set_groups(groups)
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ArgumentError(
                f"Conv2d: padding_mode must be 'zeros', 'reflect', 'replicate' or 'circular', got {padding_mode!r}"
            )
        if padding == "same" and self.stride != (1, 1):
            raise ArgumentError(f"Conv2d: padding='same' needs stride 1, got {self.stride}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ArgumentError(f"Conv2d: padding must be a number, a pair, 'valid' or 'same', got {padding!r}")
        self.padding: Any = padding if isinstance(padding, str) else pair("Conv2d", "padding", padding, 0)
        self.padding_mode = padding_mode
        self._set_weights(out_channels, in_channels, bias, device, dtype)

    def _widths(self) -> tuple[int, int, int, int]:
        """(left, right, top, bottom), as `functional.pad` takes them; the odd rest of 'same' goes right and below."""
        if self.padding == "valid":
            return 0, 0, 0, 0
        if self.padding == "same":
            rows, columns = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
            return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
        h, w = self.padding
        return w, w, h, h

    def forward(self, input: Tensor, *, relu: bool = False) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, O, OH, OW) or (O, OH, OW); with `relu` max(y, 0) in the same pass."""
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._widths(), mode=self.padding_mode), 0
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, relu=relu)

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != (0, 0) else ""
        return text + _rest(self)


def _rest(conv: Any) -> str:
    """The settings that both convolutions print only where they differ from the default."""
    text = f", dilation={conv.dilation}" if conv.dilation != (1, 1) else ""
    text += f", output_padding={conv.output_padding}" if getattr(conv, "output_padding", (0, 0)) != (0, 0) else ""
    text += f", groups={conv.groups}" if conv.groups != 1 else ""
    text += ", bias=False" if conv.bias is None else ""
    return text + (f", padding_mode={conv.padding_mode}" if conv.padding_mode != "zeros" else "")


class ConvTranspose2d(_Conv):
    """`functional.conv_transpose2d` with its weight (in, out/groups, KH, KW) and bias (out,).

    A strided convolution maps several input sizes to one; `output_size` in the call says which of them to restore.
    """

    padding_mode = "zeros"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_mode != "zeros":
            raise ArgumentError(f"ConvTranspose2d: only padding_mode 'zeros' is supported, got {padding_mode!r}")
        self._set(in_channels, out_channels, kernel_size, stride, dilation)
        self._set_groups(groups)
        self.padding = pair("ConvTranspose2d", "padding", padding, 0)
        self.output_padding = pair("ConvTranspose2d", "output_padding", output_padding, 0)
        self._set_weights(in_channels, out_channels, bias, device, dtype)

    def _output_padding(self, input: Tensor, output_size: Any) -> Pair:
        if output_size is None:
            return self.output_padding
        size = tuple(output_size)
        if input.ndim not in (3, 4) or len(size) not in (2, input.ndim):
            raise ShapeError(
                f"ConvTranspose2d: output_size must have 2 or {input.ndim} numbers for input {input.shape}, got {size}"
            )
        axes = zip(input.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in axes]
        extra = [wanted - low for wanted, low in zip(size[-2:], least, strict=True)]
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = tuple(low + s - 1 for low, s in zip(least, self.stride, strict=True))
            raise ShapeError(
                f"ConvTranspose2d: output_size {size[-2:]} is not between {tuple(least)} and {most}, "
                f"the sizes that input {input.shape[-2:]} with stride {self.stride} can come from"
            )
        return extra[0], extra[1]

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, O, OH, OW); `output_size` is (OH, OW) or a whole shape."""
        extra = self._output_padding(input, output_size)
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        text += f", padding={self.padding}" if self.padding != (0, 0) else ""
        return text + _rest(self)


class Linear(Module):
    """y = x weightᵀ + bias, with weight (out, in) and bias (out,)."""

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__()
        for name, n in (("in_features", in_features), ("out_features", out_features)):
            if not isinstance(n, int) or n < 1:
                raise ArgumentError(f"Linear: {name} must be a positive integer, got {n!r}")
        self.in_features, self.out_features = in_features, out_features
        self.weight = _made((out_features, in_features), device, dtype)
        self.bias = _made((out_features,), device, dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the default initial values again."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(*, in) to (*, out)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
