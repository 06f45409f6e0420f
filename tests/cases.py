"""The table: one row per op and geometry. A row serves the forward pass, every order of gradient and both float types.

A row's function is written once, in names that tinyseg and PyTorch share, and is called with either: the module comes
first, its tensors after it. Where PyTorch has no such function (Dice), the row brings its own `reference`.

Inputs are drawn from a seeded generator, away from the places where a derivative jumps (kinks) or a choice is a tie.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

import tinyseg as ts

Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Case:
    """One row: `function(module, *inputs)` computed by tinyseg and by PyTorch (or by `reference`) must agree."""

    name: str
    function: Callable[..., Any]
    inputs: tuple[Draw, ...]
    reference: Callable[..., Any] | None = None
    differentiable: tuple[int, ...] | None = None  # None: every input of a floating-point type
    tolerance: float = 2e-5  # of float32, relative to the largest element
    is_view: bool = False  # the reshape family may share its input's memory

    def arrays(self, dtype: Any = np.float64) -> list[np.ndarray]:
        """The inputs, the same at every call; floats in `dtype`."""
        rng = np.random.default_rng(sum(self.name.encode()))
        drawn = [draw(rng) for draw in self.inputs]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]

    def varied(self) -> tuple[int, ...]:
        """Numbers of the inputs that take a gradient."""
        if self.differentiable is not None:
            return self.differentiable
        return tuple(i for i, a in enumerate(self.arrays()) if a.dtype.kind == "f")

    def ours(self, arrays: Sequence[np.ndarray]) -> tuple[list[Any], list[Any]]:
        """(leaves, outputs) of tinyseg; leaves own copies of the arrays."""
        varied = self.varied()
        leaves = [ts.tensor(a, requires_grad=i in varied) for i, a in enumerate(arrays)]
        return leaves, listed(self.function(ts, *leaves))

    def theirs(self, arrays: Sequence[np.ndarray]) -> tuple[list[Any], list[Any]]:
        """(leaves, outputs) of PyTorch."""
        varied = self.varied()
        leaves = [torch.tensor(a, requires_grad=i in varied) for i, a in enumerate(arrays)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # PyTorch's remark about 'same' with even windows
            return leaves, listed(self.reference(*leaves) if self.reference else self.function(torch, *leaves))


def listed(outputs: Any) -> list[Any]:
    """Tuples and lists of outputs flat, one tensor as a list of one."""
    if isinstance(outputs, tuple | list):
        return [t for y in outputs for t in listed(y)]
    return [outputs]


# --- draws -----------------------------------------------------------------------------------------------------------


def normal(*shape: int) -> Draw:
    """Standard normal numbers, for smooth functions."""
    return lambda rng: rng.standard_normal(shape)


def apart(*shape: int, scale: float = 2.0) -> Draw:
    """Distinct numbers in (-scale, scale), evenly spaced and none near 0, in random order: no ties, no kinks at 0."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        n = int(np.prod(shape))
        spaced = (np.arange(n) + 0.5) / max(n, 1) * 2 * scale - scale
        return rng.permutation(spaced + 0.1 * scale / max(n, 1)).reshape(shape)

    return draw


def positive(*shape: int) -> Draw:
    """Numbers in (0.5, 2), for logarithms, roots and divisors."""
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def integers(low: int, high: int, *shape: int) -> Draw:
    """int64 numbers from `low` to `high` - 1."""
    return lambda rng: rng.integers(low, high, shape)


def classes(count: int, *shape: int, ignored: int | None = None) -> Draw:
    """Target classes, about a fifth of them `ignored`."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        target = rng.integers(0, count, shape)
        return target if ignored is None else np.where(rng.random(shape) < 0.2, ignored, target)

    return draw


def booleans(*shape: int) -> Draw:
    """A mask, about half true."""
    return lambda rng: rng.random(shape) < 0.5


def probabilities(*shape: int, axis: int = 1) -> Draw:
    """Positive numbers that sum to 1 along an axis."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        p = rng.uniform(0.1, 1.0, shape)
        return p / p.sum(axis=axis, keepdims=True)

    return draw


def given(values: Any) -> Draw:
    """These values."""
    return lambda rng: np.array(values)


# --- rows ------------------------------------------------------------------------------------------------------------

