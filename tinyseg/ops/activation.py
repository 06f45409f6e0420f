"""Activations, softmax and dropout. Each says its formula and, where it is not obvious, its derivative.

`inplace=True` is accepted and computed out of place: ported models run and get the same values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..backward import differentiate
from ..casting import lowered, widened
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import elementwise as fused
from ..kernels import softmax as kernel
from .checks import as_tensor, axis, floating, is_float, numbers, same_kind, tensor_arg, wide
from .choice import where
from .curves import Curve
from .elementwise import abs_, exp
from .functions import Sigmoid, Tanh
from .halves import in_float32
from .indexing import unbind
from .reduce import sum
from .shape import Shape, reshape, stack


class Relu(Op):
    """y = max(x, 0); the gradient at 0 is 0"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return fused.activate("relu", x)

    def backward(self, gy: Tensor) -> Tensor:
        return ReluGrad(self.saved[0].data)(gy)


class ReluGrad(Op):
    """y = x where the activation was positive, else 0; its own adjoint"""

    positive: Array

    def forward(self, x: Array) -> Array:
        return fused.activate_grad("relu", x, self.positive)

    def backward(self, gy: Tensor) -> Tensor:
        return ReluGrad(self.positive)(gy)


class Glu(Op):
    """y = a sigmoid(b) for the halves a and b of axis 1 of three"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return fused.glu(x)

    def backward(self, gy: Tensor) -> Tensor:
        return GluGrad()(gy, self.saved[0])


class GluGrad(Op):
    """gx of Glu in one pass; its own backward differentiates the formula"""

    outputs = ("gx",)
    saves = {"gy": "gy x", "x": "gy x"}

    def forward(self, gy: Array, x: Array) -> Array:
        return fused.glu_grad(gy, x)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        def formula(gy: Tensor, x: Tensor) -> tuple[Tensor]:
            g, (a, b) = wide(gy), unbind(wide(x), 1)
            share = sigmoid(b)
            return (stack([g * share, g * a * share * (1.0 - share)], 1).to(x.dtype),)

        return differentiate(formula, self.saved, (ggx,))


class Softmax(Op):
    """y_k = e^x_k / Σ_j e^x_j over the middle axis of the view (outer, K, inner) of x"""

    view: Shape
    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return kernel.softmax(x.reshape(self.view)).reshape(x.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return SoftmaxGrad(self.view)(gy, self.saved[0])


class SoftmaxGrad(Op):
    """gx = y (gy - Σ_k gy_k y_k) in one pass; its own backward differentiates that formula"""

    view: Shape
    outputs = ("gx",)
    saves = {"gy": "gy y", "y": "gy y"}

    def forward(self, gy: Array, y: Array) -> Array:
        return kernel.softmax_grad(gy.reshape(self.view), y.reshape(self.view)).reshape(y.shape)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        def formula(gy: Tensor, y: Tensor) -> tuple[Tensor]:
            gy_, y_ = (wide(reshape(t, *self.view)) for t in (gy, y))
            return (reshape((y_ * (gy_ - sum(gy_ * y_, 1, keepdim=True))).to(y.dtype), *y.shape),)

        return differentiate(formula, self.saved, (ggx,))


class LogSoftmax(Op):
    """y_k = x_k - log Σ_j e^x_j over the middle axis of the view (outer, K, inner) of x"""

    view: Shape
    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return kernel.log_softmax(x.reshape(self.view)).reshape(x.shape)

    def backward(self, gy: Tensor) -> Tensor:
        return LogSoftmaxGrad(self.view)(gy, self.saved[0])


class LogSoftmaxGrad(Op):
    """gx = gy - e^y Σ_k gy_k in one pass; its own backward differentiates that formula"""

    view: Shape
    outputs = ("gx",)
    saves = {"gy": "gy y", "y": "gy y"}

    def forward(self, gy: Array, y: Array) -> Array:
        return kernel.log_softmax_grad(gy.reshape(self.view), y.reshape(self.view)).reshape(y.shape)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        def formula(gy: Tensor, y: Tensor) -> tuple[Tensor]:
            gy_, y_ = (wide(reshape(t, *self.view)) for t in (gy, y))
            return (reshape((gy_ - exp(y_) * sum(gy_, 1, keepdim=True)).to(y.dtype), *y.shape),)

        return differentiate(formula, self.saved, (ggx,))


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return Relu()(tensor_arg("relu", "input", input))


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return hardtanh(input, 0.0, 6.0)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val); at the bounds the gradient is 0."""
    x = floating("hardtanh", input)
    numbers("hardtanh", min_val=min_val, max_val=max_val)
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    return Curve("hardtanh", (min_val, max_val))(x)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope · x."""
    x = floating("leaky_relu", input)
    numbers("leaky_relu", negative_slope=negative_slope)
    return Curve("leaky_relu", (negative_slope,))(x)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α (e^x - 1)."""
    x = floating("elu", input)
    numbers("elu", alpha=alpha)
    return Curve("elu", (alpha, 1.0, 1.0))(x)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α (e^(x/α) - 1): its slope at 0 is 1 for every α. **Source** Barron 2017."""
    x = floating("celu", input)
    numbers("celu", alpha=alpha)
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return Curve("elu", (alpha, 1.0 / alpha, 1.0))(x)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """λ x where positive, else λ α (e^x - 1), with the λ and α that keep mean 0 and variance 1.

    **Source** Klambauer et al. 2017.
    """
    return Curve("elu", (SELU_ALPHA, 1.0, SELU_SCALE))(floating("selu", input))


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@lowered
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight · x, with one weight, or one for each channel on axis 1.

    **Source** He et al. 2015.
    """
    x = tensor_arg("prelu", "input", input)
    same_kind("prelu", input=x, weight=weight)
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.ndim > 1 or weight.data.size not in (1, channels):
        raise ShapeError(f"prelu: weight must hold 1 number or {channels}, got {weight.shape} (input {x.shape})")
    slope = reshape(weight, ()) if weight.data.size == 1 else reshape(weight, -1, *(1,) * (x.ndim - 2))
    return where(Tensor(x.data > 0), x, x * slope)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where above the threshold, else `value`."""
    x = tensor_arg("threshold", "input", input)
    return where(Tensor(~(x.data <= threshold)), x, as_tensor(value, x, x.dtype))  # NaN passes


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6."""
    return Curve("hardsigmoid")(floating("hardsigmoid", input))


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6. **Source** Howard et al. 2019."""
    return Curve("hardswish")(floating("hardswish", input))


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x outside [-λ, λ], else 0."""
    x = floating("hardshrink", input)
    return where(Tensor((x.data >= -lambd) & (x.data <= lambd)), 0.0, x)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x - λ above λ, x + λ below -λ, else 0."""
    x = floating("softshrink", input)
    if lambd < 0:
        raise ArgumentError(f"softshrink: lambd must be at least 0, got {lambd}")
    inner = where(Tensor((x.data >= -lambd) & (x.data <= lambd)), 0.0, x - lambd)
    return where(Tensor(x.data < -lambd), x + lambd, inner)


@in_float32
def softsign(input: Tensor) -> Tensor:
    """x / (1 + |x|)."""
    x = floating("softsign", input)
    return x / (abs_(x) + 1.0)


@in_float32
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x."""
    x = floating("tanhshrink", input)
    return x - tanh(x)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b) for the two halves a and b of axis `dim`. **Source** Dauphin et al. 2017."""
    x = floating("glu", input)
    place = axis("glu", dim, x.ndim)
    if x.ndim == 0 or x.shape[place] % 2:
        raise ShapeError(f"glu: input must have an even size along axis {place} to be halved, got shape {x.shape}")
    outer, inner = math.prod(x.shape[:place]), math.prod(x.shape[place:]) // 2
    return reshape(Glu()(reshape(x, outer, 2, inner)), *x.shape[:place], x.shape[place] // 2, *x.shape[place + 1 :])


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x), also called swish."""
    return Curve("silu")(floating("silu", input))


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    return Curve("mish")(floating("mish", input))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x) with the normal distribution function Φ; `approximate='tanh'` uses its tanh form."""
    x = floating("gelu", input)
    if approximate == "none":
        return Curve("gelu")(x)
    if approximate != "tanh":
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return Curve("gelu_tanh")(x)


@widened
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(βx)) / β; x itself where βx is above `threshold`."""
    x = floating("softplus", input)
    numbers("softplus", beta=beta, threshold=threshold)
    return Curve("softplus", (beta, threshold))(x)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return Sigmoid()(floating("sigmoid", input))


