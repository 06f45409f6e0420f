"""Kernels whose time is that of memory: pooling, resizing, norms, softmax, activations, Adam; and attention."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from benchmarks.steps import times
from tinyseg import kernels
from tinyseg.kernels import attention, elementwise, norm, pool, resize, softmax
from tinyseg.kernels.pool import PoolGeometry

__all__ = ["ATTENTION", "PASSES", "passes"]

PASSES, ATTENTION = "passes over memory", "attention"
HALF, EPS = PoolGeometry((2, 2), (2, 2)), 1e-5


class _Drawn:
    """Arrays of normal numbers for both libraries."""

    def __init__(self, device: Device, dtype: str, *shapes: tuple[int, ...]) -> None:
        self.ours = [device.normal(shape, dtype, seed) for seed, shape in enumerate(shapes)]
        self.theirs = [device.theirs(a) for a in self.ours]
        self.wide = [t.float() for t in self.theirs]


def _work(
    suite: str, name: str, drawn: _Drawn, ours: Any, theirs: Any, traffic: int, work: int = 0, shape: str = ""
) -> Work:
    """`ours` is a function of our arrays or several by version, `theirs` one of PyTorch's."""
    versions = ours if isinstance(ours, dict) else {"cuda": ours}
    runs: dict[str, Callable[[], Any]] = {v: functools.partial(f, *drawn.ours) for v, f in versions.items()}
    dtype = str(drawn.ours[0].dtype)
    shape = shape or times(*(a.shape for a in drawn.ours[:1]))
    reference = functools.partial(theirs, *drawn.wide)
    return Work(
        suite, name, shape, dtype, runs, {"": functools.partial(theirs, *drawn.theirs)}, reference, work, traffic
    )


def _sized(device: Device, big: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, ...]:
    return big if device.timed else small


def passes(device: Device) -> Iterator[Work]:
    for dtype in ("float32", "float16"):
        yield from images(device, dtype)
        yield from normalised(device, dtype)
        yield from shares(device, dtype)
        yield from curves(device, dtype)
        yield from attentions(device, dtype)
    yield from updates(device)


