"""Element by element: arithmetic with broadcasting, powers, exponentials, comparisons, choices.

A binary op states its value and the two partial gradients; `Binary` sums each gradient over the axes that
broadcasting had stretched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..device import array_module, device_of, to_device
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError
from .checks import as_tensor, check_broadcast, element_type, floating, is_float, operands, tensor_arg
from .shape import sum_to


class Binary(Op):
    """y = f(a, b) with broadcasting: a subclass gives `f`, `ga` and `gb`."""

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return self.f(a, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        ga = sum_to(self.ga(gy), self.shapes[0]) if self.needs[0] else None
        gb = sum_to(self.gb(gy), self.shapes[1]) if self.needs[1] else None
        return ga, gb

    def f(self, a: Array, b: Array) -> Array:
        """The value."""
        raise AssertionError(f"{self.name} defines no f")

    def ga(self, gy: Tensor) -> Tensor:
        """The gradient for `a` before the sum over broadcast axes."""
        return gy

    def gb(self, gy: Tensor) -> Tensor:
        """The gradient for `b` before the sum over broadcast axes."""
        return gy


class Add(Binary):
    """y = a + b"""

    def f(self, a: Array, b: Array) -> Array:
        return a + b


class Sub(Binary):
    """y = a - b"""

    def f(self, a: Array, b: Array) -> Array:
        return a - b

    def gb(self, gy: Tensor) -> Tensor:
        return -gy


class Mul(Binary):
    """y = a b"""

    saves = {"a": "b", "b": "a"}

    def f(self, a: Array, b: Array) -> Array:
        return a * b

    def ga(self, gy: Tensor) -> Tensor:
        return gy * self.saved[1]

    def gb(self, gy: Tensor) -> Tensor:
        return gy * self.saved[0]


class Div(Binary):
    """y = a / b,  dy/db = -y / b"""

    saves = {"b": "a b", "y": "b"}

    def f(self, a: Array, b: Array) -> Array:
        return a / b

    def ga(self, gy: Tensor) -> Tensor:
        return gy / self.saved[0]

    def gb(self, gy: Tensor) -> Tensor:
        b, y = self.saved
        return -(gy * y / b)


class RoundedDiv(Binary):
    """y = a / b rounded to an integer, down or towards 0: constant by pieces, dy/da = dy/db = 0"""

    mode: str

    def f(self, a: Array, b: Array) -> Array:
        xp = array_module(a)
        return (xp.floor_divide(a, b) if self.mode == "floor" else xp.trunc(a / b)).astype(a.dtype)

    def ga(self, gy: Tensor) -> Tensor:
        return gy * 0.0

    def gb(self, gy: Tensor) -> Tensor:
        return gy * 0.0


class Remainder(Binary):
    """y = a - b floor(a / b), with the sign of b"""

    saves = {"a": "b", "b": "b"}

    def f(self, a: Array, b: Array) -> Array:
        return a % b

    def gb(self, gy: Tensor) -> Tensor:
        a, b = self.saved
        return -gy * Tensor(array_module(a.data).floor_divide(a.data, b.data))


class Pow(Binary):
    """y = a^b,  dy/da = b a^(b-1) (0 where b = 0),  dy/db = y log a (0 where a = 0)"""

    saves = {"a": "a b", "b": "a", "y": "b"}

    def f(self, a: Array, b: Array) -> Array:
        return a**b

    def ga(self, gy: Tensor) -> Tensor:
        a, b, _ = self.saved
        return gy * where(b == 0, 0.0, b * a ** where(b == 0, 1.0, b - 1))

    def gb(self, gy: Tensor) -> Tensor:
        a, _, y = self.saved
        return gy * y * log(where(a == 0, 1.0, a))


class PowScalar(Op):
    """y = x^n for a number n,  dy/dx = n x^(n-1)"""

    n: float
    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return x * x if self.n == 2 else x**self.n

    def backward(self, gy: Tensor) -> Tensor:
        (x,) = self.saved
        if self.n == 0:
            return gy * 0.0
        return gy * (x * 2.0 if self.n == 2 else self.n * PowScalar(self.n - 1)(x))


class Maximum(Binary):
    """y = max(a, b); equal elements share the gradient by halves. `smallest` turns it into the minimum."""

    smallest: bool = False

    def f(self, a: Array, b: Array) -> Array:
        a_wins = a < b if self.smallest else a > b
        self.share = a_wins + 0.5 * (a == b)
        return (array_module(a).minimum if self.smallest else array_module(a).maximum)(a, b)

    def ga(self, gy: Tensor) -> Tensor:
        return gy * Tensor(self.share.astype(gy.dtype))

    def gb(self, gy: Tensor) -> Tensor:
        return gy * Tensor((1 - self.share).astype(gy.dtype))


class Where(Binary):
    """y = a where the condition holds, else b"""

    condition: Array

    def f(self, a: Array, b: Array) -> Array:
        return array_module(self.condition).where(self.condition, a, b)

    def ga(self, gy: Tensor) -> Tensor:
        return Where(self.condition)(gy, as_tensor(0, gy, gy.dtype))

    def gb(self, gy: Tensor) -> Tensor:
        return Where(self.condition)(as_tensor(0, gy, gy.dtype), gy)


class Neg(Op):
    """y = -x"""

    def forward(self, x: Array) -> Array:
        return -x

    def backward(self, gy: Tensor) -> Tensor:
        return -gy


class Exp(Op):
    """y = e^x,  dy/dx = y"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).exp(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * self.saved[0]


