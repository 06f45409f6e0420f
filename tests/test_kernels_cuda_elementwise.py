"""The element-wise CUDA kernels, emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import kernels_cuda
from tests.kernels_cuda import launched, same_in_every_order, shifted, wide, within
from tests.test_kernels_elementwise import ACTIVATIONS, LOSSES, OPTIMISERS, TAKES_OUTPUT, TIMES_X, UPDATES
from tinyseg.kernels import elementwise as kernel
from tinyseg.kernels import emulator
from tinyseg.kernels.elementwise import arrays, cuda
from tinyseg.kernels.emulated import emulated

DRAWN = settings(max_examples=60)
ROUNDING = {np.float64: 1e-13, np.float32: 1e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
close, drawn = functools.partial(within, ROUNDING), functools.partial(kernels_cuda.drawn, spread=3)
types = st.sampled_from([*ROUNDING])
sizes = st.sampled_from([0, 1, 3, 8, 31, 257, 1000, 3 * 2048 + 5])  # of packs of 2, 4 and 8, of less, of several blocks


@DRAWN
@given(st.sampled_from(cuda.ACTIVATIONS), sizes, types, st.booleans())
def test_activations(name, size, dtype, aside):
    check_activation("activate", name, size, dtype, aside)


@DRAWN
@given(st.sampled_from(cuda.CURVES), sizes, st.sampled_from([np.float32, ml_dtypes.bfloat16]), st.booleans())
def test_activations_with_settings_and_the_rarer_ones(name, size, dtype, aside):
    check_activation("curve", name, size, dtype, aside)


def check_activation(kernels, name, size, dtype, aside):
    (given_, theirs), at = ACTIVATIONS[name], shifted if aside else emulated
    x, gy = drawn(size, dtype, 0), drawn(size, dtype, 1)
    x[abs(x) == 3] = 1  # where pieces meet; half types come by it
    tx = wide(x).requires_grad_()
    ty = theirs(tx)
    y, names = launched(kernel.activate, name, at(x), *given_)
    close(y, ty.detach().numpy(), dtype)
    saved = y.astype(dtype) if name in TAKES_OUTPUT else x
    gx, grad_names = launched(kernel.activate_grad, name, at(gy), at(saved), *given_)
    if name == "sigmoid":  # from y as it was rounded
        expected = gy.astype(float) * y.astype(float) * (1 - y.astype(float))
    else:
        (expected,) = torch.autograd.grad(ty, tx, wide(gy))
    close(gx, np.asarray(expected), dtype, slack=2)
    assert names + grad_names == [kernels, f"{kernels}_grad"] * (size > 0)


def test_every_kind_has_a_number():
    assert sorted(ACTIVATIONS) == sorted(cuda.ACTIVATIONS + cuda.CURVES)
    assert sorted(LOSSES) == sorted(cuda.LOSSES)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_values_as_pytorch(name):
    x = np.array([-np.inf, -1e4, -100, -0.0, 0, 100, 1e4, np.inf, np.nan], np.float32)
    given_, theirs = ACTIVATIONS[name]
    y, _ = launched(kernel.activate, name, emulated(x), *given_)
    first = 1 if name in TIMES_X else 0  # x f(x) at -inf: a NaN that PyTorch may or may not produce
    np.testing.assert_allclose(y[first:], theirs(wide(x)).numpy()[first:], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hardtanh", "hardsigmoid", "softplus"])
def test_where_the_slope_is_0_or_1_any_gradient_is_chosen(name):
    gy, x = np.array([np.inf, np.inf, 1, 1], np.float32), np.array([-9, 9, np.nan, -np.inf], np.float32)
    given_, theirs = ACTIVATIONS[name]
    gx, _ = launched(kernel.activate_grad, name, emulated(gy), emulated(x), *given_)
    tx = torch.from_numpy(x).requires_grad_()
    (expected,) = torch.autograd.grad(theirs(tx), tx, torch.from_numpy(gy))
    np.testing.assert_array_equal(gx[[0, 1, 3]], expected.numpy()[[0, 1, 3]])


def test_differences_keep_their_digits_near_0():
    x = -np.geomspace(1e-30, 30, 400).astype(np.float32)
    few, exact = 8 * np.finfo(np.float32).eps, np.log1p(np.exp(x.astype(np.float64)))
    y, _ = launched(kernel.activate, "elu", emulated(x), 1, 1, 1)
    np.testing.assert_allclose(y, np.expm1(x.astype(np.float64)), rtol=few)
    y, _ = launched(kernel.activate, "softplus", emulated(x), 1, 20)
    np.testing.assert_allclose(y, exact, rtol=few)
    y, _ = launched(kernel.activate, "mish", emulated(x))
    np.testing.assert_allclose(y, x * np.tanh(exact), rtol=few)
    x = x[x > -6]  # the argument of erfc is rounded, and it changes by e^(-x^2 / 2)
    y, _ = launched(kernel.activate, "gelu", emulated(x))
    np.testing.assert_allclose(y, x * torch.special.erfc(wide(x) * -(0.5**0.5)).numpy() / 2, rtol=4 * few)


@DRAWN
@given(st.sampled_from(cuda.LOSSES), sizes, types, st.booleans(), st.booleans())
def test_losses(name, size, dtype, aside, one):
    (given_, theirs), at = LOSSES[name], shifted if aside else emulated
    x, t = drawn(size, dtype, 0, spread=2), (1 / (1 + np.exp(drawn(size, float, 1)))).astype(dtype)
    gy = drawn(() if one else size, dtype, 2)
    tx = wide(x).requires_grad_()
    ty = theirs(tx, wide(t), reduction="none")
    y, names = launched(kernel.loss, name, at(x), at(t), *given_)
    close(y, ty.detach().numpy(), dtype)
    gx, grad_names = launched(kernel.loss_grad, name, emulated(gy).reshape(gy.shape), at(x), at(t), *given_)
    (expected,) = torch.autograd.grad(ty, tx, wide(gy).expand(ty.shape))
    close(gx, expected.numpy(), dtype)
    total, sum_names = launched(kernel.loss_sum, name, at(x), at(t), *given_)
    assert total.shape == ()
    close(total, ty.sum().detach().numpy(), dtype)
    assert names + grad_names + sum_names == ["loss", "loss_grad", "loss_sums", "total"] * (size > 0)


def test_extreme_losses_as_pytorch():
    x = np.array([-np.inf, -1e4, -100, 0, 100, 1e4, np.inf, np.nan, 1, 0], np.float32)
    t = np.array([0, 0, 1, 0.5, 0, 1, 0, 0, np.nan, 0], np.float32)
    for name, (given_, theirs) in LOSSES.items():
        tx = wide(x).requires_grad_()
        ty = theirs(tx, wide(t), reduction="none")
        ty.sum().backward()
        y, _ = launched(kernel.loss, name, emulated(x), emulated(t), *given_)
        gx, _ = launched(kernel.loss_grad, name, emulated(np.ones(1, np.float32)).reshape(()), emulated(x), emulated(t),
                         *given_)  # fmt: skip
        np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(gx, tx.grad.numpy(), rtol=1e-6, err_msg=name)


@pytest.fixture
def few_blocks(monkeypatch):
    """Then threads go on with further packs, and blocks share a sum."""
    monkeypatch.setattr(cuda, "MOST_BLOCKS", 2)
    monkeypatch.setattr(cuda, "SUMS", 3)


def test_threads_go_on_with_further_packs(few_blocks):
    x, t = drawn(10_007, np.float32, 0), drawn(10_007, np.float32, 1)
    y, _ = launched(kernel.activate, "silu", emulated(x))
    close(y, F.silu(wide(x)).numpy(), np.float32)
    total, _ = launched(kernel.loss_sum, "square", emulated(x), emulated(t))
    assert abs(total / F.mse_loss(wide(x), wide(t), reduction="sum").item() - 1) < 1e-6


def test_every_order_of_threads_gives_the_same_bits(few_blocks):
    x, t = emulated(drawn(10_007, np.float32, 0)), emulated(drawn(10_007, np.float32, 1))
    same_in_every_order(kernel.loss_sum, "logistic", x, t)


# --- parts and choices -----------------------------------------------------------------------------------------------

two_types = st.sampled_from([np.float64, np.float16])


@DRAWN
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 4), st.sampled_from([1, 4, 7, 16, 40])), st.integers(0, 3), two_types
)
def test_scale(shape, axes, dtype):
    x, factors = drawn(shape, dtype, 0), drawn((*shape[:axes], *(1,) * (3 - axes)), dtype, 1)
    y, names = launched(kernel.scale, emulated(x), emulated(factors))
    assert np.array_equal(y, (x.astype(float) * factors.astype(float)).astype(dtype).astype(float))
    assert names == ["scale"] * (x.size > 0)


@DRAWN
@given(st.integers(0, 5), st.sampled_from([1, 2, 7, 8, 40, 600]), two_types, st.booleans())
def test_glu(outer, inner, dtype, aside):
    x, gy = drawn((outer, 2, inner), dtype, 0), drawn((outer, inner), dtype, 1)
    at = shifted if aside else emulated
    tx = wide(x).requires_grad_()
    ty = F.glu(tx, 1)[:, 0]
    y, names = launched(kernel.glu, at(x))
    close(y, ty.detach().numpy(), dtype)
    gx, grad_names = launched(kernel.glu_grad, at(gy), at(x))
    (expected,) = torch.autograd.grad(ty, tx, wide(gy))
    close(gx, expected.numpy(), dtype)
    assert names + grad_names == ["glu", "glu_grad"] * (x.size > 0)


@DRAWN
@given(sizes, st.sampled_from([bool, np.float16, np.int32, np.float64]), st.sampled_from(["", "a", "b", "ab"]))
def test_select(size, dtype, alone):
    a, b = (drawn(() if name in alone else size, dtype, seed) for seed, name in enumerate("ab"))
    condition = drawn(size, float, 2) > 0
    given_ = (emulated(v).reshape(np.shape(v)) for v in (condition, a, b))
    y, names = launched(kernel.select, *given_)
    assert np.array_equal(y, np.where(condition, a, b).astype(float))
    assert names == ["select"] * (size > 0)


def test_select_leaves_operands_that_broadcast_to_where():
    x, row = drawn((6, 5), np.float32, 0), drawn((1, 5), np.float32, 1)
    for given_ in ((x > 0, x, row), (x[:, :1] > 0, x, x), (x.T > 0, x.T, row.reshape(5, 1))):
        y, names = launched(kernel.select, *map(emulated, given_))
        assert np.array_equal(y, np.where(*given_))
        assert names == []


# --- updates ---------------------------------------------------------------------------------------------------------

STEPS = {  # states, and settings that have every scalar at work
    "sgd": (1, {"lr": 0.03, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    "adam": (3, {"lr": 0.03, "step": 3, "eps": 1e-3, "weight_decay": 0.1}),
    "rmsprop": (3, {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.1, "momentum": 0.9, "eps": 1e-2}),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", UPDATES)
def test_updates_take_pytorch_s_steps(name, dtype):
    states, update = UPDATES[name]
    p, state = drawn((41, 25), dtype, 0), [emulated(np.zeros((41, 25), dtype)) for _ in range(states)]
    theirs, ours = torch.from_numpy(p.copy()).requires_grad_(), emulated(p.copy())
    optimiser = OPTIMISERS[name]([theirs])
    for step in range(1, 5):
        g = drawn(p.shape, dtype, step)
        theirs.grad = torch.from_numpy(g.copy())
        optimiser.step()
        assert launched(update, ours, g, *state, step=step) == ([name],)
    close(np.asarray(ours), theirs.detach().numpy(), dtype, slack=10)


@DRAWN
@given(st.sampled_from([*STEPS]), types, st.sampled_from([0, 1, 7, 300]), st.integers(0, 7), st.booleans())
def test_updates_are_those_of_arrays_and_half_types_to_the_bit(name, dtype, size, absent, aside):
    """`absent`: a bit for each of decay, the last state and the second last, and what only one update has."""
    states, given_ = STEPS[name][0], dict(STEPS[name][1])
    if absent & 1:
        given_["weight_decay"] = 0
    given_ |= {"sgd": {"nesterov": bool(absent & 4)}, "adam": {"decoupled": bool(absent & 4)}}.get(name, {})
    state: list = [abs(drawn(size, dtype, seed)) for seed in range(2, 2 + states)]
    state[-1] = None if absent & 2 else state[-1]
    if name == "rmsprop":
        state[1] = None if absent & 4 else state[1]
        state[2] = None if absent & 2 else state[2] * dtype(0.1)  # the mean of a square is above the square of a mean
        state[0] = state[0] + dtype(1)
    arrays_ = [drawn(size, dtype, 0), drawn(size, dtype, 1), *state]
    ours = [None if a is None else (shifted if aside else emulated)(a) for a in arrays_]
    assert launched(getattr(kernel, f"{name}_update"), *ours, **given_) == ([name] * (size > 0),)
    by_arrays(name, arrays_, given_)
    for a, b in zip(ours, arrays_, strict=True):
        if b is not None and dtype in (np.float16, ml_dtypes.bfloat16):
            assert np.asarray(a).tobytes() == b.tobytes()
        elif b is not None:
            close(np.asarray(a), b, dtype, slack=4)


def by_arrays(name, given_arrays, given_):
    """The update by `arrays.py`, its scalars of the parameter's type, so that bfloat16 rounds after every operation."""
    real = given_arrays[0].dtype.type
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "backend", lambda family, x: Rounding(real))
        getattr(kernel, f"{name}_update")(*given_arrays, **given_)


