"""Normalisation kernels against plain loops and PyTorch's batch norm."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyseg.kernels import norm
from tinyseg.kernels.norm import reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=30)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
EPS = 1e-5


@st.composite
def problems(draw):
    """(x, gy, weight or None, bias or None) with at least two values per channel."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    channels = draw(st.integers(1, 5))
    space = draw(st.sampled_from([(), (1,), (7,), (3, 5), (2, 3, 4)]))
    batch = draw(st.integers(1 if np.prod(space) > 1 else 2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x, gy = (rng.standard_normal((batch, channels, *space)).astype(dtype) for _ in range(2))
    weight, bias = (rng.standard_normal(channels).astype(dtype) for _ in range(2))
    return 3 * x + 1, gy, weight if draw(st.booleans()) else None, bias if draw(st.booleans()) else None


def close(got, expected, like, slack=1.0):
    """Within the type's tolerance of the largest expected value."""
    tolerance = TOLERANCE[like.dtype.type] * slack * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
    assert got.dtype == like.dtype


def as_double(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


@DRAWN
@given(problems())
def test_forward_equals_the_loops_and_pytorch(problem):
    x, _, weight, bias = problem
    mean, var, rstd = norm.moments(x, EPS)
    x64, w64, b64 = as_double(x, weight, bias)
    mean64, var64, rstd64 = reference.moments(x64, EPS)
    close(mean, mean64, x)
    close(var, var64, x)
    np.testing.assert_allclose(rstd, (var.astype(np.float64) + EPS) ** -0.5, 4 * np.finfo(x.dtype).eps)
    y = norm.normalize(x, mean, rstd, weight, bias)
    slack = float(rstd64.max()) ** 2 + 1  # two nearly equal values per channel amplify rounding by 1/σ
    close(y, reference.normalize(x64, mean64, rstd64, w64, b64), x, slack)
    torch64 = [None if a is None else torch.from_numpy(a) for a in (x64, w64, b64)]
    expected = F.batch_norm(torch64[0], None, None, torch64[1], torch64[2], training=True, eps=EPS)
    close(y, expected.numpy(), x, slack)
    close(norm.normalize(x, mean, (var + EPS) ** -0.5, weight, bias, relu=True), F.relu(expected).numpy(), x, slack)


@DRAWN
@given(problems())
def test_relu_and_its_gate_in_the_same_pass(problem):
    x, gy, weight, bias = problem
    inputs = [None if a is None else torch.from_numpy(a).requires_grad_() for a in as_double(x, weight, bias)]
    y = F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True, eps=EPS)
    assume(y.abs().min() > 1e-3)  # nearer to 0 float32 may come to lie on the other side
    F.relu(y).backward(torch.from_numpy(gy).double())
    mean, _, rstd = norm.moments(x, EPS)
    got = norm.grad(gy, x, mean, rstd, weight, bias, relu=True)
    statistics = [a.astype(np.float64) for a in (mean, rstd)]
    loops = reference.grad(*as_double(gy, x), *statistics, *as_double(weight, bias), relu=True)
    slack = 10 * (float(rstd.max()) ** 3 + 1)
    for a, b, tensor in zip(got, loops, inputs, strict=True):
        close(a, b, x, slack)
        if tensor is not None:
            close(a, tensor.grad.numpy(), x, slack)


@pytest.mark.parametrize("size", [4, 64])
def test_what_rounds_to_zero_is_gated_as_relu_does(size):
    rng = np.random.default_rng(size)
    x = (rng.integers(0, 8, (4, 300, size)) / 7).astype(np.float32)
    gy, weight = rng.standard_normal(x.shape).astype(np.float32), rng.standard_normal(300).astype(np.float32)
    mean, _, rstd = norm.moments(x, EPS)
    bias = -((x[0, :, 0] - mean) * (weight * rstd))  # one of the eight values is normalised to 0, up to rounding
    y = norm.normalize(x, mean, rstd, weight, bias)
    assert (np.abs(y) < 1e-6).mean() > 0.1
    expected = norm.grad(np.where(y > 0, gy, np.float32(0)), x, mean, rstd, weight)
    for got, want in zip(norm.grad(gy, x, mean, rstd, weight, bias, relu=True), expected, strict=True):
        np.testing.assert_array_equal(got, want)


@DRAWN
@given(problems(), st.booleans())
def test_backward_equals_the_loops_and_pytorch(problem, training):
    x, gy, weight, _ = problem
    channels = x.shape[1]
    x64, gy64, w64 = as_double(x, gy, np.ones(channels, x.dtype) if weight is None else weight)
    mean64, var64 = reference.moments(x64, EPS)[:2] if training else (np.full(channels, 0.5), np.full(channels, 2.0))
    rstd64 = (var64 + EPS) ** -0.5
    ours = norm.grad if training else norm.grad_eval
    loops = reference.grad if training else reference.grad_eval
    got = ours(gy, x, mean64.astype(x.dtype), rstd64.astype(x.dtype), weight)

    inputs = [torch.from_numpy(a).requires_grad_() for a in (x64, w64, np.zeros(channels))]
    statistics = [None, None] if training else [torch.from_numpy(a) for a in (mean64, var64)]
    y = F.batch_norm(inputs[0], *statistics, *inputs[1:], training=training, eps=EPS)
    y.backward(torch.from_numpy(gy64))
    slack = 10 * (float(rstd64.max()) ** 3 + 1)
    for a, b, tensor in zip(got, loops(gy64, x64, mean64, rstd64, w64), inputs, strict=True):
        close(a, b, x, slack)
        close(a, tensor.grad.numpy(), x, slack)


def test_a_large_offset_cancels_neither_variance_nor_output():
    x = np.random.default_rng(0).standard_normal((4, 2, 16, 16)).astype(np.float32) + np.float32(4096)
    mean, var, rstd = norm.moments(x, 0.0)
    np.testing.assert_allclose(var, x.astype(np.float64).var((0, 2, 3)), 1e-6)
    y = norm.normalize(x, mean, rstd)
    expected = F.batch_norm(torch.from_numpy(x).double(), None, None, training=True, eps=1e-12)
    np.testing.assert_allclose(y, expected.numpy(), atol=5e-4)  # half an ulp of the mean is 2.4e-4


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_is_the_same_kernel_on_a_view(groups):
    rng = np.random.default_rng(groups)
    x, gy = rng.standard_normal((2, 3, 6, 4, 5))
    view, gview = (a.reshape(1, 3 * groups, -1) for a in (x, gy))
    mean, _, rstd = norm.moments(view, EPS)
    tx = torch.from_numpy(x).requires_grad_()
    ty = F.group_norm(tx, groups, eps=EPS)
    ty.backward(torch.from_numpy(gy))
    np.testing.assert_allclose(norm.normalize(view, mean, rstd).reshape(x.shape), ty.detach(), atol=1e-12)
    np.testing.assert_allclose(norm.grad(gview, view, mean, rstd)[0].reshape(x.shape), tx.grad, atol=1e-12)


@pytest.mark.parametrize(
    "view", [(2, 3, 2, 20), (7, 1, 65, 1), (3, 2, 1, 7), (0, 2, 3, 4), (400, 1, 130, 1), (9, 4, 3, 700)]
)
@pytest.mark.parametrize("affine", [False, True])
def test_group_norm_equals_the_loops_and_pytorch(view, affine):
    n, groups, k, size = view
    rng = np.random.default_rng(k)
    x, gy = 3 * rng.standard_normal(view) + 1, rng.standard_normal(view)
    weight, bias = rng.standard_normal((2, groups, k)) if affine else (None, None)
    y, mean, var, rstd = norm.group_norm(x, weight, bias, EPS)
    got = norm.group_norm_grad(gy, x, mean, rstd, weight)
    if x.size < 4000:
        for a, b in zip((y, mean, var, rstd), reference.group_norm(x, weight, bias, EPS), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        for a, b in zip(got, reference.group_norm_grad(gy, x, mean, rstd, weight), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-11)
    w, b = np.ones((2, groups * k)) if weight is None else (weight.ravel(), bias.ravel())
    tx, tw, tb = (torch.from_numpy(a.copy()).requires_grad_() for a in (x.reshape(n, groups * k, size), w, b * affine))
    ty = F.group_norm(tx, groups, tw, tb, EPS)
    ty.backward(torch.from_numpy(gy.reshape(tx.shape)))
    np.testing.assert_allclose(y.reshape(tx.shape), ty.detach(), atol=1e-11)
    for a, t in zip(got, (tx, tw, tb), strict=True):
        np.testing.assert_allclose(a.reshape(t.shape), t.grad, atol=1e-10)
    x32 = norm.group_norm(x.astype(np.float32), None, None, EPS)
    assert {a.dtype for a in x32} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shape", [(300, 200), (40, 70, 3, 5), (40, 70, 4, 5)])
def test_many_vectors_and_small_planes(shape):
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, *shape))
    weight = rng.standard_normal(shape[1])
    mean, var, rstd = norm.moments(x, EPS)
    for training, gradient in ((True, norm.grad), (False, norm.grad_eval)):
        tx, tw = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, weight))
        ty = F.batch_norm(tx, torch.from_numpy(mean), torch.from_numpy(var), tw, None, training, 0.0, EPS)
        ty.backward(torch.from_numpy(gy))
        np.testing.assert_allclose(norm.normalize(x, mean, rstd, weight), ty.detach(), atol=1e-11)
        gx, gw, gb = gradient(gy, x, mean, rstd, weight)
        np.testing.assert_allclose(gx, tx.grad, atol=1e-11)
        np.testing.assert_allclose(gw, tw.grad, atol=1e-10)
        np.testing.assert_allclose(gb, gy.sum((0, *range(2, x.ndim))), atol=1e-10)
    alone = norm.grad_eval(gy, None, mean, rstd, weight)
    assert np.array_equal(alone[0], gx)
    assert alone[1] is None


