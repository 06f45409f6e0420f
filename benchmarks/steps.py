"""A layer as users call it, forward and backward on Tensors: `tinyseg.nn.functional` beside `torch.nn.functional`.

The two have the same names and arguments, so that one function of (functional, *tensors) serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinyseg as ts
from benchmarks.harness import Case, Pair, Run, agree

__all__ = ["Draw", "Shape", "layer", "runner", "times"]

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator], np.ndarray]


def times(*shapes: Shape) -> str:
    """Shapes as the table shows them: 8×64×32×32 · 64×64."""
    return " · ".join("×".join(map(str, shape)) for shape in shapes)


def runner(library: Any, function: Callable[..., Any], values: list[np.ndarray], leaves: list[bool], gy: Any) -> Run:
    """Forward and backward as a training loop does it; without gy the forward pass alone, nothing recorded."""
    tensors = [library.tensor(value, requires_grad=leaf) for value, leaf in zip(values, leaves, strict=True)]
    wanted = [tensor for tensor, leaf in zip(tensors, leaves, strict=True) if leaf]

    def inference() -> Any:
        with library.no_grad():
            return function(library.nn.functional, *tensors)

    if gy is None:
        return inference
    seed = library.tensor(gy)

    def step() -> Any:
        for tensor in wanted:
            tensor.grad = None
        y = function(library.nn.functional, *tensors)
        y.backward(seed)
        return [y, *(tensor.grad for tensor in wanted)]

    return step


def layer(
    suite: str,
    name: str,
    function: Callable[..., Any],
    *inputs: Shape | Draw,
    shape: str = "",
    work: int = 0,
    backward: bool = True,
    check: Callable[[Any, Any], None] = agree,
) -> Case:
    """The case of one layer. An input is the shape of normal numbers that want a gradient, or draws what wants none.

    `work` counts the forward pass; both gradients of a product take as much again each.
    """

    def make() -> Pair:
        rng = np.random.default_rng(0)
        values = [i(rng) if callable(i) else rng.standard_normal(i, np.float32) for i in inputs]
        leaves = [backward and not callable(i) for i in inputs]
        y = runner(torch, function, values, [False] * len(values), None)().numpy()
        gy = rng.standard_normal(y.shape, np.float32) if backward else None
        ours, theirs = (runner(library, function, values, leaves, gy) for library in (ts, torch))
        wanted = sum(value.nbytes for value, leaf in zip(values, leaves, strict=True) if leaf)
        traffic = sum(value.nbytes for value in values) + y.nbytes + (y.nbytes + wanted if backward else 0)
        return Pair(ours, theirs, work * (3 if backward else 1), traffic, check)

    return Case(suite, name, shape or times(*(i for i in inputs if not callable(i))), make)
