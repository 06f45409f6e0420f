"""The smaller functions that scripts use: order statistics, distances, writing at places, turning and joining."""

from __future__ import annotations

import math

from .case import apart, booleans, given, integers, normal, positive, row, top


def statistics_rows() -> None:
    """Medians, quantiles, running extremes, counts."""
    row("median", lambda m, x: (m.median(x), x.median(1), m.median(x, 0, True)), apart(4, 5))
    row("median[even, 0-d]", lambda m, x: (m.median(x), x[0, 0].median(), m.median(x, -1)), apart(3, 6))
    row("median[nan]", lambda m, x: (m.median(x), m.median(x, 1)), given([[1.0, math.nan, 0.0], [3.0, 1.0, 2.0]]),
        differentiable=())  # fmt: skip
    row("median[integers]", lambda m, x: m.median(x), given([3, 1, 2, 8]))
    row("kthvalue", lambda m, x: (m.kthvalue(x, 2), x.kthvalue(3, 0, keepdim=True)), apart(4, 5))
    row("mode", lambda m, x: (m.mode(x)[0], x.mode(0, True)[0]), given([[2.0, 1.0, 2.0, 1.0, 3.0], [1, 1, 5, 5, 5]]),
        differentiable=())  # fmt: skip
    for how in ("linear", "lower", "higher", "midpoint", "nearest"):
        row(f"quantile[{how}]", lambda m, x, q, how=how: m.quantile(x, q, 1, interpolation=how), apart(3, 6),
            given([0.13, 0.37, 0.93]), differentiable=(0, 1) if how == "linear" else (0,))  # fmt: skip
    row("quantile[number]", lambda m, x: (m.quantile(x, 0.3), x.quantile(0.95, 0, True)), apart(3, 7))
    row("quantile[nan]", lambda m, x: m.quantile(x, 0.5, -1), given([[1.0, math.nan], [3.0, 1.0]]), differentiable=())
    row("cummax and cummin", lambda m, x: (m.cummax(x, 0), x.cummin(-1)), apart(4, 5))
    row("cummax[nan]", lambda m, x: m.cummax(x, 0), given([1.0, math.nan, 3.0, math.nan, 0.0]), differentiable=())
    row("logcumsumexp", lambda m, x: (m.logcumsumexp(x, 1), x.logcumsumexp(0)), normal(3, 5))
    row("logcumsumexp[far]", lambda m, x: m.logcumsumexp(x * 1000, 0), apart(5), differentiable=())
    row("aminmax", lambda m, x: (*m.aminmax(x), *x.aminmax(dim=1, keepdim=True)), apart(3, 4))
    holes = given([[1.0, math.nan, 2.0], [0.5, 3.0, math.nan]])
    row("nansum and nanmean", lambda m, x: (m.nansum(x), x.nanmean(1), m.nanmean(x, 0, True)), holes, differentiable=())
    row("nansum[whole]", lambda m, x: (m.nansum(x, 1), m.nanmean(x)), normal(2, 3))
    row("count_nonzero", lambda m, k: (m.count_nonzero(k), k.count_nonzero(1)), booleans(3, 4))
    row("bincount", lambda m, k: (m.bincount(k), k.bincount(minlength=9)), integers(0, 6, 20))
    row("bincount[weights]", lambda m, k, w: m.bincount(k, w), integers(0, 6, 20), normal(20), differentiable=())
    row("histc", lambda m, x: (m.histc(x, 5, -1, 1), m.histc(x, 4)), normal(50), differentiable=())
    row("unique", lambda m, k: m.unique(k, return_inverse=True, return_counts=True), integers(0, 4, 3, 5))
    row("unique[dim]", lambda m, k: m.unique(k, return_inverse=True, return_counts=True, dim=1), integers(0, 2, 2, 9))
    edges = given([-1.0, -0.5, 0.0, 0.5, 1.0])
    row("searchsorted", lambda m, s, x: (m.searchsorted(s, x), m.searchsorted(s, x, right=True)), edges, normal(3, 4),
        differentiable=())  # fmt: skip
    row("bucketize", lambda m, s, x: m.bucketize(x, s, out_int32=True), edges, normal(3, 4), differentiable=())


