"""Losses element by element: distances and negative log-likelihoods. `reduction` is 'mean', 'sum' or 'none'."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backward import differentiate
from ..casting import widened
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import elementwise as fused
from .activation import logsigmoid, sigmoid
from .checks import as_tensor, check_broadcast, is_float, numbers, real, same_kind, tensor_arg
from .choice import clamp, where
from .elementwise import abs_, exp, log, sign, square
from .halves import in_float32
from .reduce import mean, sum
from .shape import unsqueeze


def refuse_old(caller: str, size_average: Any, reduce: Any) -> None:
    """Refuse the two arguments that PyTorch itself calls deprecated. **Raises** ArgumentError."""
    if size_average is not None or reduce is not None:
        raise ArgumentError(
            f"{caller}: size_average and reduce are not supported; use reduction='mean', 'sum' or 'none'"
        )


def reduced(caller: str, losses: Tensor, reduction: str) -> Tensor:
    """The losses themselves, their mean or their sum. **Raises** ArgumentError for another `reduction`."""
    if reduction == "none":
        return losses
    if reduction not in ("mean", "sum"):
        raise ArgumentError(f"{caller}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return mean(losses) if reduction == "mean" else sum(losses)


class BinaryCrossEntropy(Op):
    """y = -t log x - (1 - t) log(1 - x), no logarithm below -100;  gx = (x - t) / max(x (1 - x), 1e-12)"""

    saves = {"x": "x t", "t": "x"}

    def forward(self, x: Array, t: Array) -> Array:
        xp = array_module(x)
        hit, miss = xp.maximum(xp.log(x), -100), xp.maximum(xp.log1p(-x), -100)
        return (t - 1) * miss - t * hit

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, t = self.saved
        gx = gy * (x - t) / clamp(x * (1.0 - x), min=1e-12) if self.needs[0] else None
        return gx, gy * (log(1.0 - x) - log(x)) if self.needs[1] else None


class PairLoss(Op):
    """y = ℓ(x, t) of the kernels' losses, element by element or summed in the same pass"""

    kind: str
    settings: tuple[float, ...]
    summed: bool
    saves = {"x": "x t", "t": "x t"}

    def forward(self, x: Array, t: Array) -> Array:
        return (fused.loss_sum if self.summed else fused.loss)(self.kind, x, t, *self.settings)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, t = self.saved
        if self.kind == "logistic":
            gx = PairLossGrad(self.kind, self.settings)(gy, x, t) if self.needs[0] else None
            return gx, -gy * x if self.needs[1] else None
        gx = PairLossGrad(self.kind, self.settings)(gy, x, t)  # of a distance
        return gx, -gx if self.needs[1] else None


class PairLossGrad(Op):
    """gx = gy dℓ/dx in one pass; its own backward differentiates that formula"""

    kind: str
    settings: tuple[float, ...]
    outputs = ("gx",)
    saves = {"gy": "gy x t", "x": "gy x t", "t": "gy x t"}

    def forward(self, gy: Array, x: Array, t: Array) -> Array:
        return fused.loss_grad(self.kind, gy, x, t, *self.settings)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        return differentiate(lambda gy, x, t: (gy * SLOPES[self.kind](x, t, *self.settings),), self.saved, (ggx,))


def _huber_slope(x: Tensor, t: Tensor, delta: float, scale: float) -> Tensor:
    d = x - t
    return where(Tensor(abs(d.data) < delta), d, sign(d) * delta) * scale


SLOPES: dict[str, Any] = {
    "square": lambda x, t: (x - t) * 2.0,
    "absolute": lambda x, t: sign(x - t),
    "huber": _huber_slope,
    "logistic": lambda x, t: sigmoid(x) - t,
}


def pair_loss(
    caller: str, kind: str, settings: tuple[float, ...], x: Tensor, t: Tensor, weight: Tensor | None, reduction: str
) -> Tensor:
    """The losses of x and t, reduced; the sum is taken in the same pass where no weight comes between."""
    if weight is not None or reduction not in ("mean", "sum"):
        losses = PairLoss(kind, settings, False)(x, t)
        return reduced(caller, losses if weight is None else losses * weight, reduction)
    total = PairLoss(kind, settings, True)(x, t)
    if reduction == "sum":
        return total
    return total / float(x.data.size) if x.data.size else total + math.nan


