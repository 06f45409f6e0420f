"""Max and average pooling, of fixed windows and of shares of the plane, unpooling, and the gradients of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import Arrays, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import CHOSEN, Work
from benchmarks.steps import times
from tinyseg.kernels import pool
from tinyseg.kernels.pool import PoolGeometry

__all__ = ["SUITE", "pooling"]

SUITE = "pooling"
WINDOWS = {
    "2×2": PoolGeometry((2, 2), (2, 2)),
    "3×3, stride 2": PoolGeometry((3, 3), (2, 2), (1, 1)),
    "5×5, stride 1": PoolGeometry((5, 5), (1, 1), (2, 2)),
}
aten = torch.ops.aten


def pooling(device: Device, precision: str) -> Iterator[Work]:
    x = Arrays(device, precision, sized(device, (32, 64, 128, 128), (2, 3, 8, 12)))
    for name, geometry in WINDOWS.items():
        yield from maxima(x, f"max_pool2d {name}", geometry, extra=geometry.stride == (1, 1))
        yield from means(x, f"avg_pool2d {name}", geometry, extra=geometry.stride == (1, 1))
    yield from unpooling(x, WINDOWS["2×2"])
    yield from adaptive(x, 7)
    yield from adaptive(x, 1, extra=True)
    row = Arrays(device, precision, sized(device, (64, 32, 1, 16384), (1, 2, 1, 7000)))
    yield adaptive_mean(row, 1, extra=True)


def maxima(x: Arrays, name: str, geometry: PoolGeometry, extra: bool) -> Iterator[Work]:
    """With their places, which PyTorch finds on a GPU whether they are asked for or not."""
    shape, given = x.given[0], [list(pair) for pair in geometry[:4]]

    def theirs(x: torch.Tensor) -> Any:
        return F.max_pool2d(x, *given, return_indices=True)

    def theirs_grad(gy: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return aten.max_pool2d_with_indices_backward(gy, x.beside(gy), *given, False, places)

    yield work(SUITE, name, x, lambda x: pool.max_forward(x, geometry), theirs, both=True, extra=extra)
    gy = x.like((*shape[:2], *pool.output_size(shape[2:], geometry)), _places(x, theirs))
    versions = {
        "any places": lambda gy, places: pool.scatter(gy, places, shape[2:]),
        CHOSEN: lambda gy, places: pool.scatter(gy, places, shape[2:], geometry),
    }
    yield work(SUITE, f"{name}, gradient", gy, versions, theirs_grad, shape=times(shape), extra=extra)


def means(x: Arrays, name: str, geometry: PoolGeometry, extra: bool) -> Iterator[Work]:
    shape, given = x.given[0], [list(pair) for pair in geometry[:3]]

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, *given)

    def theirs_grad(gy: torch.Tensor) -> torch.Tensor:
        return aten.avg_pool2d_backward(gy, x.beside(gy), *given, False, True, None)

    def ours_grad(gy: Any) -> Any:
        return pool.avg_adjoint(gy, geometry, shape[2:])

    yield work(SUITE, name, x, lambda x: pool.avg_forward(x, geometry), theirs, both=True, extra=extra)
    gy = x.like((*shape[:2], *pool.output_size(shape[2:], geometry)))
    yield work(SUITE, f"{name}, gradient", gy, ours_grad, theirs_grad, shape=times(shape), extra=extra)


def unpooling(x: Arrays, geometry: PoolGeometry) -> Iterator[Work]:
    shape, size = x.given[0], x.given[0][2:]
    places = _places(x, lambda x: F.max_pool2d(x, geometry.kernel_size, return_indices=True))

    def theirs(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return aten.max_unpool2d(x, places, list(size))

    def theirs_grad(gy: torch.Tensor, places: torch.Tensor) -> torch.Tensor:  # what autograd computes
        return gy.flatten(2).gather(2, places.flatten(2)).view_as(places)

    found = x.like((*shape[:2], *pool.output_size(size, geometry)), places)
    yield work(SUITE, "max_unpool2d 2×2", found, lambda x, places: pool.put(x, places, size), theirs,
               shape=times(shape))  # fmt: skip
    yield work(SUITE, "max_unpool2d 2×2, gradient", x.like(shape, places), pool.gather, theirs_grad)


def adaptive(x: Arrays, n: int, extra: bool = False) -> Iterator[Work]:
    """Windows that share out the plane, n in each direction."""
    shape = x.given[0]
    windows, size = (*shape[:2], n, n), shape[2:]

    def theirs(x: torch.Tensor) -> Any:
        return F.adaptive_max_pool2d(x, n, return_indices=True)

    def theirs_grad(gy: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return aten.adaptive_max_pool2d_backward(gy, x.beside(gy), places)

    yield work(SUITE, f"adaptive_max_pool2d to {n}", x, lambda x: pool.adaptive_max_forward(x, (n, n)), theirs,
               extra=extra)  # fmt: skip
    yield work(SUITE, f"adaptive_max_pool2d to {n}, gradient", x.like(windows, _places(x, theirs)),
               lambda gy, places: pool.scatter(gy, places, size, (n, n)), theirs_grad, shape=times(shape),
               extra=extra)  # fmt: skip
    yield adaptive_mean(x, n, extra)
    yield work(SUITE, f"adaptive_avg_pool2d to {n}, gradient", x.like(windows),
               lambda gy: pool.adaptive_avg_adjoint(gy, size),
               lambda gy: aten._adaptive_avg_pool2d_backward(gy, x.beside(gy)), shape=times(shape),
               extra=extra)  # fmt: skip


def adaptive_mean(x: Arrays, n: int, extra: bool) -> Work:
    return work(SUITE, f"adaptive_avg_pool2d to {n}", x, lambda x: pool.adaptive_avg_forward(x, (n, n)),
                lambda x: F.adaptive_avg_pool2d(x, n), extra=extra)  # fmt: skip


def _places(x: Arrays, pooled: Callable[[torch.Tensor], Any]) -> Callable[[], np.ndarray]:
    """Where the maxima are, when first asked for."""
    return lambda: x.device.numpy(pooled(x.wide[0])[1])