def distance_rows() -> None:
    """Norms and distances."""
    for p in (0.5, 1, 2, 3, math.inf):
        row(f"cdist[{p}]", lambda m, a, b, p=p: m.cdist(a, b, p), normal(2, 3, 4), normal(5, 4),
            reference=lambda a, b, p=p: (a.unsqueeze(-2) - b).norm(p, -1))  # fmt: skip
        row(f"norm[{p}]", lambda m, x, p=p: (m.norm(x, p), x.norm(p, 1, True), m.linalg.vector_norm(x, p, (0, 1))),
            apart(3, 4))  # fmt: skip
    row("norm[defaults]", lambda m, x: (m.norm(x), m.linalg.norm(x), m.linalg.norm(x, dim=1)), apart(3, 4))
    for order in ("fro", 1, -1, math.inf, -math.inf):
        row(f"matrix_norm[{order}]", lambda m, x, o=order: (m.linalg.matrix_norm(x, o), m.linalg.norm(x, o, (2, 0))),
            apart(2, 3, 4))  # fmt: skip
    row("dist", lambda m, a, b: (m.dist(a, b), m.dist(a, b, 3)), normal(3, 4), normal(4))
    row("tensordot", lambda m, a, b: (m.tensordot(a, b, 1), m.tensordot(a, b, ([0, 2], [1, 0]))), normal(2, 3, 4),
        normal(4, 2, 3))  # fmt: skip
    row("inner", lambda m, a, b: (m.inner(a, b), m.inner(a[0], b[0])), normal(2, 3), normal(4, 3))


def writing_rows() -> None:
    """Replacing slices and masked elements."""
    places = given([2, 0])
    row("index_copy", lambda m, x, i, s: m.index_copy(x, 1, i, s), normal(2, 3, 2), places, normal(2, 2, 2))
    row("index_fill", lambda m, x, i, v: (x.index_fill(0, i, 3.5), m.index_fill(x, 0, i, v)), normal(3, 2), places,
        normal())  # fmt: skip
    row("index_fill[named twice]", lambda m, x, i, v: m.index_fill(x, 0, i, v), normal(3, 2), given([1, 1]), normal())
    row("masked_scatter", lambda m, x, k, s: m.masked_scatter(x, k, s), normal(3, 4), booleans(3, 4), normal(12))


def arranging_rows() -> None:
    """Differences, turns, windows, joining."""
    row("diff", lambda m, x: (m.diff(x), x.diff(2, 0), m.diff(x, dim=0, prepend=x[:1], append=x)), normal(4, 5))
    for k in range(-1, 5):
        row(f"rot90[{k}]", lambda m, x, k=k: m.rot90(x, k, (2, 0)), normal(2, 3, 4))
    row("unfold[method]", lambda m, x: (x.unfold(1, 3, 2), x.unfold(0, 2, 1)), normal(4, 7))
    row("dstack and column_stack", lambda m, a, b: (m.dstack([a, b]), m.column_stack([a, b])), normal(3), normal(3))
    row("cartesian_prod", lambda m, a, b: m.cartesian_prod(a, b), normal(3), normal(2))
    row("diag_embed", lambda m, x: (m.diag_embed(x), x.diag_embed(-1, 0, 2)), normal(2, 3))
    row("tril_indices", lambda m, k: (m.tril_indices(3, 4, device=k.device), m.triu_indices(4, 3, 1, device=k.device)),
        booleans(1))  # fmt: skip


def elementwise_rows() -> None:
    """Angles, remainders, fused products, what is close."""
    top("asin", "inside", apart(3, 4, scale=0.9))
    top("acos", "inside", apart(3, 4, scale=0.9))
    row("atan2", lambda m, a, b: m.atan2(a, b), normal(3, 4), normal(4))
    row("sinh and cosh", lambda m, x: (m.sinh(x), x.cosh()), normal(3))
    row("logaddexp", lambda m, a, b: m.logaddexp(a, b), normal(3, 4), normal(4))
    row("fmod and frac", lambda m, a, b: (m.fmod(a, b), a.frac(), a.fmod(0.7)), apart(3, 4), positive(4))
    row("addcmul", lambda m, x, a, b: m.addcmul(x, a, b, value=0.5), normal(3, 4), normal(4), normal(3, 1))
    row("addcdiv", lambda m, x, a, b: x.addcdiv(a, b, value=2.0), normal(3, 4), normal(4), positive(3, 1))
    wild = given([1.0, math.nan, math.inf, -math.inf, -0.5])
    row("nan_to_num", lambda m, x: (m.nan_to_num(x), x.nan_to_num(1.0, 2.0, -3.0)), wild, tolerance=1.0,
        differentiable=())  # fmt: skip
    row("nan_to_num[finite]", lambda m, x: m.nan_to_num(x), normal(4))
    row("clamp_min and clamp_max", lambda m, x: (m.clamp_min(x, -0.3), x.clamp_max(0.4), x.clip(-1, 1)), apart(3, 4))
    row("isclose", lambda m, x: (m.isclose(x, x + 1e-7), m.isclose(x, x * 1.1), m.isinf(x)), wild, differentiable=())
    row("isin", lambda m, k: (m.isin(k, k[0]), m.isin(k, 2)), integers(0, 9, 3, 3))


statistics_rows()
distance_rows()
writing_rows()
arranging_rows()
elementwise_rows()
