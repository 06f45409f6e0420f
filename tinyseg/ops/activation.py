"""Activations, softmax and dropout. Each says its formula and, where it is not obvious, its derivative.

`inplace=True` is accepted and computed out of place: ported models run and get the same values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..backward import differentiate
from ..devices import array_module, special
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import elementwise as fused
from ..kernels import softmax as kernel
from .checks import as_tensor, axis, floating, is_float, numbers, same_kind, tensor_arg, wide
from .choice import Where, clamp, where
from .elementwise import abs_, exp
from .functions import Sigmoid
from .halves import in_float32, is_half
from .reduce import sum
from .shape import Shape, chunk, reshape


class Relu(Op):
    """y = max(x, 0); the gradient at 0 is 0"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return fused.relu(x)

    def backward(self, gy: Tensor) -> Tensor:
        return ReluGrad(self.saved[0].data)(gy)


class ReluGrad(Op):
    """y = x where the activation was positive, else 0; its own adjoint"""

    positive: Array

    def forward(self, x: Array) -> Array:
        return fused.relu_grad(x, self.positive)

    def backward(self, gy: Tensor) -> Tensor:
        return ReluGrad(self.positive)(gy)


class Elu(Op):
    """y = x where positive, else α (e^(s x) - 1),  dy/dx = α s e^(s x)

    At 0 the first derivative is that of the left side, and the second is 0, as in PyTorch.
    """

    alpha: float
    s: float
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0) * self.s) * self.alpha)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        slope = exp(where(Tensor(x.data >= 0), 0.0, x) * self.s) * (self.alpha * self.s)
        return gy * where(Tensor(x.data > 0), 1.0, slope)


class Tanh(Op):
    """y = tanh x,  dy/dx = 1 - y²"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, gy: Tensor) -> Tensor:
        (y,) = self.saved
        return gy * (1.0 - y * y)


class Softplus(Op):
    """y = log(1 + e^(βx)) / β, and x itself where βx is above the threshold,  dy/dx = sigmoid(βx)"""

    beta: float
    threshold: float
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        xp = array_module(x)
        z = (x.astype(np.float32) if is_half(x.dtype) else x) * self.beta
        self.linear = z > self.threshold
        return xp.where(self.linear, x, (xp.maximum(z, 0) + xp.log1p(xp.exp(-abs(z)))) / self.beta).astype(x.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return Where(self.linear)(gy, (wide(gy) * sigmoid(wide(x) * self.beta)).to(gy.dtype))


class Erf(Op):
    """y = 2/sqrt(π) ∫₀ˣ e^(-t²) dt"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return special(x).erf(x).astype(x.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return gy * exp(-(x * x)) * (2 / math.sqrt(math.pi))


class Gate(Op):
    """y = x · share(x): silu, gelu and gelu's tanh form, forward and backward in one pass each"""

    kind: str
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return GATES[self.kind][0](x)

    def backward(self, gy: Tensor) -> Tensor:
        return GateGrad(self.kind)(gy, self.saved[0])


class GateGrad(Op):
    """gx of Gate; its own backward differentiates the formula of Gate once more"""

    kind: str
    saves = {"gy": "gy x", "x": "gy x"}

    def forward(self, gy: Array, x: Array) -> Array:
        return GATES[self.kind][1](gy, x)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        written_out = GATES[self.kind][2]

        def gradient(gy: Tensor, x: Tensor) -> tuple[Tensor | None, ...]:
            return differentiate(lambda x: (written_out(x),), (x,), (gy,))

        return differentiate(gradient, self.saved, (ggx,))


def _silu(x: Tensor) -> Tensor:
    return x * sigmoid(x)


def _gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1.0 + Erf()(x * math.sqrt(0.5)))


def _gelu_tanh(x: Tensor) -> Tensor:
    return x * 0.5 * (1.0 + tanh((x + x**3 * 0.044715) * math.sqrt(2 / math.pi)))


GATES: dict[str, Any] = {
    "silu": (fused.silu, fused.silu_grad, _silu),
    "gelu": (fused.gelu, fused.gelu_grad, _gelu),
    "gelu_tanh": (
        lambda x: fused.gelu(x, "tanh"),
        lambda gy, x: fused.gelu_grad(gy, x, "tanh"),
        _gelu_tanh,
    ),
}


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
    if min_val > max_val:
        raise ArgumentError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    inside = Tensor((x.data > min_val) & (x.data < max_val))
    return where(inside, x, clamp(x.detach(), min_val, max_val))


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, else negative_slope · x."""
    x = floating("leaky_relu", input)
    return where(Tensor(x.data > 0), x, x * negative_slope)


@in_float32
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α (e^x - 1)."""
    return Elu(alpha, 1.0)(floating("elu", input))


@in_float32
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, else α (e^(x/α) - 1): its slope at 0 is 1 for every α. **Source** Barron 2017."""
    x = floating("celu", input)
    if alpha == 0:
        raise ArgumentError("celu: alpha must not be 0")
    return Elu(alpha, 1.0 / alpha)(x)


@in_float32
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """λ x where positive, else λ α (e^x - 1), with the λ and α that keep mean 0 and variance 1.

    **Source** Klambauer et al. 2017.
    """
    return elu(floating("selu", input), SELU_ALPHA) * SELU_SCALE


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


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
    return relu6(floating("hardsigmoid", input) + 3.0) / 6.0


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x min(max(x + 3, 0), 6) / 6. **Source** Howard et al. 2019."""
    x = floating("hardswish", input)
    above, below = Tensor(x.data >= 3), Tensor(x.data <= -3)
    bent = where(above | below, 0.0, x)  # infinity would be an infinite slope times no gradient
    return where(above, x, where(below, x.detach() * 0.0, bent * (bent + 3.0) / 6.0))


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
    a, b = chunk(x, 2, place) if x.shape[place] else (x, x)
    return a * sigmoid(b)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x), also called swish."""
    return Gate("silu")(floating("silu", input))


@in_float32
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x))."""
    x = floating("mish", input)
    return x * tanh(softplus(x))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Φ(x) with the normal distribution function Φ; `approximate='tanh'` uses its tanh form."""
    x = floating("gelu", input)
    if approximate == "none":
        return Gate("gelu")(x)
    if approximate != "tanh":
        raise ArgumentError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    return Gate("gelu_tanh")(x)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^(βx)) / β; x itself where βx is above `threshold`."""
    return Softplus(beta, threshold)(floating("softplus", input))


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return Sigmoid()(floating("sigmoid", input))


def logsigmoid(input: Tensor) -> Tensor:
    """log sigmoid(x) = -softplus(-x)."""
    return -Softplus(1.0, math.inf)(-floating("logsigmoid", input))


def tanh(input: Tensor) -> Tensor:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return Tanh()(floating("tanh", input))


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """e^x_k / Σ_j e^x_j along axis `dim`, without overflow."""
    return _along_axis("softmax", Softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """x_k - log Σ_j e^x_j along axis `dim`, without overflow."""
    return _along_axis("log_softmax", LogSoftmax, input, dim, dtype)


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
    scale = as_tensor(keep * (0.0 if p == 1 else 1 / (1 - p)), x, x.dtype)  # float64: rounded once, to x's type
    return x * scale
