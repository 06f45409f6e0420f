"""Losses over classes. `reduction` is 'mean', 'sum' or 'none' everywhere."""

from __future__ import annotations

import math

import numpy as np

from ..backward import differentiate
from ..casting import widened
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from ..kernels import softmax as kernel
from .activation import log_softmax, sigmoid, softmax
from .checks import floating, is_float, numbers, real, same_kind, tensor_arg
from .choice import where
from .elementwise import exp
from .halves import in_float32
from .pointwise_loss import binary_cross_entropy_with_logits, reduced, refuse_old
from .reduce import mean, sum
from .shape import reshape, unsqueeze


class CrossEntropy(Op):
    """y[n,s] = w_t (log Σ_k e^x_k - x_t) with t = target[n,s], 0 where t is ignored; x is (N, C, S).

    With a number `total`, y is their sum divided by it.
    """

    target: Array
    weight: Array | None
    ignore_index: int
    total: float | None = None
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        y, self.lse = kernel.cross_entropy(x, self.target, self.weight, self.ignore_index)
        return y if self.total is None else y.sum() / self.total

    def backward(self, gy: Tensor) -> Tensor:
        return CrossEntropyGrad(self.target, self.weight, self.ignore_index, self.total, self.lse)(gy, self.saved[0])


class CrossEntropyGrad(Op):
    """gx[n,k,s] = gy[n,s] w_t (softmax(x)_k - [k = t]) in one pass; its own backward differentiates that formula"""

    target: Array
    weight: Array | None
    ignore_index: int
    total: float | None
    lse: Array
    saves = {"gy": "gy x", "x": "gy x"}

    def forward(self, gy: Array, x: Array) -> Array:
        if self.total is not None:
            gy = array_module(gy).full(self.target.shape, gy / self.total, gy.dtype)
        return kernel.cross_entropy_grad(gy, x, self.lse, self.target, self.weight, self.ignore_index)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        weight = Tensor(_target_weight(self.target, self.weight, self.ignore_index, self.saved[1]))
        one_hot = Tensor(_one_hot(self.target, self.saved[1]))

        def formula(gy: Tensor, x: Tensor) -> tuple[Tensor]:
            share = gy if self.total is None else gy / self.total
            return (unsqueeze(share * weight, 1) * (softmax(x, 1) - one_hot),)

        return differentiate(formula, self.saved, (ggx,))


def _target_weight(target: Array, weight: Array | None, ignore_index: int, x: Tensor) -> Array:
    """The weight of each pixel: its class's, and 0 where it is ignored."""
    counted = target != ignore_index
    if weight is None:
        return counted.astype(x.dtype)
    return weight[array_module(target).where(counted, target, 0)] * counted


def _one_hot(target: Array, x: Tensor) -> Array:
    """(N, C, S) with 1 at the target's class; a target outside the classes has none."""
    xp = array_module(target)
    return (target[:, None] == xp.arange(x.shape[1])[:, None]).astype(x.dtype)