CASES: list[Case] = []


def row(name: str, function: Callable[..., Any], *inputs: Draw, **options: Any) -> None:
    """Add a row whose function is an expression of (module, *inputs)."""
    CASES.append(Case(name, function, inputs, **options))


def top(name: str, label: str, *inputs: Draw, args: Sequence[Any] = (), **kwargs: Any) -> None:
    """Add a row for `module.name(*inputs, *args, **kwargs)`."""
    row(f"{name}[{label}]", lambda m, *xs: getattr(m, name)(*xs, *args, **kwargs), *inputs)


def functional(
    name: str, label: str, *inputs: Draw, args: Sequence[Any] = (), options: dict[str, Any] | None = None, **kwargs: Any
) -> None:
    """Add a row for `module.nn.functional.name(*inputs, *args, **kwargs)`."""

    def function(m: ModuleType, *xs: Any) -> Any:
        return getattr(m.nn.functional, name)(*xs, *args, **kwargs)

    row(f"{name}[{label}]", function, *inputs, **(options or {}))


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


def reduction_rows() -> None:
    """Sums, means, variances and extremes, over one axis, several, all and none."""
    over = {"all": {}, "axis 0": {"dim": 0}, "negative": {"dim": -1}, "two": {"dim": (0, 2)}}
    over["kept"] = {"dim": 1, "keepdim": True}
    for name in ("sum", "mean", "amax", "amin"):
        for label, kwargs in over.items():
            top(name, label, apart(2, 3, 4), **kwargs)
    for name in ("var", "std"):
        for label, kwargs in over.items():
            top(name, label, normal(2, 3, 4), **kwargs)
        top(name, "biased", normal(3, 4), dim=1, unbiased=False)
        top(name, "correction", normal(3, 4), dim=1, correction=2)
    for name in ("sum", "mean"):
        top(name, "0-d", normal())
        top(name, "empty", normal(3, 0), dim=0)
        row(f"{name}[of nothing]", lambda m, x, n=name: getattr(x, n)(1), normal(3, 0), differentiable=())
    row("sum[dtype]", lambda m, x: m.sum(x, dtype=m.float64), normal(3), tolerance=1e-6, differentiable=())
    row("sum[booleans]", lambda m, x: x.sum(), booleans(9))
    row("sum[int32]", lambda m, x: x.sum(0), given(np.arange(6, dtype=np.int32).reshape(2, 3)))
    row("sum[uint8]", lambda m, x: x.sum(), given(np.full(9, 200, np.uint8)))
    row("amax[ties]", lambda m, x: m.amax(x, 1), given([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]]), differentiable=())
    for name in ("max", "min"):
        top(name, "all", apart(3, 4))
        top(name, "dim", apart(3, 4), dim=1)
        row(f"{name}[kept]", lambda m, x, n=name: getattr(x, n)(0, True), apart(3, 4))
        row(f"{name}[two tensors]", lambda m, a, b, n=name: getattr(m, n)(a, b), apart(3, 4), given([-0.4, 0, 0.6, 1]))
    for name in ("argmax", "argmin"):
        row(f"{name}[all]", lambda m, x, n=name: getattr(m, n)(x), apart(3, 4), differentiable=())
        row(f"{name}[dim]", lambda m, x, n=name: getattr(x, n)(-1, keepdim=True), apart(3, 4), differentiable=())
    top("logsumexp", "dim", normal(3, 4), dim=1)
    top("logsumexp", "two", normal(2, 3, 4), dim=(0, 2), keepdim=True)
    row("logsumexp[far]", lambda m, x: m.logsumexp(x * 1000, 1), apart(2, 4), differentiable=())
    for name in ("all", "any"):
        top(name, "all", booleans(2, 3))
        top(name, "dim", booleans(2, 3), dim=1)


