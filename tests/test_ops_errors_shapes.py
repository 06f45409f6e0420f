"""Bad arguments of indexing, arranging, joining, sorting, reducing and creation: one line that says what and where."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.errors import ArgumentError, BoundsError, DTypeError, GraphError, ShapeError, TinysegError

X = ts.zeros(2, 3)
K = ts.tensor([[0, 1, 0]])
LINE = ts.zeros(3)

MISTAKES = {  # what is called, the class of error, what the message says
    "index": (lambda: X[2], BoundsError, "getitem: index 2 is out of bounds for axis 0 with 2 elements"),
    "index array": (
        lambda: X[:, [0, -4]],
        BoundsError,
        "index -4 is out of bounds for axis 1 with 3 elements",
    ),
    "indices": (lambda: X[0, 0, 0], BoundsError, "getitem: 3 indices are too many for a Tensor with 2 axes"),
    "ellipses": (lambda: X[..., ..., 0], BoundsError, "behind a second ellipsis ('...') no axis is left"),
    "ellipses, new axis": (lambda: X[..., 0, ..., None], BoundsError, "no axis is left for the index None"),
    "step": (lambda: X[::-1], ArgumentError, "the step of a slice must be at least 1, got -1; use flip"),
    "slice": (lambda: X[0.5:], DTypeError, "getitem: the ends of a slice must be integers or None"),
    "real index": (lambda: X[1.0], DTypeError, "getitem: an index must be integers, booleans or slices, got 1.0"),
    "mask": (lambda: X[ts.tensor([True])], ShapeError, "a mask of shape (1,) at axis 0 does not fit shape (2, 3)"),
    "arrays": (lambda: X[[0, 1], [0, 1, 2]], ShapeError, "getitem: index: shapes (2,) and (3,) do not broadcast"),
    "select": (lambda: X.select(0, 2), BoundsError, "select: index 2 is out of bounds for axis 0"),
    "select 0-d": (lambda: ts.ones(()).select(0, 0), BoundsError, "select: a Tensor without axes"),
    "narrow": (lambda: X.narrow(1, 2, 2), BoundsError, "narrow: start 2 + length 2 exceeds axis 1 with 3 elements"),
    "narrow start": (lambda: X.narrow(1, 4, 0), BoundsError, "narrow: start 4 is out of bounds"),
    "narrow length": (lambda: X.narrow(1, 0, -1), ArgumentError, "narrow: length must not be negative, got -1"),
    "unbind": (lambda: ts.unbind(ts.ones(())), BoundsError, "unbind: a Tensor without axes"),
    "gather": (lambda: X.gather(0, ts.tensor([0])), ShapeError, "gather: index (1,) does not fit input (2, 3)"),
    "gather type": (lambda: X.gather(0, X), DTypeError, "gather: index must be integers of 32 or 64 bits, got float32"),
    "scatter": (lambda: X.scatter(0, K + 1, X), BoundsError, "scatter: index runs from 1 to 2, axis 0 has 2 elements"),
    "scatter src": (lambda: X.scatter(0, K, X[:, :2]), ShapeError, "scatter: index (1, 3) does not fit src (2, 2)"),
    "scatter both": (lambda: X.scatter(0, K), ArgumentError, "scatter: give src or value, one of them"),
    "scatter reduce": (lambda: X.scatter(0, K, X, reduce="max"), ArgumentError, "'add' or 'multiply', got 'max'"),
    "scatter_add": (lambda: X.scatter_add(0, K, 1.0), DTypeError, "scatter_add: src must be a Tensor, got float"),
    "index_add": (lambda: X.index_add(0, ts.tensor([1]), X), ShapeError, "source must have shape (1, 3)"),
    "take_along_dim": (lambda: X.take_along_dim(K[0], 1), ShapeError, "differ in their number of axes"),
    "masked_select": (lambda: X.masked_select(X), DTypeError, "masked_select: mask must be of type bool, got float32"),
    "masked_fill": (lambda: X.masked_fill(K > 0, LINE), ShapeError, "value must be a number or have no axes"),
    "masked_fill type": (lambda: K.masked_fill(K > 0, 0.5), DTypeError, "which does not fit an input of type int64"),
    "maximum": (lambda: ts.maximum(X, 1.0), DTypeError, "maximum: other must be a Tensor, got float"),
    "lerp": (lambda: ts.lerp(X, K, 0.5), DTypeError, "lerp: input is float32 but end is int64"),
    "roll": (lambda: X.roll((1, 2)), ArgumentError, "roll: shifts names 2 shifts, but dims no axes"),
    "roll dims": (lambda: X.roll(1, (0, 1)), ArgumentError, "roll: shifts 1 and dims (0, 1) differ in number"),
    "flip": (lambda: X.flip(0, -2), ArgumentError, "flip: dim names an axis twice"),
    "fliplr": (lambda: ts.fliplr(LINE), ShapeError, "fliplr: input needs at least 2 axes, got shape (3,)"),
    "movedim": (lambda: X.movedim((0,), (1, 0)), ArgumentError, "movedim: source (0,) and destination (1, 0) differ"),
    "unflatten": (lambda: X.unflatten(1, (2, 2)), ShapeError, "sizes (2, 2) do not multiply to 3, the size of axis 1"),
    "t": (lambda: ts.zeros(1, 2, 3).t(), ShapeError, "t: input has at most 2 axes, got shape (1, 2, 3)"),
    "repeat": (lambda: X.repeat(2), ShapeError, "repeat: repeats (2,) are fewer than the 2 axes of shape (2, 3)"),
    "repeat -1": (lambda: X.repeat(2, -1), ArgumentError, "repeat: the numbers of repeats must not be negative"),
    "interleave": (lambda: X.repeat_interleave(ts.tensor([1, 2]), 1), ShapeError, "repeats must be one number or 3"),
    "interleave -1": (lambda: X.repeat_interleave(-1), ArgumentError, "repeats must not be negative, got -1"),
    "tril": (lambda: ts.tril(LINE), ShapeError, "tril: input needs at least 2 axes"),
    "diagonal": (lambda: X.diagonal(0, 1, -1), ArgumentError, "diagonal: dim1 and dim2 must be two axes"),
    "diag": (lambda: ts.diag(ts.zeros(1, 1, 1)), ShapeError, "diag: input must be a vector or a matrix"),
    "trace": (lambda: ts.trace(LINE), ShapeError, "trace: input must be a matrix, got shape (3,)"),
    "meshgrid": (lambda: ts.meshgrid(LINE, indexing="xx"), ArgumentError, "indexing must be 'ij' or 'xy', got 'xx'"),
    "meshgrid axes": (lambda: ts.meshgrid(LINE, X), ShapeError, "meshgrid: tensors[1] must be a vector"),
    "tensor_split": (lambda: X.tensor_split(0), ArgumentError, "the number of sections must be at least 1, got 0"),
    "cat 0-d": (lambda: ts.cat([ts.ones(()), LINE]), ShapeError, "cat: tensors[0] has no axes to join along"),
    "cat list": (lambda: ts.cat(X), DTypeError, "cat: tensors must be a list or tuple of Tensors, got Tensor"),
    "stack": (lambda: ts.stack([X, 1]), DTypeError, "stack: tensors[1] must be a Tensor, got int"),
    "topk of a fraction": (lambda: X.topk(1.5), DTypeError, "topk: k must be an integer, got 1.5"),
    "tril of a fraction": (lambda: X.tril(0.5), DTypeError, "tril: diagonal must be an integer, got 0.5"),
    "split without axes": (lambda: ts.split(ts.tensor(1.0), 1), ShapeError, "split: expected a Tensor with at least"),
    "chunk without axes": (lambda: ts.tensor(1.0).chunk(2), ShapeError, "chunk: expected a Tensor with at least one"),
    "chunk into text": (lambda: X.chunk("2"), DTypeError, "chunk: chunks must be integers, got"),
    "take_along_dim, outside": (
        lambda: X.take_along_dim(ts.tensor([[9]]), 1),
        BoundsError,
        "take_along_dim: index runs from 9 to 9",
    ),
    "clamp by text": (lambda: X.clamp("0"), DTypeError, "clamp: min must be a number, got '0'"),
    "var by text": (lambda: X.var(correction="0"), DTypeError, "var: correction must be a number, got '0'"),
    "one_hot by text": (lambda: F.one_hot(ts.tensor([1]), "2"), DTypeError, "one_hot: num_classes must be an integer"),
    "dropout by text": (lambda: F.dropout(X, "0"), DTypeError, "dropout: p must be a number, got '0'"),
    "normalize by text": (lambda: F.normalize(X, "2"), DTypeError, "normalize: p must be a number, got '2'"),
    "huber by text": (lambda: F.huber_loss(X, X, delta="1"), DTypeError, "huber_loss: delta must be a number"),
    "smooth_l1 by text": (
        lambda: F.smooth_l1_loss(X, X, beta="1"),
        DTypeError,
        "smooth_l1_loss: beta must be a number",
    ),
    "group_norm by text": (lambda: F.group_norm(X, 1, eps="1"), DTypeError, "group_norm: eps must be a number"),
    "layer_norm by None": (lambda: F.layer_norm(X, X.shape[1:], eps=None), DTypeError, "layer_norm: eps must be a"),
    "topk": (lambda: X.topk(4), ArgumentError, "topk: k must be between 0 and 3, the size of axis 1, got 4"),
    "sort": (lambda: X.sort(2), BoundsError, "sort: dim 2 is out of range"),
    "einsum": (lambda: ts.einsum("ij,jk", X), ArgumentError, "einsum: equation names 2 operands, but 1 came"),
    "einsum axes": (lambda: ts.einsum("ijk", X), ShapeError, "gives operands[0] 3 labels, but its shape is (2, 3)"),
    "einsum sizes": (lambda: ts.einsum("ij,ij", X, X.T), ShapeError, "label 'i' has size 2, but 3 in operands[1]"),
    "einsum output": (lambda: ts.einsum("ij->ik", X), ArgumentError, "names 'k' in the output, but in no operand"),
    "einsum twice": (lambda: ts.einsum("ij->ii", X), ArgumentError, "names 'i' twice in the output"),
    "einsum letters": (lambda: ts.einsum("i1", X), ArgumentError, "holds '1'; labels are letters"),
    "einsum diagonal": (lambda: ts.einsum("ii", X), ShapeError, "label 'i'"),
    "einsum ellipses": (lambda: ts.einsum("......", X), ArgumentError, "einsum: equation holds two ellipses"),
    "einsum numbers": (lambda: ts.einsum(X, [0, 52]), ArgumentError, "integers from 0 to 51 and ..., got 52"),
    "mm": (lambda: ts.mm(X, X), ShapeError, "mm: shapes (2, 3) and (2, 3) (mat2) do not multiply"),
    "bmm": (lambda: ts.bmm(X, X), ShapeError, "bmm: input must have 3 axes, got shape (2, 3)"),
    "dot": (lambda: ts.dot(LINE, X), ShapeError, "dot: tensor must have 1 axes, got shape (2, 3)"),
    "outer": (lambda: ts.outer(LINE, X), ShapeError, "outer: vec2 must be a vector"),
    "addmm": (lambda: ts.addmm(ts.zeros(4), X, X.T), ShapeError, "addmm: shapes (4,) and (2, 2) do not broadcast"),
    "addmm wider": (lambda: ts.addmm(ts.zeros(2, 2, 2), X, X.T), ShapeError, "does not stretch to the product's shape"),
    "prod": (lambda: X.prod(keepdim=True), ArgumentError, "prod: keepdim needs dim"),
    "max": (lambda: X.max(keepdim=True), ArgumentError, "max: keepdim needs dim; of all elements use amax"),
    "max both": (lambda: X.max(0, other=X), ArgumentError, "max: give dim or other, one of them"),
    "var": (lambda: X.var(unbiased=True, correction=1), ArgumentError, "var: give unbiased or correction"),
    "var integers": (lambda: K.var(), DTypeError, "var: input must be of a floating-point type, got int64"),
    "round": (lambda: ts.round(K, decimals=1), DTypeError, "round: decimals=1 needs an input of a floating-point type"),
    "floor": (lambda: ts.floor(K > 0), DTypeError, "floor: booleans are not rounded"),
    "arange": (lambda: ts.arange(1, 3, -1), ArgumentError, "arange: no step of -1 leads from start 1 to end 3"),
    "arange nan": (lambda: ts.arange(float("nan")), ArgumentError, "must be finite, got 0, nan, 1"),
    "linspace": (
        lambda: ts.linspace(0, 1, -1),
        ArgumentError,
        "linspace: steps must not be negative, got -1",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    mistake, kind, expected = MISTAKES[name]
    with pytest.raises(TinysegError) as caught:
        mistake()
    message = str(caught.value)
    assert isinstance(caught.value, kind), repr(caught.value)
    assert expected in message
    assert "\n" not in message


def test_a_product_scattered_has_no_derivative():
    x = ts.ones(2, 3).requires_grad_()
    with pytest.raises(GraphError, match="scatter: reduce='multiply' has no derivative"):
        x.scatter(0, K, 2.0, reduce="multiply").sum().backward()


def test_clamp_between_equal_bounds_passes_nothing_up():
    """PyTorch's choice where low = high: below it neither bound takes the gradient."""
    x, low, high = (ts.tensor(v, requires_grad=True) for v in ([0.0, 1.0, 2.0], [1.0] * 3, [1.0] * 3))
    ts.clamp(x, low, high).sum().backward()
    assert [t.grad.data.tolist() for t in (x, low, high)] == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_new_tensors_beside_one():
    x = ts.zeros(2, dtype=ts.float64)
    for y in (x.new_zeros(3), x.new_ones((3,)), x.new_full((3,), 2), x.new_empty(3), x.new_tensor([1, 2, 3])):
        assert (y.dtype, y.shape) == (np.float64, (3,))
    assert x.new_zeros(3, dtype=ts.int64).dtype == np.int64