def test_constant_statistics_keep_infinity_where_it_is():
    x = np.array([[[np.inf, 1.0, 2.0] * 7]])
    gx, _, _ = norm.grad_eval(np.ones_like(x), x, np.zeros(1), np.full(1, 2.0))
    assert np.array_equal(gx, np.full_like(x, 2.0))


def test_half_types_have_float32_statistics_and_outputs_as_they_came():
    values = np.random.default_rng(3).integers(-8, 9, (2, 3, 5, 5))
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        x = values.astype(dtype)
        mean, var, rstd = norm.moments(x, 0.0)
        assert mean.dtype == var.dtype == rstd.dtype == np.float32
        np.testing.assert_allclose(var, values.var((0, 2, 3)), 1e-6)
        y = norm.normalize(x, mean, rstd)
        assert y.dtype == dtype
        expected = (values - values.mean((0, 2, 3), keepdims=True)) / values.std((0, 2, 3), keepdims=True)
        np.testing.assert_allclose(y.astype(np.float64), expected, atol=1e-2)
        assert {a.dtype for a in norm.grad(x, x, mean, rstd)} == {dtype}


def test_empty_batches():
    x = np.zeros((0, 3, 4))
    mean, var, rstd = norm.moments(x, EPS)
    assert np.isnan([mean, var, rstd]).all()
    assert norm.normalize(x, mean, rstd).shape == x.shape
    for gradient in (norm.grad, norm.grad_eval):
        gx, gw, gb = gradient(x, x, np.zeros(3), np.ones(3))
        assert gx.shape == x.shape
        assert not gw.any()
        assert not gb.any()


def test_the_same_bits_every_time_and_inputs_untouched():
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, 5, 3, 40, 30)).astype(np.float32).transpose(0, 1, 2, 4, 3)
    before = x.copy(), gy.copy()
    mean, _, rstd = norm.moments(x, 0.0)
    first = norm.grad(gy, x, mean, rstd)
    assert all(a.flags.c_contiguous for a in first)
    for _ in range(5):
        assert all(np.array_equal(a, b) for a, b in zip(norm.grad(gy, x, mean, rstd), first, strict=True))
    assert np.array_equal(x, before[0])
    assert np.array_equal(gy, before[1])
