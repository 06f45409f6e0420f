"""The table: one row per op and geometry. A row serves the forward pass, every order of gradient and both float types.

A row's function is written once, in names that tinyseg and PyTorch share, and is called with either: the module comes
first, its tensors after it. Where PyTorch has no such function (Dice), the row brings its own `reference`.

Inputs are drawn from a seeded generator, away from the places where a derivative jumps (kinks) or a choice is a tie.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

import tinyseg as ts

# Where the tests of all operators run; "cuda" on a machine with a GPU.
DEVICES = os.environ.get("TINYSEG_TEST_DEVICES", "cpu,emulated").split(",")

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

    def ours(self, arrays: Sequence[np.ndarray], device: str = "cpu") -> tuple[list[Any], list[Any]]:
        """(leaves, outputs) of tinyseg on a device; leaves own copies of the arrays."""
        varied = self.varied()
        leaves = [ts.tensor(a, device=device, requires_grad=i in varied) for i, a in enumerate(arrays)]
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


# --- adding rows -----------------------------------------------------------------------------------------------------

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
