"""Sums, moments, extremes."""

from __future__ import annotations

import numpy as np

from .case import apart, booleans, given, integers, normal, row, top


def reduction_rows() -> None:
    """Sums, means, variances and extremes, over one axis, several, all and none."""
    over = {"all": {}, "axis 0": {"dim": 0}, "negative": {"dim": -1}, "two": {"dim": (0, 2)}}
    over["kept"] = {"dim": 1, "keepdim": True}
    for name in ("sum", "mean", "amax", "amin"):
        for label, kwargs in over.items():
            top(name, label, apart(2, 3, 4), **kwargs)
    for name in ("var", "std"):
        for label, kwargs in over.items():
            top(name, label, normal(2, 3, 4), **kwargs)
        top(name, "biased", normal(3, 4), dim=1, unbiased=False)
        top(name, "correction", normal(3, 4), dim=1, correction=2)
    for name in ("sum", "mean"):
        top(name, "0-d", normal())
        top(name, "empty", normal(3, 0), dim=0)
        row(f"{name}[of nothing]", lambda m, x, n=name: getattr(x, n)(1), normal(3, 0), differentiable=())
    row("sum[dtype]", lambda m, x: m.sum(x, dtype=m.float64), normal(3), tolerance=1e-6, differentiable=())
    row("sum[booleans]", lambda m, x: x.sum(), booleans(9))
    row("sum[int32]", lambda m, x: x.sum(0), given(np.arange(6, dtype=np.int32).reshape(2, 3)))
    row("sum[uint8]", lambda m, x: x.sum(), given(np.full(9, 200, np.uint8)))
    row("amax[ties]", lambda m, x: m.amax(x, 1), given([[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]]), differentiable=())
    for name in ("max", "min"):
        top(name, "all", apart(3, 4))
        top(name, "dim", apart(3, 4), dim=1)
        row(f"{name}[kept]", lambda m, x, n=name: getattr(x, n)(0, True), apart(3, 4))
        row(f"{name}[two tensors]", lambda m, a, b, n=name: getattr(m, n)(a, b), apart(3, 4), given([-0.4, 0, 0.6, 1]))
    for name in ("argmax", "argmin"):
        row(f"{name}[all]", lambda m, x, n=name: getattr(m, n)(x), apart(3, 4), differentiable=())
        row(f"{name}[dim]", lambda m, x, n=name: getattr(x, n)(-1, keepdim=True), apart(3, 4), differentiable=())
    top("logsumexp", "dim", normal(3, 4), dim=1)
    top("logsumexp", "two", normal(2, 3, 4), dim=(0, 2), keepdim=True)
    row("logsumexp[far]", lambda m, x: m.logsumexp(x * 1000, 1), apart(2, 4), differentiable=())
    for name in ("all", "any"):
        top(name, "all", booleans(2, 3))
        top(name, "dim", booleans(2, 3), dim=1)


def running_rows() -> None:
    """Products and running sums, also where elements are 0; moments in pairs; dims that name nothing."""
    zeros = given([[2.0, 0.0, 3.0], [1.5, -1.0, 0.5], [0.0, 0.0, 2.0]])
    for label, draw in {"normal": normal(2, 3, 5), "zeros": zeros, "one": normal(1, 1)}.items():
        row(f"prod[{label}]", lambda m, x: (m.prod(x), x.prod(1), m.prod(x, -1, keepdim=True)), draw)
        row(f"cumprod[{label}]", lambda m, x: (m.cumprod(x, 0), x.cumprod(-1)), draw)
        row(f"cumsum[{label}]", lambda m, x: (m.cumsum(x, 0), x.cumsum(-1)), draw)
    row("prod[0-d]", lambda m, x: (m.prod(x), m.prod(x, 0), x.cumsum(0), x.cumprod(0)), normal())
    row("prod[of nothing]", lambda m, x: (m.prod(x), m.prod(x, 1), x.cumsum(1), x.cumprod(1)), normal(3, 0))
    row("prod[integers]", lambda m, k: (m.prod(k), k.prod(0), k.cumsum(0), k.cumprod(1)), integers(-3, 4, 2, 3))
    row("prod[booleans]", lambda m, k: (m.prod(k), k.cumsum(0)), booleans(5))
    row("prod[dtype]", lambda m, x: (x.prod(dtype=m.float64), x.cumsum(0, dtype=m.float64)), normal(3),
        tolerance=1e-6, differentiable=())  # fmt: skip
    for name in ("var_mean", "std_mean"):
        top(name, "all", normal(2, 3))
        top(name, "dim", normal(2, 3, 2), dim=(0, -1), keepdim=True, correction=0)
        row(f"{name}[biased]", lambda m, x, n=name: getattr(m, n)(x, False), normal(2, 3))
    for name in ("var", "std"):
        row(f"{name}[biased, positions]", lambda m, x, n=name: (getattr(x, n)(False), getattr(m, n)(x, 0, False, True)),
            normal(3, 4))  # fmt: skip
    row("std[equal elements]", lambda m, x: m.std(x, 1), given([[2.0, 2.0], [1.0, 3.0]]), differentiable=())
    for name in ("sum", "mean", "amax"):
        row(f"{name}[dim ()]", lambda m, x, n=name: getattr(m, n)(x, ()), apart(2, 3))
    row("var[dim ()]", lambda m, x: m.var(x, ()), apart(2, 3), differentiable=())  # PyTorch's gradient is infinite here
    row("all and any[dim ()]", lambda m, k: (m.all(k, ()), m.any(k, ())), booleans(2, 3))
    row("all and any[bytes]", lambda m, k: (m.all(k), m.any(k, 0)), given(np.array([[0, 2], [0, 1]], np.uint8)))
    row("max and min[other]", lambda m, a, b: (m.max(a, other=b), m.min(a, b)), apart(3, 4), given([-0.4, 0, 0.6, 1]))
    row("sum[narrow dtype]", lambda m, k: m.sum(k, dtype=m.int32), integers(0, 9, 4))


reduction_rows()
running_rows()
