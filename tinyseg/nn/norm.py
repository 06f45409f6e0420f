"""Normalisation layers: batch, instance, group, layer and RMS norm; and over neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..creation import ones, zeros
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from . import functional as F
from . import init
from .module import Module, Parameter

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "LocalResponseNorm",
    "RMSNorm",
]  # fmt: skip


class _NormBase(Module):
    """Parameters, running statistics and printed form of batch and instance norm."""

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    optional_keys = ("num_batches_tracked",)  # checkpoints from before PyTorch 0.4.1 lack it
    ndims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(num_features, int) or num_features < 1:
            raise ArgumentError(f"{type(self).__name__}: num_features must be a positive integer, got {num_features!r}")
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        made: dict[str, Any] = {"dtype": dtype, "device": device}
        self.weight, self.bias = _affine(num_features, affine, affine and bias, device, dtype)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **made) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **made) if tracked else None)
        self.register_buffer("num_batches_tracked", zeros(dtype=np.int64, device=device) if tracked else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer.assign_(value)

    def reset_parameters(self) -> None:
        """Forget the statistics; weight 1, bias 0."""
        self.reset_running_stats()
        _reset(self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_NormBase):
    def _factor(self) -> float:
        """How far the running statistics move: `momentum`, or 1/number of batches for their plain average."""
        if self.num_batches_tracked is None or not self.training:
            return 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked.assign_(self.num_batches_tracked.data + 1)
        return 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum

    def forward(self, input: Tensor, *, relu: bool = False) -> Tensor:
        """Same shape as the input, with `relu` max(y, 0); in training the running statistics move to the batch's."""
        if input.ndim not in self.ndims:
            expected = " or ".join(map(str, self.ndims))
            raise ShapeError(f"{type(self).__name__}: input must have {expected} axes, got shape {input.shape}")
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            self._factor(),
            self.eps,
            relu=relu,
        )


class BatchNorm1d(_BatchNorm):
    """`functional.batch_norm` over (N, C) or (N, C, L).

    `momentum=None` averages over all batches; `track_running_stats=False` always uses the batch's statistics.
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """`functional.batch_norm` over (N, C, H, W).

    `momentum=None` averages over all batches; `track_running_stats=False` always uses the batch's statistics.
    """

    ndims = (4,)


class _InstanceNorm(_NormBase):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input; running statistics, if tracked, move in training and are used in evaluation."""
        if input.ndim not in self.ndims:
            expected = " or ".join(map(str, self.ndims))
            raise ShapeError(f"{type(self).__name__}: input must have {expected} axes, got shape {input.shape}")
        x = input if input.ndim == self.ndims[1] else input[None]
        if self.affine and x.shape[1] != self.num_features:
            raise ShapeError(
                f"{type(self).__name__}: input must have num_features {self.num_features} channels, "
                f"got shape {input.shape}"
            )
        y = F.instance_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return y.reshape(*input.shape)


class InstanceNorm1d(_InstanceNorm):
    """`functional.instance_norm` over (N, C, L) or (C, L); by default without parameters and running statistics."""

    ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """`functional.instance_norm` over (N, C, H, W) or (C, H, W); by default without parameters and statistics."""

    ndims = (3, 4)


class GroupNorm(Module):
    """`functional.group_norm` of (N, C, ...): statistics by sample and group of channels."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        for name, n in (("num_groups", num_groups), ("num_channels", num_channels)):
            if not isinstance(n, int) or n < 1:
                raise ArgumentError(f"GroupNorm: {name} must be a positive integer, got {n!r}")
        if num_channels % num_groups:
            raise ArgumentError(f"GroupNorm: num_groups {num_groups} does not divide num_channels {num_channels}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self.weight, self.bias = _affine(num_channels, affine, affine and bias, device, dtype)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(Module):
    """`functional.layer_norm` over the last axes, those of `normalized_shape`."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of("LayerNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        affine = elementwise_affine
        self.weight, self.bias = _affine(self.normalized_shape, affine, affine and bias, device, dtype)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """`functional.rms_norm` over the last axes, those of `normalized_shape`."""

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape_of("RMSNorm", normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight, _ = _affine(self.normalized_shape, elementwise_affine, False, device, dtype)

    def reset_parameters(self) -> None:
        """Weight 1."""
        _reset(self.weight, None)

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """`functional.local_response_norm`: each channel divided by the energy of its `size` neighbours."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *), the same shape."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def _shape_of(caller: str, normalized_shape: Any) -> tuple[int, ...]:
    listed = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not listed or not all(isinstance(n, int) and n > 0 for n in listed):
        raise ArgumentError(
            f"{caller}: normalized_shape must be one or more positive integers, got {normalized_shape!r}"
        )
    return listed


def _affine(
    shape: Any, weight: bool, bias: bool, device: str | None, dtype: Any
) -> tuple[Parameter | None, Parameter | None]:
    """Weight 1 and bias 0, or None for what is not wanted."""
    made: dict[str, Any] = {"dtype": dtype, "device": device}
    return Parameter(ones(shape, **made)) if weight else None, Parameter(zeros(shape, **made)) if bias else None


def _reset(weight: Parameter | None, bias: Parameter | None) -> None:
    if weight is not None:
        init.ones_(weight)
    if bias is not None:
        init.zeros_(bias)
