"""What `python -m benchmarks` times: each case is the same work done by our kernel and by PyTorch.

A case yields (ours, theirs): two functions without arguments that return the same arrays. Their results are compared
before any clock starts: a fast wrong kernel is no kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from tinyseg.kernels import conv2d, matmul, norm, pool, resize, softmax
from tinyseg.kernels.conv2d import ConvGeometry

__all__ = ["Case", "cases"]

Run = Callable[[], object]


class Case(NamedTuple):
    """One row of the table; `work` is its multiply-adds, 0 where memory is what counts."""

    kernel: str
    shape: str
    ours: Run
    theirs: Run
    work: int = 0


def random(*shape: int, generator: np.random.Generator = np.random.default_rng(0)) -> torch.Tensor:  # noqa: B008
    """Standard normal values, other ones at every call: a gradient equal to its input would be a special case."""
    return torch.from_numpy(generator.standard_normal(shape, np.float32))


def convolutions() -> Iterator[Case]:
    """3x3 layers of U-Nets, wide and narrow, deep and odd; then every other kind of convolution."""
    for n, c, o, size in [
        (8, 64, 64, 64),
        (8, 128, 128, 32),
        (8, 256, 256, 16),
        (4, 64, 64, 128),
        (16, 128, 128, 8),
        (2, 512, 512, 16),
        (4, 3, 64, 128),
        (8, 512, 512, 8),
        (16, 16, 16, 64),
        (16, 32, 32, 32),
        (2, 65, 17, 61),
    ]:
        yield from convolution(n, c, o, size, 3)
    yield from convolution(8, 64, 64, 64, 1)
    yield from convolution(8, 64, 128, 64, 3, stride=2)
    yield from convolution(8, 64, 64, 32, 3, dilation=2)
    yield from convolution(8, 64, 64, 32, 3, dilation=4)
    yield from convolution(8, 3, 64, 128, 7, stride=2)
    yield from convolution(8, 64, 64, 32, 3, groups=4)
    yield from convolution(8, 64, 64, 64, 3, groups=64)
    yield from convolution(8, 64, 128, 64, 2, stride=2, padding=0)
    yield from convolution(8, 32, 64, 32, 4, stride=2, padding=1)


def convolution(
    n: int,
    c: int,
    o: int,
    size: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: int | None = None,
) -> Iterator[Case]:
    p = dilation * (kernel - 1) // 2 if padding is None else padding
    geometry = ConvGeometry((stride, stride), ((p, p), (p, p)), (dilation, dilation), groups)
    x, w = random(n, c, size, size), random(o, c // groups, kernel, kernel)
    y = F.conv2d(x, w, None, stride, p, dilation, groups)
    gy = random(*y.shape)
    a, b, g = x.numpy(), w.numpy(), gy.numpy()

    def backward(*mask: bool) -> torch.Tensor:
        options = ([stride] * 2, [p] * 2, [dilation] * 2, False, [0, 0], groups, [*mask, False])
        return torch.ops.aten.convolution_backward(gy, x, w, None, *options)[mask.index(True)]

    shape = f"{n}×{c}×{size}×{size} → {o}, {kernel}×{kernel}" + (f", stride {stride}" if stride > 1 else "")
    shape += f", dilation {dilation}" if dilation > 1 else ""
    shape += ", depthwise" if groups == c else f", {groups} groups" if groups > 1 else ""
    work = y.numel() * w[0].numel()
    yield Case(
        "conv2d.forward",
        shape,
        lambda: conv2d.forward(a, b, geometry),
        lambda: F.conv2d(x, w, None, stride, p, dilation, groups),
        work,
    )
    yield Case(
        "conv2d.grad_input",
        shape,
        lambda: conv2d.grad_input(g, b, geometry, (size, size)),
        lambda: backward(True, False),
        work,
    )
    yield Case(
        "conv2d.grad_weight",
        shape,
        lambda: conv2d.grad_weight(a, g, geometry, (kernel, kernel)),
        lambda: backward(False, True),
        work,
    )


def products() -> Iterator[Case]:
    for m, k, n in [(1024, 1024, 1024), (4096, 64, 64)]:
        a, b = random(m, k), random(k, n)
        yield Case(
            "matmul",
            f"{m}×{k} · {k}×{n}",
            partial(matmul.matmul, a.numpy(), b.numpy()),
            partial(torch.matmul, a, b),
            m * k * n,
        )


def poolings() -> Iterator[Case]:
    x = random(16, 64, 64, 64)
    y, places = F.max_pool2d(x, 2, return_indices=True)
    gy = random(*y.shape)
    geometry = pool.PoolGeometry((2, 2), (2, 2))
    a, g, i = x.numpy(), gy.numpy(), places.numpy()
    shape = "16×64×64×64, 2×2"
    max_back = torch.ops.aten.max_pool2d_with_indices_backward
    window = ([2, 2], [2, 2], [0, 0])
    yield Case("pool.max_forward", shape, lambda: pool.max_forward(a, geometry)[0], lambda: F.max_pool2d(x, 2))
    yield Case(
        "pool.scatter",
        shape,
        lambda: pool.scatter(g, i, (64, 64)),
        lambda: max_back(gy, x, *window, [1, 1], False, places),
    )
    yield Case("pool.avg_forward", shape, lambda: pool.avg_forward(a, geometry), lambda: F.avg_pool2d(x, 2))
    avg_back = torch.ops.aten.avg_pool2d_backward
    yield Case(
        "pool.avg_adjoint",
        shape,
        lambda: pool.avg_adjoint(g, geometry, (64, 64)),
        lambda: avg_back(gy, x, *window, False, True, None),
    )


def normalisations() -> Iterator[Case]:
    """Batch normalisation in training mode: the statistics count, forward and backward."""
    x, gy, weight, bias = random(16, 64, 64, 64), random(16, 64, 64, 64), random(64), random(64)
    a, g, w, b = (t.numpy() for t in (x, gy, weight, bias))
    shape = "16×64×64×64"

    def forward() -> np.ndarray:
        mean, var = norm.moments(a)
        return norm.normalize(a, mean, 1 / np.sqrt(var + 1e-5), w, b)

    batch_norm, backward = torch.ops.aten.native_batch_norm, torch.ops.aten.native_batch_norm_backward
    _, mean, rstd = batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)
    statistics = (weight, None, None, mean, rstd, True, 1e-5, [True, True, True])
    yield Case(
        "norm.moments + normalize",
        shape,
        forward,
        lambda: batch_norm(x, weight, bias, None, None, True, 0.1, 1e-5)[0],
    )
    yield Case(
        "norm.grad",
        shape,
        lambda: norm.grad(g, a, mean.numpy(), rstd.numpy(), w)[0],
        lambda: backward(gy, x, *statistics)[0],
    )


def resizings() -> Iterator[Case]:
    x, gy = random(8, 64, 32, 32), random(8, 64, 64, 64)
    a, g = x.numpy(), gy.numpy()
    taps = resize.bilinear_taps(32, 64, False)
    back = torch.ops.aten.upsample_bilinear2d_backward
    yield Case(
        "resize.resize",
        "8×64×32×32 → 64×64",
        lambda: resize.resize(a, taps, taps),
        lambda: F.interpolate(x, scale_factor=2, mode="bilinear"),
    )
    yield Case(
        "resize.adjoint",
        "8×64×64×64 → 32×32",
        lambda: resize.adjoint(g, taps, taps),
        lambda: back(gy, [64, 64], [8, 64, 32, 32], False, None, None),
    )


def losses() -> Iterator[Case]:
    logits = random(8, 21, 128, 128)
    target = torch.from_numpy(np.random.default_rng(1).integers(0, 21, (8, 128, 128)))
    x, t = logits.numpy().reshape(8, 21, -1), target.numpy().reshape(8, -1)
    yield Case(
        "softmax.cross_entropy",
        "8×21×128×128",
        lambda: softmax.cross_entropy(x, t)[0].reshape(8, 128, 128),
        lambda: F.cross_entropy(logits, target, reduction="none"),
    )


def cases() -> Iterator[Case]:
    """Every case, one at a time: arrays of a finished case may go."""
    for family in (convolutions, products, poolings, normalisations, resizings, losses):
        yield from family()
