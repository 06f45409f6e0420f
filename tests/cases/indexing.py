"""Picking by index, gathering and scattering, masks."""

from __future__ import annotations

import numpy as np

from .case import apart, booleans, given, integers, normal, row, top


def axes_rows() -> None:
    """PyTorch's places for the axes of index Tensors, which differ from NumPy's beside integers and ellipses."""
    i, j = given([0, 1, 1]), given([[1], [0]])
    x = normal(3, 2, 4, 3)
    mixed = {
        "integer, slice, Tensor": lambda m, x, i: x[0, :, i],
        "Tensor, slice, integer": lambda m, x, i: x[i, :, 1],
        "Tensor, slice, Tensor": lambda m, x, i: x[i, :, i],
        "Tensor, none, Tensor": lambda m, x, i: x[:, i, None, i],
        "Tensor, integer, Tensor": lambda m, x, i: x[:, i, 1, i],
        "side by side": lambda m, x, i: x[:, i, i],
        "two ellipses": lambda m, x, i: (x[..., ...], x[..., 1, ...], x[..., i, ..., :]),
        "ellipsis of nothing": lambda m, x, i: x[:, i, ..., i, 1],
        "ellipsis": lambda m, x, i: x[..., i, None, 1:],
        "Tensor of no axes": lambda m, x, i: x[i[0], :, i],
        "true": lambda m, x, i: x[True, i],
        "false": lambda m, x, i: x[False],
        "step": lambda m, x, i: x[::2, i, 1::2],
        "slice of a mask": lambda m, x, i: x[:, [True, False], 1:, i],
    }
    for label, function in mixed.items():
        row(f"getitem[{label}, mixed]", function, x, i)
    row("getitem[two shapes]", lambda m, x, i, j: x[:, j, :, i], x, i, j)
    row("getitem[mask of two axes]", lambda m, x, k: x[:, k, 0], normal(2, 3, 4, 2), booleans(3, 4))
    row("getitem[mask of bytes]", lambda m, x, k: x[k], normal(3, 2), given(np.array([1, 0, 2], np.uint8)),
        differentiable=())  # fmt: skip


def gather_rows() -> None:
    """By an index Tensor, and its adjoints."""
    x = normal(3, 4)
    row("select", lambda m, x: m.select(x, 1, -1), x)
    row("narrow", lambda m, x: (m.narrow(x, 1, 1, 2), x.narrow(0, -2, 1), x.narrow(0, 1, 0)), x)
    row("unbind", lambda m, x: (*m.unbind(x), *x.unbind(-1)), x)
    row("gather[0-d]", lambda m, x, i: (m.gather(x, 0, i[0]), x.gather(0, i[:1])), normal(), given([0, 0]))
    row("index_select[0-d]", lambda m, x, i: m.index_select(x, 0, i), normal(), given([0]))
    row("take_along_dim", lambda m, x, i: m.take_along_dim(x, i, 1), x, integers(-4, 4, 1, 5))
    row("take_along_dim[all]", lambda m, x, i: x.take_along_dim(i), x, integers(0, 12, 2, 5))
    index = given([[0, 3, 1], [2, 0, 3]])
    row("scatter", lambda m, x, i, s: m.scatter(x, 1, i, s), x, index, normal(2, 3))
    row("scatter[number]", lambda m, x, i: x.scatter(1, i, 2.5), x, index)
    row("scatter[value]", lambda m, x, i: m.scatter(x, 1, i, value=-1), x, index)
    row("scatter[nothing]", lambda m, x, i, s: x.scatter(1, i, s), x, given(np.zeros((3, 0), np.int64)), normal(3, 0))
    row("scatter[reduce]", lambda m, x, i, s: x.scatter(0, i, s, reduce="multiply"), normal(3, 3),
        given([[0, 0, 2], [0, 1, 2]]), normal(2, 3), differentiable=())  # fmt: skip
    row("scatter_add", lambda m, x, i, s: m.scatter_add(x, 0, i, s), normal(3, 3), given([[0, 0, 2], [0, 1, 2]]),
        normal(2, 3))  # fmt: skip
    row("scatter_add[0-d]", lambda m, x, i, s: x.scatter_add(0, i[0], s), normal(), given([0]), normal())
    row("index_add", lambda m, x, i, s: m.index_add(x, 1, i, s, alpha=2), normal(3, 4), given([3, 0, 3]), normal(3, 3))


def mask_rows() -> None:
    """Where a mask holds."""
    row("masked_select", lambda m, x, k: m.masked_select(x, k), normal(3, 4), booleans(4))
    row("masked_select[wider]", lambda m, x, k: x.masked_select(k), normal(4), booleans(3, 4))
    row("masked_fill[Tensor]", lambda m, x, k, v: m.masked_fill(x, k, v), normal(2, 3), booleans(3), normal())
    row("nonzero", lambda m, k: (m.nonzero(k), *k.nonzero(as_tuple=True), m.argwhere(k)), booleans(2, 3))
    row("nonzero[0-d]", lambda m, k: (m.nonzero(k), *m.nonzero(k, as_tuple=True)), integers(1, 2))
    row("where[alone]", lambda m, k: m.where(k), booleans(2, 3))
    row("where[numbers]", lambda m, k: (m.where(k, 1, 2), m.where(k, 1.5, 2)), booleans(2, 3))


def order_rows() -> None:
    """Sorting."""
    row("sort", lambda m, x: m.sort(x), apart(3, 4))
    row("sort[descending]", lambda m, x: x.sort(0, descending=True), apart(3, 4))
    row("sort[0-d]", lambda m, x: m.sort(x), normal())
    row("sort[stable]", lambda m, x: m.sort(x, dim=0, stable=True), integers(0, 3, 20, 2))
    row("sort[stable, descending]", lambda m, x: m.sort(x, dim=0, descending=True, stable=True), integers(0, 3, 20, 2))
    row("sort[nan]", lambda m, x: (*m.sort(x), *m.sort(x, descending=True)), given([1.0, np.nan, -np.inf, np.inf]),
        differentiable=())  # fmt: skip
    row("argsort", lambda m, x: (m.argsort(x, -1, True), x.argsort(0)), apart(3, 4), differentiable=())
    top("topk", "largest", apart(3, 5), args=(2,))
    row("topk[smallest]", lambda m, x: x.topk(2, 0, False), apart(3, 5))
    top("topk", "none", apart(3, 5), args=(0,))
    top("topk", "none of a number", normal(), args=(0,))


axes_rows()
gather_rows()
mask_rows()
order_rows()