class Rounding:
    """`arrays.py` as a backend, for scalars of one type."""

    def __init__(self, real):
        self.real = real

    def __getattr__(self, name):
        def update(*given_):
            getattr(arrays, name)(*(self.real(v) if isinstance(v, float | int) else v for v in given_))

        return update


def test_updates_of_strided_arrays_go_array_by_array():
    p, g = (emulated(drawn((6, 5), np.float32, seed)).T for seed in (0, 1))
    expected = np.asarray(p) - np.float32(0.1) * np.asarray(g)
    assert launched(kernel.sgd_update, p, g, lr=0.1) == ([],)
    assert np.array_equal(p, expected)


# --- what the accesses cost ------------------------------------------------------------------------------------------


def test_every_access_is_16_bytes_and_no_sector_is_wasted():
    x = [emulated(drawn(2048, np.float32, seed)) for seed in range(4)]
    with emulator.profile() as costs:
        kernel.activate_grad("gelu", x[0], x[1])
        kernel.loss_grad("huber", x[0], x[1], x[2], 1.0, 1.0)
        kernel.adam_update(*x, step=1, lr=0.1)
        kernel.glu_grad(x[0].reshape(2, 1024), emulated(drawn((2, 2, 1024), np.float32, 4)))
        kernel.loss_sum("square", x[0], x[1])
    rows = [row for row in costs.select(memory="global") if row.kernel != "total" and row.requests > 8]
    assert {row.kernel for row in rows} == {"activate_grad", "loss_grad", "adam", "glu_grad", "loss_sums"}
    assert all((row.size, row.per_request) == (16, 16) for row in rows)
