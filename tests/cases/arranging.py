"""Rolling, repeating, triangles, diagonals, grids, joining."""

from __future__ import annotations

import numpy as np

from .case import booleans, given, integers, normal, row, top


def arranging_rows() -> None:
    """Rearrangements of one Tensor."""
    x = normal(2, 3, 4)
    row("roll", lambda m, x: (m.roll(x, 1), x.roll(-2, 1), x.roll((1, 5), (0, -1)), m.roll(x, (1, 1), (2, 2))), x)
    row("roll[empty]", lambda m, x: m.roll(x, 3, 0), normal(0, 2))
    row("fliplr and flipud", lambda m, x: (m.fliplr(x), x.flipud()), x)
    row("flip[keyword]", lambda m, x: (m.flip(x, dims=(1,)), x.flip(())), x)
    row("movedim", lambda m, x: (m.movedim(x, 0, -1), x.movedim((0, 1), (-1, 0)), x.moveaxis(2, 0)), x)
    row("swapaxes", lambda m, x: (m.swapaxes(x, 0, -1), x.swapdims(1, 0)), x)
    row("unflatten", lambda m, x: (m.unflatten(x, -1, (2, -1)), x.unflatten(2, (1, 2, 2))), x, is_view=True)
    row("ravel", lambda m, x: m.ravel(x), x, is_view=True)
    row("squeeze[two]", lambda m, x: m.squeeze(x, (0, 2)), normal(1, 3, 1, 1), is_view=True)
    row("shapes by keyword", lambda m, x: (x.reshape(shape=(6, 4)), x.view(size=(4, 6))), x, is_view=True)
    row("permute and broadcast_to[keyword]", lambda m, x: m.broadcast_to(x.permute(dims=(2, 0, 1)), size=(2, 4, 2, 3)),
        x)  # fmt: skip
    row("repeat", lambda m, x: (x.repeat(2, 1, 3), x.repeat((2, 1, 1, 2)), x.repeat(1, 0, 1)), x)
    row("tile", lambda m, x: (m.tile(x, (2,)), x.tile(2, 1), m.tile(x, (2, 1, 1, 3))), x)
    row("repeat_interleave", lambda m, x: (m.repeat_interleave(x, 2), x.repeat_interleave(3, 1)), x)
    row("repeat_interleave[each]", lambda m, x, k: m.repeat_interleave(x, k, dim=1), x, given([2, 0, 1]))
    row("repeat_interleave[alone]", lambda m, k: m.repeat_interleave(k), integers(0, 4, 5))
    for name in ("tril", "triu"):
        top(name, "main", normal(2, 3, 4))
        row(f"{name}[shifted]", lambda m, x, n=name: (getattr(x, n)(1), getattr(m, n)(x, -1)), normal(3, 4))
        row(f"{name}[mask]", lambda m, x, n=name: getattr(m, n)(x, diagonal=1), booleans(3, 3))
    row("diagonal", lambda m, x: (m.diagonal(x), x.diagonal(1, -1, 0), m.diagonal(x, -1, 1, 2)), x)
    row("diagonal[past the end]", lambda m, x: m.diagonal(x, 9), normal(2, 3))
    row("diag", lambda m, x, v: (m.diag(x), x.diag(-1), m.diag(v), v.diag(2), v.diag(-1)), normal(3, 4), normal(3))
    row("trace", lambda m, x: m.trace(x), normal(3, 4))


