"""Normalisation layers: of batches, and of neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..creation import ones, zeros
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from . import functional as F
from . import init
from .module import Module, Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "LocalResponseNorm"]


class _BatchNorm(Module):
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
        self.weight = Parameter(ones(num_features, **made)) if affine else None
        self.bias = Parameter(zeros(num_features, **made)) if affine and bias else None
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
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _factor(self) -> float:
        """How far the running statistics move: `momentum`, or 1/number of batches for their plain average."""
        if self.num_batches_tracked is None or not self.training:
            return 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked.assign_(self.num_batches_tracked.data + 1)
        return 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input; in training the running statistics move towards the batch's."""
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
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
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
