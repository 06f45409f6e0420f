"""Activations, losses and choices, and the gradients of all: a pass over memory each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import TYPES, Arrays, Shape, gradient, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from tinyseg.kernels import elementwise

__all__ = ["SUITE", "elements"]

SUITE = "element-wise"
MAIN = "relu", "silu", "gelu", "leaky_relu", "mse_loss", "binary_cross_entropy_with_logits"
aten = torch.ops.aten

# PyTorch's function of x, its gradient as a function of gy and of what ours is given, and the settings of ours.
CURVES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[float, ...]]] = {
    "relu": (F.relu, lambda gy, x: aten.threshold_backward(gy, x, 0), ()),
    "sigmoid": (torch.sigmoid, aten.sigmoid_backward, ()),
    "silu": (F.silu, aten.silu_backward, ()),
    "gelu": (F.gelu, aten.gelu_backward, ()),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate="tanh"), lambda gy, x: aten.gelu_backward(gy, x, approximate="tanh"), (),
    ),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.1), lambda gy, x: aten.leaky_relu_backward(gy, x, 0.1, False), (0.1,)),
    "hardtanh": (F.hardtanh, lambda gy, x: aten.hardtanh_backward(gy, x, -1, 1), (-1.0, 1.0)),
    "hardsigmoid": (F.hardsigmoid, aten.hardsigmoid_backward, ()),
    "hardswish": (F.hardswish, aten.hardswish_backward, ()),
    "elu": (F.elu, lambda gy, x: aten.elu_backward(gy, 1, 1, 1, False, x), (1.0, 1.0, 1.0)),
    "softplus": (F.softplus, lambda gy, x: aten.softplus_backward(gy, x, 1, 20), (1.0, 20.0)),
    "mish": (F.mish, aten.mish_backward, ()),
}  # fmt: skip
LOSSES: dict[str, tuple[str, tuple[float, ...]]] = {  # by PyTorch's name ours, and its settings
    "mse_loss": ("square", ()),
    "l1_loss": ("absolute", ()),
    "huber_loss": ("huber", (1.0, 1.0)),
    "binary_cross_entropy_with_logits": ("logistic", ()),
}


def elements(device: Device, precision: str) -> Iterator[Work]:
    shape = sized(device, (32, 64, 128, 128), (3, 4, 7, 9))
    x = Arrays(device, precision, shape)
    pair = x.like(shape, shape)
    for kind, (theirs, theirs_grad, settings) in CURVES.items():
        extra = kind not in MAIN
        ours, ours_grad = (
            functools.partial(_by, f, kind, settings) for f in (elementwise.activate, elementwise.activate_grad)
        )
        yield work(SUITE, kind, x, ours, theirs, extra=extra)
        yield work(SUITE, f"{kind}, gradient", pair, ours_grad, theirs_grad, extra=extra)
    for name in LOSSES:
        yield from losses(pair, name, extra=name not in MAIN)
    yield from parts(device, precision, shape)


def _by(function: Callable[..., Any], kind: str, settings: tuple[float, ...], *arrays: Any) -> Any:
    return function(kind, *arrays, *settings)


def losses(pair: Arrays, name: str, extra: bool) -> Iterator[Work]:
    """For each element, and summed; float16 is too narrow for such sums."""
    (kind, settings), theirs = LOSSES[name], getattr(F, name)
    each, total, back = (
        functools.partial(_by, f, kind, settings)
        for f in (elementwise.loss, elementwise.loss_sum, elementwise.loss_grad)
    )
    summed = functools.partial(theirs, reduction="sum")
    yield work(SUITE, name, pair, each, functools.partial(theirs, reduction="none"), extra=True)
    if pair.precision != "float16":
        yield work(SUITE, f"{name}, sum", pair, total, summed, extra=extra)
    one = pair.like(lambda: np.array(0.5, TYPES[pair.precision]), *pair.given)
    yield work(SUITE, f"{name}, gradient", one, back, gradient(summed), extra=extra)


def parts(device: Device, precision: str, shape: Shape) -> Iterator[Work]:
    """What reads parts of an array in different ways: a factor for each plane, halves, one of two."""
    half = (shape[0], shape[1] // 2, *shape[2:])
    planes = Arrays(device, precision, shape, (*shape[:2], 1, 1))
    yield work(SUITE, "a factor for each plane", planes, elementwise.scale, torch.mul)

    def halves(x: Any) -> Any:
        return x.reshape(shape[0], 2, -1)

    def glu(x: Any) -> Any:
        return elementwise.glu(halves(x)).reshape(half)

    def glu_grad(gy: Any, x: Any) -> Any:
        return elementwise.glu_grad(gy.reshape(shape[0], -1), halves(x)).reshape(shape)

    yield work(SUITE, "glu", planes.like(shape), glu, lambda x: F.glu(x, 1))
    yield work(SUITE, "glu, gradient", planes.like(half, shape), glu_grad, lambda gy, x: aten.glu_backward(gy, x, 1))

    def condition() -> np.ndarray:
        return np.random.default_rng(2).random(shape, np.float32) < 0.5

    yield work(SUITE, "where", planes.like(condition, shape, shape), elementwise.select, torch.where)
