"""Padding on the CPU and by the CUDA kernels, emulated, against elements one by one and PyTorch."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tests.kernels_cuda import launched, names
from tinyseg.kernels import emulator
from tinyseg.kernels import pad as kernel
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.pad import reference

DRAWN = settings(max_examples=60)
MODES = ["constant", "reflect", "replicate", "circular"]


@st.composite
def problems(draw):
    """(shape, widths, mode) of one to four axes; widths may crop, and are such that the mode can repeat enough."""
    mode, shape, widths = draw(st.sampled_from(MODES)), [], []
    for _ in range(draw(st.integers(1, 4))):
        n = draw(st.sampled_from([1, 2, 4, 5, 9]))
        most = n - 1 if mode == "reflect" else n
        before, after = (draw(st.integers(-(n // 3), most)) if draw(st.booleans()) else 0 for _ in range(2))
        if mode == "circular":
            most = n - max(-before, 0) - max(-after, 0)
            before, after = min(before, most), min(after, most)
        shape.append(n)
        widths.append((before, after))
    return tuple(shape), tuple(widths), mode


def on(device, function, *args):
    """The result of either device as NumPy's; what is emulated is traced."""
    if device == "cpu":
        return function(*args)
    y, _ = launched(function, *args)
    return y


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@DRAWN
@given(problems(), st.sampled_from([np.float32, np.float64, np.float16, ml_dtypes.bfloat16]), st.integers(0, 99))
def test_padding_and_its_adjoint_equal_the_loops(device, problem, dtype, seed):
    shape, widths, mode = problem
    rng, value = np.random.default_rng(seed), 2.5 * (mode == "constant")
    x = rng.integers(-9, 10, shape).astype(dtype)
    expected = reference.pad(x, widths, mode, value)
    y = on(device, kernel.pad, x, widths, mode, value)
    assert y.dtype == dtype
    assert np.array_equal(y, expected)
    gy = rng.integers(-2, 3, y.shape).astype(dtype)
    gx = on(device, kernel.adjoint, gy, widths, mode)
    assert gx.dtype == dtype
    assert np.array_equal(gx.astype(float), reference.adjoint(gy.astype(float), widths, mode))


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64])
def test_integers_and_booleans_are_padded_too(device, dtype):
    x = np.arange(6).reshape(2, 3).astype(dtype)
    for mode in MODES:
        y = on(device, kernel.pad, x, ((0, 1), (2, 1)), mode, 1.0)
        assert y.dtype == dtype
        assert np.array_equal(y, reference.pad(x, ((0, 1), (2, 1)), mode, 1.0))


@pytest.mark.parametrize("mode", MODES)
def test_two_axes_in_one_pass(mode):
    x = emulated(np.random.default_rng(0).standard_normal((2, 3, 40, 70)).astype(np.float32))
    with emulator.record() as launches:
        y = kernel.pad(x, ((0, 0), (0, 0), (3, 1), (2, 2)), mode, 0.0)
        gx = kernel.adjoint(y, ((0, 0), (0, 0), (3, 1), (2, 2)), mode)
    assert names(launches) == ["pick", "pick" if mode == "constant" else "resize"]
    tx = torch.from_numpy(np.asarray(x)).requires_grad_()
    ty = F.pad(tx, (2, 2, 3, 1), mode)
    assert np.array_equal(np.asarray(y), ty.detach())
    ty.backward(ty.detach())
    np.testing.assert_allclose(np.asarray(gx), tx.grad, atol=1e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e-40])
def test_any_number_can_stand_around(value):
    x = np.ones((2, 3), np.float32)
    y = on("emulated", kernel.pad, x, ((1, 0), (0, 2)), "constant", value)
    assert np.array_equal(y, np.pad(x, ((1, 0), (0, 2)), constant_values=np.float32(value)), equal_nan=True)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
@pytest.mark.parametrize("mode", MODES)
def test_empty_arrays_and_nothing_to_do(device, mode):
    empty, x = np.zeros((0, 3, 4), np.float32), np.arange(12.0).reshape(3, 4)[::-1]
    assert on(device, kernel.pad, empty, ((0, 0), (1, 1), (1, 0)), mode, 0.0).shape == (0, 5, 5)
    padded = np.zeros((0, 5, 5), np.float32)
    assert on(device, kernel.adjoint, padded, ((0, 0), (1, 1), (1, 0)), mode).shape == (0, 3, 4)
    assert np.array_equal(on(device, kernel.pad, x, ((0, 0), (0, 0)), mode, 0.0), x)
    assert np.array_equal(on(device, kernel.pad, np.array(3.0), (), mode, 0.0), 3.0)


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_of_every_order(mode):
    x = ts.tensor(np.random.default_rng(0).standard_normal((2, 4, 5)), requires_grad=True)
    ts.gradcheck(lambda t: ts.nn.functional.pad(t**2, (2, -1, 1, 3), mode), (x,))
