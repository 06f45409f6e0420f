"""Batch, group, instance and layer norm with weight and bias, local response norm, and their gradients."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import TYPES, Arrays, Shape, gradient, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from tinyseg.kernels import norm

__all__ = ["SUITE", "norms"]

SUITE, EPS = "norms", 1e-5


def norms(device: Device, precision: str) -> Iterator[Work]:
    larger, large = sized(device, (32, 64, 128, 128), (2, 4, 9, 10)), sized(device, (32, 64, 64, 64), (2, 4, 9, 10))
    small = sized(device, (64, 512, 7, 7), (3, 64, 3, 2))
    yield from batch_norm(device, precision, larger, twice=math.prod(larger) * np.dtype(TYPES[precision]).itemsize)
    yield from batch_norm(device, precision, small)
    for images in (large, small):
        groups = 2 if images[1] < 32 else 32
        group_norm = functools.partial(F.group_norm, num_groups=groups)
        yield from by_row(device, precision, "group_norm", images, groups, group_norm)
    yield from by_row(device, precision, "instance_norm", large, large[1], instance_norm)
    for extra, rows in enumerate(((16384, 768), (4096, 8192))):  # the longer ones do not fit into registers
        rows = sized(device, rows, ((7, 40), (2, 4200))[extra])
        layer_norm = functools.partial(F.layer_norm, normalized_shape=rows[1:])
        yield from by_row(device, precision, "layer_norm", rows, 1, layer_norm, extra=bool(extra))
    for size in (5, 9):
        yield from response(Arrays(device, precision, large), size, extra=size != 5)


def batch_norm(device: Device, precision: str, shape: Shape, twice: int = 0) -> Iterator[Work]:
    """In training: the statistics of the batch are part of what is timed, ours and PyTorch's; there are no others.

    `twice` are the bytes of images too large for the cache, which have to be read for their sums first.
    """
    x = Arrays(device, precision, shape, shape[1:2], shape[1:2])

    def forward(x: Any, w: Any, b: Any) -> Any:
        mean, _, rstd = norm.moments(x, EPS)
        return norm.normalize(x, mean, rstd, w, b)

    def theirs(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, None, None, w, b, training=True)

    def vectors(arrays: Arrays) -> list[torch.Tensor]:
        return arrays.wide[-2:]  # float32: with those of a half type PyTorch would not ask cuDNN

    yield work(SUITE, "batch_norm", x, forward, lambda x_, w, b: theirs(x_, *vectors(x)), both=True,
               traffic=3 * twice)  # fmt: skip

    def given() -> tuple[Any, Any]:
        return shape[1:2], x_.wide[1].transpose(0, 1).reshape(shape[1], -1)

    x_ = Arrays(device, precision, shape, shape, shape[1:2], shape[1:2])
    statistics = _statistics(device, given)
    back = gradient(theirs, inputs=3)
    yield work(SUITE, "batch_norm, gradient", x_, lambda gy, x, w, b: norm.grad(gy, x, *statistics(), w, b),
               lambda gy, x, w, b: back(gy, x, *vectors(x_)), both=True, traffic=5 * twice)  # fmt: skip


def by_row(
    device: Device, precision: str, name: str, shape: Shape, groups: int, theirs: Callable[..., Any], **more: Any
) -> Iterator[Work]:
    """A norm whose statistics are those of a sample: on the view (N, G, K, S)."""
    channels = shape[1:2]
    view = shape[0], groups, shape[1] // groups, math.prod(shape[2:])
    x = Arrays(device, precision, shape, channels, channels)

    def forward(x: Any, w: Any, b: Any) -> Any:
        return norm.group_norm(x.reshape(view), w.reshape(view[1:3]), b.reshape(view[1:3]), EPS)[0].reshape(shape)

    def by_name(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return theirs(x, weight=w, bias=b)

    yield work(SUITE, name, x, forward, by_name, **more)

    x_ = Arrays(device, precision, shape, shape, channels, channels)
    statistics = _statistics(device, lambda: (view[:2], x_.wide[1].reshape(*view[:2], -1)))

    def backward(gy: Any, x: Any, w: Any, b: Any) -> list[Any]:
        grads = norm.group_norm_grad(gy.reshape(view), x.reshape(view), *statistics(), w.reshape(view[1:3]))
        return [g.reshape(s) for g, s in zip(grads, (shape, channels, channels), strict=True)]

    yield work(SUITE, f"{name}, gradient", x_, backward, gradient(by_name, inputs=3), **more)


def response(x: Arrays, size: int, extra: bool) -> Iterator[Work]:
    """One kernel each way; PyTorch's is made of several of its functions."""
    formula = size, 1e-4, 0.75, 1.0

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return F.local_response_norm(x, *formula)

    name, back = f"local_response_norm {size}", gradient(theirs)
    yield work(SUITE, name, x, lambda x: norm.response_norm(x, *formula), theirs, extra=extra)
    yield work(SUITE, f"{name}, gradient", x.like(*x.given * 2), lambda gy, x: norm.response_norm_grad(gy, x, *formula),
               back, extra=extra)  # fmt: skip


def instance_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.instance_norm(x, None, None, weight, bias)


def _statistics(device: Device, rows: Callable[[], tuple[Shape, torch.Tensor]]) -> Callable[[], list[Any]]:
    """Mean and 1 / √(σ² + ε) of the rows for our kernels, in a shape; computed when first asked for."""

    @functools.cache
    def made() -> list[Any]:
        shape, values = rows()
        var, mean = torch.var_mean(values, -1, correction=0)
        return [device.ours(device.numpy(s).reshape(shape)) for s in (mean, (var + EPS) ** -0.5)]

    return made