def logsigmoid(input: Tensor) -> Tensor:
    """log sigmoid(x) = -softplus(-x), which is softplus with β = -1."""
    return Curve("softplus", (-1.0, math.inf))(floating("logsigmoid", input))


def tanh(input: Tensor) -> Tensor:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return Tanh()(floating("tanh", input))


@widened
def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^x_k / Σ_j e^x_j along axis `dim`, without overflow."""
    return _along_axis("softmax", Softmax, input, dim, dtype)


@widened
def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """x_k - log Σ_j e^x_j along axis `dim`, without overflow."""
    return _along_axis("log_softmax", LogSoftmax, input, dim, dtype)


@widened
def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x) along axis `dim`."""
    return _along_axis("softmin", Softmax, -tensor_arg("softmin", "input", input), dim, dtype)


def _along_axis(caller: str, op: type[Softmax | LogSoftmax], input: Tensor, dim: int | None, dtype: Any) -> Tensor:
    """Run an op over (outer, K, inner) along any axis: in C order the other axes merge for free."""
    x = tensor_arg(caller, "input", input)
    x = x if dtype is None else x.to(dtype)
    if not is_float(x.dtype):
        raise ArgumentError(f"{caller}: input must be of a floating-point type, got {x.dtype}; pass dtype=ts.float32")
    if dim is None:
        raise ArgumentError(f"{caller}: dim must be given: 1 for the channels of (N, C, ...), -1 for the last axis")
    k = axis(caller, dim, x.ndim)
    outer, inner = math.prod(x.shape[:k]), math.prod(x.shape[k + 1 :])
    return op((outer, x.shape[k] if x.ndim else 1, inner))(x)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Each element zeroed with probability p, the others divided by 1 - p; the identity unless `training`."""
    return _dropped("dropout", input, p, training, lambda shape: shape)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of a (N, C, L) or (C, L) Tensor."""
    x = tensor_arg("dropout1d", "input", input)
    if x.ndim not in (2, 3):
        raise ShapeError(f"dropout1d: input must be (N, C, L) or (C, L), got shape {x.shape}")
    return _dropped("dropout1d", x, p, training, lambda shape: (*shape[:-1], 1))


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Dropout of whole channels of a (N, C, H, W) Tensor. Three axes are taken as (N, C, L), as PyTorch does."""
    x = tensor_arg("dropout2d", "input", input)
    if x.ndim < 2:
        raise ShapeError(f"dropout2d: input must be (N, C, H, W), got shape {x.shape}")
    return _dropped("dropout2d", x, p, training, lambda shape: (*shape[:2], *(1,) * (len(shape) - 2)))


def _dropped(caller: str, input: Tensor, p: float, training: bool, mask_shape: Any) -> Tensor:
    x = floating(caller, input)
    numbers(caller, p=p)
    if not 0 <= p <= 1:
        raise ArgumentError(f"{caller}: p must be between 0 and 1, got {p}")
    if not training or p == 0:
        return x
    keep = random.default_generator().random(mask_shape(x.shape), dtype=np.float32) >= p
    factors = as_tensor(keep * (0.0 if p == 1 else 1 / (1 - p)), x, x.dtype)  # float64: rounded once, to x's type
    return Scaled(factors.data)(x)


class Scaled(Op):
    """y = x · factors, constant ones that each serve a part of x; its own adjoint"""

    factors: Array

    def forward(self, x: Array) -> Array:
        return fused.scale(x, self.factors)

    def backward(self, gy: Tensor) -> Tensor:
        return Scaled(self.factors)(gy)
