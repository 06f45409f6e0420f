"""One small launch of every kernel: `python -m benchmarks.gpu.small cuda`, for a sanitizer to look at.

On a GPU each array has an allocation of its own, so that an access beside it is one outside of all; under the emulator
the launches are traced.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import tinyseg as ts
from benchmarks.gpu.convolutions import SMALL, VERSIONS, directions
from benchmarks.gpu.device import Cuda, Device, Emulated
from benchmarks.gpu.passes import passes
from tinyseg import kernels, optim
from tinyseg.kernels import emulator
from tinyseg.nn import functional as F


class _Small(Cuda):
    """A GPU on which the small shapes are run."""

    timed = False


def main() -> int:
    cuda = sys.argv[1:] == ["cuda"]
    device: Device = _Small() if cuda else Emulated()
    if cuda:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool
    with emulator.using(mode="trace"):
        count = launch_all(device)
    device.synchronize()
    print(f"{count} functions launched their kernels")
    return 0


def launch_all(device: Device) -> int:
    """How many functions were called."""
    count = 0
    for layer in SMALL:
        for precision in VERSIONS:
            for work in directions(layer, precision, device):
                count += _launch(work)
    for work in passes(device):
        count += _launch(work)
    for function in functions(device):
        function().sum().backward()
        count += 1
    for version in ("composed", "flash"):
        with kernels.use(attention=version):
            q, k, v = (_drawn(device, 1, 5, 8) for _ in range(3))
            F.scaled_dot_product_attention(q, k, v).sum().backward()
    for optimiser in (optim.SGD, optim.RMSprop):
        p = _drawn(device, 3, 5)
        p.grad = _drawn(device, 3, 5).detach()
        optimiser([p], lr=0.1, momentum=0.9).step()
    return count + 4


def functions(device: Device) -> Iterator[Callable[[], Any]]:
    """What the tables of times leave out, the gradients above all."""
    x, small, row = _drawn(device, 2, 4, 12, 12), _drawn(device, 3, 4, 3, 5), _drawn(device, 5, 12)
    place = ts.tensor(np.arange(700) % 5, device=device.name)
    for images in (x, small):  # of large planes, and of small ones
        yield lambda images=images: F.batch_norm(images, None, None, training=True)
        yield lambda images=images: F.instance_norm(images)
        yield lambda images=images: F.group_norm(images, 2)
    yield lambda: F.layer_norm(row, (12,))
    for window in (2, 3, (2, 3)):
        yield lambda window=window: F.max_unpool2d(*F.max_pool2d(x, window, return_indices=True), window)
    yield lambda: F.adaptive_avg_pool2d(_drawn(device, 1, 1, 1, 7000), 1)
    yield lambda: F.hardtanh(row)
    yield lambda: F.glu(row)
    yield lambda: F.dropout2d(x)
    yield lambda: F.relu(ts.where(row > 0, row, -row))
    yield lambda: F.smooth_l1_loss(row, row.detach() + 1)
    yield lambda: F.smooth_l1_loss(row, row.detach() + 1, reduction="none")
    yield lambda: F.softmax(row, 1)
    yield lambda: F.cross_entropy(row, place[:5])
    yield lambda: F.embedding(place, row)
    yield lambda: row.index_copy(0, place[:5], row * 2)


def _drawn(device: Device, *shape: int) -> Any:
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    return ts.tensor(values, device=device.name, requires_grad=True)


def _launch(work: object) -> int:
    with kernels.use(allow_tf32=work.precision == "tf32"):  # type: ignore[attr-defined]
        for run in work.ours.values():  # type: ignore[attr-defined]
            run()
    return len(work.ours)  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
