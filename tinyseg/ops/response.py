"""Local response normalisation: each channel divided by the energy of its neighbours at the same pixel."""

from __future__ import annotations

import math

from ..backward import differentiate
from ..casting import widened
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels import norm as kernel
from .checks import floating, numbers
from .halves import in_float32
from .pad import pad
from .pool import avg_pool2d
from .shape import reshape


class ResponseNorm(Op):
    """y = x d^-beta with d = k + alpha mean(x²) over `size` channels around each"""

    size: int
    alpha: float
    beta: float
    k: float
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return kernel.response_norm(x, self.size, self.alpha, self.beta, self.k)

    def backward(self, gy: Tensor) -> Tensor:
        return ResponseNormGrad(self.size, self.alpha, self.beta, self.k)(gy, *self.saved)


class ResponseNormGrad(Op):
    """gx of ResponseNorm in one pass; its own backward differentiates the formula"""

    size: int
    alpha: float
    beta: float
    k: float
    saves = {"gy": "gy x", "x": "gy x"}

    def forward(self, gy: Array, x: Array) -> Array:
        return kernel.response_norm_grad(gy, x, self.size, self.alpha, self.beta, self.k)

    def backward(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        before, after = self.size // 2, (self.size - 1) // 2

        @in_float32
        def formula(gy: Tensor, x: Tensor) -> tuple[Tensor]:
            d = _means(x * x, before, after) * self.alpha + self.k
            shared = _means(gy * x * d ** (-self.beta - 1), after, before)  # by all whose window holds this channel
            return (gy * d**-self.beta - 2 * self.alpha * self.beta * x * shared,)

        return differentiate(formula, self.saved, [cotangent])


def _means(x: Tensor, before: int, after: int) -> Tensor:
    """The means over the channels from `before` before to `after` after each; 0 where there are none."""
    planes = reshape(x, x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    means = avg_pool2d(pad(planes, (0, 0, before, after)), (before + 1 + after, 1), stride=1)
    return reshape(means, *x.shape)


@widened
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """y = x / (k + alpha/size · Σ x²)^beta, the sum over `size` neighbouring channels (zeros beyond the last).

    **Shapes** (N, C, *). Of an even number one more comes before than after. The sum is divided by `size` as in
    PyTorch, not by 1 as in the paper. **Source** Krizhevsky, Sutskever & Hinton (2012), section 3.3.
    """
    caller = "local_response_norm"
    x = floating(caller, input)
    numbers(caller, alpha=alpha, beta=beta, k=k)
    if x.ndim < 3:
        raise ShapeError(f"{caller}: input must be (N, C, *) with at least three axes, got shape {x.shape}")
    if not isinstance(size, int) or size < 1:
        raise ArgumentError(f"{caller}: size must be a positive integer, got {size!r}")
    return x if x.data.size == 0 else ResponseNorm(size, float(alpha), float(beta), float(k))(x)