def shape_rows() -> None:
    """Reshaping, moving, joining and cutting."""
    views = {
        "reshape": lambda m, x: m.reshape(x, (4, -1)),
        "reshape[method]": lambda m, x: x.reshape(3, 8),
        "view": lambda m, x: x.view(-1),
        "flatten": lambda m, x: m.flatten(x, 1),
        "flatten[middle]": lambda m, x: x.flatten(0, 1),
        "unsqueeze": lambda m, x: m.unsqueeze(x, -1),
        "squeeze": lambda m, x: m.squeeze(x.reshape(2, 1, 12, 1)),
        "squeeze[dim]": lambda m, x: m.squeeze(x.reshape(2, 1, 12, 1), -1),
        "squeeze[not 1]": lambda m, x: m.squeeze(x, 0),
        "view_as": lambda m, x: x.view_as(m.zeros(6, 4)),
    }
    for name, function in views.items():
        row(name, function, normal(2, 3, 4), is_view=True)
    row("permute", lambda m, x: m.permute(x, (2, 0, 1)), normal(2, 3, 4))
    row("permute[negative]", lambda m, x: x.permute(-1, 0, 1), normal(2, 3, 4))
    row("transpose", lambda m, x: m.transpose(x, -1, 0), normal(2, 3, 4))
    row("T and mT", lambda m, x: (x.T, x.mT, x.t()), normal(2, 3))
    row("broadcast_to", lambda m, x: m.broadcast_to(x, (4, 2, 3)), normal(2, 1))
    row("expand", lambda m, x: x.expand(4, -1, 3), normal(2, 1))
    row("expand_as", lambda m, x: x.expand_as(m.zeros(2, 3)), normal(3))
    row("cat", lambda m, a, b: m.cat([a, b]), normal(2, 3), normal(1, 3))
    row("cat[three, last axis]", lambda m, a, b, c: m.cat((a, b, c), -1), normal(2, 3), normal(2, 1), normal(2, 2))
    row("cat[channels]", lambda m, a, b: m.cat([a, b], dim=1), normal(2, 1, 2, 2), normal(2, 2, 2, 2))
    row("cat[the same twice]", lambda m, a: m.cat([a, a]), normal(2, 3))
    row("cat[an empty one]", lambda m, a, b: m.cat([a, b]), normal(2, 3), normal(0, 3))
    row("stack", lambda m, a, b: m.stack([a, b], 1), normal(2, 3), normal(2, 3))
    row("stack[last]", lambda m, a, b: m.stack([a, b], -1), normal(2, 3), normal(2, 3))
    top("split", "size", normal(5, 3), args=(2,))
    top("split", "sections", normal(3, 6), args=([1, 3, 2],), dim=-1)
    top("chunk", "even", normal(6, 2), args=(3,))
    top("chunk", "uneven", normal(2, 7), args=(3, 1))
    row("flip", lambda m, x: m.flip(x, (0, 2)), normal(2, 3, 4))
    row("flip[method]", lambda m, x: x.flip(-1), normal(2, 3))
    row("index_select", lambda m, x, i: m.index_select(x, 1, i), normal(2, 3, 2), given([2, 0, 0, 1, 2]))
    row("index_select[none]", lambda m, x, i: m.index_select(x, 0, i), normal(3, 2), given(np.zeros(0, np.int64)))
    row("gather", lambda m, x, i: m.gather(x, 1, i), normal(3, 4), integers(0, 4, 3, 6))
    row("gather[smaller]", lambda m, x, i: x.gather(0, i), normal(3, 4), integers(0, 3, 5, 2))


def index_rows() -> None:
    """Basic and advanced indexing."""
    basic = {
        "integer": lambda m, x: x[1],
        "negative": lambda m, x: x[-1, -2],
        "element": lambda m, x: x[1, 2, 3],
        "slice": lambda m, x: x[:, 1:3],
        "step": lambda m, x: x[::2, ::3],
        "past the end": lambda m, x: x[1:99, 2:2],
        "ellipsis": lambda m, x: x[..., 1],
        "none": lambda m, x: x[:, None, 1, ..., None],
        "everything": lambda m, x: x[...],
    }
    for label, function in basic.items():
        row(f"getitem[{label}]", function, normal(3, 4, 5))
    row("getitem[list]", lambda m, x: x[[2, 0]], normal(3, 4))
    row("getitem[array]", lambda m, x, i: x[i], normal(3, 4), integers(0, 3, 2, 3))
    row("getitem[repeated]", lambda m, x, i: x[i], normal(3, 4), given([0, 1, 1, 1]))
    row("getitem[negative array]", lambda m, x, i: x[:, i], normal(3, 4), given([-1, 0, -1]))
    row("getitem[two arrays]", lambda m, x, i, j: x[i, j], normal(3, 4), given([0, 1, 1]), given([3, 2, 2]))
    row("getitem[arrays broadcast]", lambda m, x, i, j: x[i, :, j], normal(3, 2, 4), given([[0], [2]]), given([3, 1]))
    row("getitem[mask]", lambda m, x, k: x[k], normal(3, 4), booleans(3, 4))
    row("getitem[mask of rows]", lambda m, x, k: x[:, k], normal(3, 4), given([True, False, True, True]))
    row("getitem[own mask]", lambda m, x: x[x > 0], apart(3, 4))
    row("getitem[empty list]", lambda m, x: x[[]], normal(3, 4))
    row("iterate", lambda m, x: [2.0 * r for r in x], normal(3, 4))


