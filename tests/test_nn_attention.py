"""Embedding and multi-head attention beside PyTorch's layers: keys, values, gradients, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg import nn
from tinyseg.errors import ArgumentError, BoundsError, DTypeError, ShapeError

NUMBERS = np.array([[0, 3, 3, 1], [1, 1, 2, 3]])


def both(build):
    """The layer in both libraries, float64, with PyTorch's weights."""
    torch.manual_seed(0)
    theirs = build(torch.nn).double()
    ours = build(nn).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [tuple(t.shape) for t in ours.state_dict().values()] == [
        tuple(t.shape) for t in theirs.state_dict().values()
    ]
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def same_gradients(ours, theirs):
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "settings",
    [{}, {"padding_idx": 3}, {"padding_idx": -4}, {"scale_grad_by_freq": True}, {"max_norm": 1.0},
     {"max_norm": 0.5, "norm_type": 1.0, "padding_idx": 0, "scale_grad_by_freq": True}],
)  # fmt: skip
def test_embedding(settings):
    ours, theirs = both(lambda n: n.Embedding(4, 3, **settings))
    assert repr(ours) == repr(theirs)
    y, u = ours(ts.tensor(NUMBERS)), theirs(torch.tensor(NUMBERS))
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-12)
    g = np.random.default_rng(0).standard_normal(y.shape)
    y.backward(ts.tensor(g))
    u.backward(torch.tensor(g))
    same_gradients(ours, theirs)


def test_embedding_starts_normal_with_padding_at_zero():
    weight = nn.Embedding(500, 40, padding_idx=-1).weight.detach().numpy()
    assert weight[:-1].std() == pytest.approx(1, abs=0.02)
    assert not weight[-1].any()
    rows = ts.rand(4, 3)
    fixed = nn.Embedding.from_pretrained(rows, padding_idx=2)
    assert not fixed.weight.requires_grad
    np.testing.assert_array_equal(fixed(ts.tensor([2])).numpy(), rows.numpy()[[2]])
    assert nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad


def test_the_gradient_of_an_embedding_has_the_same_bits_every_time():
    index = ts.tensor(np.random.default_rng(0).integers(0, 7, 5000))
    weight = ts.rand(7, 16, dtype=ts.float32).requires_grad_()
    gy = ts.randn(5000, 16)
    first = ts.grad(F.embedding(index, weight), weight, gy)[0].numpy()
    for _ in range(3):
        np.testing.assert_array_equal(ts.grad(F.embedding(index, weight), weight, gy)[0].numpy(), first)


def test_the_second_derivative_counts_frequencies_as_the_first():
    """PyTorch's own leaves the division out the second time: the pair must be adjoint."""
    weight = ts.tensor(np.ones((3, 2)), requires_grad=True)
    u = ts.tensor(np.random.default_rng(1).standard_normal((4, 2)), requires_grad=True)
    v = np.random.default_rng(2).standard_normal((3, 2))
    y = F.embedding(ts.tensor([0, 0, 2, 0]), weight, scale_grad_by_freq=True)
    (gw,) = ts.grad(y, weight, u, create_graph=True)
    (gu,) = ts.grad((gw * ts.tensor(v)).sum(), u)
    np.testing.assert_allclose(gu.numpy(), np.stack([v[0] / 3, v[0] / 3, v[2], v[0] / 3]))


