"""The CUDA kernels of softmax and cross-entropy, emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import drawn, launched, same_in_every_order, within
from tinyseg.kernels import emulator
from tinyseg.kernels import softmax as kernel
from tinyseg.kernels.emulated import emulated

DRAWN = settings(max_examples=25)
ROUNDING = {np.float64: 1e-12, np.float32: 1e-5, np.float16: 2e-3, ml_dtypes.bfloat16: 2e-2}
close, scores = functools.partial(within, ROUNDING), functools.partial(drawn, spread=3)
types = st.sampled_from([*ROUNDING])
shapes = st.tuples(
    st.integers(0, 3), st.sampled_from([1, 2, 5, 8, 31, 33, 64, 256, 257, 300, 512]), st.sampled_from([1, 1, 2, 9, 65])
)


@DRAWN
@given(shapes, types, st.booleans(), st.integers(0, 99))
def test_softmax(shape, dtype, log, seed):
    x = scores(shape, dtype, seed)
    ours, theirs = (kernel.log_softmax, F.log_softmax) if log else (kernel.softmax, F.softmax)
    y, names = launched(ours, emulated(x))
    close(y, theirs(torch.from_numpy(x.astype(float)), 1).numpy(), dtype)
    assert names == ["softmax"] * (x.size > 0)


@DRAWN
@given(shapes, types, st.booleans(), st.integers(0, 99))
def test_softmax_grad(shape, dtype, log, seed):
    gy, x = scores(shape, dtype, seed), scores(shape, dtype, seed + 1)
    ours, theirs = (kernel.log_softmax_grad, F.log_softmax) if log else (kernel.softmax_grad, F.softmax)
    y = theirs(torch.from_numpy(x.astype(float)), 1).numpy().astype(dtype)
    gx, names = launched(ours, emulated(gy), emulated(y))
    g, s = torch.from_numpy(gy.astype(float)), torch.from_numpy(y.astype(float))
    expected = g - s.exp() * g.sum(1, keepdim=True) if log else s * (g - (g * s).sum(1, keepdim=True))
    close(gx, expected.numpy(), dtype, slack=float(np.abs(gy.astype(float)).sum(1).max(initial=1)))
    assert names == ["softmax_grad"] * (x.size > 0)


@DRAWN
@given(shapes, types, st.integers(0, 99))
def test_cross_entropy_and_its_gradient(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    x, weight = scores(shape, dtype, seed), (0.5 + rng.random(shape[1])).astype(dtype)
    target = rng.integers(0, shape[1], (shape[0], shape[2]))
    target[rng.random(target.shape) < 0.2] = -100
    gy = scores(target.shape, dtype, seed + 1)
    given_ = emulated(x), emulated(target), emulated(weight)
    loss, lse, names = launched(kernel.cross_entropy, *given_)
    wide = torch.from_numpy(x.astype(float)).requires_grad_()
    theirs = F.cross_entropy(
        wide, torch.from_numpy(target), torch.from_numpy(weight.astype(float)), reduction="none", ignore_index=-100
    )
    close(loss, theirs.detach().numpy(), dtype)
    close(lse, torch.logsumexp(wide, 1).detach().numpy(), np.float64 if dtype is np.float64 else np.float32)
    gx, grad_names = launched(kernel.cross_entropy_grad, emulated(gy), given_[0], lse, *given_[1:])
    (expected,) = torch.autograd.grad(theirs, wide, torch.from_numpy(gy.astype(float)))
    close(gx, expected.numpy(), dtype)
    assert names + grad_names == ["cross_entropy", "cross_entropy_grad"] * (x.size > 0)


@pytest.mark.parametrize("k", [4095, 4096, 4097, 4104])  # what a block of 512 threads holds: rows beyond are read twice
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_that_do_and_do_not_fit_the_registers(k, dtype):
    x, gy, target = scores((2, k, 1), dtype, k), scores((2, k, 1), dtype, k + 1), np.array([[7], [k - 1]])
    wide, g = torch.from_numpy(x.astype(float)).requires_grad_(), torch.from_numpy(gy.astype(float))
    y = F.softmax(wide, 1)
    ours, _ = launched(kernel.softmax, emulated(x))
    np.testing.assert_allclose(ours.astype(float), y.detach().numpy(), rtol=10 * ROUNDING[dtype], atol=1e-6)
    saved = y.detach().numpy().astype(dtype)
    gx, _ = launched(kernel.softmax_grad, emulated(gy), emulated(saved))
    p = torch.from_numpy(saved.astype(float))
    np.testing.assert_allclose(gx.astype(float), (p * (g - (g * p).sum(1, keepdim=True))).numpy(), rtol=1e-2, atol=1e-5)
    loss, lse, _ = launched(kernel.cross_entropy, emulated(x), emulated(target))
    expected = F.cross_entropy(wide, torch.from_numpy(target), reduction="none")
    close(loss, expected.detach().numpy(), dtype)
    ones = np.ones((2, 1), dtype)
    args = emulated(x), emulated(lse), emulated(target)
    gx, _ = launched(kernel.cross_entropy_grad, emulated(ones), *args)
    np.testing.assert_allclose(
        gx.astype(float), torch.autograd.grad(expected.sum(), wide)[0].numpy(), rtol=1e-2, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(8, 64, 1), (3, 1024, 1), (2, 5, 64)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_each_sector_is_read_once_and_written_once(shape, dtype):
    x = emulated(scores(shape, dtype, 0))
    with emulator.profile() as costs:
        kernel.softmax(x)
    for access in ("load", "store"):
        assert sum(row.transactions for row in costs.select(memory="global", access=access)) == x.nbytes // 32, costs
    assert all(row.transactions == row.ideal for row in costs.rows), costs


@pytest.mark.parametrize("inner", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_as_pytorch(inner, bad):
    x = scores((3, 40, inner), np.float32, 0)
    x[1, 35], x[2] = bad, -np.inf
    for ours, theirs in ((kernel.softmax, F.softmax), (kernel.log_softmax, F.log_softmax)):
        y, _ = launched(ours, emulated(x))
        expected = theirs(torch.from_numpy(x), 1).numpy()
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        np.testing.assert_allclose(y[0], expected[0], atol=1e-5)


def test_a_target_outside_the_classes_is_nan_and_reads_nothing():
    x, target = scores((1, 3, 4), np.float32, 0), np.array([[0, 3, -1, -100]])
    args = emulated(x), emulated(target), emulated(np.ones(3, np.float32))
    loss, lse, _ = launched(kernel.cross_entropy, *args)
    assert np.isnan(loss[0]).tolist() == [False, True, True, False]
    gy = emulated(np.ones((1, 4), np.float32))
    gx, _ = launched(kernel.cross_entropy_grad, gy, args[0], emulated(lse), *args[1:])
    assert np.isnan(gx).any(1)[0].tolist() == [False, True, True, False]


@pytest.mark.parametrize("shape", [(5, 300, 1), (2, 7, 90)])
def test_every_order_of_threads_gives_the_same_bits(shape):
    same_in_every_order(kernel.softmax, emulated(scores(shape, np.float32, 3)))
