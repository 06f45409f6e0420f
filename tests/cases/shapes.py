"""Shapes, joining and splitting, indexing, padding."""

from __future__ import annotations

import numpy as np

from .case import apart, booleans, functional, given, integers, normal, row, top


def shape_rows() -> None:
    """Reshaping, moving, joining and cutting."""
    views = {
        "reshape": lambda m, x: m.reshape(x, (4, -1)),
        "reshape[method]": lambda m, x: x.reshape(3, 8),
        "view": lambda m, x: x.view(-1),
        "flatten": lambda m, x: m.flatten(x, 1),
        "flatten[middle]": lambda m, x: x.flatten(0, 1),
        "unsqueeze": lambda m, x: m.unsqueeze(x, -1),
        "squeeze": lambda m, x: m.squeeze(x.reshape(2, 1, 12, 1)),
        "squeeze[dim]": lambda m, x: m.squeeze(x.reshape(2, 1, 12, 1), -1),
        "squeeze[not 1]": lambda m, x: m.squeeze(x, 0),
        "view_as": lambda m, x: x.view_as(m.zeros(6, 4)),
    }
    for name, function in views.items():
        row(name, function, normal(2, 3, 4), is_view=True)
    row("permute", lambda m, x: m.permute(x, (2, 0, 1)), normal(2, 3, 4))
    row("permute[negative]", lambda m, x: x.permute(-1, 0, 1), normal(2, 3, 4))
    row("transpose", lambda m, x: m.transpose(x, -1, 0), normal(2, 3, 4))
    row("T and mT", lambda m, x: (x.T, x.mT, x.t()), normal(2, 3))
    row("broadcast_to", lambda m, x: m.broadcast_to(x, (4, 2, 3)), normal(2, 1))
    row("expand", lambda m, x: x.expand(4, -1, 3), normal(2, 1))
    row("expand_as", lambda m, x: x.expand_as(m.zeros(2, 3)), normal(3))
    row("cat", lambda m, a, b: m.cat([a, b]), normal(2, 3), normal(1, 3))
    row("cat[three, last axis]", lambda m, a, b, c: m.cat((a, b, c), -1), normal(2, 3), normal(2, 1), normal(2, 2))
    row("cat[channels]", lambda m, a, b: m.cat([a, b], dim=1), normal(2, 1, 2, 2), normal(2, 2, 2, 2))
    row("cat[the same twice]", lambda m, a: m.cat([a, a]), normal(2, 3))
    row("cat[an empty one]", lambda m, a, b: m.cat([a, b]), normal(2, 3), normal(0, 3))
    row("stack", lambda m, a, b: m.stack([a, b], 1), normal(2, 3), normal(2, 3))
    row("stack[last]", lambda m, a, b: m.stack([a, b], -1), normal(2, 3), normal(2, 3))
    top("split", "size", normal(5, 3), args=(2,))
    top("split", "sections", normal(3, 6), args=([1, 3, 2],), dim=-1)
    top("chunk", "even", normal(6, 2), args=(3,))
    top("chunk", "nothing", normal(2, 0), args=(3, 1))
    top("chunk", "uneven", normal(2, 7), args=(3, 1))
    row("flip", lambda m, x: m.flip(x, (0, 2)), normal(2, 3, 4))
    row("flip[method]", lambda m, x: x.flip(-1), normal(2, 3))
    row("index_select", lambda m, x, i: m.index_select(x, 1, i), normal(2, 3, 2), given([2, 0, 0, 1, 2]))
    row("index_select[none]", lambda m, x, i: m.index_select(x, 0, i), normal(3, 2), given(np.zeros(0, np.int64)))
    row("gather", lambda m, x, i: m.gather(x, 1, i), normal(3, 4), integers(0, 4, 3, 6))
    row("gather[smaller]", lambda m, x, i: x.gather(0, i), normal(3, 4), integers(0, 3, 5, 2))