ATTENTION = {
    "plain": ({}, {}),
    "batch first": ({"batch_first": True}, {}),
    "no bias": ({"bias": False}, {"average_attn_weights": False}),
    "learned places": ({"add_bias_kv": True, "add_zero_attn": True}, {"need_weights": False}),
    "other widths": ({"kdim": 3, "vdim": 5}, {}),
    "other widths, batch first": ({"kdim": 3, "vdim": 5, "batch_first": True, "bias": False}, {"need_weights": False}),
    "masked": ({"batch_first": True}, {"attn_mask": "causal", "key_padding_mask": "last"}),
    "causal": ({}, {"attn_mask": "causal", "is_causal": True, "need_weights": False}),
    "masked by head": ({}, {"attn_mask": "heads"}),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_multihead_attention(name):
    made, called = ATTENTION[name]
    batch, length, source, e, heads = 2, 4, 4 if "causal" in called.values() else 5, 6, 3
    ours, theirs = both(lambda n: n.MultiheadAttention(e, heads, **made))
    rng = np.random.default_rng(0)
    shapes = [(length, batch, e), (source, batch, made.get("kdim", e)), (source, batch, made.get("vdim", e))]
    arrays = [rng.standard_normal(s) for s in shapes]
    arrays = [a.swapaxes(0, 1).copy() if made.get("batch_first") else a for a in arrays]
    masks = {
        "causal": np.triu(np.ones((length, source), bool), 1),
        "last": np.arange(source)[None] >= np.array([[source - 1], [source]]),
        "heads": rng.standard_normal((batch * heads, length, source)),
    }
    xs, us = ([kind(a, requires_grad=True) for a in arrays] for kind in (ts.tensor, torch.tensor))
    outs = []
    for layer, kind, inputs in ((ours, ts.tensor, xs), (theirs, torch.tensor, us)):
        args = {k: kind(masks[v]) if isinstance(v, str) else v for k, v in called.items()}
        outs.append(layer(*inputs, **args))
    for y, u in zip(*outs, strict=True):
        if u is None:
            assert y is None
        else:
            np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy(), rtol=1e-10, atol=1e-12)
    g = rng.standard_normal(outs[0][0].shape)
    outs[0][0].backward(ts.tensor(g))
    outs[1][0].backward(torch.tensor(g))
    for x, u in zip(xs, us, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), u.grad.numpy(), rtol=1e-9, atol=1e-12)
    same_gradients(ours, theirs)


def test_multihead_self_attention_in_evaluation():
    """PyTorch has a kernel of its own for this case."""
    ours, theirs = both(lambda n: n.MultiheadAttention(4, 2, dropout=0.5, batch_first=True))
    ours.eval(), theirs.eval()
    x = np.random.default_rng(0).standard_normal((3, 5, 4))
    a, t = ts.tensor(x), torch.tensor(x)
    with torch.no_grad():
        for y, u in zip(ours(a, a, a), theirs(t, t, t), strict=True):
            np.testing.assert_allclose(y.detach().numpy(), u.numpy(), rtol=1e-10, atol=1e-12)
    ours.train()
    shares = ours(a, a, a, average_attn_weights=False)[1].detach().numpy()
    assert 0.2 < (shares == 0).mean() < 0.8
    single = ours.eval()(a[0], a[0], a[0])[0]
    np.testing.assert_allclose(single.detach().numpy(), ours(a, a, a)[0].detach().numpy()[0], rtol=1e-12)


def test_a_row_that_may_attend_to_nothing():
    """PyTorch's rule: zeros from attention itself, NaN where a layer is asked for the weights."""
    ours, theirs = both(lambda n: n.MultiheadAttention(4, 2))
    x = np.random.default_rng(0).standard_normal((3, 1, 4))
    hidden = np.array([[True, True, True], [False, True, False], [False, False, False]])
    a, t = ts.tensor(x), torch.tensor(x)
    for needed in (True, False):
        y = ours(a, a, a, attn_mask=ts.tensor(hidden), need_weights=needed)[0].detach().numpy()
        u = theirs(t, t, t, attn_mask=torch.tensor(hidden), need_weights=needed)[0].detach().numpy()
        np.testing.assert_allclose(y, u, rtol=1e-11)
        assert np.isnan(y[0]).all() == needed


