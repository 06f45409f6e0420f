"""Functions of one number, element by element: logarithms and exponentials, angles, rounding, the error function."""

from __future__ import annotations

import math

from ..device import array_module, special
from ..engine import Array, Op, Tensor
from ..errors import DTypeError
from .checks import floating, is_float, tensor_arg
from .elementwise import exp


class Log1p(Op):
    """y = log(1 + x),  dy/dx = 1 / (1 + x)"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).log1p(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy / (self.saved[0] + 1.0)


class LogOf(Op):
    """y = log x to the base 2 or 10, exact where y is whole,  dy/dx = 1 / (x log base)"""

    base: int
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return getattr(array_module(x), f"log{self.base}")(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy / (self.saved[0] * math.log(self.base))


class Expm1(Op):
    """y = e^x - 1,  dy/dx = y + 1"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).expm1(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * (self.saved[0] + 1.0)


class Erf(Op):
    """y = 2/√π ∫₀ˣ e^(-t²) dt,  dy/dx = 2/√π e^(-x²)"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        wide = x if x.dtype.itemsize >= 4 else x.astype("float32")
        return special(x).erf(wide).astype(x.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return gy * (exp(-x * x) * (2 / math.sqrt(math.pi)))


class Tan(Op):
    """y = tan x,  dy/dx = 1 + y²"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).tan(x)

    def backward(self, gy: Tensor) -> Tensor:
        (y,) = self.saved
        return gy * (y * y + 1.0)


class Atan(Op):
    """y = arctan x,  dy/dx = 1 / (1 + x²)"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).arctan(x)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return gy / (x * x + 1.0)


class Round(Op):
    """y = x rounded by the array module's function of a name: constant by pieces, dy/dx = 0"""

    how: str

    def forward(self, x: Array) -> Array:
        return getattr(array_module(x), self.how)(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * 0.0


def log1p(input: Tensor) -> Tensor:
    """log(1 + input), exact near 0."""
    return Log1p()(floating("log1p", input))


def expm1(input: Tensor) -> Tensor:
    """e ^ input - 1, exact near 0."""
    return Expm1()(floating("expm1", input))


def log2(input: Tensor) -> Tensor:
    """Logarithm to the base 2."""
    return LogOf(2)(floating("log2", input))


def log10(input: Tensor) -> Tensor:
    """Logarithm to the base 10."""
    return LogOf(10)(floating("log10", input))


def exp2(input: Tensor) -> Tensor:
    """2 ^ input."""
    return 2.0 ** floating("exp2", input)


def erf(input: Tensor) -> Tensor:
    """The error function: 2/√π times the integral of e^(-t²) from 0 to input."""
    return Erf()(floating("erf", input))


def tan(input: Tensor) -> Tensor:
    """Tangent of an angle in radians."""
    return Tan()(floating("tan", input))


def atan(input: Tensor) -> Tensor:
    """The angle in radians, between -π/2 and π/2, whose tangent is input."""
    return Atan()(floating("atan", input))


def floor(input: Tensor) -> Tensor:
    """The next integer below; its gradient is 0."""
    return _rounded("floor", input, "floor")


def ceil(input: Tensor) -> Tensor:
    """The next integer above; its gradient is 0."""
    return _rounded("ceil", input, "ceil")


def trunc(input: Tensor) -> Tensor:
    """The next integer towards 0; its gradient is 0."""
    return _rounded("trunc", input, "trunc")


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest integer, of two the even one; with `decimals` that many digits after the point. Its gradient is 0."""
    if decimals == 0:
        return _rounded("round", input, "rint")
    x = tensor_arg("round", "input", input)
    if not is_float(x.dtype):
        raise DTypeError(f"round: decimals={decimals} needs an input of a floating-point type, got {x.dtype}")
    scale = 10.0 ** abs(decimals)
    return (
        _rounded("round", x * scale, "rint") / scale if decimals > 0 else _rounded("round", x / scale, "rint") * scale
    )


def _rounded(caller: str, input: Tensor, how: str) -> Tensor:
    x = tensor_arg(caller, "input", input)
    if x.dtype == "bool":
        raise DTypeError(f"{caller}: booleans are not rounded; use .to(dtype)")
    return Round(how)(x) if is_float(x.dtype) else x.clone()
