"""Activations that a kernel computes in one pass, forward and backward; their derivatives as formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..backward import differentiate
from ..engine import Array, Op, Tensor
from ..kernels import elementwise as fused
from .checks import as_tensor, wide
from .choice import where
from .elementwise import exp
from .functions import Erf, Sigmoid, Tanh

__all__ = ["Curve"]


class Curve(Op):
    """y = f(x), f one of the kernels' activations with its settings"""

    kind: str
    settings: tuple[float, ...] = ()
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return fused.activate(self.kind, x, *self.settings)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return CurveGrad(self.kind, self.settings)(gy, x.detach() if self.kind in STRAIGHT else x)


class CurveGrad(Op):
    """gx = gy f'(x) in one pass; its own backward differentiates that formula"""

    kind: str
    settings: tuple[float, ...]
    outputs = ("gx",)
    saves = {"gy": "gy x", "x": "gy x"}

    def forward(self, gy: Array, x: Array) -> Array:
        return fused.activate_grad(self.kind, gy, x, *self.settings)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        def formula(gy: Tensor, x: Tensor) -> tuple[Tensor]:
            return ((wide(gy) * SLOPES[self.kind](wide(x), *self.settings)).to(gy.dtype),)

        return differentiate(formula, self.saved, (ggx,))


def _silu(x: Tensor) -> Tensor:
    share = Sigmoid()(x)
    return share * (1.0 + x * (1.0 - share))


def _gelu(x: Tensor) -> Tensor:
    return (1.0 + Erf()(x * math.sqrt(0.5))) * 0.5 + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh(x: Tensor) -> Tensor:
    root = math.sqrt(8 / math.pi)
    share = Sigmoid()((x + x**3 * 0.044715) * root)
    return share + x * share * (1.0 - share) * (1.0 + x * x * (3 * 0.044715)) * root


def _leaky_relu(x: Tensor, slope: float) -> Tensor:
    return where(Tensor(x.data > 0), _number(1.0, x), slope)


def _hardtanh(x: Tensor, low: float, high: float) -> Tensor:
    return where(Tensor((x.data > low) & (x.data < high)), _number(1.0, x), 0.0)


def _hardsigmoid(x: Tensor) -> Tensor:
    return _hardtanh(x, -3.0, 3.0) / 6.0


def _hardswish(x: Tensor) -> Tensor:
    return where(Tensor(x.data >= 3), 1.0, where(Tensor(x.data <= -3), 0.0, (x * 2.0 + 3.0) / 6.0))


def _elu(x: Tensor, alpha: float, s: float, scale: float) -> Tensor:
    """At 0 the slope is that of the left side, and its derivative 0, as in PyTorch."""
    left = exp(where(Tensor(x.data >= 0), 0.0, x) * s) * (alpha * s * scale)
    return where(Tensor(x.data > 0), scale, left)


def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    z = x * beta
    return where(Tensor(z.data > threshold), 1.0, Sigmoid()(z))


def _mish(x: Tensor) -> Tensor:
    t = Tanh()(Curve("softplus", (1.0, math.inf))(x))
    return t + x * (1.0 - t * t) * Sigmoid()(x)


def _number(value: float, like: Tensor) -> Tensor:
    return as_tensor(value, like, like.dtype)


SLOPES: dict[str, Callable[..., Tensor]] = {
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": _leaky_relu,
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
    "elu": _elu,
    "softplus": _softplus,
    "mish": _mish,
}
STRAIGHT = ("leaky_relu", "hardtanh", "hardsigmoid")  # by pieces: f' does not change with x
