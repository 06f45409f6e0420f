"""Every version of the convolution and of its adjoint, in each direction, beside cuDNN: channels first and last."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.convolutions import KINDS, MORE, TRANSPOSED, UNET, Layer
from benchmarks.gpu.arrays import TYPES, Arrays, by_version, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from tinyseg import kernels
from tinyseg.kernels import conv2d

__all__ = ["ADJOINT", "SMALL", "SUITE", "convolutions", "directions"]

SUITE, ADJOINT = "convolution", "transposed convolution"
IN_TF32 = "im2col", "tensor"  # the versions that multiply in it; the others are those of float32
BATCH = 32
BFLOAT16 = UNET[:3] + KINDS[:2]  # timed without --all: bfloat16 takes the time of float16
SMALL = [
    Layer(2, 5, 7, (9, 11)),
    Layer(1, 8, 16, (12, 12), stride=2),
    Layer(1, 16, 8, (6, 7), 1),
    Layer(2, 6, 6, (8, 8), groups=6),
    Layer(1, 6, 9, (8, 7), groups=3),
    Layer(1, 4, 5, (9, 10), dilation=2),
    Layer(1, 3, 6, (14, 12), 7, stride=2),
    Layer(2, 6, 5, (4, 5), 4, 2, padding=1, transposed=True),
    Layer(1, 5, 4, (4, 5), 2, 2, padding=0, transposed=True),
]


def convolutions(device: Device, precision: str) -> Iterator[Work]:
    """The suite of the CPU at batch 32; small layers where nothing is timed."""
    suite = UNET + KINDS + [layer for layer in TRANSPOSED if layer.n > 2] + MORE if device.timed else SMALL
    for layer in suite:
        extra = layer in MORE or (precision == "bfloat16" and layer not in BFLOAT16)
        yield from directions(layer._replace(n=BATCH) if device.timed else layer, precision, device, extra)


def directions(layer: Layer, precision: str, device: Device, extra: bool = False) -> Iterator[Work]:
    """Forward, input gradient and weight gradient; of a transposed convolution the first two change places."""
    g, kernel = layer.geometry, (layer.kernel,) * 2
    if layer.transposed:
        size = tuple((n - 1) * layer.stride - 2 * layer.pad + layer.kernel for n in layer.size)
        ours: dict[str, Callable[..., Any]] = {
            "forward": lambda x, w, gy: conv2d.grad_input(x, w, g, size),
            "grad_input": lambda x, w, gy: conv2d.forward(gy, w, g),
            "grad_weight": lambda x, w, gy: conv2d.grad_weight(gy, x, g, kernel),
        }
    else:
        size = conv2d.output_size(layer.size, kernel, g)
        ours = {
            "forward": lambda x, w, gy: conv2d.forward(x, w, g),
            "grad_input": lambda x, w, gy: conv2d.grad_input(gy, w, g, layer.size),
            "grad_weight": lambda x, w, gy: conv2d.grad_weight(x, gy, g, kernel),
        }
    arrays = Arrays(device, precision, layer.x, layer.w, (layer.n, layer.o, *size))
    with kernels.use(allow_tf32=precision == "tf32"):
        fit = conv2d.algorithms(g, layer.w, arrays.sample(1))
    if precision == "tf32":
        fit = [version for version in fit if version in IN_TF32]
    for direction, function in ours.items():
        yield work(
            ADJOINT if layer.transposed else SUITE,
            f"{layer.name} {direction}",
            arrays,
            by_version("conv2d", fit, function),
            functools.partial(_pytorch, direction, layer),
            shape=str(layer),
            both=True,
            work=layer.work,
            traffic=np.dtype(TYPES[precision]).itemsize * sum(math.prod(shape) for shape in arrays.given),
            extra=extra,
        )


def _pytorch(direction: str, layer: Layer, x: torch.Tensor, w: torch.Tensor, gy: torch.Tensor) -> torch.Tensor:
    options = [layer.stride] * 2, [layer.pad] * 2, [layer.dilation] * 2, layer.transposed, [0, 0], layer.groups
    if direction == "forward":
        return torch.ops.aten.convolution(x, w, None, *options)
    mask = [direction == "grad_input", direction == "grad_weight", False]
    return torch.ops.aten.convolution_backward(gy, x, w, None, *options, mask)[mask.index(True)]
