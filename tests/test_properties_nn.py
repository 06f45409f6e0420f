"""Laws of normalisation, losses, dropout and attention that hold for every shape, drawn by hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tinyseg as ts
import tinyseg.nn.functional as F

SEEDS = st.integers(0, 2**31)
SMALL = st.integers(1, 4)
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=3)


def randn(seed, *shape):
    return ts.tensor(np.random.default_rng(seed).standard_normal(shape))


def same(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a.data, b.data, rtol=tolerance, atol=tolerance)


# --- softmax and the losses over classes -----------------------------------------------------------------------------


@given(SHAPES, SEEDS, st.floats(-100, 100), st.data())
def test_softmax_sums_to_one_and_ignores_a_common_shift(shape, seed, shift, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = randn(seed, *shape) * 3.0
    y = F.softmax(x, dim)
    np.testing.assert_allclose(y.sum(dim).data, 1.0, rtol=1e-13)
    same(F.softmax(x + shift, dim), y)
    same(F.softmin(-x, dim), y)
    same(F.log_softmax(x + shift, dim), F.log_softmax(x, dim))


@given(SMALL, st.integers(2, 5), SMALL, SEEDS, st.sampled_from(["mean", "sum", "none"]), st.booleans())
def test_cross_entropy_is_nll_of_log_softmax(n, c, s, seed, reduction, weighted):
    rng = np.random.default_rng(seed)
    x, target = randn(seed, n, c, s), ts.tensor(rng.integers(0, c, (n, s)))
    weight = ts.tensor(rng.uniform(0.5, 2, c)) if weighted else None
    loss = F.cross_entropy(x, target, weight, reduction=reduction)
    same(loss, F.nll_loss(F.log_softmax(x, 1), target, weight, reduction=reduction))
    same(loss, F.focal_loss(x, target, weight, gamma=0.0, reduction=reduction))
    if not weighted:  # the classes' weights enter once as the target's and once as each class's
        one_hot = F.one_hot(target, c).permute(0, 2, 1).to(ts.float64)
        same(loss, F.cross_entropy(x, one_hot, reduction=reduction))


@given(SMALL, st.integers(2, 5), SEEDS, st.floats(0, 1))
def test_label_smoothing_mixes_in_the_uniform_distribution(n, c, seed, share):
    x, target = randn(seed, n, c), ts.tensor(np.random.default_rng(seed).integers(0, c, n))
    smoothed = F.cross_entropy(x, target, label_smoothing=share)
    uniform = -F.log_softmax(x, 1).mean()
    same(smoothed, F.cross_entropy(x, target) * (1 - share) + uniform * share)
    same(smoothed, F.cross_entropy(x, F.one_hot(target, c).to(ts.float64) * (1 - share) + share / c))


@given(SMALL, st.integers(2, 6), SEEDS)
def test_kl_divergence_is_never_negative_and_zero_only_for_itself(n, c, seed):
    p, q = F.softmax(randn(seed, n, c), 1), F.softmax(randn(seed + 1, n, c), 1)
    assert F.kl_div(ts.log(q), p, reduction="batchmean").item() >= 0
    assert abs(F.kl_div(ts.log(p), p, reduction="batchmean").item()) < 1e-14
    same(F.kl_div(ts.log(q), ts.log(p), reduction="none", log_target=True), F.kl_div(ts.log(q), p, reduction="none"))
    entropy = -(p * ts.log(p)).sum()
    same(F.kl_div(ts.log(q), p, reduction="sum"), F.cross_entropy(ts.log(q), p, reduction="sum") - entropy)


@given(SHAPES, SEEDS)
def test_binary_losses_of_logits_and_of_probabilities_agree(shape, seed):
    x, t = randn(seed, *shape), ts.sigmoid(randn(seed + 1, *shape))
    same(F.binary_cross_entropy_with_logits(x, t), F.binary_cross_entropy(ts.sigmoid(x), t))
    plain = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    same(F.sigmoid_focal_loss(x, t, alpha=-1, gamma=0.0), plain)


@given(SHAPES, SEEDS, st.floats(0.1, 3))
def test_smooth_l1_is_huber_divided_by_its_width(shape, seed, width):
    x, t = randn(seed, *shape), randn(seed + 1, *shape)
    same(F.smooth_l1_loss(x, t, beta=width) * width, F.huber_loss(x, t, delta=width))
    same(F.huber_loss(x, t, delta=1e3) * 2.0, F.mse_loss(x, t))


@given(SMALL, SMALL, SEEDS, st.floats(0.1, 10), st.floats(0.1, 10))
def test_cosine_similarity_knows_directions_only(n, d, seed, a, b):
    x, y = randn(seed, n, d), randn(seed + 1, n, d)
    cosine = F.cosine_similarity(x, y)
    assert (abs(cosine.data) <= 1 + 1e-12).all()
    same(F.cosine_similarity(x * a, y * b), cosine)
    same((F.normalize(x) * F.normalize(y)).sum(1), cosine)
    same((F.normalize(x) ** 2).sum(1), ts.ones(n, dtype=ts.float64))


# --- normalisation ---------------------------------------------------------------------------------------------------


def standard(y, over):
    """Mean 0 and variance 1 over the axes."""
    np.testing.assert_allclose(y.data.mean(over), 0, atol=1e-10)
    np.testing.assert_allclose(y.data.var(over), 1, rtol=1e-6)


@given(SMALL, SMALL, SMALL, st.integers(3, 6), SEEDS, st.floats(0.5, 20), st.floats(-50, 50))
def test_norms_are_standard_and_ignore_scale_and_shift(n, groups, per_group, s, seed, scale, shift):
    c = groups * per_group
    x = randn(seed, n, c, s)
    moved = x * scale + shift
    eps = 1e-14
    norms = {
        "instance": (lambda t: F.instance_norm(t, eps=eps), lambda y: standard(y, 2)),
        "group": (
            lambda t: F.group_norm(t, groups, eps=eps),
            lambda y: standard(y.reshape(n, groups, per_group * s), 2),
        ),
        "layer": (lambda t: F.layer_norm(t, (c, s), eps=eps), lambda y: standard(y, (1, 2))),
        "batch": (lambda t: F.batch_norm(t, None, None, training=True, eps=eps), lambda y: standard(y, (0, 2))),
    }
    for norm, check in norms.values():
        y = norm(x)
        check(y)
        same(norm(moved), y, 1e-6)
    same(F.rms_norm(x * scale, (s,), eps=eps), F.rms_norm(x, (s,), eps=eps), 1e-6)


@given(SMALL, SMALL, st.integers(2, 5), SEEDS)
def test_norms_are_each_others_special_cases(n, c, s, seed):
    x = randn(seed, n, c, s)
    same(F.group_norm(x, c), F.instance_norm(x))
    same(F.group_norm(x, 1), F.layer_norm(x, (c, s)))
    same(F.instance_norm(x[:1]), F.batch_norm(x[:1], None, None, training=True))
    centred = x - x.mean(-1, keepdim=True)
    same(F.rms_norm(centred, (s,), eps=1e-5), F.layer_norm(x, (s,)))


X = np.random.default_rng(0).standard_normal((2, 4, 6, 5))
P = np.random.default_rng(1).random((2, 4, 6, 5))
CLASSES = ts.tensor(np.random.default_rng(2).integers(0, 4, (2, 60, 50)))
HALF = {
    "instance_norm": lambda t: F.instance_norm(t(X)),
    "group_norm": lambda t: F.group_norm(t(X), 2, t(P[0, :, 0, 0]), t(X[0, :, 0, 0])),
    "layer_norm": lambda t: F.layer_norm(t(X), (6, 5), t(P[0, 0]), t(X[0, 0])),
    "rms_norm, large": lambda t: F.rms_norm(t(X * 1000), (6, 5), t(P[0, 0]), eps=1e-6),
    "normalize, large": lambda t: F.normalize(t(X * 1000)),
    "cosine_similarity, large": lambda t: F.cosine_similarity(t(X * 1000), t(P)),
    "pairwise_distance, large": lambda t: F.pairwise_distance(t(X * 1000), t(P)),
    "cross_entropy, many": lambda t: F.cross_entropy(t(np.tile(X, (1, 1, 10, 10))), CLASSES),
    "cross_entropy, smoothed": lambda t: F.cross_entropy(t(np.tile(X, (1, 1, 10, 10))), CLASSES, label_smoothing=0.1),
    "probabilities, many": lambda t: F.cross_entropy(t(np.tile(X, (1, 1, 20, 20))), t(np.tile(P, (1, 1, 20, 20)))),
    "focal_loss, many": lambda t: F.focal_loss(t(np.tile(X, (1, 1, 10, 10))), CLASSES),
    "nll_loss, many": lambda t: F.nll_loss(t(np.tile(X - 3, (1, 1, 10, 10))), CLASSES),
    "mse_loss, many": lambda t: F.mse_loss(t(np.tile(X, (1, 1, 20, 20))), t(np.tile(P, (1, 1, 20, 20)))),
    "binary_cross_entropy": lambda t: F.binary_cross_entropy(t(P), t(P)),
    "kl_div": lambda t: F.kl_div(t(X), t(P), reduction="batchmean"),
    "gaussian_nll_loss": lambda t: F.gaussian_nll_loss(t(X), t(P), t(P + 0.1)),
    "attention": lambda t: F.scaled_dot_product_attention(t(X), t(X), t(P)),
    "mish": lambda t: F.mish(t(X)),
    "selu": lambda t: F.selu(t(X)),
    "hardswish": lambda t: F.hardswish(t(X)),
    "hardtanh": lambda t: F.hardtanh(t(X)),
    "glu": lambda t: F.glu(t(X), 1),
    "prelu": lambda t: F.prelu(t(X), t(P[0, :, 0, 0])),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", HALF)
def test_half_types_are_stored_in_half_and_computed_in_float32(name, dtype):
    """To a few roundings of the type, where sums in the type itself would overflow or stop growing."""
    eps = 2.0**-11 if dtype == "float16" else 2.0**-8
    got = HALF[name](lambda a: ts.tensor(a).to(dtype))
    expected = HALF[name](lambda a: ts.tensor(a).to(dtype).to(ts.float64)).data
    assert got.dtype == dtype
    assert np.abs(got.data.astype(np.float64) - expected).max() <= 4 * eps * np.abs(expected).max()


# --- dropout ---------------------------------------------------------------------------------------------------------


@given(st.floats(0.05, 0.9), SEEDS, st.sampled_from(["dropout", "dropout1d", "dropout2d"]))
def test_dropout_keeps_the_expectation(p, seed, name):
    from tinyseg import random

    random.manual_seed(seed)
    x = ts.ones(*((20000,) if name == "dropout" else (200, 100, 2) if name == "dropout1d" else (200, 100, 2, 2)))
    y = getattr(F, name)(x, p)
    deviation = math.sqrt(p / (1 - p) / 20000)  # of the mean of 20,000 independent places
    assert y.mean().item() == pytest.approx(1, abs=6 * deviation)
    values = set(np.unique(y.numpy()))
    assert values <= {np.float32(0), np.float32(1 / (1 - p))}
    if name != "dropout":  # a channel goes as a whole
        channels = y.numpy().reshape(200, 100, -1)
        np.testing.assert_array_equal(channels, np.broadcast_to(channels[:, :, :1], channels.shape))


# --- attention -------------------------------------------------------------------------------------------------------


def attention_in_loops(q, k, v, mask, scale):
    """One query, one key at a time."""
    y = np.zeros((len(q), v.shape[1]))
    for i, row in enumerate(q):
        scores = [scale * sum(a * b for a, b in zip(row, key, strict=True)) for key in k]
        scores = [s if allowed else -math.inf for s, allowed in zip(scores, mask[i], strict=True)]
        top = max(scores)
        if top == -math.inf:
            continue
        shares = [math.exp(s - top) for s in scores]
        for share, value in zip(shares, v, strict=True):
            y[i] += share / sum(shares) * value
    return y


@given(SMALL, SMALL, SMALL, SMALL, SMALL, SEEDS, st.sampled_from(["none", "mask", "causal", "numbers"]))
def test_attention_equals_the_loops(n, length, source, e, width, seed, kind):
    rng = np.random.default_rng(seed)
    q, k, v = randn(seed, n, length, e), randn(seed + 1, n, source, e), randn(seed + 2, n, source, width)
    allowed = {"none": np.ones((length, source), bool), "causal": np.tri(length, source, dtype=bool)}.get(kind)
    allowed = rng.random((length, source)) < 0.6 if allowed is None else allowed
    masks = {"mask": ts.tensor(allowed), "numbers": ts.tensor(np.where(allowed, 0.0, -np.inf))}
    scale = float(rng.uniform(0.2, 2))
    y = F.scaled_dot_product_attention(q, k, v, masks.get(kind), is_causal=kind == "causal", scale=scale)
    for i in range(n):
        expected = attention_in_loops(q.data[i], k.data[i], v.data[i], allowed, scale)
        np.testing.assert_allclose(y.data[i], expected, rtol=1e-10, atol=1e-12)


@given(SMALL, st.integers(2, 5), SMALL, SEEDS)
def test_attention_ignores_the_order_of_keys_and_averages_values(n, source, e, seed):
    q, k, v = randn(seed, n, 3, e), randn(seed + 1, n, source, e), randn(seed + 2, n, source, e)
    y = F.scaled_dot_product_attention(q, k, v)
    order = np.random.default_rng(seed).permutation(source).tolist()
    same(F.scaled_dot_product_attention(q, k[:, order], v[:, order]), y)
    assert (y.data >= v.data.min(1, keepdims=True) - 1e-12).all()
    assert (y.data <= v.data.max(1, keepdims=True) + 1e-12).all()
    same(F.scaled_dot_product_attention(q * 0.0, k, v), ts.broadcast_to(v.mean(1, keepdim=True), *y.shape))


@given(st.integers(1, 6), SMALL, st.lists(st.integers(0, 5), max_size=8), SEEDS)
def test_embedding_is_one_hot_times_the_table(rows, width, numbers, seed):
    index = ts.tensor(np.array([i % rows for i in numbers], np.int64))
    weight = ts.tensor(randn(seed, rows, width).data, requires_grad=True)
    y = F.embedding(index, weight)
    hot = F.one_hot(index, rows).to(ts.float64)
    same(y, hot @ weight)
    gy = randn(seed + 1, *y.shape)
    same(ts.grad(y, weight, gy)[0], hot.T @ gy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_of_infinite_numbers_as_pytorch(dtype):
    """What is infinite must not be taken from itself, and beside it what is large must not overflow."""
    far = [[1e4, np.inf, 2.0], [1e30, -np.inf, 0.0], [1e4, -1e4, -np.inf], [-np.inf] * 3, [np.inf, -np.inf, np.inf]]
    x = ts.tensor(np.array(far, dtype), requires_grad=True)
    t = torch.tensor(far, dtype=getattr(torch, dtype), requires_grad=True)
    y, ty = ts.logsumexp(x, 1), torch.logsumexp(t, 1)
    np.testing.assert_array_equal(y.data, ty.detach().numpy())
    np.testing.assert_array_equal(ts.grad(y.sum(), [x])[0].data, torch.autograd.grad(ty.sum(), [t])[0].numpy())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_mean_over_no_pixel_is_nan_with_gradient_zero_as_in_pytorch(smoothing):
    x, target = np.ones((2, 3, 4)), np.full((2, 4), -100)
    t = torch.tensor(x, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(t, torch.tensor(target), label_smoothing=smoothing)
    assert torch.isnan(loss)
    assert not torch.autograd.grad(loss, t)[0].any()
    ours = ts.tensor(x, requires_grad=True)
    loss = F.cross_entropy(ours, ts.tensor(target), label_smoothing=smoothing)
    (g,) = ts.grad(loss, ours, create_graph=True)
    (h,) = ts.grad((g * g).sum(), ours, materialize_grads=True)
    assert np.isnan(loss.item())
    assert not g.data.any()
    assert not h.data.any()


def test_the_mean_of_cross_entropy_over_no_sample_is_nan():
    for shape in ((0, 3), (0, 3, 2), (2, 3, 0)):
        x, p = ts.zeros(*shape, requires_grad=True), ts.zeros(*shape)
        loss = F.cross_entropy(x, p)
        assert math.isnan(loss.item())
        assert math.isnan(torch.nn.functional.cross_entropy(torch.zeros(shape), torch.zeros(shape)).item())
        assert ts.grad(loss, [x])[0].shape == shape
        assert F.cross_entropy(x, p, reduction="sum").item() == 0
