"""Batch normalisation: a fused forward, a fused backward, and the formula that every later derivative follows from."""

from __future__ import annotations

from ..backward import differentiate
from ..device import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import norm as kernel
from .checks import same_kind
from .reduce import mean, sum
from .shape import reshape


class BatchNorm(Op):
    """y = w (x - μ) / √(σ² + ε) + b with μ and σ² of x itself, per channel over batch and space"""

    eps: float
    saves = {"x": "x w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        self.mean, self.var = kernel.moments(x)
        self.rstd = (self.var + self.eps) ** -0.5
        return kernel.normalize(x, self.mean, self.rstd, w, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        if x is None:  # only the bias wants a gradient
            return None, None, _sum_channels(gy)
        return BatchNormGrad(self.eps, self.mean, self.rstd)(gy, x, w)


class BatchNormGrad(Op):
    """(gx, gw, gb) of BatchNorm in one pass; its own backward differentiates `batch_norm_grad`"""

    eps: float
    mean: Array
    rstd: Array
    outputs = ("gx", "gw", "gb")
    saves = {"gy": "gy x w", "x": "gy x w", "w": "gy x w"}

    def forward(self, gy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
        return kernel.grad(gy, x, self.mean, self.rstd, w)

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        eps = self.eps
        return differentiate(lambda gy, x, w: batch_norm_grad(gy, x, w, eps), self.saved, cotangents)


class BatchNormEval(Op):
    """y = w (x - μ) · rstd + b with given statistics: linear in x"""

    mean: Array
    rstd: Array
    saves = {"x": "w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return kernel.normalize(x, self.mean, self.rstd, w, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        scale = Tensor(self.rstd) if w is None else w * Tensor(self.rstd)
        gx = gy * _as_channels(scale, gy.ndim) if self.needs[0] else None
        gw = None
        if self.needs[1]:
            centred = x - _as_channels(Tensor(self.mean), x.ndim)
            gw = _sum_channels(gy * centred * _as_channels(Tensor(self.rstd), x.ndim))
        return gx, gw, _sum_channels(gy) if self.needs[2] else None


def batch_norm_grad(gy: Tensor, x: Tensor, w: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """gx = w/√(σ²+ε) (gy - mean gy - x̂ mean(gy x̂)),  gw = Σ gy x̂,  gb = Σ gy,  in ops."""
    over = (0, *range(2, x.ndim))
    centred = x - mean(x, over, keepdim=True)
    rstd = (mean(centred * centred, over, keepdim=True) + eps) ** -0.5
    xhat = centred * rstd
    inner = gy - mean(gy, over, keepdim=True) - xhat * mean(gy * xhat, over, keepdim=True)
    gx = rstd * inner if w is None else _as_channels(w, x.ndim) * rstd * inner
    return gx, sum(gy * xhat, over), sum(gy, over)


def _as_channels(v: Tensor, ndim: int) -> Tensor:
    return reshape(v, -1, *(1,) * (ndim - 2))  # (C,) -> (C, 1, 1)


def _sum_channels(gy: Tensor) -> Tensor:
    return sum(gy, (0, *range(2, gy.ndim)))


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = weight (x - μ) / √(σ² + eps) + bias for each channel.

    In training μ and σ² (biased) are the batch's, and the running statistics move towards them in place:
    running = (1 - momentum)·running + momentum·batch, with the unbiased variance. Otherwise they are the running ones.

    **Shapes** input (N, C, ...); all others (C,). **Raises** ShapeError, ArgumentError, DTypeError.
    **Source** Ioffe & Szegedy 2015, algorithm 1.
    """
    same_kind("batch_norm", input=input, weight=weight, bias=bias)
    _check_shapes(input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError("batch_norm: training=False needs running_mean and running_var, got None")
        rstd = (running_var.data + eps) ** -0.5
        return BatchNormEval(running_mean.data.copy(), rstd)(input, weight, bias)
    n = input.data.size // input.shape[1]
    if n == 1:
        raise ShapeError(f"batch_norm: training needs more than one value per channel, got input {input.shape}")
    op = BatchNorm(eps)
    y = op(input, weight, bias)
    for running, batch in ((running_mean, op.mean), (running_var, op.var * (n / (n - 1)) if n else op.var)):
        if running is not None and n:
            running.assign_((1 - momentum) * running.data + momentum * batch.astype(running.dtype))
    return y


def _check_shapes(input: Tensor, **vectors: Tensor | None) -> None:
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: input must be (N, C, ...), got shape {input.shape}")
    for name, v in vectors.items():
        if v is not None and v.shape != (input.shape[1],):
            raise ShapeError(
                f"batch_norm: {name} must have shape {(input.shape[1],)}, got {v.shape} (input {input.shape})"
            )
        if v is not None and array_module(v.data) is not array_module(input.data):
            raise ArgumentError(f"batch_norm: input is on {input.device} but {name} is on {v.device}")