def linalg_rows() -> None:
    """Products of vectors, matrices and batches."""
    shapes = {
        "vectors": ((3,), (3,)),
        "matrix vector": ((2, 3), (3,)),
        "vector matrix": ((2,), (2, 3)),
        "matrices": ((2, 3), (3, 4)),
        "batches": ((2, 2, 3), (2, 3, 4)),
        "batch matrix": ((2, 2, 3), (3, 4)),
        "matrix batch": ((2, 3), (2, 3, 4)),
        "broadcast": ((2, 1, 2, 3), (3, 3, 2)),
        "batch vector": ((2, 2, 3), (3,)),
        "vector batch": ((3,), (2, 3, 4)),
        "no rows": ((0, 3), (3, 4)),
        "nothing summed": ((2, 0), (0, 4)),
        "one": ((1, 1), (1, 1)),
    }
    for label, (a, b) in shapes.items():
        row(f"matmul[{label}]", lambda m, x, y: x @ y, normal(*a), normal(*b))
    row("matmul[gram]", lambda m, x: x @ x.T, normal(2, 3))
    top("matmul", "function", normal(3, 5), normal(5, 2))
    functional("linear", "bias", normal(4, 3), normal(2, 3), normal(2))
    functional("linear", "no bias", normal(4, 3), normal(2, 3))
    functional("linear", "one sample", normal(3), normal(2, 3), normal(2))
    functional("linear", "three axes", normal(2, 4, 3), normal(2, 3), normal(2))
    functional("linear", "empty batch", normal(0, 3), normal(2, 3), normal(2))