def index_rows() -> None:
    """Basic and advanced indexing."""
    basic = {
        "integer": lambda m, x: x[1],
        "negative": lambda m, x: x[-1, -2],
        "element": lambda m, x: x[1, 2, 3],
        "slice": lambda m, x: x[:, 1:3],
        "step": lambda m, x: x[::2, ::3],
        "past the end": lambda m, x: x[1:99, 2:2],
        "ellipsis": lambda m, x: x[..., 1],
        "none": lambda m, x: x[:, None, 1, ..., None],
        "everything": lambda m, x: x[...],
    }
    for label, function in basic.items():
        row(f"getitem[{label}]", function, normal(3, 4, 5))
    row("getitem[list]", lambda m, x: x[[2, 0]], normal(3, 4))
    row("getitem[array]", lambda m, x, i: x[i], normal(3, 4), integers(0, 3, 2, 3))
    row("getitem[repeated]", lambda m, x, i: x[i], normal(3, 4), given([0, 1, 1, 1]))
    row("getitem[negative array]", lambda m, x, i: x[:, i], normal(3, 4), given([-1, 0, -1]))
    row("getitem[two arrays]", lambda m, x, i, j: x[i, j], normal(3, 4), given([0, 1, 1]), given([3, 2, 2]))
    row("getitem[arrays broadcast]", lambda m, x, i, j: x[i, :, j], normal(3, 2, 4), given([[0], [2]]), given([3, 1]))
    row("getitem[mask]", lambda m, x, k: x[k], normal(3, 4), booleans(3, 4))
    row("getitem[mask of rows]", lambda m, x, k: x[:, k], normal(3, 4), given([True, False, True, True]))
    row("getitem[own mask]", lambda m, x: x[x > 0], apart(3, 4))
    row("getitem[empty list]", lambda m, x: x[[]], normal(3, 4))
    row("iterate", lambda m, x: [2.0 * r for r in x], normal(3, 4))


def pad_rows() -> None:
    """Four modes, on one to four axes, and cropping."""
    functional("pad", "one axis", normal(2, 3), args=((1, 2),))
    functional("pad", "value", normal(2, 3, 4), args=((1, 2, 0, 1),), value=1.5)
    functional("pad", "four axes", normal(1, 2, 2, 2), args=((1, 0, 0, 1, 2, 0, 0, 1),))
    functional("pad", "crop", normal(1, 1, 5, 6), args=((-1, -2, -1, 0),))
    functional("pad", "crop and widen", normal(1, 1, 5, 6), args=((-1, 2, 3, -2),))
    functional("pad", "nothing", normal(2, 3), args=((0, 0),))
    for mode in ("reflect", "replicate", "circular"):
        functional("pad", mode, normal(2, 1, 4, 5), args=((1, 2, 3, 0),), mode=mode)
        functional("pad", f"{mode}, three axes", normal(2, 4, 5), args=((2, 1),), mode=mode)
        functional("pad", f"{mode}, crop and widen", normal(1, 1, 4, 5), args=((-1, 2, 1, -2),), mode=mode)
        functional("pad", f"{mode}, nothing", normal(1, 1, 4, 5), args=((0, 0, 0, 0),), mode=mode)
        functional("pad", f"{mode}, empty batch", normal(0, 1, 4, 5), args=((1, 2, 0, 1),), mode=mode)
        functional("pad", f"{mode}, value 0", normal(1, 4, 5), args=((1, 2),), mode=mode, value=0)
    functional("pad", "value None", normal(2, 3), args=((1, 2),), value=None)
    functional("pad", "integers", integers(0, 9, 2, 3), args=((1, 2),), value=7)
    functional("pad", "no axis", normal(2, 3), args=((),))
    functional("pad", "an empty axis", normal(2, 0), args=((1, 2),))
    functional("pad", "to nothing", normal(2, 3), args=((-1, -2),))
    functional("pad", "replicate far", normal(1, 1, 2, 2), args=((5, 3, 4, 1),), mode="replicate")


shape_rows()
index_rows()
pad_rows()