class Log(Op):
    """y = log x,  dy/dx = 1/x"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).log(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy / self.saved[0]


class Sqrt(Op):
    """y = sqrt x,  dy/dx = 1 / (2 y)"""

    saves = {"y": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).sqrt(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy / (self.saved[0] * 2.0)


class Sin(Op):
    """y = sin x"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).sin(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * Cos()(self.saved[0])


class Cos(Op):
    """y = cos x"""

    saves = {"x": "x"}

    def forward(self, x: Array) -> Array:
        return array_module(x).cos(x)

    def backward(self, gy: Tensor) -> Tensor:
        return -(gy * Sin()(self.saved[0]))


class Abs(Op):
    """y = |x|,  dy/dx = sign x (0 at 0)"""

    def forward(self, x: Array) -> Array:
        self.sign = array_module(x).sign(x)
        return abs(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * Tensor(self.sign)


class Sign(Op):
    """y = -1, 0 or 1: constant by pieces, dy/dx = 0"""

    def forward(self, x: Array) -> Array:
        return array_module(x).sign(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * 0.0


class Clamp(Op):
    """y = min(max(x, low), high); the gradient passes inside, bounds included"""

    low: float | None
    high: float | None

    def forward(self, x: Array) -> Array:
        self.inside = (x >= (-np.inf if self.low is None else self.low)) & (
            x <= (np.inf if self.high is None else self.high)
        )
        return array_module(x).clip(x, self.low, self.high).astype(x.dtype, copy=False)  # bfloat16 grows beside a float

    def backward(self, gy: Tensor) -> Tensor:
        return Where(self.inside)(gy, as_tensor(0, gy, gy.dtype))


class Cast(Op):
    """y = x in another element type; the gradient goes back to the old one"""

    dtype: Any

    def forward(self, x: Array) -> Array:
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, gy: Tensor) -> Tensor:
        return Cast(self.source)(gy)


class Clone(Op):
    """y = x in memory of its own"""

    def forward(self, x: Array) -> Array:
        return x  # the engine copies what would alias an input

    def backward(self, gy: Tensor) -> Tensor:
        return gy


class Move(Op):
    """y = x on another device; the gradient comes back to the old one"""

    crosses_devices = True
    device: str

    def forward(self, x: Array) -> Array:
        self.source = device_of(x)
        return to_device(x, self.device)

    def backward(self, gy: Tensor) -> Tensor:
        return Move(self.source)(gy)


def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha · other, with broadcasting."""
    return Add()(*operands("add", input, other if alpha == 1 else other * alpha))


def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input - alpha · other, with broadcasting."""
    a, b = operands("sub", input, other if alpha == 1 else other * alpha)
    if a.dtype == np.bool_:
        raise DTypeError("sub: booleans cannot be subtracted; use logical_xor or .to(dtype)")
    return Sub()(a, b)


def mul(input: Any, other: Any) -> Tensor:
    """input · other, with broadcasting."""
    return Mul()(*operands("mul", input, other))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, with broadcasting; integers give float32. `rounding_mode`: 'floor' or 'trunc' the quotient."""
    if rounding_mode is None:
        a, b = operands("div", input, other)
        return Div()(floating("div", a), floating("div", b))
    if rounding_mode not in ("floor", "trunc"):
        raise ArgumentError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    return RoundedDiv(rounding_mode)(*operands("div", input, other))


def floor_divide(input: Any, other: Any) -> Tensor:
    """floor(input / other); its gradient is 0."""
    return div(input, other, rounding_mode="floor")


def remainder(input: Any, other: Any) -> Tensor:
    """input - other · floor(input / other): the remainder with the sign of `other`."""
    return Remainder()(*operands("remainder", input, other))


def pow(input: Any, exponent: Any) -> Tensor:
    """input ^ exponent; either may be a number."""
    if isinstance(input, Tensor) and isinstance(exponent, int | float | np.number):
        whole = not isinstance(exponent, float | np.floating)
        if is_float(input.dtype):
            n = exponent.item() if isinstance(exponent, np.generic) else exponent
            return PowScalar(n)(input)
        if whole and exponent < 0:
            raise ArgumentError(f"pow: integers to the negative power {exponent} are not integers; use .to(ts.float32)")
    return Pow()(*operands("pow", input, exponent))


def neg(input: Tensor) -> Tensor:
    """-input."""
    x = tensor_arg("neg", "input", input)
    if x.dtype == np.bool_:
        raise DTypeError("neg: booleans have no negative; use logical_not or .to(dtype)")
    return Neg()(x)


def exp(input: Tensor) -> Tensor:
    """e ^ input."""
    return Exp()(floating("exp", input))


def log(input: Tensor) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return Log()(floating("log", input))


def sqrt(input: Tensor) -> Tensor:
    """Square root; NaN below 0."""
    return Sqrt()(floating("sqrt", input))


def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(input)."""
    return sqrt(input) ** -1.0


def square(input: Tensor) -> Tensor:
    """input²."""
    return pow(input, 2)


def reciprocal(input: Tensor) -> Tensor:
    """1 / input."""
    return div(1.0, input)


def sin(input: Tensor) -> Tensor:
    """Sine of an angle in radians."""
    return Sin()(floating("sin", input))


def cos(input: Tensor) -> Tensor:
    """Cosine of an angle in radians."""
    return Cos()(floating("cos", input))


def abs_(input: Tensor) -> Tensor:
    """|input|; the gradient at 0 is 0."""
    return Abs()(tensor_arg("abs", "input", input))


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; its gradient is 0."""
    return Sign()(tensor_arg("sign", "input", input))


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """min(max(input, min), max); the bounds are numbers or Tensors, and at a bound the gradient passes."""
    if min is None and max is None:
        raise ArgumentError("clamp: at least one of min and max must be given")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        x = input if min is None else maximum(input, min)
        return x if max is None else minimum(x, max)
    x = tensor_arg("clamp", "input", input)
    if not is_float(x.dtype) and isinstance(min if max is None else max, float | np.floating):
        x = floating("clamp", x)
    return Clamp(*(b.item() if isinstance(b, np.generic) else b for b in (min, max)))(x)


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, with broadcasting; equal elements share the gradient by halves."""
    return Maximum()(*operands("maximum", input, other))


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, with broadcasting; equal elements share the gradient by halves."""
    return Maximum(smallest=True)(*operands("minimum", input, other))


def where(condition: Any, input: Any, other: Any) -> Tensor:
    """input where `condition` holds, else other, with broadcasting."""
    condition = tensor_arg("where", "condition", condition)
    if condition.dtype != np.bool_:
        raise DTypeError(f"where: condition must be of type bool, got {condition.dtype}")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor(input, condition, np.float32 if isinstance(input, float) else None)
    a, b = operands("where", input, other)
    check_broadcast("where", condition.shape, check_broadcast("where", a.shape, b.shape))
    return Where(condition.data.copy())(a, b)  # whatever becomes of the mask, backward sees this one


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with `value` where `mask` holds."""
    filler = as_tensor(value.item() if isinstance(value, Tensor) else value, input, input.dtype)
    return where(mask, filler, tensor_arg("masked_fill", "input", input))


def to(input: Tensor, *args: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """The Tensor in another element type and/or on another device; itself if nothing changes.

    `t.to(ts.float64)`, `t.to("cuda")`, `t.to("cpu", ts.float32)`, `t.to(other)`.
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda"):
            device = arg
        else:
            dtype = arg
    x = tensor_arg("to", "input", input)
    if dtype is not None and (wanted := element_type("to", dtype)) != x.dtype:
        x = Cast(wanted)(x)
    return x if device in (None, x.device) else Move(str(device))(x)
