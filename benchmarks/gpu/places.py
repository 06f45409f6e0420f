"""What moves values to and from places: the windows of images as columns, and adding to places that integers name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import Arrays, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from benchmarks.steps import times
from tinyseg.kernels import im2col, scatter
from tinyseg.kernels.conv2d import ConvGeometry, output_size

__all__ = ["SUITE", "places"]

SUITE = "columns and places"
SAME, HALF = ConvGeometry((1, 1), ((1, 1),) * 2), ConvGeometry((2, 2), ((1, 1),) * 2)


def places(device: Device, precision: str) -> Iterator[Work]:
    images = sized(device, (8, 64, 64, 64), (2, 3, 7, 9))
    for extra, geometry in enumerate((SAME, HALF)):
        yield from columns(Arrays(device, precision, images), geometry, extra=bool(extra))
    yield embedding_gradient(device, precision)
    yield from along_an_axis(device, precision)


def columns(x: Arrays, geometry: ConvGeometry, extra: bool) -> Iterator[Work]:
    shape = x.given[0]
    size, stride = shape[2:], geometry.stride
    pixels = output_size(size, (3, 3), geometry)
    y = x.like((shape[0], shape[1] * 9, pixels[0] * pixels[1]))
    name = f"3×3, stride {stride[0]}"
    yield work(SUITE, f"im2col {name}", x, lambda x: im2col.im2col(x, (3, 3), geometry),
               lambda x: F.unfold(x, 3, padding=1, stride=stride), extra=extra)  # fmt: skip
    yield work(SUITE, f"col2im {name}", y, lambda y: im2col.col2im(y, (3, 3), geometry, size),
               lambda y: F.fold(y, size, 3, padding=1, stride=stride), shape=times(shape), extra=extra)  # fmt: skip


def embedding_gradient(device: Device, precision: str) -> Work:
    """Rows added up by the row of the table that each came from."""
    rows, features = sized(device, (32768, 512), (700, 12))
    size = sized(device, (8192,), (50,))[0]
    x = Arrays(device, precision, (rows, features), lambda: np.random.default_rng(1).integers(0, size, rows))

    def theirs(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten.embedding_dense_backward(x, places, size, -1, False)

    name = f"embedding of {size}, gradient"
    return work(SUITE, name, x, lambda x, places: scatter.add_slices(x[None], places, size)[0], theirs)


def along_an_axis(device: Device, precision: str) -> Iterator[Work]:
    """Values added to, or put at, a place of their row."""
    shape = sized(device, (2048, 1024), (5, 80))
    rng = np.random.default_rng(1)

    def repeated() -> np.ndarray:
        return rng.integers(0, shape[1], shape)

    def once() -> np.ndarray:
        return rng.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)

    def rows() -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(np.arange(shape[0])[:, None], shape))

    def add(x: Any, rows: Any, columns: Any) -> Any:
        return scatter.add_at(x, (rows, columns), shape)

    def put(x: Any, rows: Any, columns: Any) -> Any:
        return scatter.put_at(x, (rows, columns), x)

    def their_add(x: torch.Tensor, _: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(x).scatter_add_(1, columns, x)

    def their_put(x: torch.Tensor, _: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return x.scatter(1, columns, x)

    values = Arrays(device, precision, shape, rows, repeated)
    yield work(SUITE, "scatter_add along rows", values, add, their_add)
    yield work(SUITE, "scatter along rows", values.like(shape, rows, once), put, their_put)