def convolution_rows() -> None:
    """Both convolutions over stride, padding, dilation, groups and odd shapes."""
    x, w, b = (2, 3, 6, 5), (4, 3, 3, 2), (4,)
    functional("conv2d", "plain", normal(*x), normal(*w), normal(*b))
    functional("conv2d", "no bias", normal(*x), normal(*w))
    geometries: dict[str, dict[str, Any]] = {
        "stride": {"stride": 2},
        "stride pair": {"stride": (3, 1)},
        "padding": {"padding": 1},
        "padding pair": {"padding": (2, 0)},
        "padding above the window": {"padding": 4},
        "valid": {"padding": "valid"},
        "same": {"padding": "same"},
        "dilation": {"dilation": 2},
        "dilation pair": {"dilation": (1, 3)},
        "everything": {"stride": (2, 3), "padding": (2, 1), "dilation": (2, 1)},
    }
    for label, kwargs in geometries.items():
        functional("conv2d", label, normal(*x), normal(*w), normal(*b), **kwargs)
    functional("conv2d", "same, odd window", normal(2, 2, 5, 5), normal(2, 2, 3, 3), padding="same", dilation=2)
    functional("conv2d", "same, even window", normal(1, 2, 5, 5), normal(2, 2, 4, 2), padding="same")
    functional("conv2d", "1x1", normal(2, 3, 4, 4), normal(5, 3, 1, 1), normal(5))
    functional("conv2d", "1x1 strided", normal(2, 3, 5, 4), normal(2, 3, 1, 1), stride=2)
    functional("conv2d", "groups", normal(2, 4, 5, 5), normal(6, 2, 3, 3), normal(6), groups=2, padding=1)
    functional("conv2d", "depthwise", normal(2, 3, 5, 5), normal(3, 1, 3, 3), normal(3), groups=3, padding=1)
    functional("conv2d", "depthwise twice", normal(2, 3, 5, 5), normal(6, 1, 3, 3), groups=3, stride=2, dilation=2)
    functional("conv2d", "unbatched", normal(3, 6, 5), normal(*w), normal(*b), padding=1)
    functional("conv2d", "empty batch", normal(0, 3, 6, 5), normal(*w), normal(*b))
    functional("conv2d", "window is the input", normal(2, 3, 3, 2), normal(*w), normal(*b))
    functional("conv2d", "one pixel", normal(1, 1, 1, 1), normal(1, 1, 3, 3), padding=1)
    functional("conv2d", "frozen weight", normal(*x), normal(*w), options={"differentiable": (0,)})
    functional("conv2d", "frozen input", normal(*x), normal(*w), options={"differentiable": (1,)})
    functional("conv2d", "weight 9x9", normal(1, 1, 10, 11), normal(1, 1, 9, 9))
    x, w, b = (2, 3, 4, 3), (3, 2, 3, 2), (2,)
    functional("conv_transpose2d", "plain", normal(*x), normal(*w), normal(*b))
    functional("conv_transpose2d", "no bias", normal(*x), normal(*w))
    geometries = {
        "stride": {"stride": 2},
        "stride pair": {"stride": (1, 3)},
        "padding": {"padding": 1},
        "dilation": {"dilation": (2, 3)},
        "output_padding": {"stride": 3, "output_padding": 1},
        "output_padding most": {"stride": (3, 2), "output_padding": (2, 1), "padding": 1},
        "output_padding of dilation": {"stride": 1, "dilation": 3, "output_padding": 2},
        "output_padding above stride": {"stride": (2, 1), "dilation": (4, 3), "output_padding": (3, 2), "padding": 1},
        "everything": {"stride": (2, 3), "padding": (1, 2), "dilation": (1, 2), "output_padding": (1, 2)},
    }
    for label, kwargs in geometries.items():
        functional("conv_transpose2d", label, normal(*x), normal(*w), normal(*b), **kwargs)
    functional("conv_transpose2d", "U-Net's 2x2", normal(2, 4, 3, 3), normal(4, 2, 2, 2), normal(2), stride=2)
    functional("conv_transpose2d", "groups", normal(2, 4, 3, 3), normal(4, 3, 3, 3), normal(6), groups=2, stride=2)
    functional("conv_transpose2d", "depthwise", normal(1, 3, 3, 3), normal(3, 1, 4, 4), groups=3, stride=2, padding=1)
    functional("conv_transpose2d", "unbatched", normal(3, 4, 3), normal(*w), normal(*b), stride=2)
    functional("conv_transpose2d", "empty batch", normal(0, 3, 4, 3), normal(*w), normal(*b))
    functional("conv_transpose2d", "1x1", normal(2, 3, 4, 3), normal(3, 2, 1, 1), normal(2), stride=2)


