"""Attention's kernels: forward against plain loops, gradients against PyTorch in float64."""

import numpy as np
import pytest
import torch

from tinyseg.kernels import attention
from tinyseg.kernels.attention import cpu, reference

SHAPES = [  # batch, places that ask, places that answer, features, values' features
    (1, 1, 1, 1, 1),
    (2, 5, 3, 4, 2),
    (3, 9, 21, 7, 33),
    (1, 37, 19, 16, 17),
    (2, 20, 70, 65, 5),
]


def tensors(shape, dtype=np.float64):
    """(gy, q, k, v)."""
    n, length, source, size, values = shape
    rng = np.random.default_rng(0)
    sizes = [(n, length, values), (n, length, size), (n, source, size), (n, source, values)]
    return [rng.standard_normal(s).astype(dtype) for s in sizes]


def expected(gy, q, k, v, scale, causal):
    """(y, gq, gk, gv) from PyTorch, in float64, by the formula."""
    leaves = [torch.tensor(t.astype(np.float64), requires_grad=True) for t in (q, k, v)]
    scores = scale * leaves[0] @ leaves[1].mT
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[1:], dtype=torch.bool).tril(), -torch.inf)
    y = torch.softmax(scores, -1) @ leaves[2]
    return [t.detach().numpy() for t in (y, *torch.autograd.grad(y, leaves, torch.tensor(gy.astype(np.float64))))]


@pytest.fixture(params=["whole", "cut"])
def block(request, monkeypatch):
    """The rows of a head in one block, and in blocks of 8."""
    if request.param == "cut":
        monkeypatch.setattr(cpu, "SCORES", 0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_equals_the_loops(shape, causal):
    _, q, k, v = tensors(shape)
    y, *_ = attention.forward(q, k, v, 0.3, causal)
    np.testing.assert_allclose(y, reference.forward(q, k, v, 0.3, causal), rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_forward_and_gradients_equal_pytorchs(shape, causal, dtype, tolerance):
    gy, q, k, v = tensors(shape, dtype)
    y, *sums = attention.forward(q, k, v, -0.7, causal)
    found = y, *attention.grad(gy, q, k, v, *sums, -0.7, causal)
    for ours, theirs in zip(found, expected(gy, q, k, v, -0.7, causal), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * max(1, np.abs(theirs).max()))


@pytest.mark.parametrize("size", [1e3, 1e6])
def test_large_scores_do_not_overflow(size):
    gy, q, k, v = tensors((2, 6, 8, 4, 4), np.float32)
    y, *sums = attention.forward(q * np.float32(size), k, v, 1.0, False)
    gradients = attention.grad(gy, q * np.float32(size), k, v, *sums, 1.0, False)
    assert all(np.isfinite(a).all() for a in (y, *gradients))
    np.testing.assert_allclose(y, expected(gy, q * np.float32(size), k, v, 1.0, False)[0], rtol=1e-3, atol=1e-3)


def test_a_nan_stays_in_its_row():
    _, q, k, v = tensors((1, 40, 30, 5, 3))
    q[0, 7] = np.nan
    y, *_ = attention.forward(q, k, v, 1.0, False)
    assert np.isnan(y[0, 7]).all()
    assert np.isfinite(np.delete(y, 7, axis=1)).all()


def test_the_same_call_gives_the_same_bits():
    gy, q, k, v = tensors((1, 50, 60, 8, 8), np.float32)
    runs = []
    for _ in range(3):
        y, *sums = attention.forward(q, k, v, 0.5, True)
        runs.append(b"".join(a.tobytes() for a in (y, *sums, *attention.grad(gy, q, k, v, *sums, 0.5, True))))
    assert len(set(runs)) == 1
