"""Every version of the convolution, in each direction and type, beside cuDNN: channels first and channels last."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch

from benchmarks.convolutions import KINDS, MORE, TRANSPOSED, UNET, Layer
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from tinyseg import kernels
from tinyseg.kernels import conv2d

__all__ = ["SUITE", "convolutions"]

SUITE = "convolution"
TYPES = {"float32": np.float32, "tf32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
VERSIONS = {  # that are compared in a type; tf32 is the tensor cores' alone
    "float32": ("direct", "im2col", "implicit", "winograd"),
    "tf32": ("tensor",),
    "float16": ("tensor",),
    "bfloat16": ("tensor",),
}
BATCH = 32
SMALL = [
    Layer(2, 5, 7, (9, 11)),
    Layer(1, 8, 16, (12, 12), stride=2),
    Layer(2, 6, 6, (8, 8), groups=6),
    Layer(1, 16, 8, (6, 7), 1),
]


def layers(device: Device) -> list[Layer]:
    """The suite of the CPU at batch 32; small ones where nothing is timed."""
    if not device.timed:
        return SMALL
    return [layer._replace(n=BATCH) for layer in UNET + MORE + KINDS + [t for t in TRANSPOSED if t.n > 2]]


def convolutions(device: Device) -> Iterator[Work]:
    for layer in layers(device):
        for precision in VERSIONS:
            yield from directions(layer, precision, device)


def directions(layer: Layer, precision: str, device: Device) -> Iterator[Work]:
    """Forward, input gradient (a transposed convolution's forward pass) and weight gradient."""
    if layer.transposed:  # the same three of the convolution that it is the adjoint of
        size = tuple((n - 1) * layer.stride - 2 * layer.pad + layer.kernel for n in layer.size)
        layer = layer._replace(c=layer.o, o=layer.c, size=size, transposed=False)
        names = {"grad_input": "conv_transpose2d"}
    else:
        names = {d: f"conv2d {d}" for d in ("forward", "grad_input", "grad_weight")}
    made = _Arrays(layer, precision, device)
    geometry, window = layer.geometry, (layer.kernel,) * 2
    calls: dict[str, Callable[[], Any]] = {
        "forward": lambda: conv2d.forward(made.x, made.w, geometry),
        "grad_input": lambda: conv2d.grad_input(made.gy, made.w, geometry, layer.size),
        "grad_weight": lambda: conv2d.grad_weight(made.x, made.gy, geometry, window),
    }
    versions = [v for v in VERSIONS[precision] if v in made.applicable]
    for direction, name in names.items():
        ours = {version: functools.partial(_by, version, calls[direction]) for version in versions}
        ours["(chosen)"] = calls[direction]
        theirs = {layout: made.theirs(direction, layout) for layout in ("NCHW", "NHWC")}
        size = made.x.nbytes + made.w.nbytes + made.gy.nbytes
        label = f"{name} {layer.kernel}×{layer.kernel}"
        yield Work(SUITE, label, str(layer), precision, ours, theirs, made.expected(direction), layer.work, size)


def _by(version: str, run: Callable[[], Any]) -> Any:
    with kernels.use(conv2d=version):
        return run()


class _Arrays:
    """x, w and gy of a layer for both libraries, and PyTorch's three directions on them."""

    def __init__(self, layer: Layer, precision: str, device: Device) -> None:
        size = conv2d.output_size(layer.size, (layer.kernel,) * 2, layer.geometry)
        shapes = layer.x, layer.w, (layer.n, layer.o, *size)
        self.x, self.w, self.gy = (device.normal(s, TYPES[precision], seed) for seed, s in enumerate(shapes))
        self.layer, self.device = layer, device
        self.applicable = conv2d.algorithms(layer.geometry, layer.w, self.x)

    def theirs(self, direction: str, layout: str) -> Callable[[], Any]:
        """PyTorch's, on the very arrays for NCHW, on channels-last copies for NHWC."""
        tensors = [self.device.theirs(a) for a in (self.x, self.w, self.gy)]
        if layout == "NHWC":
            tensors = [t.to(memory_format=torch.channels_last) for t in tensors]
        return functools.partial(_pytorch, direction, self.layer, *tensors)

    def expected(self, direction: str) -> Callable[[], Any]:
        """In full float32."""

        def run() -> Any:
            tensors = [self.device.theirs(a).float() for a in (self.x, self.w, self.gy)]
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                return _pytorch(direction, self.layer, *tensors)

        return run


def _pytorch(direction: str, layer: Layer, x: torch.Tensor, w: torch.Tensor, gy: torch.Tensor) -> torch.Tensor:
    where = [layer.stride] * 2, [layer.pad] * 2, [layer.dilation] * 2
    if direction == "forward":
        return torch.ops.aten.convolution(x, w, None, *where, False, [0, 0], layer.groups)
    mask = [direction == "grad_input", direction == "grad_weight", False]
    back = torch.ops.aten.convolution_backward(gy, x, w, None, *where, False, [0, 0], layer.groups, mask)
    return back[0] if mask[0] else back[1]
