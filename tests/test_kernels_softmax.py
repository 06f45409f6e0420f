"""Softmax and cross-entropy kernels against plain loops and PyTorch."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.kernels import softmax as kernel
from tinyseg.kernels.softmax import reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=30)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.sampled_from([1, 2, 5, 300]))  # 300: two blocks
wide_shapes = st.tuples(st.integers(1, 3), st.integers(1, 90), st.sampled_from([1, 2, 300]))  # 90: rows of lanes
types = st.sampled_from([np.float32, np.float64])


def scores(shape, dtype, seed, spread=5):
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def close(got, expected, dtype):
    tolerance = TOLERANCE[dtype] * max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
    assert got.dtype == dtype


@DRAWN
@given(st.one_of(shapes, wide_shapes), types, st.integers(0, 99))
def test_softmax_equals_the_loops_and_pytorch(shape, dtype, seed):
    x = scores(shape, dtype, seed)
    wide = x.astype(np.float64)
    for ours, loops, theirs in (
        (kernel.softmax, reference.softmax, F.softmax),
        (kernel.log_softmax, reference.log_softmax, F.log_softmax),
    ):
        y = ours(x)
        close(y, loops(wide), dtype)
        close(y, theirs(torch.from_numpy(wide), 1).numpy(), dtype)


@DRAWN
@given(wide_shapes, types, st.integers(0, 99))
def test_backward_equals_the_loops_and_pytorch(shape, dtype, seed):
    x, gy = scores(shape, dtype, seed).astype(float), scores(shape, dtype, seed + 1).astype(float)
    for ours, loops, theirs in (
        (kernel.softmax_grad, reference.softmax_grad, F.softmax),
        (kernel.log_softmax_grad, reference.log_softmax_grad, F.log_softmax),
    ):
        tx = torch.from_numpy(x).requires_grad_()
        ty = theirs(tx, 1)
        ty.backward(torch.from_numpy(gy))
        y = ty.detach().numpy()
        gx = ours(gy.astype(dtype), y.astype(dtype))
        slack = float(np.abs(gy).sum(1).max(initial=1))  # the sum of K gradients
        np.testing.assert_allclose(gx, loops(gy, y), rtol=0, atol=TOLERANCE[dtype] * slack)
        np.testing.assert_allclose(gx, tx.grad.numpy(), rtol=0, atol=TOLERANCE[dtype] * slack)
        assert gx.dtype == dtype


@pytest.mark.parametrize("place", [0, 31, 32, 63, 64, 69])
def test_the_largest_of_a_long_row_wherever_it_stands(place):
    x = np.random.default_rng(place).standard_normal((3, 70, 1))
    x[1, place] = 800.0
    np.testing.assert_allclose(kernel.softmax(x), F.softmax(torch.from_numpy(x), 1).numpy(), 1e-12)
    x[1, place] = np.nan
    assert np.isnan(kernel.softmax(x)[1]).all()
    assert np.isfinite(kernel.softmax(x)[[0, 2]]).all()


@DRAWN
@given(st.one_of(shapes, wide_shapes), types, st.integers(0, 99), st.booleans(), st.sampled_from([-100, 0, 2, 255]))
def test_cross_entropy_equals_the_loops_and_pytorch(shape, dtype, seed, weighted, ignore_index):
    x = scores(shape, dtype, seed)
    rng = np.random.default_rng(seed + 1)
    target = rng.integers(0, shape[1], (shape[0], shape[2]))
    target[rng.random(target.shape) < 0.2] = ignore_index
    weight = rng.random(shape[1]).astype(dtype) if weighted else None
    gy = rng.standard_normal(target.shape).astype(dtype)

    loss, lse = kernel.cross_entropy(x, target, weight, ignore_index)
    gx = kernel.cross_entropy_grad(gy, x, lse, target, weight, ignore_index)
    x64, gy64, w64 = x.astype(float), gy.astype(float), None if weight is None else weight.astype(float)
    expected, lse64 = reference.cross_entropy(x64, target, w64, ignore_index)
    close(loss, expected, dtype)
    close(lse, lse64, dtype)
    close(gx, reference.cross_entropy_grad(gy64, x64, lse64, target, w64, ignore_index), dtype)

    tx = torch.from_numpy(x64).requires_grad_()
    tw = None if w64 is None else torch.from_numpy(w64)
    ty = F.cross_entropy(tx, torch.from_numpy(target), tw, ignore_index=ignore_index, reduction="none")
    ty.backward(torch.from_numpy(gy64))
    close(loss, ty.detach().numpy(), dtype)
    close(gx, tx.grad.numpy(), dtype)


@pytest.mark.parametrize("inner", [1, 3])
def test_masked_and_infinite_scores_as_pytorch(inner):
    columns = [[-np.inf] * 3, [-np.inf, 0, 1], [np.inf, 0, 1], [np.nan, 0, 1], [1e4, -1e4, 0], [0, 0, -np.inf]]
    x = np.repeat(np.array(columns)[:, :, None], inner, 2)
    with np.errstate(invalid="ignore"):  # with the JIT off NumPy computes inf - inf aloud
        ours = kernel.softmax(x), kernel.log_softmax(x)
    theirs = F.softmax(torch.from_numpy(x), 1), F.log_softmax(torch.from_numpy(x), 1)
    for y, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(y, expected.numpy(), 1e-12)


def test_a_target_outside_the_classes_is_nan_and_reads_nothing():
    x = np.zeros((1, 3, 4))
    target = np.array([[0, 3, -1, 10**12]])
    loss, lse = kernel.cross_entropy(x, target)
    np.testing.assert_allclose(loss, [[np.log(3), np.nan, np.nan, np.nan]])
    gx = kernel.cross_entropy_grad(np.ones((1, 4)), x, lse, target)
    np.testing.assert_allclose(gx[0, :, 0], [1 / 3 - 1, 1 / 3, 1 / 3])
    assert np.isnan(gx[0, :, 1:]).all()


def test_half_types_empty_batches_and_views():
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        x = scores((2, 4, 5), dtype, 0)
        y = kernel.softmax(x)
        assert y.dtype == dtype
        np.testing.assert_allclose(y.astype(float), reference.softmax(x.astype(float)), atol=4e-3)
        loss, lse = kernel.cross_entropy(x, np.zeros((2, 5), np.int64))
        assert loss.dtype == dtype
        assert lse.dtype == np.float32
        assert kernel.cross_entropy_grad(loss, x, lse, np.zeros((2, 5), np.int64)).dtype == dtype
    for shape in ((0, 3, 4), (0, 3, 1), (2, 3, 0), (2, 0, 3), (2, 0, 1)):
        empty, target = np.zeros(shape), np.zeros((shape[0], shape[2]), np.int64)
        assert kernel.softmax(empty).shape == kernel.log_softmax(empty).shape == shape
        assert kernel.softmax_grad(empty, empty).shape == kernel.log_softmax_grad(empty, empty).shape == shape
        loss, lse = kernel.cross_entropy(empty, target)
        assert loss.shape == target.shape
        assert kernel.cross_entropy_grad(loss, empty, lse, target).shape == shape
    x = scores((5, 4, 2), np.float64, 1).T
    before = x.copy()
    y = kernel.softmax(x)
    np.testing.assert_allclose(y, reference.softmax(x), 1e-12)
    assert y.flags.c_contiguous
    assert np.array_equal(x, before)
