"""Arithmetic, powers, roots, choices."""

from __future__ import annotations

import operator

import numpy as np

from .case import apart, booleans, given, integers, normal, positive, row, top


def elementwise_rows() -> None:
    """Arithmetic with broadcasting, powers, roots, choices, scalars on both sides."""
    shapes = {"same": ((2, 3), (2, 3)), "row": ((2, 3), (3,)), "column": ((2, 1), (2, 3)), "outer": ((4, 1), (1, 3))}
    binary = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv}
    for name, function in binary.items():
        for label, (a, b) in shapes.items():
            row(f"{name}[{label}]", lambda m, x, y, f=function: f(x, y), normal(*a), positive(*b))
        row(f"{name}[with 0-d]", lambda m, x, y, f=function: f(x, y), normal(2, 3), positive())
        row(f"{name}[empty]", lambda m, x, y, f=function: f(x, y), normal(0, 3), positive(3))
        row(f"{name}[number right]", lambda m, x, f=function: f(x, 3), normal(2, 3))
        row(f"{name}[number left]", lambda m, x, f=function: f(2.5, x), positive(2, 3))
        top(name, "function", normal(3, 2, 2), positive(2))
    top("add", "alpha", normal(2, 3), normal(3), alpha=2.5)
    top("sub", "alpha", normal(2, 3), normal(3), alpha=-3)
    row("mul[with itself]", lambda m, x: x * x, normal(2, 3))
    row("mul[integer tensor]", lambda m, x, k: x * k, normal(2, 3), integers(-3, 4, 2, 3))
    row("div[integer tensors]", lambda m, a, b: a / b, integers(-5, 6, 4), integers(1, 4, 4))
    for mode in ("floor", "trunc"):
        row(f"div[{mode}]", lambda m, a, b, r=mode: m.div(a, b, rounding_mode=r), apart(9, scale=9), positive(9))
        row(f"div[{mode}, integers]", lambda m, a, b, r=mode: m.div(a, b, rounding_mode=r), integers(-9, 10, 9),
            integers(1, 4, 9))  # fmt: skip
    row("floor_divide", lambda m, a, b: a // b, apart(9, scale=9), positive(9), differentiable=())
    row("remainder", lambda m, a, b: a % b, apart(3, 3, scale=9), positive(3))
    row("remainder[negative divisor]", lambda m, a, b: a % -b, apart(3, 3, scale=9), positive(3))
    row("remainder[number left]", lambda m, b: 5.3 % b, positive(4), differentiable=())  # PyTorch has no derivative
    for exponent in (0, 1, 2, 3, -1, -2.5, 0.5, 1.0, 2.0):
        row(f"pow[{exponent}]", lambda m, x, n=exponent: x**n, positive(2, 3))
    row("pow[negative base]", lambda m, x: x**3, apart(2, 3))
    row("pow[tensors]", lambda m, a, b: a**b, positive(2, 3), normal(3))
    row("pow[number left]", lambda m, b: 2**b, normal(2, 3))
    row("pow[base 0]", lambda m, a, b: m.pow(a, b), given([0.0, 0.0, 1.5]), given([2.0, 3.0, 2.0]),
        differentiable=(0,))  # fmt: skip
    for name in ("neg", "exp", "sin", "cos", "square"):
        top(name, "normal", normal(2, 3))
    for name in ("log", "sqrt", "rsqrt", "reciprocal"):
        top(name, "positive", positive(2, 3))
    for name in ("exp", "abs"):
        top(name, "0-d", apart())
    top("abs", "apart", apart(2, 3))
    top("clamp", "both", apart(4, 5), min=-1.0, max=0.5)
    top("clamp", "min", apart(4, 5), min=0.3)
    top("clamp", "max", apart(4, 5), max=-0.3)
    row("clamp[tensors]", lambda m, x, a, b: m.clamp(x, a, b), apart(4, 5), given([-0.51] * 5), given([0.73] * 5))
    for name in ("maximum", "minimum"):
        top(name, "apart", apart(3, 4), given([-0.4, 0.03, 0.61, 0.77]))
    row("maximum[ties]", lambda m, a, b: m.maximum(a, b), given([1.0, 2.0, 3.0]), given([1.0, 5.0, 3.0]),
        differentiable=())  # fmt: skip
    row("where", lambda m, c, a, b: m.where(c, a, b), booleans(2, 3), normal(2, 3), normal(3))
    row("where[condition widest]", lambda m, c, a, b: m.where(c, a, b), booleans(4, 3), normal(3), normal(1))
    row("where[number]", lambda m, c, a: m.where(c, a, 0.0), booleans(2, 3), normal(2, 3))
    row("where[method]", lambda m, c, a, b: a.where(c, b), booleans(2, 3), normal(2, 3), normal(2, 3))
    row("masked_fill", lambda m, x, mask: x.masked_fill(mask, -2.0), normal(2, 3), booleans(3))
    row("to[float64 and back]", lambda m, x: x.to(m.float64) * 2.0, normal(3))
    row("clone", lambda m, x: x.clone(), normal(2, 3))
    row("sign", lambda m, x: m.sign(x), given([-2.0, 1.0, 3.0]))
    row("sign[zero, integers]", lambda m, x: m.sign(x), integers(-2, 3, 9))
    comparisons = ("eq", "ne", "lt", "le", "gt", "ge")
    for name in comparisons:
        sign = getattr(operator, name)
        row(f"{name}[tensors]", lambda m, a, b, f=sign: f(a, b), integers(0, 3, 4, 4), integers(0, 3, 4))
        row(f"{name}[number]", lambda m, a, f=sign: f(a, 0.5), given([0.0, 0.5, 1.0]), differentiable=())
    for name in ("logical_and", "logical_or", "logical_xor"):
        top(name, "masks", booleans(4), booleans(3, 4))
        top(name, "numbers", integers(0, 2, 4), integers(0, 2, 3, 4))
    row("and or xor not", lambda m, a, b: (a & b, a | b, a ^ b, ~a), booleans(9), booleans(9))
    row("and or xor not[bits]", lambda m, a, b: (a & b, a | 6, 5 ^ b, ~a), integers(-9, 10, 3, 4), integers(-9, 10, 4))
    for name in ("isnan", "isfinite"):
        row(name, lambda m, x, n=name: getattr(m, n)(x), given([0.0, np.nan, np.inf, -np.inf]), differentiable=())


def function_rows() -> None:
    """Functions of one number, bounds with axes, lerp."""
    for name in ("expm1", "exp2", "erf", "atan"):
        top(name, "normal", normal(2, 3))
    for name in ("log1p", "log2", "log10", "tan"):
        top(name, "positive", positive(2, 3))
    for name in ("floor", "ceil", "trunc", "round"):
        top(name, "apart", apart(3, 4, scale=3.7))
        top(name, "integers", integers(-3, 4, 5))
    top("round", "decimals", given([0.12, -1.37, 2.51]), decimals=1)
    top("round", "tens", given([12.0, -37.1, 251.0]), decimals=-1)
    row("log2[whole]", lambda m, x: m.floor(m.log2(x)), given(2.0 ** np.arange(1, 9)), differentiable=())
    bounds = given([-0.51, 0.2, 1.0, -2.5, 0.73]), given([0.73, 0.4, 0.9, 2.5, 0.93])
    row("clamp[crossed bounds]", lambda m, x, a, b: m.clamp(x, a, b), apart(4, 5), *bounds)
    row("clamp[one Tensor]", lambda m, x, a: (m.clamp(x, a), m.clamp(x, max=a)), apart(4, 5), bounds[0])
    row("clamp[stretched]", lambda m, x, a: m.clamp(x, a, a + 1.0), apart(1, 5), given([[-1.0], [0.13]]))
    row("lerp", lambda m, a, b, w: (m.lerp(a, b, 0.3), a.lerp(b, w)), normal(2, 3), normal(3), positive(2, 1))


elementwise_rows()
function_rows()