def pooling_rows() -> None:
    """Maximum and average pooling: windows, padding, dilation, ceil_mode, divisors."""
    shape = (2, 2, 7, 6)
    shared: dict[str, dict[str, Any]] = {
        "2": {"kernel_size": 2},
        "pair": {"kernel_size": (3, 2)},
        "stride": {"kernel_size": 3, "stride": 2},
        "stride pair": {"kernel_size": (2, 3), "stride": (1, 2)},
        "stride beyond": {"kernel_size": 2, "stride": 3},
        "padding": {"kernel_size": 3, "stride": 2, "padding": 1},
        "padding pair": {"kernel_size": (2, 4), "padding": (1, 2)},
        "ceil_mode": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "ceil_mode, last window dropped": {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    }
    for name in ("max_pool2d", "avg_pool2d"):
        for label, kwargs in shared.items():
            functional(name, label, apart(*shape), **kwargs)
        functional(name, "unbatched", apart(2, 6, 6), kernel_size=2)
        functional(name, "empty batch", apart(0, 2, 6, 6), kernel_size=2)
        functional(name, "the whole plane", apart(2, 3, 4, 5), kernel_size=(4, 5))
    functional("max_pool2d", "dilation", apart(*shape), kernel_size=2, stride=1, dilation=(2, 3))
    functional("max_pool2d", "indices", apart(*shape), kernel_size=3, stride=2, padding=1, return_indices=True)
    functional("max_pool2d", "indices unbatched", apart(2, 6, 6), kernel_size=2, return_indices=True)
    functional(
        "max_pool2d",
        "everything",
        apart(*shape),
        kernel_size=(3, 2),
        stride=2,
        padding=1,
        dilation=2,
        ceil_mode=True,
        return_indices=True,
    )
    functional("avg_pool2d", "pad not counted", apart(*shape), kernel_size=3, padding=1, count_include_pad=False)
    functional("avg_pool2d", "divisor", apart(*shape), kernel_size=3, padding=1, divisor_override=5)
    functional(
        "avg_pool2d", "everything", apart(*shape), kernel_size=(3, 2), stride=(2, 3), padding=1, ceil_mode=True,
        count_include_pad=False,
    )  # fmt: skip


def resize_rows() -> None:
    """Nearest and bilinear, up and down, by size and by scale."""
    targets: dict[str, dict[str, Any]] = {
        "twice": {"scale_factor": 2},
        "up": {"size": (9, 7)},
        "down": {"size": (2, 3)},
        "one": {"size": 1},
        "same": {"size": (4, 5)},
        "mixed": {"scale_factor": (2.5, 0.6)},
        "fraction": {"scale_factor": 1.7},
        "fraction, recomputed": {"scale_factor": 1.7, "recompute_scale_factor": True},
    }
    modes: dict[str, dict[str, Any]] = {
        "nearest": {},
        "bilinear": {"mode": "bilinear"},
        "corners": {"mode": "bilinear", "align_corners": True},
    }
    for mode, kwargs in modes.items():
        for label, target in targets.items():
            functional("interpolate", f"{mode}, {label}", normal(2, 2, 4, 5), **target, **kwargs)
        functional("interpolate", f"{mode}, empty batch", normal(0, 2, 4, 5), size=(8, 8), **kwargs)
        functional("interpolate", f"{mode}, from one pixel", normal(1, 2, 1, 1), size=(3, 2), **kwargs)


def pad_rows() -> None:
    """Four modes, on one to four axes, and cropping."""
    functional("pad", "one axis", normal(2, 3), args=((1, 2),))
    functional("pad", "value", normal(2, 3, 4), args=((1, 2, 0, 1),), value=1.5)
    functional("pad", "four axes", normal(1, 2, 2, 2), args=((1, 0, 0, 1, 2, 0, 0, 1),))
    functional("pad", "crop", normal(1, 1, 5, 6), args=((-1, -2, -1, 0),))
    functional("pad", "crop and widen", normal(1, 1, 5, 6), args=((-1, 2, 3, -2),))
    functional("pad", "nothing", normal(2, 3), args=((0, 0),))
    for mode in ("reflect", "replicate", "circular"):
        functional("pad", mode, normal(2, 1, 4, 5), args=((1, 2, 3, 0),), mode=mode)
        functional("pad", f"{mode}, three axes", normal(2, 4, 5), args=((2, 1),), mode=mode)
        functional("pad", f"{mode}, crop and widen", normal(1, 1, 4, 5), args=((-1, 2, 1, -2),), mode=mode)
    functional("pad", "replicate far", normal(1, 1, 2, 2), args=((5, 3, 4, 1),), mode="replicate")


def norm_rows() -> None:
    """Batch normalisation; the running statistics are outputs, so that their update is checked as well."""

    def training(m: ModuleType, x: Any, w: Any = None, b: Any = None, **kwargs: Any) -> Any:
        mean, var = m.zeros(x.shape[1], dtype=x.dtype), m.ones(x.shape[1], dtype=x.dtype)
        y = m.nn.functional.batch_norm(x, mean, var, w, b, training=True, **kwargs)
        return y, mean, var

    def evaluating(m: ModuleType, x: Any, mean: Any, var: Any, w: Any = None, b: Any = None) -> Any:
        return m.nn.functional.batch_norm(x, mean, var, w, b, training=False, eps=1e-3)

    for label, shape in {"images": (3, 2, 4, 3), "vectors": (5, 3), "sequences": (2, 3, 4)}.items():
        c = shape[1]
        row(f"batch_norm[{label}]", training, normal(*shape), normal(c), normal(c), tolerance=1e-4)
        row(f"batch_norm[{label}, no affine]", training, normal(*shape), tolerance=1e-4)
        row(f"batch_norm[{label}, eval]", evaluating, normal(*shape), normal(c), positive(c), normal(c), normal(c),
            differentiable=(0, 3, 4))  # fmt: skip
    row("batch_norm[eval, no affine]", evaluating, normal(2, 3, 2, 2), normal(3), positive(3), differentiable=(0,))
    row("batch_norm[momentum and eps]", lambda m, x, w, b: training(m, x, w, b, momentum=0.3, eps=0.1),
        normal(2, 2, 3, 3), normal(2), normal(2), tolerance=1e-4)  # fmt: skip
    row("batch_norm[no running]", lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True),
        normal(2, 2, 3, 3), tolerance=1e-4)  # fmt: skip
    for label, varied in {"input only": (0,), "weight only": (1,), "bias only": (2,)}.items():
        row(f"batch_norm[{label}]", training, normal(2, 2, 3, 3), normal(2), normal(2), differentiable=varied,
            tolerance=1e-4)  # fmt: skip
    row("batch_norm[offset]", lambda m, x: training(m, x + 100.0), normal(2, 2, 4, 4), tolerance=2e-3)


