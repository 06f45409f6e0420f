"""Functions of one number, element by element: logarithms and exponentials, angles, rounding, the error function."""

from __future__ import annotations

import math
from typing import Any

from ..backward import differentiate
from ..casting import widened
from ..devices import array_module, special
from ..engine import Array, Op, Tensor
from ..errors import DTypeError
from ..kernels import elementwise as fused
from .binary import Binary
from .checks import check_broadcast, floating, is_float, operands, real, same_kind, tensor_arg
from .choice import where
from .elementwise import Remainder, divisible, exp, sqrt
from .halves import in_float32


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


class OneLessSquare(Op):
    """y = 1 - x² = (1 - x)(1 + x), which is exact to the last bits near ±1, where x² is not"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return (1.0 - x) * (1.0 + x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * (self.saved[0] * -2.0)


class Arcsine(Op):
    """y = arcsin x,  dy/dx = 1 / √(1 - x²); `cosine` turns it into arccos, whose derivative is the negative"""

    cosine: bool = False
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return (array_module(x).arccos if self.cosine else array_module(x).arcsin)(x)

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        return (-gy if self.cosine else gy) / sqrt(OneLessSquare()(x))


class Atan2(Binary):
    """y = the angle of the point (b, a),  dy/da = b / (a² + b²),  dy/db = -a / (a² + b²); 0 at the origin"""

    saves = {"a": "a b", "b": "a b"}

    def f(self, a: Array, b: Array) -> Array:
        return array_module(a).arctan2(a, b)

    def ga(self, gy: Tensor) -> Tensor:
        return gy * self._over_square(1)

    def gb(self, gy: Tensor) -> Tensor:
        return -gy * self._over_square(0)

    def _over_square(self, which: int) -> Tensor:
        a, b = self.saved
        square = a * a + b * b
        origin = Tensor(square.data == 0)
        return where(origin, 0.0, self.saved[which] / where(origin, 1.0, square))


class Hyperbolic(Op):
    """y = sinh x, or cosh x with `cosine`; each is the other's derivative"""

    cosine: bool = False
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return (array_module(x).cosh if self.cosine else array_module(x).sinh)(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * Hyperbolic(not self.cosine)(self.saved[0])


class LogAddExp(Binary):
    """y = log(e^a + e^b),  dy/da = 1 / (1 + e^(b - a)),  dy/db = 1 / (1 + e^(a - b))"""

    saves = {"a": "a b", "b": "a b"}

    def f(self, a: Array, b: Array) -> Array:
        return array_module(a).logaddexp(a, b)

    def ga(self, gy: Tensor) -> Tensor:
        a, b = self.saved
        return gy * Sigmoid()(a - b)

    def gb(self, gy: Tensor) -> Tensor:
        a, b = self.saved
        return gy * Sigmoid()(b - a)


class Sigmoid(Op):
    """y = 1 / (1 + e^-x)"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return fused.activate("sigmoid", x)

    def backward(self, gy: Tensor) -> Tensor:
        return SigmoidGrad()(gy, self.saved[0])


class SigmoidGrad(Op):
    """gx = gy y (1 - y) in one pass; its own backward differentiates that formula"""

    outputs = ("gx",)
    saves = {"gy": "gy y", "y": "gy y"}

    def forward(self, gy: Array, y: Array) -> Array:
        return fused.activate_grad("sigmoid", gy, y)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        return differentiate(lambda gy, y: (gy * y * (1.0 - y),), self.saved, (ggx,))


class Tanh(Op):
    """y = tanh x,  dy/dx = 1 - y²"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).tanh(x)

    def backward(self, gy: Tensor) -> Tensor:
        (y,) = self.saved
        return gy * (1.0 - y * y)


class Round(Op):
    """y = x rounded by the array module's function of a name: constant by pieces, dy/dx = 0"""

    how: str

    def forward(self, x: Array) -> Array:
        return getattr(array_module(x), self.how)(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * 0.0


@widened
@in_float32
def log1p(input: Tensor) -> Tensor:
    """log(1 + input), exact near 0."""
    return Log1p()(floating("log1p", input))


@widened
@in_float32
def expm1(input: Tensor) -> Tensor:
    """e ^ input - 1, exact near 0."""
    return Expm1()(floating("expm1", input))


@widened
def log2(input: Tensor) -> Tensor:
    """Logarithm to the base 2."""
    return LogOf(2)(floating("log2", input))


@widened
def log10(input: Tensor) -> Tensor:
    """Logarithm to the base 10."""
    return LogOf(10)(floating("log10", input))


def exp2(input: Tensor) -> Tensor:
    """2 ^ input."""
    return 2.0 ** floating("exp2", input)


@in_float32
def erf(input: Tensor) -> Tensor:
    """The error function: 2/√π times the integral of e^(-t²) from 0 to input."""
    return Erf()(floating("erf", input))


@widened
@in_float32
def tan(input: Tensor) -> Tensor:
    """Tangent of an angle in radians."""
    return Tan()(floating("tan", input))


@in_float32
def atan(input: Tensor) -> Tensor:
    """The angle in radians, between -π/2 and π/2, whose tangent is input."""
    return Atan()(floating("atan", input))


@widened
@in_float32
def asin(input: Tensor) -> Tensor:
    """The angle in radians, between -π/2 and π/2, whose sine is input; NaN outside [-1, 1]."""
    return Arcsine()(floating("asin", input))


@widened
@in_float32
def acos(input: Tensor) -> Tensor:
    """The angle in radians, between 0 and π, whose cosine is input; NaN outside [-1, 1]."""
    return Arcsine(cosine=True)(floating("acos", input))


@in_float32
def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle in radians, between -π and π, of the point with x-coordinate `other` and y-coordinate `input`."""
    a, b = operands("atan2", tensor_arg("atan2", "input", input), tensor_arg("atan2", "other", other))
    return Atan2()(floating("atan2", a), floating("atan2", b))


@widened
def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine, (e^x - e^-x) / 2."""
    return Hyperbolic()(floating("sinh", input))


@widened
def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine, (e^x + e^-x) / 2."""
    return Hyperbolic(cosine=True)(floating("cosh", input))


@in_float32
def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """log(e^input + e^other), without overflow."""
    a, b = operands("logaddexp", tensor_arg("logaddexp", "input", input), tensor_arg("logaddexp", "other", other))
    return LogAddExp()(a, b)


def frac(input: Tensor) -> Tensor:
    """input without its whole part: input - trunc(input)."""
    x = tensor_arg("frac", "input", input)
    return x - trunc(x)


@in_float32
def fmod(input: Tensor, other: Any) -> Tensor:
    """input - other · trunc(input / other): the remainder with the sign of `input`."""
    return Remainder("trunc")(*divisible("fmod", *operands("fmod", tensor_arg("fmod", "input", input), other)))


@in_float32
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value · tensor1 · tensor2, with broadcasting."""
    same_kind("addcmul", input=input, tensor1=tensor1, tensor2=tensor2)
    check_broadcast("addcmul", check_broadcast("addcmul", tensor1.shape, tensor2.shape), input.shape)
    _check_value("addcmul", input, value)
    product = tensor1 * tensor2
    return input + (product if value == 1 else product * value)


@in_float32
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """input + value · tensor1 / tensor2, with broadcasting, of floating-point types."""
    same_kind("addcdiv", input=input, tensor1=tensor1, tensor2=tensor2)
    real("addcdiv", input=input)
    check_broadcast("addcdiv", check_broadcast("addcdiv", tensor1.shape, tensor2.shape), input.shape)
    quotient = tensor1 / tensor2
    return input + (quotient if value == 1 else quotient * value)


def _check_value(caller: str, x: Tensor, value: Any) -> None:
    if isinstance(value, float) and not is_float(x.dtype):
        raise DTypeError(f"{caller}: value must be an integer for an input of type {x.dtype}, got {value}")


def floor(input: Tensor) -> Tensor:
    """The next integer below; its gradient is 0."""
    return _rounded("floor", input, "floor")


def ceil(input: Tensor) -> Tensor:
    """The next integer above; its gradient is 0."""
    return _rounded("ceil", input, "ceil")


def trunc(input: Tensor) -> Tensor:
    """The next integer towards 0; its gradient is 0."""
    return _rounded("trunc", input, "trunc")


@in_float32
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
