"""Matrix products by cuBLAS, and attention in each of its versions, with its gradient."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.gpu.arrays import Arrays, by_version, gradient, sized, work
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Work
from benchmarks.steps import times
from tinyseg import kernels
from tinyseg.kernels import attention, matmul
from tinyseg.kernels.attention.cuda import ALGORITHMS

__all__ = ["ATTENTION", "PRODUCTS", "attentions", "products"]

PRODUCTS, ATTENTION = "products", "attention"


def products(device: Device, precision: str) -> Iterator[Work]:
    """y = a b, y = a bᵀ and a batch."""
    n, m, k = sized(device, (4096, 4096, 4096), (17, 12, 20))
    batch, edge = sized(device, (256, 512), (3, 10))
    for name, a, b, turned, extra in (
        ("matmul", (n, k), (k, m), False, False),
        ("matmul, of a transpose", (n, k), (m, k), True, True),
        ("matmul, batched", (batch, edge, edge), (batch, edge, edge), False, False),
    ):
        arrays = Arrays(device, precision, a, b)

        def ours(a: Any, b: Any, turned: bool = turned) -> Any:
            return matmul.matmul(a, b.swapaxes(-1, -2) if turned else b)

        def theirs(a: torch.Tensor, b: torch.Tensor, turned: bool = turned) -> torch.Tensor:
            return a @ (b.mT if turned else b)

        products = n * m * k if len(a) == 2 else batch * edge**3
        yield work(PRODUCTS, name, arrays, ours, theirs, shape=times(a, b), work=products, extra=extra)


def attentions(device: Device, precision: str) -> Iterator[Work]:
    for extra, shape in enumerate(((64, 1024, 64), (32, 4096, 64), (64, 1024, 128))):
        shape = sized(device, shape, ((2, 33, 16), (1, 70, 8), (1, 40, 72))[extra])
        yield from attention_rows(Arrays(device, precision, shape, shape, shape), causal=False, extra=bool(extra))
    shape = sized(device, (64, 1024, 64), (2, 33, 16))
    yield from attention_rows(Arrays(device, precision, shape, shape, shape), causal=True, extra=True)


def attention_rows(arrays: Arrays, causal: bool, extra: bool) -> Iterator[Work]:
    """PyTorch has its fused kernels for four axes only: the heads of one sample."""
    b, length, e = arrays.given[0]
    scale, name = e**-0.5, "attention, causal" if causal else "attention"
    products = b * length * (length + 1) // 2 * e if causal else b * length * length * e
    versions = _versions(arrays)

    def theirs(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]

    def forward(q: Any, k: Any, v: Any) -> Any:
        return attention.forward(q, k, v, scale, causal)[0]

    ours = by_version("attention", versions, forward)
    yield work(ATTENTION, name, arrays, ours, theirs, work=2 * products, extra=extra)

    back = arrays.like(*arrays.given[:1] * 4)
    saved = functools.cache(lambda: attention.forward(*back.ours[1:], scale, causal)[1:])

    def backward(gy: Any, q: Any, k: Any, v: Any) -> Any:
        return attention.grad(gy, q, k, v, *saved(), scale, causal)

    ours = by_version("attention", versions, backward)
    yield work(ATTENTION, f"{name}, gradient", back, ours, gradient(theirs, inputs=3), work=5 * products, extra=extra,
               prepare=saved)  # fmt: skip


def _versions(arrays: Arrays) -> list[str]:
    """Those for the type and the size: where TF32 is allowed, those that use it."""
    tf32 = arrays.precision == "tf32"
    like = arrays.sample(1, 1, arrays.given[0][2])
    with kernels.use(allow_tf32=tf32):
        fit = [name for name, version in ALGORITHMS.items() if version.applies(like, like)]
    return [name for name in fit if not (tf32 and name == "flash")]