def activation_rows() -> None:
    """Activations away from their kinks, softmax over every axis."""
    for name in ("relu", "leaky_relu", "elu", "hardtanh", "relu6"):
        functional(name, "apart", apart(4, 5, scale=8.0 if name == "relu6" else 2.0))
    for name in ("sigmoid", "tanh", "softplus", "silu", "mish", "gelu", "logsigmoid"):
        functional(name, "normal", normal(3, 4))
        functional(name, "far", given([-30.0, -8.0, 8.0, 30.0]))
    row("relu[inplace]", lambda m, x: m.nn.functional.relu(x * 2.0, inplace=True), apart(4, 5))
    functional("leaky_relu", "slope", apart(4, 5), negative_slope=0.2)
    functional("elu", "alpha", apart(4, 5), alpha=0.7)
    functional("hardtanh", "bounds", apart(4, 5), min_val=-0.72, max_val=1.33)
    functional("softplus", "beta", normal(3, 4), beta=2.0, threshold=3.0)
    functional("gelu", "tanh", normal(3, 4), approximate="tanh")
    row("relu[at 0]", lambda m, x: m.nn.functional.relu(x), given([-0.0, 0.0, 1.0]), differentiable=())
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1, 2, -1):
            functional(name, f"axis {dim}", normal(2, 3, 4), dim=dim)
        functional(name, "one axis", normal(5), dim=0)
        functional(name, "images", normal(2, 3, 2, 2), dim=1)
        functional(name, "one class", normal(3, 1), dim=1)
        functional(name, "empty batch", normal(0, 3), dim=1)
        row(f"{name}[far]", lambda m, x, n=name: getattr(m.nn.functional, n)(x * 500, 1), apart(2, 4),
            differentiable=())  # fmt: skip


