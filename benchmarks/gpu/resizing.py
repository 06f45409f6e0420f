"""Resizing and padding in every mode, zeros between pixels, and the adjoint of each."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import Arrays, gradient, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from benchmarks.steps import times
from tinyseg.kernels import pad, pool, resize

__all__ = ["SUITE", "resizing"]

SUITE = "resizing"
TAPS: dict[str, Any] = {
    "nearest": resize.nearest_taps,
    "nearest-exact": resize.nearest_exact_taps,
    "bilinear": functools.partial(resize.bilinear_taps, align_corners=False),
    "bicubic": functools.partial(resize.bicubic_taps, align_corners=False),
}
PADS = "constant", "reflect", "replicate", "circular"


def resizing(device: Device, precision: str) -> Iterator[Work]:
    large = Arrays(device, precision, sized(device, (32, 64, 128, 128), (2, 3, 8, 12)))
    small = large.like(sized(device, (32, 64, 64, 64), (2, 3, 4, 6)))
    for mode in TAPS:
        yield from interpolation(small, large, mode, extra=mode in ("nearest-exact", "bicubic"))
    yield from interpolation(large, small, "bilinear", extra=True)
    yield from interpolation(large, small, "area", extra=False)
    yield from spacing(small, 2)
    for mode in PADS:
        yield from padding(large, mode, extra=mode in ("replicate", "circular"))


def interpolation(x: Arrays, y: Arrays, mode: str, extra: bool) -> Iterator[Work]:
    """From the size of x to that of y."""
    size, target = x.given[0][2:], y.given[0][2:]

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, target, mode=mode)

    if mode == "area":
        ours: list[Any] = [
            lambda x: pool.adaptive_avg_forward(x, target), lambda gy: pool.adaptive_avg_adjoint(gy, size),
        ]  # fmt: skip
    else:
        taps = [TAPS[mode](n, m) for n, m in zip(size, target, strict=True)]
        ours = [lambda x: resize.resize(x, *taps), lambda gy: resize.adjoint(gy, *taps)]
    name, back = f"{mode} {'×2' if target > size else '÷2'}", gradient(theirs)
    yield work(SUITE, name, x, ours[0], theirs, both=True, extra=extra)
    yield work(SUITE, f"{name}, gradient", y, ours[1], lambda gy: back(gy, x.beside(gy)),
               shape=times(x.given[0]), extra=extra)  # fmt: skip


def spacing(x: Arrays, stride: int) -> Iterator[Work]:
    """Zeros between the pixels, as many as a transposed convolution of this stride has there."""
    shape = x.given[0]
    spaced = (*shape[:2], *((n - 1) * stride + 1 for n in shape[2:]))
    taps = [resize.spaced_taps(n, stride) for n in shape[2:]]

    def theirs(x: torch.Tensor) -> torch.Tensor:
        y = x.new_zeros(spaced)
        y[..., ::stride, ::stride] = x
        return y

    yield work(SUITE, f"zero_insert {stride}", x, lambda x: resize.resize(x, *taps), theirs)
    yield work(SUITE, f"zero_insert {stride}, gradient", x.like(spaced), lambda gy: resize.adjoint(gy, *taps),
               lambda gy: gy[..., ::stride, ::stride].contiguous(), shape=times(shape))  # fmt: skip


def padding(x: Arrays, mode: str, extra: bool) -> Iterator[Work]:
    """Two pixels on each side."""
    shape = x.given[0]
    widths = (0, 0), (0, 0), (2, 2), (2, 2)

    def theirs(x: torch.Tensor) -> torch.Tensor:
        return F.pad(x, (2, 2, 2, 2), mode)

    back = gradient(theirs)
    gy = x.like((*shape[:2], shape[2] + 4, shape[3] + 4))
    yield work(SUITE, f"pad 2, {mode}", x, lambda x: pad.pad(x, widths, mode), theirs, extra=extra)
    yield work(SUITE, f"pad 2, {mode}, gradient", gy, lambda gy: pad.adjoint(gy, widths, mode),
               lambda gy: back(gy, x.beside(gy)), shape=times(shape), extra=extra)  # fmt: skip