Q, K = ts.zeros(2, 3, 4), ts.zeros(2, 5, 4)
TABLE = ts.zeros(3, 2)
LAYER = nn.MultiheadAttention(4, 2)
MISTAKES = {
    "causal and mask": (
        lambda: F.scaled_dot_product_attention(Q, K, K, ts.zeros(3, 5), is_causal=True),
        ArgumentError,
        "scaled_dot_product_attention: attn_mask must be None where is_causal=True, got shape (3, 5)",
    ),
    "integer mask": (
        lambda: F.scaled_dot_product_attention(Q, K, K, ts.zeros(3, 5, dtype=ts.int64)),
        DTypeError,
        "attn_mask must be of type bool or float32, got int64",
    ),
    "mask shape": (
        lambda: F.scaled_dot_product_attention(Q, K, K, ts.zeros(5, 1, 3, 5)),
        ShapeError,
        "attn_mask must broadcast to (2, 3, 5), got shape (5, 1, 3, 5)",
    ),
    "gqa": (
        lambda: F.scaled_dot_product_attention(ts.ones(4, 3, 2), ts.ones(3, 5, 2), ts.ones(3, 5, 2), enable_gqa=True),
        ShapeError,
        "enable_gqa=True needs heads on axis -3, those of key dividing those of query, got (3, 5, 2) and (4, 3, 2)",
    ),
    "gqa without heads": (
        lambda: F.scaled_dot_product_attention(ts.ones(3, 2), ts.ones(3, 2), ts.ones(3, 2), enable_gqa=True),
        ShapeError,
        "enable_gqa=True needs heads on axis -3",
    ),
    "dropout": (lambda: F.scaled_dot_product_attention(Q, K, K, dropout_p=2.0), ArgumentError, "dropout_p must be"),
    "features": (lambda: F.scaled_dot_product_attention(Q, K[..., 1:], K), ShapeError, "differ in their last axis"),
    "lengths": (lambda: F.scaled_dot_product_attention(Q, K, K[:, 1:]), ShapeError, "differ in length, axis -2"),
    "vector": (lambda: F.scaled_dot_product_attention(ts.zeros(4), K, K), ShapeError, "query must have at least two"),
    "types": (lambda: F.scaled_dot_product_attention(Q, K.double(), K), DTypeError, "query is float32 but key is"),
    "heads": (
        lambda: nn.MultiheadAttention(4, 3),
        ArgumentError,
        "embed_dim must be a multiple of num_heads, got 4 and 3",
    ),
    "embed_dim": (lambda: LAYER(K[..., :3], K, K), ShapeError, "query must have 4 features, got shape (2, 5, 3)"),
    "axes": (lambda: LAYER(K[0], K, K), ShapeError, "query, key and value must all be"),
    "batches": (lambda: LAYER(K, ts.zeros(2, 3, 4), ts.zeros(2, 3, 4)), ShapeError, "must agree in length"),
    "padding": (
        lambda: LAYER(K, K, K, key_padding_mask=ts.zeros(2, 5)),
        ShapeError,
        "key_padding_mask must be (5, 2), got shape (2, 5)",
    ),
    "attn_mask": (
        lambda: LAYER(K, K, K, attn_mask=ts.zeros(5, 2)),
        ShapeError,
        "attn_mask must be (2, 2) or (10, 2, 2), got shape (5, 2)",
    ),
    "hint": (lambda: LAYER(K, K, K, is_causal=True), ArgumentError, "is_causal=True is a hint about attn_mask"),
    "number": (
        lambda: F.embedding(ts.tensor([0, 3]), TABLE),
        BoundsError,
        "embedding: input runs from 0 to 3, weight has 3 rows",
    ),
    "float number": (lambda: F.embedding(TABLE, TABLE), DTypeError, "embedding: input must be integers, got float32"),
    "sparse": (lambda: F.embedding(ts.tensor([0]), TABLE, sparse=True), ArgumentError, "sparse=True is not supported"),
    "padding_idx": (lambda: F.embedding(ts.tensor([0]), TABLE, 3), BoundsError, "padding_idx 3 is outside"),
    "layer's padding_idx": (lambda: nn.Embedding(3, 2, 3), ArgumentError, "padding_idx 3 is outside 3 embeddings"),
    "table": (lambda: F.embedding(ts.tensor([0]), TABLE[0]), ShapeError, "weight must be (V, D), got shape (2,)"),
    "class": (lambda: F.one_hot(ts.tensor([3]), 3), BoundsError, "one_hot: tensor holds classes 3 to 3"),
    "class -1": (lambda: F.one_hot(ts.tensor([-1])), BoundsError, "one_hot: tensor holds classes -1"),
    "class type": (lambda: F.one_hot(TABLE), DTypeError, "one_hot: tensor must be int64 classes, got float32"),
    "no class": (lambda: F.one_hot(ts.zeros(0, dtype=ts.int64)), ShapeError, "num_classes must be given"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name):
    mistake, kind, expected = MISTAKES[name]
    with pytest.raises(kind) as caught:
        mistake()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
