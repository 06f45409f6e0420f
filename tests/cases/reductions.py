"""Sums, moments, extremes."""

from __future__ import annotations

import numpy as np

from .case import apart, booleans, given, normal, row, top


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


reduction_rows()