@widened
@in_float32
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-w_t log softmax(input)_t for target class t; 'mean' divides by the sum of the targets' weights.

    **Shapes** input (N, C, ...) or (C,), unnormalised logits; target (N, ...) or () of int64 classes, or
    probabilities of input's shape; weight (C,). Targets equal to `ignore_index` count nothing.
    **Raises** ShapeError, BoundsError for a class outside [0, C), DTypeError, ArgumentError.
    """
    refuse_old("cross_entropy", size_average, reduce)
    x3, lead = _by_class("cross_entropy", input, weight)
    target = tensor_arg("cross_entropy", "target", target)
    numbers("cross_entropy", label_smoothing=label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    if is_float(target.dtype):
        return _soft_cross_entropy(input, x3, lead, target, weight, reduction, label_smoothing)
    c = x3.shape[1]
    classes = _checked_target("cross_entropy", target, lead, c, ignore_index).reshape(x3.shape[0], x3.shape[2])
    w = None if weight is None else weight.data.copy()
    total = float(_target_weight(classes, w, ignore_index, x3).sum()) if reduction == "mean" else 0.0
    if total and not label_smoothing:
        return CrossEntropy(classes, w, ignore_index, total)(x3)
    losses = CrossEntropy(classes, w, ignore_index)(x3)
    if label_smoothing:
        uniform = _uniform_part(x3, weight, Tensor((classes != ignore_index).astype(x3.dtype)))
        losses = losses * (1 - label_smoothing) + uniform * (label_smoothing / c)
    if reduction == "mean":
        return _mean_over(losses, total)
    return reduced("cross_entropy", reshape(losses, *lead), reduction)


def _by_class(caller: str, input: Tensor, weight: Tensor | None) -> tuple[Tensor, tuple[int, ...]]:
    """Scores (N, C, ...) or (C,) as (N, C, S), and the shape of their targets."""
    x = tensor_arg(caller, "input", input)
    same_kind(caller, input=x, weight=weight)
    real(caller, input=x)
    c = x.shape[0 if x.ndim == 1 else 1] if x.ndim else 0
    if x.ndim == 0:
        raise ShapeError(f"{caller}: input must have classes on axis 1, or be (C,), got a Tensor without axes")
    if weight is not None and weight.shape != (c,):
        raise ShapeError(
            f"{caller}: weight must have one number for each of {c} classes of input {x.shape}, "
            f"got shape {weight.shape}"
        )
    if x.ndim == 1:
        return reshape(x, 1, c, 1), ()
    return reshape(x, x.shape[0], c, math.prod(x.shape[2:])), (x.shape[0], *x.shape[2:])


def _uniform_part(x3: Tensor, weight: Tensor | None, counted: Tensor) -> Tensor:
    """-Σ_k w_k log softmax(x)_k for each pixel: what label smoothing mixes in."""
    logs = log_softmax(x3, 1)
    return -sum(logs if weight is None else logs * reshape(weight, -1, 1), 1) * counted


def _soft_cross_entropy(
    x: Tensor,
    x3: Tensor,
    lead: tuple[int, ...],
    target: Tensor,
    weight: Tensor | None,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    same_kind("cross_entropy", input=x, target=target)
    if target.shape != x.shape:
        raise ShapeError(f"cross_entropy: probabilities as target need input's shape {x.shape}, got {target.shape}")
    t3 = reshape(target, *x3.shape) * (1 - label_smoothing) + label_smoothing / x3.shape[1]
    logs = log_softmax(x3, 1)
    losses = -sum(t3 * (logs if weight is None else logs * reshape(weight, -1, 1)), 1)
    if reduction == "mean":
        return _mean_over(losses, float(x3.shape[0] * x3.shape[2]))
    return reduced("cross_entropy", reshape(losses, *lead), reduction)


def _weighted_mean(losses: Tensor, weights: Array) -> Tensor:
    """Σ losses / Σ weights."""
    return _mean_over(losses, float(weights.sum()))


def _mean_over(losses: Tensor, total: float) -> Tensor:
    """Σ losses / total. Where nothing counts the mean is NaN and its gradient 0, as in PyTorch."""
    summed = sum(losses)
    return summed / total if total else summed * 0.0 + math.nan


def _checked_target(caller: str, target: Tensor, shape: tuple[int, ...], classes: int, ignore_index: int) -> Array:
    if target.dtype.kind not in "iu":
        raise DTypeError(f"{caller}: target must be integer classes, got {target.dtype}")
    if target.shape != shape:
        raise ShapeError(f"{caller}: target must have shape {shape} for this input, got {target.shape}")
    values = target.data.astype(np.int64)  # a copy: the caller may refill the target before backward
    if values.size == 0 or (values.min() >= 0 and values.max() < classes):
        return values
    outside = (values != ignore_index) & ((values < 0) | (values >= classes))
    if outside.any():
        raise BoundsError(
            f"{caller}: target holds class {int(values[outside][0])}, input has classes 0 to {classes - 1}"
        )
    return values


@widened
@in_float32
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-w_t input_t for target class t, where input holds log-probabilities; shapes as in `cross_entropy`."""
    refuse_old("nll_loss", size_average, reduce)
    _, lead = _by_class("nll_loss", input, weight)
    x = input
    target = tensor_arg("nll_loss", "target", target)
    classes = _checked_target("nll_loss", target, lead, x.shape[0 if x.ndim == 1 else 1], ignore_index)
    w = _target_weight(classes, None if weight is None else weight.data, ignore_index, x)
    counted = (
        np.where(classes == ignore_index, 0, classes) if not classes.shape else classes * (classes != ignore_index)
    )
    place = Tensor(array_module(x.data).expand_dims(counted, 0 if x.ndim == 1 else 1))
    picked = reshape(x.gather(0 if x.ndim == 1 else 1, place), *lead)
    losses = -(picked * Tensor(array_module(x.data).asarray(w)))
    return _weighted_mean(losses, w) if reduction == "mean" else reduced("nll_loss", losses, reduction)