def joining_rows() -> None:
    """Several Tensors joined, one cut in pieces."""
    row("cat[integers and floats]", lambda m, a, k: m.cat([a, k]), normal(2, 3), integers(0, 5, 1, 3))
    row("cat[an empty line]", lambda m, a, b: m.cat([a, b], 1), given(np.zeros(0)), normal(2, 3), differentiable=(1,))
    row("concat", lambda m, a: (m.concat([a, a], 1), m.concatenate((a, a))), normal(2, 3))
    row("stack[integers and floats]", lambda m, a, k: m.stack([k, a]), normal(3), integers(0, 5, 3))
    row("hstack", lambda m, a, b: m.hstack([a, b]), normal(2, 3), normal(2, 1))
    row("hstack and vstack[vectors]", lambda m, a, b: (m.hstack((a, b)), m.vstack((a, b))), normal(3), normal(3))
    row("vstack", lambda m, a, b: m.vstack([a, b]), normal(2, 3), normal(3))
    row("tensor_split", lambda m, x: (*m.tensor_split(x, 3), *x.tensor_split((1, -1, 9), 1)), normal(5, 4))
    row("split[0 of 0]", lambda m, x: m.split(x, 0), normal(0, 2))
    row("broadcast_tensors", lambda m, a, b: m.broadcast_tensors(a, b), normal(2, 1), normal(3))
    row("meshgrid", lambda m, a, b: m.meshgrid(a, b, indexing="ij"), normal(2), normal(3))
    row("meshgrid[xy]", lambda m, a, b, c: m.meshgrid([a, b, c], indexing="xy"), normal(2), normal(3), normal())


def einsum_rows() -> None:
    """All spellings."""
    one = {"diagonal": "ii->i", "trace": "ii", "transpose": "ij->ji", "sum": "ij->", "alphabet": "ba", "rows": "ij->i"}
    for label, equation in one.items():
        row(f"einsum[{label}]", lambda m, x, e=equation: m.einsum(e, x), normal(3, 3))
    two = {
        "product": ("ij,jk->ik", (2, 3), (3, 4)),
        "implicit": ("ij,jk", (2, 3), (3, 4)),
        "batch": ("bij,bjk->bik", (2, 2, 3), (2, 3, 4)),
        "outer": (" i , j -> j i ", (2,), (3,)),
        "dot": ("i,i->", (3,), (3,)),
        "elements": ("ij,ij->ij", (2, 3), (2, 3)),
        "ellipsis": ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)),
        "ellipsis summed": ("...i,i->", (2, 3), (3,)),
        "ellipsis implicit": ("i...,...i", (3, 2), (2, 3)),
        "stretched": ("ij,jk->ik", (2, 1), (3, 4)),
        "repeated": ("iij,jk->k", (2, 2, 3), (3, 4)),
        "attention": ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)),
        "nothing in common": ("ij,kl->li", (2, 3), (2, 4)),
    }
    for label, (equation, a, b) in two.items():
        row(f"einsum[{label}]", lambda m, x, y, e=equation: m.einsum(e, x, y), normal(*a), normal(*b))
    row("einsum[three]", lambda m, a, b, c: m.einsum("i,ijk,k->j", a, b, c), normal(2), normal(2, 3, 4), normal(4))
    row("einsum[list]", lambda m, a, b: m.einsum("ij,j", [a, b]), normal(2, 3), normal(3))
    row("einsum[sublists]", lambda m, a, b: m.einsum(a, [0, 27], b, [27, 1], [1, 0]), normal(2, 3), normal(3, 4))
    row("einsum[sublists, ellipsis]", lambda m, a: m.einsum(a, [..., 0, 1], [..., 1]), normal(2, 3, 4))
    row("einsum[0-d]", lambda m, a, b: m.einsum(",i->i", a, b), normal(), normal(3))


def product_rows() -> None:
    """Matrix products by name."""
    row("mm", lambda m, a, b: m.mm(a, b), normal(2, 3), normal(3, 4))
    row("bmm", lambda m, a, b: a.bmm(b), normal(2, 2, 3), normal(2, 3, 4))
    row("mv", lambda m, a, b: m.mv(a, b), normal(2, 3), normal(3))
    row("dot", lambda m, a, b: m.dot(a, b), normal(3), normal(3))
    row("outer", lambda m, a, b: m.outer(a, b), normal(2), normal(3))
    row("addmm", lambda m, c, a, b: m.addmm(c, a, b, beta=0.5, alpha=2), normal(4), normal(2, 3), normal(3, 4))
    row("baddbmm", lambda m, c, a, b: m.baddbmm(c, a, b), normal(2, 1, 4), normal(2, 2, 3), normal(2, 3, 4))


arranging_rows()
joining_rows()
einsum_rows()
product_rows()
