"""The CUDA kernels of normalisation, emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import drawn as draw
from tests.kernels_cuda import launched, same_in_every_order, shifted, within
from tinyseg.kernels import emulator
from tinyseg.kernels import norm as kernel
from tinyseg.kernels.emulated import emulated, plain

DRAWN = settings(max_examples=25)
ROUNDING = {np.float64: 1e-12, np.float32: 3e-6, np.float16: 2e-3, ml_dtypes.bfloat16: 2e-2}
EPS = 1e-5
types = st.sampled_from([*ROUNDING])
shapes = st.tuples(
    st.integers(1, 5), st.sampled_from([1, 2, 3, 33]), st.sampled_from([1, 3, 16, 63, 64, 65, 256, 260, 600])
)
views = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 2, 5, 8]), st.sampled_from([1, 1, 4, 9, 63, 64, 100])
)


def close(got, expected, dtype, scale=1.0):
    """Within the rounding of the type, of values that were added up from terms of the size of `scale`."""
    within(ROUNDING, got, expected, dtype, least=scale)


def statistic(dtype):
    return np.float64 if dtype is np.float64 else np.float32


def doubles(*arrays):
    return [torch.from_numpy(a.astype(float)).requires_grad_() for a in arrays]


def batch(shape, dtype, seed):
    """x, gy, weight, bias, and the mean and rstd of x, exact."""
    x, gy = draw(shape, dtype, seed), draw(shape, dtype, seed + 1)
    wide = x.astype(float).swapaxes(0, 1).reshape(shape[1], -1)
    mean, rstd = wide.mean(1).astype(statistic(dtype)), ((wide.var(1) + EPS) ** -0.5).astype(statistic(dtype))
    return x, gy, draw(shape[1], dtype, seed + 2), draw(shape[1], dtype, seed + 3), mean, rstd


def sums_of(shape, what):
    return f"{'column' if shape[2] < 64 else 'plane'}_{what}"


@DRAWN
@given(shapes, types, st.integers(0, 99))
def test_moments(shape, dtype, seed):
    x = 3 + draw(shape, dtype, seed)
    x = x.astype(dtype)
    mean, var, rstd, names = launched(kernel.moments, emulated(x), EPS)
    variance, centre = torch.var_mean(torch.from_numpy(x.astype(float)), (0, 2), unbiased=False)
    bound = ROUNDING[statistic(dtype)]
    np.testing.assert_allclose(mean, centre.numpy(), rtol=bound)
    np.testing.assert_allclose(var, variance.numpy(), rtol=bound, atol=bound)
    np.testing.assert_allclose(rstd, (var.astype(float) + EPS) ** -0.5, rtol=bound)
    assert mean.dtype == var.dtype == rstd.dtype == statistic(dtype)
    assert names == [sums_of(shape, "moments"), "finish_moments"]


@DRAWN
@given(shapes, types, st.booleans(), st.integers(0, 99))
def test_normalize(shape, dtype, relu, seed):
    x, _, w, b, mean, rstd = batch(shape, dtype, seed)
    y, names = launched(kernel.normalize, *map(emulated, (x, mean, rstd, w, b)), relu)
    wide, weight, bias, m, r = doubles(x, w, b, mean, rstd)
    expected = F.batch_norm(wide, m.detach(), r.detach() ** -2, weight, bias, eps=0)
    close(y, (F.relu(expected) if relu else expected).detach().numpy(), dtype)
    assert names == ["normalize"]


@DRAWN
@given(shapes, types, st.booleans(), st.integers(0, 99))
def test_grad(shape, dtype, relu, seed):
    if shape[0] * shape[2] == 1:
        return  # no variance: PyTorch refuses it
    x, gy, w, b, mean, rstd = batch(shape, dtype, seed)
    wide, weight, bias = doubles(x, w, b)
    y = F.batch_norm(wide, None, None, weight, bias, training=True, eps=EPS)
    gy[np.abs(y.detach().numpy()) < 1e-2] = 0  # rounding decides which side of the kink they are
    grads = torch.autograd.grad(F.relu(y) if relu else y, (wide, weight, bias), torch.from_numpy(gy.astype(float)))
    gx, gw, gb, names = launched(kernel.grad, *map(emulated, (gy, x, mean, rstd, w, b)), relu)
    terms = float(np.abs(gy.astype(float)).sum((0, 2)).max())
    close(gx, grads[0].numpy(), dtype, 10 * float(rstd.max()))
    close(gw, grads[1].numpy(), dtype, terms if dtype in (np.float32, np.float64) else 1)
    close(gb, grads[2].numpy(), dtype, terms if dtype in (np.float32, np.float64) else 1)
    assert names == [sums_of(shape, "sums"), "finish_sums", "grad_input"]


@DRAWN
@given(shapes, types, st.integers(0, 99))
def test_grad_eval(shape, dtype, seed):
    x, gy, w, b, mean, rstd = batch(shape, dtype, seed)
    wide, weight, bias, m, r = doubles(x, w, b, mean, rstd)
    y = F.batch_norm(wide, m.detach(), r.detach() ** -2, weight, bias, eps=0)
    expected = [g.numpy() for g in torch.autograd.grad(y, (wide, weight, bias), torch.from_numpy(gy.astype(float)))]
    *ours, names = launched(kernel.grad_eval, *map(emulated, (gy, x, mean, rstd, w)))
    terms = float(np.abs(gy.astype(float)).sum((0, 2)).max())
    for got, want in zip(ours, expected, strict=True):
        close(got, want, dtype, terms)
    assert names == ["normalize", sums_of(shape, "sums"), "finish_sums"]
    gx, gw, gb = kernel.grad_eval(emulated(gy), None, *map(emulated, (mean, rstd, w)))
    assert gw is None
    np.testing.assert_array_equal(plain(gx), ours[0])
    np.testing.assert_array_equal(plain(gb), ours[2])


def torch_group_norm(x, weight, bias):
    """y over a view (N, G, K, S)."""
    samples, groups, k, size = x.shape
    flat = F.group_norm(x.reshape(samples, groups * k, size), groups, weight.reshape(-1), bias.reshape(-1), EPS)
    return flat.reshape(x.shape)


def check_group_norm(view, dtype, seed):
    """Forward and backward; the names of the kernels."""
    x, gy = draw(view, dtype, seed), draw(view, dtype, seed + 1)
    w, b = draw((2, *view[1:3]), dtype, seed + 2)
    y, mean, var, rstd, names = launched(kernel.group_norm, *map(emulated, (x, w, b)), EPS)
    wide, weight, bias = doubles(x, w, b)
    theirs = torch_group_norm(wide, weight, bias)
    terms = float(np.abs(x.astype(float)).max())
    close(y, theirs.detach().numpy(), dtype, 10 * terms)
    variance, centre = torch.var_mean(wide.detach(), (2, 3), unbiased=False)
    close(mean, centre.numpy(), statistic(dtype), terms)
    close(var, variance.numpy(), statistic(dtype), terms**2)
    np.testing.assert_allclose(rstd, (var.astype(float) + EPS) ** -0.5, rtol=ROUNDING[statistic(dtype)])
    rstd = ((variance + EPS) ** -0.5).numpy().astype(statistic(dtype))
    expected = torch.autograd.grad(theirs, (wide, weight, bias), torch.from_numpy(gy.astype(float)))
    exact = centre.numpy().astype(statistic(dtype))
    *ours, backward = launched(kernel.group_norm_grad, *map(emulated, (gy, x, exact, rstd, w)))
    terms = float(np.abs(gy.astype(float)).sum((0, 3)).max())
    for got, want, scale in zip(ours, expected, (10 * float(rstd.max()), terms, terms), strict=True):
        close(got, want.numpy(), dtype, scale)
    return names, backward


@DRAWN
@given(views, types, st.integers(0, 99))
def test_group_norm(view, dtype, seed):
    if view[0] * view[2] * view[3] == 1 or view[2] * view[3] == 1:
        return  # one value in a group
    names, backward = check_group_norm(view, dtype, seed)
    assert names == ["group_norm"]
    by_planes = ["plane_sums", "group_means", "grad_input", "finish_sums"]
    assert backward == (by_planes if view[3] >= 64 else ["group_norm_grad", "finish_sums"])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(
    ("view", "forward", "backward"),
    [
        ((2, 1, 256, 1), "group_norm", "group_norm_grad"),  # the most of a warp, and of a block
        ((2, 1, 257, 1), "group_norm", "group_norm_grad"),
        ((1, 2, 4096, 1), "group_norm", "group_norm_grad"),
        ((1, 2, 4104, 1), "plane_moments", "plane_sums"),
        ((2, 2, 821, 5), "plane_moments", "plane_sums"),
        ((1, 2, 3, 3000), "plane_moments", "plane_sums"),
        ((70, 1, 12, 1), "group_norm", "group_norm_grad"),
    ],
)
def test_rows_that_do_and_do_not_fit_the_registers(view, forward, backward, dtype):
    names, names_back = check_group_norm(view, dtype, 5)
    assert (names[0], names_back[0]) == (forward, backward)
    assert names[1:] == ([] if forward == "group_norm" else ["finish_moments", "normalize"])


def test_teams_take_several_samples(monkeypatch):
    from tinyseg.kernels.norm import cuda_groups

    monkeypatch.setattr(cuda_groups, "BUSY", 16)
    for view in ((37, 2, 8, 1), (5, 1, 300, 1), (33, 3, 2, 4)):  # the last team has fewer than the others
        check_group_norm(view, np.float32, 7)


def test_a_large_offset_costs_no_bits():
    for shape in ((3, 2, 3000), (2000, 4, 1)):
        x = (1e4 + draw(shape, np.float64, 0)).astype(np.float32)
        mean, var, _, _ = launched(kernel.moments, emulated(x), EPS)
        exact = x.astype(float)
        np.testing.assert_array_equal(mean, exact.mean((0, 2)).astype(np.float32))  # rounded once
        np.testing.assert_allclose(var, exact.var((0, 2)), rtol=5e-7)
    x = (1e4 + draw((2, 3, 4, 200), np.float64, 0)).astype(np.float32)
    ones = emulated(np.ones((3, 4), np.float32))
    y, *_ = launched(kernel.group_norm, emulated(x), ones, None, EPS)
    exact = x.astype(float)
    apart = exact - exact.mean((2, 3), keepdims=True)
    expected = apart / np.sqrt(exact.var((2, 3), keepdims=True) + EPS)
    np.testing.assert_allclose(y, expected, atol=2e-6)
    theirs = F.group_norm(torch.from_numpy(x.reshape(2, 12, 200)), 3, eps=EPS).numpy().reshape(x.shape)
    assert np.abs(y - expected).max() <= np.abs(theirs - expected).max()


def test_nan_and_infinity_stay_in_their_channel():
    for shape in ((3, 4, 5), (2, 4, 300)):
        x, gy, w, b, _, _ = batch(shape, np.float32, 0)
        x[1, 1, 3], x[0, 2, 1] = np.nan, np.inf
        mean, var, rstd, _ = launched(kernel.moments, emulated(x), EPS)
        assert np.isnan(var).tolist() == np.isnan(rstd).tolist() == [False, True, True, False]
        args = [*map(emulated, (x, mean, rstd, w, b))]
        y, _ = launched(kernel.normalize, *args, True)
        assert np.isnan(y).all((0, 2)).tolist() == [False, True, True, False]
        assert not np.isnan(y[:, 0]).any()
        gx, *_ = launched(kernel.grad, emulated(gy), *args, True)
        assert np.isnan(gx).any((0, 2)).tolist() == [False, True, True, False]


def test_equal_gradients_cancel():
    """Two values of a channel always have x̂ = ±1 (but for eps): gx is nearly 0; one value of a group: exactly 0."""
    view = (2, 3, 1, 1)
    zeros, ones = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    args = draw(view, np.float32, 0), draw(view, np.float32, 1), zeros, 300 * ones, draw((3, 1), np.float32, 2)
    x = args[1]
    gx, *_ = launched(kernel.group_norm_grad, *map(emulated, (args[0], x, x.reshape(2, 3), *args[3:])))
    assert not gx.any()


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 2, 100)])
def test_nothing_is_launched_for_nothing(shape):
    x, vector = emulated(np.empty(shape, np.float32)), emulated(np.ones(shape[1], np.float32))
    mean, var, rstd, names = launched(kernel.moments, x, EPS)
    assert np.isnan([mean, var, rstd]).all()
    assert mean.shape == (shape[1],)
    y, more = launched(kernel.normalize, x, vector, vector)
    gx, gw, gb, most = launched(kernel.grad, x, x, vector, vector)
    assert y.shape == gx.shape == shape
    assert not gw.any()
    assert not gb.any()
    assert gw.shape == (shape[1],)
    view = emulated(np.empty((shape[0], 1, *shape[1:]), np.float32))
    y, mean, *_, rest = launched(kernel.group_norm, view, None, None, EPS)
    assert y.shape == view.shape
    assert mean.shape == (shape[0], 1)
    *_, last = launched(kernel.group_norm_grad, view, view, emulated(mean), emulated(mean))
    assert names + more + most + rest + last == []


def test_arrays_that_begin_anywhere():
    """A view of 4 bytes further on is read value by value, with the same result."""

    for shape in ((3, 4, 8), (2, 2, 128)):
        x, gy, w, b, mean, rstd = batch(shape, np.float32, 0)
        rest = [*map(emulated, (mean, rstd, w, b))]
        for function, arrays in ((kernel.moments, (x,)), (kernel.normalize, (x,)), (kernel.grad, (gy, x))):
            others = [EPS] if function is kernel.moments else rest
            *straight, _ = launched(function, *map(emulated, arrays), *others)
            *ours, _ = launched(function, *map(shifted, arrays), *others)
            for a, c in zip(ours, straight, strict=True):
                np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)
    view = draw((2, 2, 8, 1), np.float32, 0)
    straight, *_ = launched(kernel.group_norm, emulated(view), None, None, EPS)
    ours, *_ = launched(kernel.group_norm, shifted(view), None, None, EPS)
    np.testing.assert_allclose(ours, straight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 3, 5), (3, 2, 1100)])
def test_every_order_of_threads_gives_the_same_bits(shape):
    x, gy, w, b, mean, rstd = batch(shape, np.float32, 3)
    vectors = [*map(emulated, (mean, rstd, w, b))]
    view, many = emulated(x[:, :, None]), emulated(np.ones(shape[:2], np.float32))
    x, gy = emulated(x), emulated(gy)
    same_in_every_order(kernel.moments, x, EPS, mode="trace")
    same_in_every_order(kernel.grad, gy, x, *vectors, True, mode="trace")
    same_in_every_order(kernel.group_norm, view, None, None, EPS, mode="trace")
    same_in_every_order(kernel.group_norm_grad, view, view, many, many, mode="trace")


@pytest.mark.parametrize("shape", [(8, 64, 1), (4, 8, 16), (2, 3, 1024)])
def test_each_sector_is_read_once_by_each_pass(shape):
    x, gy, w, b, mean, rstd = batch(shape, np.float32, 0)
    vectors, sectors = [*map(emulated, (mean, rstd, w, b))], x.nbytes // 32
    with emulator.profile() as costs:
        kernel.moments(emulated(x), EPS)
        kernel.grad(emulated(gy), emulated(x), *vectors)
    whole = [row for row in costs.select(memory="global") if "pack.cuh" in row.place.file]
    loads = {
        name: sum(r.transactions for r in whole if r.kernel == name and r.access == "load")
        for name in (sums_of(shape, "moments"), sums_of(shape, "sums"), "grad_input")
    }
    assert loads == {sums_of(shape, "moments"): sectors, sums_of(shape, "sums"): 2 * sectors, "grad_input": 2 * sectors}
    assert all(row.transactions == row.ideal for row in costs.select(memory="shared")), costs
    assert all(row.transactions == row.ideal for row in whole), costs


def test_layer_norm_reads_its_rows_once():
    view = (16, 1, 64, 1)
    x, ones = emulated(draw(view, np.float32, 0)), emulated(np.ones((16, 1), np.float32))
    with emulator.profile() as costs:
        kernel.group_norm(x, None, None, EPS)
        kernel.group_norm_grad(x, x, ones, ones)
    half = x.nbytes // 32 // 2  # what a parameter costs: a warp has two rows
    for name, times in (("group_norm", 2 + 1 + 1), ("group_norm_grad", 2 + 2 + 1)):  # x, w, b, and gy, x, w
        loads = [r for r in costs.select(memory="global", access="load") if r.kernel == name and r.size == 16]
        assert sum(r.transactions for r in loads) == sum(r.ideal for r in loads) == times * half, costs