@widened
@in_float32
def focal_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-w_t (1 - p_t)^γ log p_t with p = softmax(input): cross-entropy that turns away from what is already right.

    γ = 0 is `cross_entropy`, and as there 'mean' divides by the sum of the targets' weights, 0 for ignored ones.

    **Shapes** as `cross_entropy` with classes as targets. **Raises** ShapeError, BoundsError, DTypeError,
    ArgumentError for a negative gamma. **Source** Lin et al. 2017, equation 5, with softmax in place of sigmoid.
    """
    x3, lead = _by_class("focal_loss", input, weight)
    if gamma < 0:
        raise ArgumentError(f"focal_loss: gamma must be at least 0, got {gamma}")
    target = tensor_arg("focal_loss", "target", target)
    classes = _checked_target("focal_loss", target, lead, x3.shape[1], ignore_index)
    classes = classes.reshape(x3.shape[0], x3.shape[2])
    w = Tensor(_target_weight(classes, None if weight is None else weight.data, ignore_index, x3))
    surprise = CrossEntropy(classes, None, ignore_index)(x3)  # -log p_t
    miss = 1.0 - exp(-surprise)
    right = Tensor(miss.data == 0)  # the slope of miss^γ is infinite there for γ < 1, that of the loss is 0
    losses = where(right, 0.0, where(right, 1.0, miss) ** float(gamma)) * surprise * w
    if reduction == "mean":
        return _weighted_mean(losses, w.data)
    return reduced("focal_loss", reshape(losses, *lead), reduction)


@widened
@in_float32
def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Tensor:
    """-α_t (1 - p_t)^γ log p_t for each element by itself, p = sigmoid(inputs); torchvision's arguments and defaults.

    p_t is p for a target of 1 and 1 - p for 0, α_t is α and 1 - α; a negative `alpha` leaves α_t out.

    **Shapes** both the same. **Raises** ShapeError, DTypeError, ArgumentError. **Source** Lin et al. 2017, equation 5.
    """
    caller = "sigmoid_focal_loss"
    same_kind(caller, inputs=inputs, targets=targets)
    if inputs.shape != targets.shape:
        raise ShapeError(f"{caller}: targets must have inputs' shape {inputs.shape}, got {targets.shape}")
    if alpha > 1 or gamma < 0:
        raise ArgumentError(f"{caller}: alpha must be at most 1 and gamma at least 0, got {alpha} and {gamma}")
    miss = sigmoid(-inputs) * targets + sigmoid(inputs) * (1.0 - targets)  # 1 - p_t, without its cancellation
    losses = binary_cross_entropy_with_logits(inputs, targets, reduction="none") * miss ** float(gamma)
    if alpha >= 0:
        losses = losses * (targets * alpha + (1.0 - targets) * (1.0 - alpha))
    return reduced(caller, losses, reduction)


@widened
@in_float32
def dice_loss(
    input: Tensor,
    target: Tensor,
    ignore_index: int = -100,
    include_background: bool = True,
    eps: float = 1e-6,
) -> Tensor:
    """1 - mean over classes of (2 Σ p_c t_c + ε) / (Σ p_c + Σ t_c + ε): each class counts the same, however small.

    p is softmax(input) over several channels, sigmoid(input) for a single one; sums run over batch and space.
    (The loss of the same name in a well-known U-Net repository sums over the classes as well, which makes it
    1 - mean p of the true class and balances nothing.)

    **Shapes** input (N, C, ...) logits; target (N, ...) classes, for C = 1 of 0 and 1.
    `include_background=False` leaves class 0 out of the mean. **Source** Milletari et al. 2016, per class.
    """
    x = floating("dice_loss", input)
    if x.ndim < 2:
        raise ShapeError(f"dice_loss: input must be (N, C, ...), got shape {x.shape}")
    c = x.shape[1]
    target = tensor_arg("dice_loss", "target", target)
    classes = _checked_target("dice_loss", target, (x.shape[0], *x.shape[2:]), max(c, 2), ignore_index)
    flat = classes.reshape(x.shape[0], -1)
    x3 = reshape(x, x.shape[0], c, flat.shape[1])
    counted = Tensor((flat != ignore_index).astype(x.dtype)[:, None])
    p = (sigmoid(x3) if c == 1 else softmax(x3, 1)) * counted
    t = Tensor((flat[:, None] == 1).astype(x.dtype) if c == 1 else _one_hot(flat, x3)) * counted
    both, total = sum(p * t, (0, 2)), sum(p, (0, 2)) + sum(t, (0, 2))
    scores = (both * 2.0 + eps) / (total + eps)
    return 1.0 - mean(scores if include_background or c == 1 else scores[1:])
