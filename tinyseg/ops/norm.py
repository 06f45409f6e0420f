"""Normalisation: a fused forward, a fused backward, and the formula that every later derivative follows from.

Batch norm has its statistics by channel. Instance, group and layer norm are the same op on a view (1, rows, S) whose
rows are what shares one mean and one variance; their weight and bias lie along other axes and follow as two ops.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backward import differentiate
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import norm as kernel
from .checks import floating, numbers, real, same_kind, wide
from .elementwise import rsqrt, square
from .halves import in_float32
from .reduce import mean, sum
from .shape import alias, reshape


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
    """y = w (x - μ) · rstd + b with given statistics, float32 beside half types: linear in x"""

    mean: Array
    rstd: Array
    saves = {"x": "w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return kernel.normalize(x, self.mean, self.rstd, w, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        gy_, rstd, gx, gw = wide(gy), Tensor(self.rstd), None, None
        if self.needs[0]:
            scale = rstd if w is None else wide(w) * rstd
            gx = (gy_ * _as_channels(scale, gy.ndim)).to(gy.dtype)
        if self.needs[1]:
            centred = wide(x) - _as_channels(Tensor(self.mean), gy.ndim)
            gw = _sum_channels(gy_ * centred * _as_channels(rstd, gy.ndim)).to(gy.dtype)
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
    if input.shape == (0,):  # PyTorch lets an empty vector pass: there is nothing to normalise
        return alias(input)
    numbers("batch_norm", eps=eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check_channels("batch_norm", input, **vectors)
    if not training:
        return _with_statistics("batch_norm", "training", input, running_mean, running_var, weight, bias, eps)
    n = input.data.size // max(input.shape[1], 1)
    if n == 0:  # no statistics: with any others the gradients of weight and bias are the zeros that they should be
        nothing = wide(Tensor(array_module(input.data).zeros(input.shape[1], input.dtype))).data
        return BatchNormEval(nothing, nothing)(input, weight, bias)
    if n == 1:
        raise ShapeError(f"batch_norm: training needs more than one value per channel, got input {input.shape}")
    op = BatchNorm(eps)
    y = op(input, weight, bias)
    _update(running_mean, running_var, op.mean, op.var * (n / (n - 1)), momentum)
    return y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = weight (x - μ) / √(σ² + eps) + bias with μ and σ² of each channel of each sample.

    With `use_input_stats` running statistics, if given, move towards the means over the batch of the samples' μ and
    unbiased σ²; without it they take the place of μ and σ².

    **Shapes** input (N, C, ...); all others (C,). **Raises** ShapeError, ArgumentError, DTypeError.
    **Source** Ulyanov, Vedaldi & Lempitsky 2016.
    """
    same_kind("instance_norm", input=input, weight=weight, bias=bias)
    numbers("instance_norm", eps=eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check_channels("instance_norm", input, **vectors)
    if not use_input_stats:
        return _with_statistics("instance_norm", "use_input_stats", input, running_mean, running_var, weight, bias, eps)
    batch, channels = input.shape[:2]
    size = math.prod(input.shape[2:])
    if size == 1:
        raise ShapeError(f"instance_norm: input needs more than one value per channel and sample, got {input.shape}")
    op = BatchNorm(eps)
    y = op(reshape(input, 1, batch * channels, size), None, None)
    if batch and size:
        mean, var = (m.reshape(batch, channels).mean(0) for m in (op.mean, op.var))
        _update(running_mean, running_var, mean, var * (size / (size - 1)), momentum)
    return _affine(reshape(y, *input.shape), weight, bias, (-1, *(1,) * (input.ndim - 2)))


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """y = weight (x - μ) / √(σ² + eps) + bias with μ and σ² of each of `num_groups` groups of channels, by sample.

    **Shapes** input (N, C, ...), C a multiple of num_groups; weight and bias (C,).
    **Raises** ShapeError, ArgumentError, DTypeError. **Source** Wu & He 2018.
    """
    same_kind("group_norm", input=input, weight=weight, bias=bias)
    numbers("group_norm", eps=eps)
    _check_channels("group_norm", input, weight=weight, bias=bias)
    batch, channels = input.shape[:2]
    if not isinstance(num_groups, int) or num_groups < 1:
        raise ArgumentError(f"group_norm: num_groups must be a positive integer, got {num_groups!r}")
    if channels % num_groups:
        raise ShapeError(f"group_norm: num_groups {num_groups} does not divide the {channels} channels of input")
    size = channels // num_groups * math.prod(input.shape[2:])
    if batch * size == 1:
        raise ShapeError(f"group_norm: input needs more than one value per group, got {input.shape}")
    y = reshape(BatchNorm(eps)(reshape(input, 1, batch * num_groups, size), None, None), *input.shape)
    return _affine(y, weight, bias, (-1, *(1,) * (input.ndim - 2)))


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = weight (x - μ) / √(σ² + eps) + bias with μ and σ² over the last axes, those of `normalized_shape`.

    **Shapes** input (*, normalized_shape); weight and bias normalized_shape, which is a tuple or one integer.
    **Raises** ShapeError, ArgumentError, DTypeError. **Source** Ba, Kiros & Hinton 2016.
    """
    same_kind("layer_norm", input=input, weight=weight, bias=bias)
    numbers("layer_norm", eps=eps)
    shape = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    size = math.prod(shape)
    rows = math.prod(input.shape[: input.ndim - len(shape)])
    y = reshape(BatchNorm(eps)(reshape(input, 1, rows, size), None, None), *input.shape)
    return _affine(y, weight, bias, shape)


@in_float32
def rms_norm(input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """y = weight x / √(mean x² + eps) with the mean over the last axes, those of `normalized_shape`.

    `eps` is by default the spacing of the input's type at 1. Half types are computed in float32.

    **Shapes** input (*, normalized_shape); weight normalized_shape, which is a tuple or one integer.
    **Raises** ShapeError, ArgumentError, DTypeError. **Source** Zhang & Sennrich 2019.
    """
    same_kind("rms_norm", input=input, weight=weight)
    shape = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    x = floating("rms_norm", input)
    small = float(np.finfo(x.dtype).eps) if eps is None else eps
    numbers("rms_norm", eps=small)
    over = tuple(range(x.ndim - len(shape), x.ndim))
    return _affine(x * rsqrt(mean(square(x), over, keepdim=True) + small), weight, None, shape)


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Any) -> Tensor:
    y = y if weight is None else y * reshape(weight, *shape)
    return y if bias is None else y + reshape(bias, *shape)


def _with_statistics(
    caller: str,
    flag: str,
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    if mean is None or var is None:
        raise ArgumentError(f"{caller}: {flag}=False needs running_mean and running_var, got None")
    rstd = (wide(var).data + eps) ** -0.5  # in float32 beside half types, which may have no such eps
    return BatchNormEval(wide(mean).data.copy(), rstd)(x, weight, bias)


def _update(running_mean: Tensor | None, running_var: Tensor | None, mean: Array, var: Array, momentum: float) -> None:
    """Move the running statistics, where there are any, towards a batch's mean and unbiased variance."""
    for running, batch in ((running_mean, mean), (running_var, var)):
        if running is not None:
            running.assign_((1 - momentum) * running.data + momentum * batch.astype(running.dtype))


def _last_axes(caller: str, x: Tensor, normalized_shape: Any, **affine: Tensor | None) -> tuple[int, ...]:
    """`normalized_shape` as a tuple, after checking that input ends in it and that the parameters have it."""
    listed = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not listed or not builtins.all(isinstance(n, int | np.integer) for n in listed):
        raise ArgumentError(
            f"{caller}: normalized_shape must be an integer or at least one of them, got {normalized_shape!r}"
        )
    shape = tuple(int(n) for n in listed)
    if x.shape[max(x.ndim - len(shape), 0) :] != shape:
        raise ShapeError(f"{caller}: input must end in normalized_shape {shape}, got shape {x.shape}")
    for name, v in affine.items():
        if v is not None and v.shape != shape:
            raise ShapeError(f"{caller}: {name} must have shape {shape}, got {v.shape} (input {x.shape})")
    return shape


def _check_channels(caller: str, input: Tensor, **vectors: Tensor | None) -> None:
    if input.ndim < 2:
        raise ShapeError(f"{caller}: input must be (N, C, ...), got shape {input.shape}")
    real(caller, input=input)
    for name, v in vectors.items():
        if v is not None and v.shape != (input.shape[1],):
            raise ShapeError(
                f"{caller}: {name} must have shape {(input.shape[1],)}, got {v.shape} (input {input.shape})"
            )
        if v is not None and array_module(v.data) is not array_module(input.data):
            raise ArgumentError(f"{caller}: input is on {input.device} but {name} is on {v.device}")