@widened
@in_float32
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """weight (input - target)²; 'mean' divides by the sum of the weights.

    **Shapes** all the same. **Raises** ShapeError, DTypeError, ArgumentError.
    """
    _alike("mse_loss", size_average, reduce, input=input, target=target, weight=weight)
    real("mse_loss", input=input)
    return _weighted("mse_loss", "square", input, target, weight, reduction)


@widened
@in_float32
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """weight |input - target|; 'mean' divides by the sum of the weights.

    **Shapes** all the same. **Raises** ShapeError, DTypeError, ArgumentError.
    """
    _alike("l1_loss", size_average, reduce, input=input, target=target, weight=weight)
    if not is_float(input.dtype):
        losses = abs_(input - target)
        return reduced("l1_loss", losses if weight is None else losses * weight, reduction)
    return _weighted("l1_loss", "absolute", input, target, weight, reduction)


def _alike(caller: str, size_average: Any, reduce: Any, **tensors: Tensor | None) -> None:
    """Check that the first and all others given are of one type, device and shape."""
    refuse_old(caller, size_average, reduce)
    same_kind(caller, **tensors)
    (first, x), *others = tensors.items()
    for name, t in others:
        if x is not None and t is not None and t.shape != x.shape:
            raise ShapeError(f"{caller}: {name} must have {first}'s shape {x.shape}, got {t.shape}")


