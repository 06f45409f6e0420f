"""Layers without convolutions: pooling, resizing, norms, losses, activations, Adam; matrix products and attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

import tinyseg as ts
from benchmarks.harness import Case, Differs, Pair, Run, agree, arrays
from benchmarks.steps import Draw, Shape, layer, times

__all__ = ["LAYERS", "PRODUCTS", "layers", "products"]

LAYERS = "pool, resize, norms, softmax, activations, dropout, Adam"
PRODUCTS = "matmul and attention"

BIG, MIDDLE, ODD, TINY = (16, 64, 64, 64), (8, 128, 32, 32), (2, 65, 61, 61), (3, 5, 17, 23)


def labels(classes: int, *shape: int) -> Draw:
    return lambda rng: rng.integers(0, classes, shape)


def constant(value: float, *shape: int) -> Draw:
    return lambda rng: np.full(shape, value, np.float32)


def shares(*shape: int) -> Draw:
    return lambda rng: rng.random(shape, np.float32)


def of_images() -> Iterator[Case]:
    """Pooling and resizing."""
    for x in (BIG, MIDDLE, ODD):
        yield layer(LAYERS, "max_pool2d 2", lambda F, x: F.max_pool2d(x, 2), x)
        yield layer(LAYERS, "avg_pool2d 2", lambda F, x: F.avg_pool2d(x, 2), x)
    yield layer(LAYERS, "max_pool2d 3, stride 2", lambda F, x: F.max_pool2d(x, 3, 2, 1), BIG)
    yield layer(LAYERS, "adaptive_avg_pool2d 1", lambda F, x: F.adaptive_avg_pool2d(x, 1), MIDDLE)
    for x in ((8, 64, 32, 32), (8, 128, 16, 16), ODD):
        bilinear = {"scale_factor": 2, "mode": "bilinear", "align_corners": True}
        yield layer(LAYERS, "interpolate ×2 bilinear", lambda F, x, o=bilinear: F.interpolate(x, **o), x)
        yield layer(LAYERS, "interpolate ×2 nearest", lambda F, x: F.interpolate(x, scale_factor=2), x)
    resize = {"size": (61, 45), "mode": "bilinear"}
    yield layer(LAYERS, "interpolate to 61×45 bilinear", lambda F, x: F.interpolate(x, **resize), TINY)


def norms() -> Iterator[Case]:
    for x in (BIG, MIDDLE, ODD, TINY):
        c = x[1]
        state = constant(0, c), constant(1, c)
        yield layer(
            LAYERS,
            "batch_norm",
            lambda F, m, v, x, w, b: F.batch_norm(x, m, v, w, b, training=True),
            *state,
            x,
            (c,),
            (c,),
            shape=times(x),
        )
    for x, groups in ((BIG, 8), (MIDDLE, 32), (ODD, 5)):
        group = f"{times(x)}, {groups} groups"
        parameters = (x[1],), (x[1],)
        yield layer(
            LAYERS, "group_norm", lambda F, x, w, b, g=groups: F.group_norm(x, g, w, b), x, *parameters, shape=group
        )
    for x in ((4096, 768), (2048, 128), (183, 65)):
        yield layer(
            LAYERS, "layer_norm", lambda F, x, w, b: F.layer_norm(x, w.shape, w, b), x, x[1:], x[1:], shape=times(x)
        )


def losses() -> Iterator[Case]:
    for x in ((32, 256, 256), (4096, 1000), (183, 61)):
        yield layer(LAYERS, "softmax, last axis", lambda F, x: F.softmax(x, -1), x)
    for x in ((8, 21, 128, 128), (4, 2, 128, 128), (2, 17, 61, 61), (256, 1000)):
        target = labels(x[1], x[0], *x[2:])
        yield layer(LAYERS, "cross_entropy", lambda F, t, x: F.cross_entropy(x, t), target, x)
    for x in (BIG, ODD):
        target = shares(*x)
        yield layer(LAYERS, "bce with logits", lambda F, t, x: F.binary_cross_entropy_with_logits(x, t), target, x)
        yield layer(LAYERS, "mse_loss", lambda F, t, x: F.mse_loss(x, t), target, x)
        yield layer(LAYERS, "smooth_l1_loss", lambda F, t, x: F.smooth_l1_loss(x, t), target, x)


def activations() -> Iterator[Case]:
    for x in (BIG, MIDDLE, ODD):
        yield layer(LAYERS, "relu", lambda F, x: F.relu(x), x)
        yield layer(LAYERS, "silu", lambda F, x: F.silu(x), x)
        yield layer(LAYERS, "gelu", lambda F, x: F.gelu(x), x)
        yield layer(LAYERS, "dropout", lambda F, x: F.dropout(x, 0.2), x, check=dropped)
    for x in (BIG, ODD):
        yield layer(LAYERS, "leaky_relu", lambda F, x: F.leaky_relu(x, 0.2), x)
        yield layer(LAYERS, "elu", lambda F, x: F.elu(x), x)
        yield layer(LAYERS, "hardswish", lambda F, x: F.hardswish(x), x)
        yield layer(LAYERS, "relu6", lambda F, x: F.relu6(x), x)
        yield layer(LAYERS, "softplus", lambda F, x: F.softplus(x), x)
        yield layer(LAYERS, "mish", lambda F, x: F.mish(x), x)
        yield layer(LAYERS, "tanh", lambda F, x: x.tanh(), x)


def dropped(ours: Any, theirs: Any, p: float = 0.2) -> None:
    """The random choice differs, so each is held against the definition: the rate, and what becomes of the others.

    The seed of the input is not returned, but where y is not 0 it is x / (1 - p), and the gradient gy / (1 - p).
    """
    (y, gx), (ty, tgx) = arrays(ours), arrays(theirs)
    for kept, other in ((y != 0, gx != 0), (ty != 0, tgx != 0)):
        if not np.array_equal(kept, other):
            raise Differs("the gradient is kept at other places than the value")
        if abs((1 - kept.mean()) - p) > 5 * math.sqrt(p * (1 - p) / kept.size):
            raise Differs(f"{1 - kept.mean():.4f} of the elements are dropped, not {p}")
    both = (y != 0) & (ty != 0)
    agree((y[both], gx[both]), (ty[both], tgx[both]))


def adam(name: str, shapes: Callable[[], Sequence[Shape]], shape: str, **theirs: Any) -> Case:
    """A step of Adam over parameters of these shapes; it returns them."""

    def make() -> Pair:
        rng = np.random.default_rng(0)
        values = [rng.standard_normal((2, *s), np.float32) for s in shapes()]

        def stepper(library: Any, **options: Any) -> Run:
            parameters = [library.tensor(p, requires_grad=True) for p, _ in values]
            for parameter, (_, g) in zip(parameters, values, strict=True):
                parameter.grad = library.tensor(g)
            optimiser = library.optim.Adam(parameters, lr=1e-3, **options)

            def step() -> Any:
                optimiser.step()
                return parameters

            return step

        read_and_written = 7 * sum(p.nbytes // 2 for p in values)  # p, m and v twice, g once
        return Pair(stepper(ts), stepper(torch, **theirs), 0, read_and_written)

    return Case(LAYERS, name, shape, make)


def optimisers() -> Iterator[Case]:
    def network() -> list[Shape]:
        return [p.shape for p in ts.models.UNet(3, 2, width=32).parameters()]

    odd = [(17, 65, 3, 3), (17,), (61, 17, 3, 3), (61,)]
    yield adam("Adam step", network, "U-Net of width 32")
    yield adam("Adam step", lambda: [(2048, 2048)], times((2048, 2048)))
    yield adam("Adam step", lambda: odd, times(*odd))
    yield adam("Adam step, PyTorch's fused=True", network, "U-Net of width 32", fused=True)


def layers() -> Iterator[Case]:
    for family in (of_images, norms, losses, activations, optimisers):
        yield from family()


def products() -> Iterator[Case]:
    """Matrix products and attention."""
    sizes = (1024, 1024, 1024), (4096, 64, 64), (128, 784, 500), (8, 2048, 1000), (64, 256, 32, 256), (183, 65, 17)
    for *lead, m, k, n in sizes:
        a, b = (*lead, m, k), (*lead, k, n)
        yield layer(PRODUCTS, "matmul", lambda F, a, b: a @ b, a, b, work=math.prod([*lead, m, k, n]))
    for m, k, n in ((2048, 512, 512), (183, 65, 17)):
        shape = f"{times((m, k))} → {n}"
        yield layer(
            PRODUCTS, "linear", lambda F, x, w, b: F.linear(x, w, b), (m, k), (n, k), (n,), shape=shape, work=m * k * n
        )
    for n, heads, length, e in ((8, 4, 256, 32), (8, 1, 256, 128), (4, 8, 512, 64), (2, 3, 61, 17)):
        x = (n, heads, length, e)
        work = 2 * n * heads * length * length * e
        attend = "scaled_dot_product_attention"
        yield layer(
            PRODUCTS,
            attend,
            lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v),
            x,
            x,
            x,
            shape=times(x),
            work=work,
        )
