"""Local response norm: the loops, the CPU and the CUDA kernels, emulated and traced, against PyTorch in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tests.kernels_cuda import drawn, launched, same_in_every_order, wide, within
from tinyseg.gradcheck import gradcheck
from tinyseg.kernels import emulator, norm
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.norm import reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)
ROUNDING = {np.float64: 1e-13, np.float32: 1e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
FORWARD = {5: ["response_5"]}
BACKWARD = {5: ["response_grad_5"]}


def theirs(gy, x, size, *settings):
    """PyTorch's value and gradient."""
    leaf = wide(x).requires_grad_()
    y = F.local_response_norm(leaf, size, *settings)
    return y.detach().numpy(), torch.autograd.grad(y, leaf, wide(gy))[0].numpy()


shapes = st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 4, 5, 17, 40]), st.sampled_from([1, 6, 65, 260]))


@DRAWN
@given(shapes, st.sampled_from([1, 2, 3, 4, 5, 5, 5, 6, 11, 90]), st.sampled_from([*ROUNDING]), st.integers(0, 99))
def test_every_backend_equals_pytorch(shape, size, dtype, seed):
    x, gy = drawn(shape, dtype, seed, spread=2), drawn(shape, dtype, seed + 1)
    how = size, 0.9, 0.75, 1.5
    y, gx = theirs(gy, x, *how)
    ours, names = launched(norm.response_norm, x, *how)
    back, more = launched(norm.response_norm_grad, gy, x, *how)
    assert names == FORWARD.get(size, ["response_any"])
    assert more == BACKWARD.get(size, ["response_terms", "response_grad_any"])
    for found, expected in ((ours, y), (back, gx)):
        within(ROUNDING, found, expected, dtype)
    for found, expected in ((norm.response_norm(x, *how), y), (norm.response_norm_grad(gy, x, *how), gx)):
        within(ROUNDING, found, expected, dtype)


@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_the_loops_equal_pytorch(size):
    x, gy, how = drawn((2, 6, 3), float), drawn((2, 6, 3), float, 1), (size, 0.9, -0.5, 1.5)
    y, gx = theirs(gy, x, *how)
    np.testing.assert_allclose(reference.response_norm(x, *how), y, rtol=1e-12)
    np.testing.assert_allclose(reference.response_norm_grad(gy, x, *how), gx, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("channels", [32, 33, 40, 47])  # two threads for a pixel, the second with as many or fewer
def test_threads_that_share_the_channels(size, channels):
    x, gy = drawn((1, channels, 7), float), drawn((1, channels, 7), float, 1)
    y, gx = theirs(gy, x, size, 0.9, 0.75, 1.5)
    with emulator.record() as launches:
        within(ROUNDING, np.asarray(norm.response_norm(emulated(x), size, 0.9, 0.75, 1.5)), y, np.float64)
    assert launches[0].grid[0] * 256 >= 14
    within(ROUNDING, launched(norm.response_norm_grad, gy, x, size, 0.9, 0.75, 1.5)[0], gx, np.float64)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(
    "how", [(0.9, 0.75, 0.0), (-0.5, 1.0, 0.3), (-0.5, 0.75, 0.3), (1.0, 2.0, -9.0), (0.9, -2.0, 0)]
)
def test_special_values_as_pytorch(size, how):
    """Zeros where k is 0, denominators below 0, infinity, NaN: on every backend."""
    x = drawn((2, 13, 5), float)
    x[0, :7], x[1, 2, 3], x[1, 9, 1] = 0, np.nan, np.inf
    gy = drawn(x.shape, float, 1)
    y, gx = theirs(gy, x, size, *how)
    for found in (launched(norm.response_norm, x, size, *how)[0], norm.response_norm(x, size, *how)):
        np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-12)
    usual = np.isfinite(gx)
    for found in (
        launched(norm.response_norm_grad, gy, x, size, *how)[0], norm.response_norm_grad(gy, x, size, *how)
    ):  # fmt: skip
        np.testing.assert_allclose(found[usual], gx[usual], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [3, 5])
def test_a_large_value_leaves_nothing_behind(size):
    """What a running sum would do: after 1e4 has passed, sums of small squares are those of small squares."""
    x = np.full((1, 20, 40), 1e-3, np.float32)
    x[0, 5] = 1e4
    expected = theirs(x, x, size, 1e6, 0.75, 0.0)[0]
    for y in (launched(norm.response_norm, x, size, 1e6, 0.75, 0.0)[0], norm.response_norm(x, size, 1e6, 0.75, 0.0)):
        np.testing.assert_allclose(y, expected, rtol=2e-6)


def test_second_derivatives():
    for device in ("cpu", "emulated"):
        for size in (4, 5):
            x = ts.tensor(drawn((2, 7, 3, 2), float), device=device, requires_grad=True)
            assert gradcheck(
                lambda x, size=size: ts.nn.functional.local_response_norm(x, size, 0.9, 0.6, 1.5), [x], order=2
            )


def test_a_half_type_is_rounded_once():
    """Squares of 300 do not fit float16; the value does, and is the exact one rounded, up to its last bit."""
    x = ts.tensor(drawn((1, 9, 50), np.float16, spread=300), device="emulated", requires_grad=True)
    y = ts.nn.functional.local_response_norm(x, 5)
    expected = theirs(np.ones(x.shape), np.asarray(x.data), 5, 1e-4, 0.75, 1.0)
    assert y.dtype == ts.float16
    np.testing.assert_allclose(np.asarray(y.data).astype(float), expected[0], rtol=1e-3, atol=1e-6)
    (gx,) = ts.grad(y.sum(), [x], create_graph=True)
    np.testing.assert_allclose(np.asarray(gx.data).astype(float), expected[1], rtol=1e-3, atol=1e-5)
    (ggx,) = ts.grad(gx.sum(), [x])
    assert ggx.dtype == ts.float16
    assert np.isfinite(np.asarray(ggx.data).astype(float)).all()


@pytest.mark.parametrize("size", [3, 5])
def test_every_order_of_threads_gives_the_same_bits(size):
    x, gy = emulated(drawn((2, 40, 33))), emulated(drawn((2, 40, 33), seed=1))
    same_in_every_order(lambda: (norm.response_norm(x, size, 1.0, 0.75, 1.0),
                                 norm.response_norm_grad(gy, x, size, 1.0, 0.75, 1.0)))  # fmt: skip


def test_empty_arrays_launch_nothing():
    for shape in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        y, gx = drawn(shape), drawn(shape)
        assert launched(norm.response_norm, y, 5, 1.0, 0.75, 1.0)[1] == []
        back, names = launched(norm.response_norm_grad, gx, y, 3, 1.0, 0.75, 1.0)
        assert back.shape == shape
        assert names == []


def test_windows_of_five_move_each_byte_once():
    """But for the channels that threads who share a pixel have in common; a plane of 13 x 13 has no packs of four."""
    x, gy = (emulated(drawn((2, 24, 169), seed=seed)) for seed in (0, 1))
    with emulator.profile() as costs:
        norm.response_norm_grad(gy, x, 5, 1.0, 0.75, 1.0)
    moved = {access: sum(row.requests for row in costs.select(memory="global", access=access)) for access in
             ("load", "store")}  # fmt: skip
    warps = -(-2 * 169 // 32)
    assert moved == {"load": 2 * 24 * warps, "store": 24 * warps}
    assert all(row.transactions <= 1.3 * row.ideal for row in costs.rows), costs  # lines begin within a sector
