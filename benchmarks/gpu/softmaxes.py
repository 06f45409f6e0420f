"""Softmax, log-softmax and cross-entropy, of rows and of maps of class scores, and their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import Arrays, Shape, gradient, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from tinyseg.kernels import softmax

__all__ = ["SUITE", "softmaxes"]

SUITE = "softmax"
KINDS = {
    "softmax": (softmax.softmax, softmax.softmax_grad, torch.softmax, torch.ops.aten._softmax_backward_data),
    "log_softmax": (
        softmax.log_softmax, softmax.log_softmax_grad, torch.log_softmax, torch.ops.aten._log_softmax_backward_data,
    ),
}  # fmt: skip


def softmaxes(device: Device, precision: str) -> Iterator[Work]:
    shapes = (32768, 1024), (262144, 128), (32, 21, 16384)  # the last: a softmax for each pixel
    small = (5, 300), (9, 33), (2, 5, 33)
    for name in KINDS:
        for k, shape in enumerate(sized(device, *pair) for pair in zip(shapes, small, strict=True)):
            yield from shares(device, precision, name, shape, extra=k == 1 and name != "softmax")
    yield from entropy(device, precision, sized(device, (8192, 1000), (7, 30)), extra=True)
    yield from entropy(device, precision, sized(device, (32, 21, 16384), (2, 5, 33)))


def shares(device: Device, precision: str, name: str, shape: Shape, extra: bool) -> Iterator[Work]:
    forward, backward, theirs, their_backward = KINDS[name]
    view = (*shape, 1)[:3]

    def ours(x: Any) -> Any:
        return forward(x.reshape(view)).reshape(shape)

    def ours_grad(gy: Any, y: Any) -> Any:
        return backward(gy.reshape(view), y.reshape(view)).reshape(shape)

    x, pair = Arrays(device, precision, shape), Arrays(device, precision, shape, shape)
    yield work(SUITE, name, x, ours, lambda x: theirs(x, 1), extra=extra)
    yield work(
        SUITE, f"{name}, gradient", pair, ours_grad, lambda gy, y: their_backward(gy, y, 1, y.dtype), extra=extra
    )


def entropy(device: Device, precision: str, shape: Shape, extra: bool = False) -> Iterator[Work]:
    """The loss of each place; PyTorch's is two kernels, a log-softmax and the choice of the target."""
    view, places = (*shape, 1)[:3], (shape[0], *shape[2:])

    def target() -> np.ndarray:
        return np.random.default_rng(1).integers(0, shape[1], places)

    def theirs(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x, target, reduction="none")

    def ours(x: Any, target: Any) -> Any:
        return softmax.cross_entropy(x.reshape(view), target.reshape(view[::2]))[0].reshape(places)

    x = Arrays(device, precision, shape, target)
    yield work(SUITE, "cross_entropy", x, ours, theirs, extra=extra)

    scores = Arrays(device, precision, places, shape, target)
    lse = Arrays(device, precision, lambda: device.numpy(torch.logsumexp(scores.wide[1], 1)).reshape(view[::2]))

    def ours_grad(gy: Any, x: Any, target: Any) -> Any:
        gy, target = (a.reshape(view[::2]) for a in (gy, target))
        return softmax.cross_entropy_grad(gy, x.reshape(view), lse[0], target).reshape(shape)

    yield work(SUITE, "cross_entropy, gradient", scores, ours_grad, gradient(theirs), extra=extra)
