"""Normalisation: a fused forward, a fused backward, and the formula that every later derivative follows from.

Batch norm has its statistics by channel. Group norm has them by sample and group of channels; instance and layer norm
are the same op on views (N, G, K, S): groups of one channel, one group of planes of one value.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backward import differentiate
from ..casting import beside, widened
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import norm as kernel
from .activation import ReluGrad
from .checks import floating, numbers, real, same_kind, wide
from .elementwise import rsqrt, square
from .halves import in_float32
from .reduce import mean, sum
from .shape import Shape, alias, reshape


class BatchNorm(Op):
    """y = w (x - μ) / √(σ² + ε) + b with μ and σ² of x itself, per channel over batch and space"""

    eps: float
    saves = {"x": "x w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        self.mean, self.var, self.rstd = kernel.moments(x, self.eps)
        return kernel.normalize(x, self.mean, self.rstd, w, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        if x is None:  # only the bias wants a gradient
            return None, None, _sum_channels(gy)
        return BatchNormGrad(self.eps, self.mean, self.rstd)(gy, x, w)


class BatchNormGrad(Op):
    """(gx, gw, gb) of BatchNorm in one pass; its own backward differentiates `norm_grad`"""

    eps: float
    mean: Array
    rstd: Array
    outputs = ("gx", "gw", "gb")
    saves = {"gy": "gy x w", "x": "gy x w", "w": "gy x w"}

    def forward(self, gy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
        return kernel.grad(gy, x, self.mean, self.rstd, w)

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        over, eps = (0, *range(2, self.saved[0].ndim)), self.eps

        def formula(gy: Tensor, x: Tensor, w: Tensor | None) -> tuple[Tensor, ...]:
            gx, gw, gb = norm_grad(gy, x, None if w is None else _as_channels(w, x.ndim), eps, over)
            return gx, sum(gw, over), sum(gb, over)

        return differentiate(formula, self.saved, cotangents)


class BatchNormRelu(Op):
    """y = max(BatchNorm(x, w, b), 0), no pass over memory more than without"""

    eps: float
    saves = {"x": "x w", "w": "x w", "b": "x w", "y": "x w b"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        self.mean, self.var, self.rstd = kernel.moments(x, self.eps)
        return kernel.normalize(x, self.mean, self.rstd, w, b, relu=True)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, b, y = self.saved
        if x is None:  # only the bias wants a gradient
            return None, None, _sum_channels(ReluGrad(y.data)(gy))
        return BatchNormReluGrad(self.eps, self.mean, self.rstd, None if b is None else b.data, y.data)(gy, x, w)


class BatchNormReluGrad(Op):
    """(gx, gw, gb) of BatchNormRelu in one pass: those of BatchNorm for gy where y is positive, else 0"""

    eps: float
    mean: Array
    rstd: Array
    b: Array | None
    y: Array
    outputs = ("gx", "gw", "gb")
    saves = {"gy": "gy x w", "x": "gy x w", "w": "gy x w"}

    def forward(self, gy: Array, x: Array, w: Array) -> tuple[Array, Array, Array]:
        return kernel.grad(gy, x, self.mean, self.rstd, w, self.b, relu=True)

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        def formula(gy: Tensor, x: Tensor, w: Tensor | None) -> tuple[Tensor, ...]:
            return BatchNormGrad(self.eps, self.mean, self.rstd)(ReluGrad(self.y)(gy), x, w)

        return differentiate(formula, self.saved, cotangents)


class BatchNormEval(Op):
    """y = w (x - μ) · rstd + b with given statistics, float32 beside half types: linear in x"""

    mean: Array
    rstd: Array
    saves = {"x": "w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return kernel.normalize(x, self.mean, self.rstd, w, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        return BatchNormEvalGrad(self.mean, self.rstd)(gy, *self.saved)


class BatchNormEvalRelu(Op):
    """y = max(BatchNormEval(x, w, b), 0)"""

    mean: Array
    rstd: Array
    saves = {"x": "w", "w": "x", "y": "x w b"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return kernel.normalize(x, self.mean, self.rstd, w, b, relu=True)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, y = self.saved
        return BatchNormEvalGrad(self.mean, self.rstd)(ReluGrad(y.data)(gy), x, w)


class BatchNormEvalGrad(Op):
    """gx = w rstd gy, gw = Σ gy (x - μ) rstd, gb = Σ gy in one pass; x is given only where gw is asked for"""

    mean: Array
    rstd: Array
    outputs = ("gx", "gw", "gb")
    saves = {"gy": "gy x w", "x": "gy x w", "w": "gy x w"}

    def forward(self, gy: Array, x: Array | None, w: Array | None) -> tuple[Array, ...]:
        gx, gw, gb = kernel.grad_eval(gy, x, self.mean, self.rstd, w)
        return gx, gb if gw is None else gw, gb

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        mean, rstd = Tensor(self.mean), Tensor(self.rstd)

        def formula(gy: Tensor, x: Tensor | None, w: Tensor | None) -> tuple[Tensor | None, ...]:
            gy_, ndim = wide(gy), gy.ndim
            gx = gy_ * _as_channels(rstd if w is None else wide(w) * rstd, ndim)
            if x is None:
                return gx.to(gy.dtype), None, _sum_channels(gy)
            gw = _sum_channels(gy_ * (wide(x) - _as_channels(mean, ndim)) * _as_channels(rstd, ndim))
            return gx.to(gy.dtype), gw.to(gy.dtype), _sum_channels(gy)

        return differentiate(formula, self.saved, cotangents)


class GroupNorm(Op):
    """y = w (x - μ) / √(σ² + ε) + b on the view (N, G, K, S) of x, with μ and σ² over K and S; w and b hold (G, K)"""

    eps: float
    view: Shape
    saves = {"x": "x w", "w": "x"}

    def forward(self, x: Array, w: Array | None, b: Array | None) -> Array:
        weight, bias = (None if v is None else v.reshape(self.view[1:3]) for v in (w, b))
        self.affine = next((v.shape for v in (w, b) if v is not None), self.view[1:3])
        y, self.mean, self.var, self.rstd = kernel.group_norm(x.reshape(self.view), weight, bias, self.eps)
        return y.reshape(x.shape)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        if x is None:  # only the bias wants a gradient
            return None, None, reshape(sum(reshape(gy, *self.view), (0, 3)), *self.affine)
        return GroupNormGrad(self.eps, self.view, self.affine, self.mean, self.rstd)(gy, x, w)


class GroupNormGrad(Op):
    """(gx, gw, gb) of GroupNorm in one pass; its own backward differentiates `norm_grad`"""

    eps: float
    view: Shape
    affine: Shape
    mean: Array
    rstd: Array
    outputs = ("gx", "gw", "gb")
    saves = {"gy": "gy x w", "x": "gy x w", "w": "gy x w"}

    def forward(self, gy: Array, x: Array, w: Array | None) -> tuple[Array, Array, Array]:
        w = None if w is None else w.reshape(self.view[1:3])
        gx, gw, gb = kernel.group_norm_grad(gy.reshape(self.view), x.reshape(self.view), self.mean, self.rstd, w)
        return gx.reshape(x.shape), gw.reshape(self.affine), gb.reshape(self.affine)

    def backward(self, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        view, eps = self.view, self.eps

        def formula(gy: Tensor, x: Tensor, w: Tensor | None) -> tuple[Tensor, ...]:
            weight = None if w is None else reshape(w, 1, *view[1:3], 1)
            gx, *sums = norm_grad(reshape(gy, *view), reshape(x, *view), weight, eps, (2, 3))
            gw, gb = (reshape(sum(s, (0, 3)), *self.affine) for s in sums)
            return reshape(gx, *x.shape), gw, gb

        return differentiate(formula, self.saved, cotangents)


def norm_grad(gy: Tensor, x: Tensor, w: Tensor | None, eps: float, over: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """gx = (u - mean u - x̂ mean(u x̂)) / √(σ² + ε) with u = w gy and means over the axes `over`, in ops; then gy x̂ and
    gy, whose sums are gw and gb.
    """
    centred = x - mean(x, over, keepdim=True)
    rstd = (mean(centred * centred, over, keepdim=True) + eps) ** -0.5
    xhat, u = centred * rstd, gy if w is None else w * gy
    return rstd * (u - mean(u, over, keepdim=True) - xhat * mean(u * xhat, over, keepdim=True)), gy * xhat, gy


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
    *,
    relu: bool = False,
) -> Tensor:
    """y = weight (x - μ) / √(σ² + eps) + bias for each channel.

    In training μ and σ² (biased) are the batch's, and the running statistics move towards them in place:
    running = (1 - momentum)·running + momentum·batch, with the unbiased variance. Otherwise they are the running ones.
    With `relu` the result is max(y, 0), that of `relu(batch_norm(...))`, with a pass over memory less each way.

    **Shapes** input (N, C, ...); all others (C,). **Raises** ShapeError, ArgumentError, DTypeError.
    **Source** Ioffe & Szegedy 2015, algorithm 1.
    """
    weight, bias = beside(input, weight, bias)
    same_kind("batch_norm", input=input, weight=weight, bias=bias)
    if input.shape == (0,):  # PyTorch lets an empty vector pass: there is nothing to normalise
        return alias(input)
    numbers("batch_norm", eps=eps)
    vectors = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    _check_channels("batch_norm", input, **vectors)
    if not training:
        mean, var = running_mean, running_var
        return _with_statistics("batch_norm", "training", input, mean, var, weight, bias, eps, relu)
    n = input.data.size // max(input.shape[1], 1)
    if n == 0:  # no statistics: with any others the gradients of weight and bias are the zeros that they should be
        nothing = wide(Tensor(array_module(input.data).zeros(input.shape[1], input.dtype))).data
        return (BatchNormEvalRelu if relu else BatchNormEval)(nothing, nothing)(input, weight, bias)
    if n == 1:
        raise ShapeError(f"batch_norm: training needs more than one value per channel, got input {input.shape}")
    op = BatchNormRelu(eps) if relu else BatchNorm(eps)
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
    weight, bias = beside(input, weight, bias)
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
    op = GroupNorm(eps, (batch, channels, 1, size))
    y = op(input, weight, bias)
    if batch and size:
        _update(running_mean, running_var, op.mean.mean(0), op.var.mean(0) * (size / (size - 1)), momentum)
    return y


@widened
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
    view = batch, num_groups, channels // num_groups, math.prod(input.shape[2:])
    if batch * view[2] * view[3] == 1:
        raise ShapeError(f"group_norm: input needs more than one value per group, got {input.shape}")
    return GroupNorm(eps, view)(input, weight, bias)


@widened
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
    real("layer_norm", input=input)
    numbers("layer_norm", eps=eps)
    shape = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    rows = math.prod(input.shape[: input.ndim - len(shape)])
    return GroupNorm(eps, (rows, 1, math.prod(shape), 1))(input, weight, bias)


@widened
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
    y = x * rsqrt(mean(square(x), over, keepdim=True) + small)
    return y if weight is None else y * weight


def _with_statistics(
    caller: str,
    flag: str,
    x: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    relu: bool = False,
) -> Tensor:
    if mean is None or var is None:
        raise ArgumentError(f"{caller}: {flag}=False needs running_mean and running_var, got None")
    rstd = (wide(var).data + eps) ** -0.5  # in float32 beside half types, which may have no such eps
    return (BatchNormEvalRelu if relu else BatchNormEval)(wide(mean).data.copy(), rstd)(x, weight, bias)


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
