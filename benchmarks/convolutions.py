"""Convolutions: the layers of U-Nets and every other kind, as users call them; and each direction's kernel alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.harness import Case, Pair
from benchmarks.steps import layer, times
from tinyseg.kernels import conv2d
from tinyseg.kernels.conv2d import ConvGeometry

__all__ = ["BOTH", "DIRECTIONS", "FORWARD", "OTHERS", "Layer", "convolutions", "directions", "kernels_of"]

FORWARD = "3×3 layers, forward"
BOTH = "3×3 layers, forward and both gradients"
OTHERS = "other convolutions, forward and both gradients"
DIRECTIONS = "kernels of conv2d, by direction"


class Layer(NamedTuple):
    """A convolution: N, C, O, (H, W), (KH, KW) and its geometry; padding None keeps the size (at stride 1)."""

    n: int
    c: int
    o: int
    size: tuple[int, int]
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: int | None = None
    transposed: bool = False

    @property
    def pad(self) -> int:
        return self.dilation * (self.kernel - 1) // 2 if self.padding is None else self.padding

    @property
    def geometry(self) -> ConvGeometry:
        return ConvGeometry((self.stride,) * 2, ((self.pad,) * 2,) * 2, (self.dilation,) * 2, self.groups)

    @property
    def x(self) -> tuple[int, ...]:
        return (self.n, self.c, *self.size)

    @property
    def w(self) -> tuple[int, ...]:
        filters = (self.c, self.o) if self.transposed else (self.o, self.c // self.groups)
        return (*filters, self.kernel, self.kernel)

    @property
    def work(self) -> int:
        """Multiply-adds: each output of a convolution, and each input of a transposed one, meets all of a filter."""
        if self.transposed:
            return math.prod(self.x) * math.prod(self.w[1:])
        size = conv2d.output_size(self.size, (self.kernel,) * 2, self.geometry)
        return self.n * self.o * math.prod(size) * math.prod(self.w[1:])

    @property
    def name(self) -> str:
        kind = "conv_transpose2d" if self.transposed else "conv2d"
        return f"{kind} {self.kernel}×{self.kernel}"

    def __str__(self) -> str:
        parts = [f"{times(self.x)} → {self.o}"]
        parts += [f"stride {self.stride}"] if self.stride > 1 else []
        parts += [f"dilation {self.dilation}"] if self.dilation > 1 else []
        if self.groups > 1:
            parts += ["depthwise" if self.groups == self.c else f"{self.groups} groups"]
        return ", ".join(parts)

    def __call__(self, F: Any, x: Any, w: Any) -> Any:
        if self.transposed:
            return F.conv_transpose2d(x, w, None, self.stride, self.pad)
        return F.conv2d(x, w, None, self.stride, self.pad, self.dilation, self.groups)


UNET = [
    Layer(8, 64, 64, (64, 64)),
    Layer(8, 128, 128, (32, 32)),
    Layer(8, 256, 256, (16, 16)),
    Layer(4, 64, 64, (128, 128)),
    Layer(16, 128, 128, (8, 8)),
    Layer(2, 512, 512, (16, 16)),
    Layer(4, 3, 64, (128, 128)),
    Layer(2, 65, 17, (61, 61)),
    Layer(3, 5, 7, (17, 23)),
]
MORE = [
    Layer(8, 512, 512, (8, 8)),
    Layer(4, 1024, 1024, (4, 4)),
    Layer(16, 16, 16, (64, 64)),
    Layer(16, 32, 32, (32, 32)),
]
KINDS = [
    Layer(8, 64, 64, (64, 64), 1),
    Layer(8, 64, 128, (64, 64), stride=2),
    Layer(8, 64, 64, (32, 32), dilation=2),
    Layer(8, 64, 64, (32, 32), dilation=4),
    Layer(8, 3, 64, (128, 128), 7, stride=2),
    Layer(8, 64, 64, (32, 32), groups=4),
    Layer(8, 64, 64, (64, 64), groups=64),
    Layer(2, 65, 17, (61, 61), 1),
    Layer(2, 65, 17, (61, 61), stride=2),
    Layer(2, 65, 17, (61, 61), dilation=2),
    Layer(2, 65, 65, (61, 61), groups=65),
    Layer(3, 15, 9, (17, 23), groups=3),
]
TRANSPOSED = [
    Layer(8, 128, 64, (32, 32), 2, 2, padding=0, transposed=True),
    Layer(8, 64, 32, (16, 16), 4, 2, padding=1, transposed=True),
    Layer(2, 65, 17, (61, 61), 2, 2, padding=0, transposed=True),
]


def row(suite: str, conv: Layer, backward: bool = True) -> Case:
    return layer(suite, conv.name, conv, conv.x, conv.w, shape=str(conv), work=conv.work, backward=backward)


def convolutions() -> Iterator[Case]:
    yield from (row(FORWARD, conv, backward=False) for conv in UNET)
    yield from (row(BOTH, conv) for conv in UNET)
    yield from (row(OTHERS, conv) for conv in KINDS + TRANSPOSED)


def kernels_of(conv: Layer) -> dict[str, Callable[[], Pair]]:
    """How to make each direction of a convolution: our kernel beside PyTorch's."""

    def make(direction: str) -> Pair:
        rng = np.random.default_rng(0)
        x, w = (rng.standard_normal(shape, np.float32) for shape in (conv.x, conv.w))
        tx, tw = torch.from_numpy(x), torch.from_numpy(w)
        y = conv(torch.nn.functional, tx, tw)
        gy = rng.standard_normal(tuple(y.shape), np.float32)
        options = ([conv.stride] * 2, [conv.pad] * 2, [conv.dilation] * 2, False, [0, 0], conv.groups)

        def backward(*mask: bool) -> torch.Tensor:
            back = torch.ops.aten.convolution_backward
            return back(torch.from_numpy(gy), tx, tw, None, *options, [*mask, False])[mask.index(True)]

        g, kernel = conv.geometry, (conv.kernel, conv.kernel)
        ours, theirs = {
            "forward": (lambda: conv2d.forward(x, w, g), lambda: conv(torch.nn.functional, tx, tw)),
            "grad_input": (lambda: conv2d.grad_input(gy, w, g, conv.size), lambda: backward(True, False)),
            "grad_weight": (lambda: conv2d.grad_weight(x, gy, g, kernel), lambda: backward(False, True)),
        }[direction]
        return Pair(ours, theirs, conv.work, x.nbytes + w.nbytes + gy.nbytes)

    return {d: lambda d=d: make(d) for d in ("forward", "grad_input", "grad_weight")}


def directions() -> Iterator[Case]:
    """The kernels without engine around them: where a layer above is slow, these say which way."""
    for conv in UNET + MORE + KINDS:
        for direction, make in kernels_of(conv).items():
            yield Case(DIRECTIONS, f"conv2d.{direction} {conv.kernel}×{conv.kernel}", str(conv), make)