def loss_rows() -> None:
    """Losses over weights, ignored targets, reductions, smoothing and shapes."""
    x = normal(2, 3, 2, 3)
    for reduction in ("mean", "sum", "none"):
        target = classes(3, 2, 2, 3, ignored=-100)
        functional("cross_entropy", reduction, x, target, reduction=reduction)
        functional("nll_loss", reduction, x, target, reduction=reduction)
        functional("mse_loss", reduction, normal(3, 4), normal(3, 4), reduction=reduction)
        functional("l1_loss", reduction, apart(3, 4), given(np.full((3, 4), 0.01)), reduction=reduction)
        functional("binary_cross_entropy_with_logits", reduction, normal(3, 4), probabilities(3, 4),
                   reduction=reduction)  # fmt: skip

    def weighted(name: str, **kwargs: Any) -> Callable[..., Any]:
        return lambda m, x, t, w: getattr(m.nn.functional, name)(x, t, weight=w, **kwargs)

    for name in ("cross_entropy", "nll_loss"):
        options: dict[str, Any] = {"differentiable": (0,)}
        for reduction in ("mean", "none"):
            row(f"{name}[weights, {reduction}]", weighted(name, reduction=reduction), x, classes(3, 2, 2, 3),
                positive(3), **options)  # fmt: skip
        row(f"{name}[weights, ignored]", weighted(name, ignore_index=255), x, classes(3, 2, 2, 3, ignored=255),
            positive(3), **options)  # fmt: skip
        functional(name, "a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
        functional(name, "one sample", normal(4), classes(4))
        functional(name, "rows", normal(5, 4), classes(4, 5))
    functional("cross_entropy", "far", given([[100.0, -100.0, 0.0], [300.0, 299.0, -5.0]]), given([1, 0]))
    functional("cross_entropy", "smoothing", x, classes(3, 2, 2, 3, ignored=-100), label_smoothing=0.2)
    functional("cross_entropy", "smoothing, none", x, classes(3, 2, 2, 3), label_smoothing=0.3, reduction="none")
    row("cross_entropy[smoothing, weights, ignored]", weighted("cross_entropy", label_smoothing=0.2, ignore_index=0),
        x, classes(3, 2, 2, 3), positive(3), differentiable=(0,))  # fmt: skip
    for reduction in ("mean", "sum", "none"):
        functional("cross_entropy", f"probabilities, {reduction}", x, probabilities(2, 3, 2, 3), reduction=reduction)
    functional("cross_entropy", "probabilities, one sample", normal(4), probabilities(4, axis=0))
    row("cross_entropy[probabilities, weights, smoothing]", weighted("cross_entropy", label_smoothing=0.1), x,
        probabilities(2, 3, 2, 3), positive(3), differentiable=(0, 1))  # fmt: skip

    def bce(**which: int) -> Callable[..., Any]:
        name = "binary_cross_entropy_with_logits"
        return lambda m, x, t, *e: getattr(m.nn.functional, name)(x, t, **{k: e[i] for k, i in which.items()})

    logits, hits = normal(4, 3), probabilities(4, 3)
    row("bce[weight]", bce(weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[pos_weight]", bce(pos_weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[both]", bce(weight=0, pos_weight=1), logits, hits, positive(4, 1), positive(3), differentiable=(0, 1))
    row("bce[far]", bce(), given([-100.0, 100.0, -100.0, 100.0]), given([0.0, 1.0, 1.0, 0.0]), differentiable=(0,))
    for label, kwargs in {"plain": {}, "no background": {"include_background": False}, "eps": {"eps": 0.5}}.items():
        dice_row(label, x, classes(3, 2, 2, 3, ignored=-100), **kwargs)
    dice_row("a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
    dice_row("one channel", normal(2, 1, 3, 3), classes(2, 2, 3, 3, ignored=255), ignore_index=255)
    dice_row("rows", normal(6, 3), classes(3, 6))


def dice_row(label: str, x: Draw, target: Draw, **kwargs: Any) -> None:
    """Add a Dice row; its reference counts pixel by pixel what the formula says."""
    row(f"dice_loss[{label}]", lambda m, x, t: m.nn.functional.dice_loss(x, t, **kwargs), x, target,
        reference=lambda x, t: dice_reference(x, t, **kwargs))  # fmt: skip


def dice_reference(
    x: torch.Tensor, target: torch.Tensor, ignore_index: int = -100, include_background: bool = True, eps: float = 1e-6
) -> torch.Tensor:
    """1 - mean over classes of (2 Σ p t + ε) / (Σ p + Σ t + ε), over the pixels that are not ignored."""
    pixels = x.movedim(1, -1).reshape(-1, x.shape[1])
    classes_ = target.reshape(-1)
    pixels, classes_ = pixels[classes_ != ignore_index], classes_[classes_ != ignore_index]
    scores = []
    for c in range(x.shape[1]):
        if x.shape[1] == 1:
            p, t = torch.sigmoid(pixels[:, 0]), classes_ == 1
        else:
            p, t = torch.softmax(pixels, -1)[:, c], classes_ == c
        scores.append((2 * p[t].sum() + eps) / (p.sum() + t.sum() + eps))
    first = 0 if include_background or x.shape[1] == 1 else 1
    return 1 - torch.stack(scores[first:]).mean()


for _rows in (
    elementwise_rows, reduction_rows, shape_rows, index_rows, linalg_rows, convolution_rows, pooling_rows, resize_rows,
    pad_rows, norm_rows, activation_rows, loss_rows,
):  # fmt: skip
    _rows()
