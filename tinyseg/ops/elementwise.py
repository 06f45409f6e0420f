"""Element by element: arithmetic with broadcasting, powers, exponentials, roots, types and devices.

More functions of one number: `functions.py`; choices between elements: `choice.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..casting import widened
from ..devices import array_module, device_of, is_on, names_device, to_device
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError
from .binary import Binary
from .checks import element_type, floating, is_float, operands, tensor_arg
from .choice import where
from .halves import in_float32, is_half, with_numbers


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
        if self.mode == "floor":
            return xp.floor_divide(a, b).astype(a.dtype)
        wide = np.float32 if is_half(a.dtype) else a.dtype  # a quotient of half type could round up to an integer
        return xp.trunc(a.astype(wide) / b.astype(wide)).astype(a.dtype)

    def ga(self, gy: Tensor) -> Tensor:
        return gy * 0.0

    def gb(self, gy: Tensor) -> Tensor:
        return gy * 0.0


class Remainder(Binary):
    """y = a - b [a / b], exact, with the quotient rounded down ('floor', y has b's sign) or towards 0 ('trunc', a's)"""

    mode: str
    saves = {"a": "b", "b": "b"}

    def f(self, a: Array, b: Array) -> Array:
        return (array_module(a).remainder if self.mode == "floor" else array_module(a).fmod)(a, b)

    def gb(self, gy: Tensor) -> Tensor:
        return -gy * RoundedDiv(self.mode)(*(t.detach() for t in self.saved))


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
    """y = |x|,  dy/dx = sign x (0 at 0 and at NaN)"""

    def forward(self, x: Array) -> Array:
        self.sign = _sign(x)
        return abs(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * Tensor(self.sign)


class Sign(Op):
    """y = -1, 0 or 1: constant by pieces, dy/dx = 0"""

    def forward(self, x: Array) -> Array:
        return _sign(x)

    def backward(self, gy: Tensor) -> Tensor:
        return gy * 0.0


def _sign(x: Array) -> Array:
    """-1, 0 or 1, and 0 for NaN, as in PyTorch."""
    xp = array_module(x)
    return xp.where(x == x, xp.sign(x), x.dtype.type(0)) if is_float(x.dtype) else xp.sign(x)


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
    device: Any

    def forward(self, x: Array) -> Array:
        self.source = device_of(x)
        return to_device(x, self.device)

    def backward(self, gy: Tensor) -> Tensor:
        return Move(self.source)(gy)


@with_numbers
def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha · other, with broadcasting."""
    return Add()(*operands("add", input, other if alpha == 1 else other * alpha))


@with_numbers
def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input - alpha · other, with broadcasting."""
    a, b = operands("sub", input, other if alpha == 1 else other * alpha)
    if a.dtype == np.bool_:
        raise DTypeError("sub: booleans cannot be subtracted; use logical_xor or .to(dtype)")
    return Sub()(a, b)


@with_numbers
def mul(input: Any, other: Any) -> Tensor:
    """input · other, with broadcasting."""
    return Mul()(*operands("mul", input, other))


@with_numbers
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other, with broadcasting; integers give float32. `rounding_mode`: 'floor' or 'trunc' the quotient."""
    if rounding_mode is None:
        a, b = operands("div", input, other)
        return Div()(floating("div", a), floating("div", b))
    if rounding_mode not in ("floor", "trunc"):
        raise ArgumentError(f"div: rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    return _rounded("div", input, other, rounding_mode)


def divisible(caller: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The operands, unless integers would be divided by zero, which has no result and no NaN to say so."""
    if not is_float(b.dtype) and not b.data.all():
        raise ArgumentError(f"{caller}: other is an integer 0: no integer is the result")
    return a, b


@with_numbers
def floor_divide(input: Any, other: Any) -> Tensor:
    """floor(input / other); its gradient is 0."""
    return _rounded("floor_divide", input, other, "floor")


def _rounded(caller: str, input: Any, other: Any, mode: str) -> Tensor:
    return RoundedDiv(mode)(*divisible(caller, *operands(caller, input, other)))


@in_float32
def remainder(input: Any, other: Any) -> Tensor:
    """input - other · floor(input / other): the remainder with the sign of `other`."""
    return Remainder("floor")(*divisible("remainder", *operands("remainder", input, other)))


@widened
@in_float32
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
        raise DTypeError("neg: input is boolean and has no negative; use logical_not or .to(dtype)")
    return Neg()(x)


@widened
def exp(input: Tensor) -> Tensor:
    """e ^ input."""
    return Exp()(floating("exp", input))


@widened
def log(input: Tensor) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return Log()(floating("log", input))


def sqrt(input: Tensor) -> Tensor:
    """Square root; NaN below 0."""
    return Sqrt()(floating("sqrt", input))


@widened
@in_float32
def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(input)."""
    return sqrt(input) ** -1.0


def square(input: Tensor) -> Tensor:
    """input²."""
    return pow(input, 2)


@widened
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
    """-1, 0 or 1, of NaN 0; its gradient is 0."""
    return Sign()(tensor_arg("sign", "input", input))


def to(
    input: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False, copy: bool = False
) -> Tensor:
    """The Tensor in another element type and/or on another device; itself if nothing changes, unless `copy`.

    `t.to(ts.float64)`, `t.to("cuda")`, `t.to("cpu", ts.float32)`, `t.to(other)`; `non_blocking` (every copy is waited
    for all the same) and `copy` may follow.
    """
    flags = [arg for arg in args if isinstance(arg, bool)]
    for arg in args[: len(args) - len(flags)]:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif names_device(arg):
            device = arg
        else:
            dtype = arg
    x = given = tensor_arg("to", "input", input)
    if dtype is not None and (wanted := element_type("to", dtype)) != x.dtype:
        x = Cast(wanted)(x)
    x = x if is_on(x.data, device) else Move(device)(x)
    return Clone()(x) if x is given and (copy or flags[1:] == [True]) else x