def _weighted(caller: str, kind: str, x: Tensor, t: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """The losses reduced; the mean of weighted ones is by their weights."""
    if weight is None or reduction != "mean":
        return pair_loss(caller, kind, (), x, t, weight, reduction)
    return pair_loss(caller, kind, (), x, t, weight, "sum") / sum(weight)


@widened
@in_float32
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d² / 2β where |d| < β, else |d| - β/2, for d = input - target; β = 0 is `l1_loss`.

    **Shapes** both the same. **Raises** ShapeError, DTypeError, ArgumentError. **Source** Girshick 2015, equation 3.
    """
    _alike("smooth_l1_loss", size_average, reduce, input=input, target=target)
    real("smooth_l1_loss", input=input)
    numbers("smooth_l1_loss", beta=beta)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must be at least 0, got {beta}")
    if beta < np.finfo(input.dtype).tiny:  # 1 / beta may be infinite, and the bend is nowhere to be seen
        return pair_loss("smooth_l1_loss", "absolute", (), input, target, None, reduction)
    return pair_loss("smooth_l1_loss", "huber", (beta, 1.0 / beta), input, target, None, reduction)


@widened
@in_float32
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """weight · (d² / 2 where |d| ≤ δ, else δ (|d| - δ/2)), for d = input - target; 'mean' is the plain one.

    **Shapes** all the same. **Raises** ShapeError, DTypeError, ArgumentError. **Source** Huber 1964.
    """
    _alike("huber_loss", None, None, input=input, target=target, weight=weight)
    real("huber_loss", input=input)
    numbers("huber_loss", delta=delta)
    if delta <= 0:
        raise ArgumentError(f"huber_loss: delta must be above 0, got {delta}")
    return pair_loss("huber_loss", "huber", (delta, 1.0), input, target, weight, reduction)


@widened
@in_float32
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w (t log x + (1 - t) log(1 - x)) for probabilities x; logarithms are cut off at -100, as in PyTorch.

    **Shapes** input and target the same; weight broadcasts with them.
    **Raises** ShapeError, DTypeError, ArgumentError for an input outside [0, 1].
    """
    caller = "binary_cross_entropy"
    refuse_old(caller, size_average, reduce)
    same_kind(caller, input=input, target=target, weight=weight)
    if input.shape != target.shape:
        raise ShapeError(f"{caller}: target must have input's shape {input.shape}, got {target.shape}")
    if not ((input.data >= 0) & (input.data <= 1)).all():
        raise ArgumentError(
            f"{caller}: input must be probabilities between 0 and 1, got {input.data.min()} to {input.data.max()}; "
            "for logits use binary_cross_entropy_with_logits"
        )
    if weight is not None:
        check_broadcast(caller, weight.shape, input.shape)
    losses = BinaryCrossEntropy()(input, target)
    return reduced(caller, losses if weight is None else losses * weight, reduction)


@widened
@in_float32
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-w (p t log σ(x) + (1 - t) log(1 - σ(x))) for logits x, targets t in [0, 1] and `pos_weight` p, without overflow.

    **Shapes** input and target the same; weight and pos_weight broadcast to it.
    """
    caller = "binary_cross_entropy_with_logits"
    refuse_old(caller, size_average, reduce)
    same_kind(caller, input=input, target=target, weight=weight, pos_weight=pos_weight)
    if input.shape != target.shape:
        raise ShapeError(f"{caller}: target must have input's shape {input.shape}, got {target.shape}")
    for extra in (weight, pos_weight):
        if extra is not None:
            check_broadcast(caller, extra.shape, input.shape)
    real(caller, input=input)
    if pos_weight is None:
        return pair_loss(caller, "logistic", (), input, target, weight, reduction)
    positive = (pos_weight - 1.0) * target + 1.0
    losses = (1.0 - target) * input - positive * logsigmoid(input)
    return reduced(caller, losses if weight is None else losses * weight, reduction)


@widened
@in_float32
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - x) for log-probabilities x of the model: summed, the divergence KL(target ‖ model).

    With `log_target` the target holds logarithms as well: e^t (t - x). A target of 0 costs nothing. 'batchmean' is the
    sum divided by the size of axis 0, which is the divergence's definition; 'mean' divides by all elements.

    **Shapes** input and target broadcast. **Raises** ShapeError, DTypeError, ArgumentError.
    """
    refuse_old("kl_div", size_average, reduce)
    same_kind("kl_div", input=input, target=target)
    check_broadcast("kl_div", input.shape, target.shape)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        zero = Tensor(target.data == 0)
        losses = target * log(where(zero, 1.0, target)) - target * input
    if reduction == "batchmean":
        return sum(losses) / float(input.shape[0]) if input.ndim else sum(losses)
    if reduction not in ("mean", "sum", "none"):
        raise ArgumentError(f"kl_div: reduction must be 'mean', 'batchmean', 'sum' or 'none', got {reduction!r}")
    return reduced("kl_div", losses, reduction)


@widened
@in_float32
def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """½ (log v + (target - input)² / v) for the mean `input` and v = max(var, eps); `full` adds ½ log 2π.

    The gradient passes through the bound `eps` unchanged, as in PyTorch.

    **Shapes** input and target broadcast; var a number, of input's shape, or without its last axis, or with one axis
    of size 1. **Raises** ShapeError, DTypeError, ArgumentError for a negative var. **Source** Nix & Weigend 1994.
    """
    caller = "gaussian_nll_loss"
    x = tensor_arg(caller, "input", input)
    v = var if isinstance(var, Tensor) else as_tensor(float(var), x, x.dtype)
    same_kind(caller, input=x, target=target, var=v)
    check_broadcast(caller, x.shape, target.shape)
    if (v.data < 0).any():
        raise ArgumentError(f"{caller}: var must not be negative, got {v.data.min()}")
    if isinstance(var, Tensor) and v.shape != x.shape:
        stretched = [m for m, n in zip(v.shape, x.shape, strict=False) if m != n]
        if v.shape == x.shape[:-1]:
            v = unsqueeze(v, -1)
        elif v.ndim != x.ndim or stretched != [1]:
            raise ShapeError(f"{caller}: var {v.shape} fits neither input {x.shape} nor input with one axis of size 1")
    v = where(Tensor(v.data < eps), v - v.detach() + eps, v)
    losses = (log(v) + square(x - target) / v) * 0.5
    return reduced(caller, losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


@widened
@in_float32
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: None = None,
    eps: float = 1e-8,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """e^x - t x for a log-rate x, or x - t log(x + eps) for a rate x if `log_input` is False.

    `full` adds Stirling's t log t - t + ½ log 2πt for targets above 1.

    **Shapes** input and target broadcast. **Raises** ShapeError, DTypeError, ArgumentError.
    """
    refuse_old("poisson_nll_loss", size_average, reduce)
    same_kind("poisson_nll_loss", input=input, target=target)
    check_broadcast("poisson_nll_loss", input.shape, target.shape)
    if not is_float(input.dtype):
        raise ArgumentError(f"poisson_nll_loss: input must be of a floating-point type, got {input.dtype}")
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        small = Tensor(target.data <= 1)
        t = where(small, 1.0, target)
        losses = losses + where(small, 0.0, t * log(t) - t + log(t * (2 * math.pi)) * 0.5)
    return reduced("poisson_nll_loss", losses, reduction)