def images(device: Device, dtype: str) -> Iterator[Work]:
    x = _sized(device, (32, 64, 128, 128), (2, 3, 8, 12))
    n, c, h, w = x
    drawn = _Drawn(device, dtype, x)
    size = drawn.ours[0].nbytes
    yield _work(PASSES, "max_pool2d 2", drawn, lambda x: pool.max_forward(x, HALF)[0], lambda x: F.max_pool2d(x, 2),
                size * 5 // 4 + n * c * h * w * 2)  # fmt: skip
    yield _work(
        PASSES, "avg_pool2d 2", drawn, lambda x: pool.avg_forward(x, HALF), lambda x: F.avg_pool2d(x, 2), size * 5 // 4
    )
    half = _Drawn(device, dtype, (n, c, h // 2, w // 2))
    smooth = resize.bilinear_taps(h // 2, h, False), resize.bilinear_taps(w // 2, w, False)
    near = resize.nearest_taps(h // 2, h), resize.nearest_taps(w // 2, w)
    yield _work(PASSES, "bilinear ×2", half, lambda x: resize.resize(x, *smooth),
                lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), size * 5 // 4)  # fmt: skip
    yield _work(PASSES, "nearest ×2", half, lambda x: resize.resize(x, *near),
                lambda x: F.interpolate(x, scale_factor=2), size * 5 // 4)  # fmt: skip

    def gradient(gy: torch.Tensor) -> torch.Tensor:
        back = torch.ops.aten.upsample_bilinear2d_backward
        return back(gy, [h, w], [n, c, h // 2, w // 2], False, 2.0, 2.0)

    yield _work(PASSES, "bilinear ×2, gradient", drawn, lambda gy: resize.adjoint(gy, *smooth), gradient, size * 5 // 4)


def normalised(device: Device, dtype: str) -> Iterator[Work]:
    x = _sized(device, (32, 64, 64, 64), (2, 4, 5, 6))
    n, c, h, w = x
    images_ = _Drawn(device, dtype, x)
    size = images_.ours[0].nbytes

    def batch_norm(x: Any) -> Any:
        mean, var = norm.moments(x)
        return norm.normalize(x, mean, 1 / (var + EPS) ** 0.5)

    yield _work(PASSES, "batch_norm", images_, batch_norm,
                lambda x: F.batch_norm(x, None, None, training=True), 3 * size)  # fmt: skip

    def grouped(x: Any, shape: tuple[int, ...]) -> Any:
        return norm.group_norm(x.reshape(shape), None, None, EPS)[0].reshape(x.shape)

    groups = 2 if c < 32 else 32
    planes = (n, groups, c // groups, h * w)
    yield _work(PASSES, "group_norm", images_, lambda x: grouped(x, planes),
                lambda x: F.group_norm(x, groups), 2 * size)  # fmt: skip
    rows = _sized(device, (16384, 768), (7, 40))
    vectors = _Drawn(device, dtype, rows)
    yield _work(PASSES, "layer_norm", vectors, lambda x: grouped(x, (rows[0], 1, rows[1], 1)),
                lambda x: F.layer_norm(x, rows[1:]), 2 * vectors.ours[0].nbytes)  # fmt: skip


def shares(device: Device, dtype: str) -> Iterator[Work]:
    for rows in (_sized(device, (32768, 1024), (5, 70)), _sized(device, (262144, 128), (9, 33))):
        drawn = _Drawn(device, dtype, rows)
        yield _work(PASSES, "softmax", drawn, lambda x: softmax.softmax(x[:, :, None])[:, :, 0],
                    lambda x: F.softmax(x, 1), 2 * drawn.ours[0].nbytes)  # fmt: skip
    planes = _sized(device, (32, 21, 16384), (2, 5, 33))
    scores = _Drawn(device, dtype, planes)
    target = np.random.default_rng(1).integers(0, planes[1], (planes[0], planes[2]))
    ours, theirs = device.ours(target), torch.from_numpy(target).to(scores.wide[0].device)
    traffic = scores.ours[0].nbytes + 8 * target.size
    yield _work(PASSES, "cross_entropy", scores, lambda x: softmax.cross_entropy(x, ours)[0],
                lambda x: F.cross_entropy(x, theirs, reduction="none"), traffic)  # fmt: skip


def curves(device: Device, dtype: str) -> Iterator[Work]:
    x = _sized(device, (32, 64, 128, 128), (3, 5, 7, 9))
    drawn = _Drawn(device, dtype, x)
    size = drawn.ours[0].nbytes
    for kind, theirs in {"relu": F.relu, "silu": F.silu, "gelu": F.gelu}.items():
        yield _work(PASSES, kind, drawn, functools.partial(elementwise.activate, kind), theirs, 2 * size)
    pairs = _Drawn(device, dtype, x, x)

    def gradient(gy: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.aten.silu_backward(gy, x)

    yield _work(
        PASSES, "silu, gradient", pairs, functools.partial(elementwise.activate_grad, "silu"), gradient, 3 * size
    )


def updates(device: Device) -> Iterator[Work]:
    """A step of Adam on one large parameter: ours and PyTorch's fused one, each on arrays of its own."""
    shape = _sized(device, (4096, 4096), (13, 7))
    rng = np.random.default_rng(0)
    p, g = (rng.standard_normal(shape, np.float32) for _ in range(2))
    m, v = np.zeros_like(p), np.zeros_like(p)
    ours = [device.ours(a) for a in (p, g, m, v)]

    def step() -> Any:
        elementwise.adam_update(*ours, step=1, lr=1e-3)
        return ours[0]

    def stepper() -> Callable[[], Any]:
        parameter = torch.nn.Parameter(device.theirs(device.ours(p)).clone())
        parameter.grad = device.theirs(device.ours(g)).clone()
        optimiser = torch.optim.Adam([parameter], lr=1e-3, fused=True)

        def run() -> Any:
            optimiser.step()
            return parameter

        return run

    yield Work(
        PASSES, "Adam step, fused", times(shape), "float32", {"cuda": step}, {"": stepper()}, stepper(), 0, 7 * p.nbytes
    )


def attentions(device: Device, dtype: str) -> Iterator[Work]:
    for b, length, e in (_sized(device, (64, 1024, 64), (2, 33, 16)), _sized(device, (32, 4096, 64), (1, 70, 8))):
        drawn = _Drawn(device, dtype, *[(b, length, e)] * 3)
        scale = e**-0.5

        def by(version: str | None, q: Any, k: Any, v: Any, scale: float = scale) -> Any:
            with kernels.use(attention=version):
                return attention.forward(q, k, v, scale, False)[0]

        from tinyseg.kernels.attention.cuda import ALGORITHMS

        q, _, v = drawn.ours
        fit = [name for name, version in ALGORITHMS.items() if version.applies(q, v)]
        versions: dict[str, Any] = {version: functools.partial(by, version) for version in fit}
        versions["(chosen)"] = functools.partial(by, None)
        work = 2 * b * length * length * e
        yield _work(ATTENTION, "attention", drawn, versions, lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
                    4 * drawn.ours[0].nbytes, work)  # fmt: skip
