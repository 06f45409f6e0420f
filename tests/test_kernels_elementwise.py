"""Element-wise kernels against one-number definitions, and the optimisers' updates against PyTorch's steps."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tinyseg.kernels import elementwise as kernel
from tinyseg.kernels.elementwise import reference

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-13}
ACTIVATIONS = {  # settings and PyTorch's function
    "relu": ((), F.relu),
    "sigmoid": ((), torch.sigmoid),
    "silu": ((), F.silu),
    "gelu": ((), F.gelu),
    "gelu_tanh": ((), lambda x: F.gelu(x, approximate="tanh")),
    "leaky_relu": ((0.2,), lambda x: F.leaky_relu(x, 0.2)),
    "hardtanh": ((-0.7, 1.3), lambda x: F.hardtanh(x, -0.7, 1.3)),
    # written out: in float64 PyTorch's own multiplies the gradient with a sixth of float32
    "hardsigmoid": ((), lambda x: torch.clamp(x + 3, 0, 6) / 6),
    "hardswish": ((), F.hardswish),
    "elu": ((0.75, 1 / 0.75, 1.5), lambda x: 1.5 * F.celu(x, 0.75)),
    "softplus": ((2.0, 3.0), lambda x: F.softplus(x, 2.0, 3.0)),
    "mish": ((), F.mish),
}
LOSSES = {
    "square": ((), F.mse_loss),
    "absolute": ((), F.l1_loss),
    "huber": ((0.5, 3.0), lambda x, t, reduction: 3 * F.huber_loss(x, t, reduction, 0.5)),
    "logistic": ((), F.binary_cross_entropy_with_logits),
}
TAKES_OUTPUT = ("relu", "sigmoid")
TIMES_X = ("silu", "gelu", "gelu_tanh", "hardswish", "mish")
LARGE = (3, 211, 223)  # several chunks, the last one not full
SIZES = [(0,), (1,), (7, 5), LARGE]
sized = pytest.mark.parametrize("shape", SIZES, ids=str)
typed = pytest.mark.parametrize("dtype", [np.float32, np.float64])


@pytest.fixture(autouse=True)
def small_with_the_jit_off(request, monkeypatch):
    """Python walks element by element: let it cut a small array into chunks in place of a large one."""
    import numba

    if numba.config.DISABLE_JIT:
        from tinyseg.kernels.elementwise import cpu, cpu_curves, cpu_losses, cpu_parts, cpu_updates

        for module in (cpu, cpu_curves, cpu_losses, cpu_parts):
            monkeypatch.setattr(module, "CHUNK", 32)
        monkeypatch.setattr(cpu_curves, "LIGHT", 32)
        monkeypatch.setattr(cpu_losses, "BLOCK", 12)
        monkeypatch.setattr(cpu, "ALONE", {cpu.RELU: 32})
        monkeypatch.setattr(cpu, "SHORT", 8)
        monkeypatch.setattr(cpu_updates, "CHUNK", 32)
        monkeypatch.setitem(globals(), "LARGE", (7, 11))


def drawn(shape, dtype, seed, spread=4):
    shape = LARGE if len(shape) == 3 else shape
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def close(got, expected, dtype, slack=1):
    tolerance = TOLERANCE[dtype] * slack * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)
    assert got.dtype == dtype


@pytest.mark.parametrize("name", ACTIVATIONS)
@sized
@typed
def test_activations_equal_their_definition_and_pytorch(name, shape, dtype):
    settings, theirs = ACTIVATIONS[name]
    definition = getattr(reference, name)
    x, gy = drawn(shape, dtype, 0), drawn(shape, dtype, 1)
    y = kernel.activate(name, x, *settings)
    few = (slice(None, 40),)
    close(y.ravel()[few], np.array([definition(float(v), *settings) for v in x.ravel()[few]]), dtype)
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    ty = theirs(tx)
    ty.backward(torch.from_numpy(gy.astype(float)))
    close(y, ty.detach().numpy(), dtype)
    saved = y if name in TAKES_OUTPUT else x
    close(kernel.activate_grad(name, gy, saved, *settings), tx.grad.numpy(), dtype)


@pytest.mark.parametrize("name", LOSSES)
@sized
@typed
def test_losses_equal_their_definition_and_pytorch(name, shape, dtype):
    settings, theirs = LOSSES[name]
    x, t, gy = drawn(shape, dtype, 0, 2), 1 / (1 + np.exp(drawn(shape, dtype, 1))), drawn(shape, dtype, 2)
    y = kernel.loss(name, x, t, *settings)
    definition, few = getattr(reference, name), (slice(None, 40),)
    pairs = zip(x.ravel()[few].tolist(), t.ravel()[few].tolist(), strict=True)
    close(y.ravel()[few], np.array([definition(*pair, *settings) for pair in pairs]), dtype)
    tx, tt = torch.from_numpy(x.astype(float)).requires_grad_(), torch.from_numpy(t.astype(float))
    ty = theirs(tx, tt, reduction="none")
    close(y, ty.detach().numpy(), dtype)
    for g in (gy, gy.ravel()[:1].reshape(())) if gy.size else (gy, np.ones((), dtype)):
        (expected,) = torch.autograd.grad(ty, tx, torch.from_numpy(g.astype(float)).expand(ty.shape), retain_graph=True)
        close(kernel.loss_grad(name, g, x, t, *settings), expected.numpy(), dtype)
    total = kernel.loss_sum(name, x, t, *settings)
    assert total.shape == ()
    close(total, ty.sum().detach().numpy(), dtype)


@typed
def test_extreme_losses_as_pytorch(dtype):
    x = np.array([-np.inf, -1e4, -100, 0, 100, 1e4, np.inf, np.nan, 1, 0], dtype)
    t = np.array([0, 0, 1, 0.5, 0, 1, 0, 0, np.nan, 0], dtype)
    for name, (settings, theirs) in LOSSES.items():
        tx = torch.from_numpy(x.astype(float)).requires_grad_()
        ty = theirs(tx, torch.from_numpy(t.astype(float)), reduction="none")
        ty.sum().backward()
        with np.errstate(all="ignore"):
            y, gx = kernel.loss(name, x, t, *settings), kernel.loss_grad(name, np.ones((), dtype), x, t, *settings)
        np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(gx, tx.grad.numpy(), rtol=1e-6, err_msg=name)


def test_a_long_sum_keeps_its_digits():
    x, t = np.full(3_000_001, 1.1, np.float32), np.zeros(3_000_001, np.float32)
    exact = 3_000_001 * float(np.float32(1.1)) ** 2
    assert abs(float(kernel.loss_sum("square", x, t)) / exact - 1) < 2e-6


@sized
@typed
def test_scale_multiplies_parts(shape, dtype):
    x = drawn(shape, dtype, 0)
    for axes in range(x.ndim + 1):
        factors = np.random.default_rng(1).standard_normal((*x.shape[:axes], *(1,) * (x.ndim - axes))).astype(dtype)
        y = kernel.scale(x, factors)
        assert np.array_equal(y, x * factors)
        assert y.dtype == dtype


@pytest.mark.parametrize("shape", [(0, 2, 3), (3, 2, 0), (1, 2, 1), (5, 2, 7), (2, 2, 40_001), (7001, 2, 11)], ids=str)
@typed
def test_glu_equals_pytorch_s(shape, dtype):
    import numba

    shape = tuple(min(n, 30) for n in shape) if numba.config.DISABLE_JIT else shape
    x = 4 * np.random.default_rng(0).standard_normal(shape).astype(dtype)
    gy = np.random.default_rng(1).standard_normal((shape[0], shape[2])).astype(dtype)
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    ty = F.glu(tx, 1)[:, 0]
    ty.backward(torch.from_numpy(gy.astype(float)))
    close(kernel.glu(x), ty.detach().numpy(), dtype)
    close(kernel.glu_grad(gy, x), tx.grad.numpy(), dtype)


@typed
def test_differences_keep_their_digits_near_0(dtype):
    """e^x − 1, and the logarithm of 1 + e^x where that is hardly above 1."""
    x = -np.geomspace(1e-30, 30, 400).astype(dtype)
    few = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(kernel.activate("elu", x, 1, 1, 1), np.expm1(x.astype(np.longdouble)), rtol=few)
    exact = np.log1p(np.exp(x.astype(np.longdouble)))
    np.testing.assert_allclose(kernel.activate("softplus", x, 1, 20), exact, rtol=few)
    np.testing.assert_allclose(kernel.activate("mish", x), x * np.tanh(exact), rtol=few)
    large = np.linspace(1, 90, 300).astype(dtype)
    with np.errstate(over="ignore"):
        grown, exact = kernel.activate("elu", -large, 1, -1, 1), np.expm1(large.astype(np.longdouble)).astype(dtype)
    np.testing.assert_allclose(grown, exact, rtol=2 * few)


@pytest.mark.parametrize("name", ACTIVATIONS)
@typed
def test_extreme_values_as_pytorch(name, dtype):
    x = np.array([-np.inf, -1e4, -100, -0.0, 0, 100, 1e4, np.inf, np.nan], dtype)
    settings, theirs = ACTIVATIONS[name]
    with np.errstate(all="ignore"):  # with the JIT off NumPy computes inf · 0 aloud
        y = kernel.activate(name, x, *settings)
    expected = theirs(torch.from_numpy(x.astype(float))).numpy()
    np.testing.assert_allclose(y[1:], expected[1:], rtol=1e-6, atol=1e-30)
    if name not in TIMES_X:  # the others are −inf · 0 there, a NaN that PyTorch may or may not produce
        np.testing.assert_allclose(y[0], expected[0], rtol=1e-6)


@typed
def test_the_exponential_is_right_to_the_last_place_but_one(dtype):
    from tinyseg.kernels.elementwise.exponential import exp

    ends = (-105, 90) if dtype == np.float32 else (-750, 712)
    x = np.concatenate([np.linspace(*ends, 2000), np.linspace(-1, 1, 500)]).astype(dtype)
    with np.errstate(over="ignore"):
        y = np.array([exp(v) for v in x], dtype)  # numba hands back Python's float
        exact = np.exp(x.astype(np.longdouble))
        rounded = exact.astype(dtype)
    assert np.array_equal(np.isinf(y), np.isinf(rounded))
    finite = np.isfinite(rounded)
    assert (np.abs(y - exact)[finite] <= 2 * np.spacing(rounded[finite])).all()
    assert exp(dtype(-np.inf)) == 0
    assert np.isnan(exp(dtype(np.nan)))


@typed
def test_the_logarithm_is_right_to_the_last_place_but_one(dtype):
    from tinyseg.kernels.elementwise.exponential import log

    x = np.concatenate([np.geomspace(1e-30, 1e30, 2000), np.linspace(0.5, 2, 2000)]).astype(dtype)
    y, exact = np.array([log(v) for v in x], dtype), np.log(x.astype(np.longdouble))
    assert (np.abs(y - exact) <= 2 * np.spacing(np.abs(exact.astype(dtype)))).all()
    assert log(dtype(1)) == 0
    assert np.isnan(log(dtype(np.nan)))


@sized
@typed
@pytest.mark.parametrize("alone", ["", "a", "b", "ab"])
def test_select_equals_numpy_s_where(shape, dtype, alone):
    operands = {name: drawn(shape, dtype, seed) for seed, name in enumerate("ab")}
    operands |= {name: dtype(seed + 0.5) * np.ones((), dtype) for seed, name in enumerate(alone)}
    a, b = (np.asarray(v) for v in operands.values())
    for condition in (drawn(shape, dtype, 2) > 0, drawn(shape, dtype, 2)[:1] > 0):
        y = kernel.select(condition, a, b)
        assert np.array_equal(y, np.where(condition, a, b))
        assert y.dtype == dtype


def test_select_passes_nan_over_and_broadcasts():
    x = np.full((64, 64), np.nan, np.float32)
    assert np.array_equal(kernel.select(np.zeros((64, 1), bool), x, np.zeros((64, 64), np.float32)), np.zeros((64, 64)))
    row = np.arange(64, dtype=np.float32)
    row.flags.writeable = False
    y = kernel.select(np.arange(64) > 31, row, np.zeros((64, 1), np.float32))
    assert np.array_equal(y, np.tile(np.where(row > 31, row, 0), (64, 1)))


def test_half_types_and_views():
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        x = np.arange(-3, 4).astype(dtype)
        assert kernel.activate("relu", x).dtype == dtype
        assert kernel.activate("relu", x).astype(int).tolist() == [0, 0, 0, 0, 1, 2, 3]
        assert kernel.select(x > 0, x, -x).astype(int).tolist() == [3, 2, 1, 0, 1, 2, 3]
    x = drawn((7, 5), np.float64, 0).T
    y = kernel.activate("silu", x)
    np.testing.assert_allclose(y, F.silu(torch.from_numpy(x.copy())), atol=1e-13)
    assert y.flags.c_contiguous


def steps(shape, dtype, optimiser, update, count=4):
    """Let PyTorch's optimiser and our update take the same steps; both parameters."""
    p = drawn(shape, dtype, 0)
    theirs = torch.from_numpy(p.copy()).requires_grad_()
    optimiser = optimiser([theirs])
    for step in range(1, count + 1):
        g = drawn(shape, dtype, step)
        theirs.grad = torch.from_numpy(g.copy())
        optimiser.step()
        update(p, g, step)
    return p, theirs.detach().numpy()


@sized
@typed
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_takes_pytorch_s_steps(shape, dtype, decoupled, amsgrad):
    settings = {"lr": 0.03, "eps": 1e-7, "weight_decay": 0.1}
    m, v, v_max = np.zeros((3, *drawn(shape, dtype, 0).shape), dtype)

    def update(p, g, step):
        kernel.adam_update(p, g, m, v, v_max if amsgrad else None, step=step, decoupled=decoupled, **settings)

    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    p, expected = steps(shape, dtype, lambda params: kind(params, amsgrad=amsgrad, **settings), update)
    close(p, expected, dtype, slack=4)


def test_adam_equals_the_paper():
    values = np.array([0.5]), np.array([2.0]), np.array([0.3]), np.array([0.2])
    p, m, v = reference.adam(*(float(a[0]) for a in values), 7, 0.01, 0.9, 0.99, 1e-8)
    kernel.adam_update(*values, step=7, lr=0.01, beta1=0.9, beta2=0.99)
    np.testing.assert_allclose([values[0][0], values[2][0], values[3][0]], [p, m, v], 1e-14)


@sized
@typed
@pytest.mark.parametrize(("momentum", "dampening", "nesterov"), [(0, 0, False), (0.9, 0.3, False), (0.9, 0, True)])
def test_sgd_takes_pytorch_s_steps(shape, dtype, momentum, dampening, nesterov):
    settings = {"lr": 0.03, "momentum": momentum, "weight_decay": 0.1, "nesterov": nesterov}
    buffer = np.zeros_like(drawn(shape, dtype, 0)) if momentum else None

    def update(p, g, step):
        kernel.sgd_update(p, g, buffer, dampening=dampening if step > 1 else 0, **settings)

    theirs = steps(shape, dtype, lambda p: torch.optim.SGD(p, dampening=dampening, **settings), update)
    close(*theirs, dtype, slack=4)


@sized
@typed
@pytest.mark.parametrize("momentum", [0, 0.9])
@pytest.mark.parametrize("centred", [False, True])
def test_rmsprop_takes_pytorch_s_steps(shape, dtype, momentum, centred):
    settings = {"lr": 0.01, "alpha": 0.9, "weight_decay": 0.1, "momentum": momentum, "eps": 1e-2}
    square, buffer, average = np.zeros((3, *drawn(shape, dtype, 0).shape), dtype)

    def update(p, g, step):
        state = buffer if momentum else None, average if centred else None
        kernel.rmsprop_update(p, g, square, *state, **settings)

    theirs = steps(shape, dtype, lambda p: torch.optim.RMSprop(p, centered=centred, **settings), update)
    close(*theirs, dtype, slack=10)


UPDATES = {
    "sgd": (1, lambda p, g, b, step: kernel.sgd_update(p, g, b, lr=0.1, momentum=0.9, weight_decay=0.1)),
    "adam": (3, lambda p, g, *state, step: kernel.adam_update(p, g, *state, step=step, lr=0.1, weight_decay=0.1)),
    "rmsprop": (3, lambda p, g, *state, step: kernel.rmsprop_update(p, g, *state, lr=0.1, momentum=0.9, eps=1e-2)),
}
OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.9, eps=1e-2, centered=True),
}


@pytest.fixture
def by_arrays(monkeypatch):
    """The names of the updates that were computed array by array."""
    from tinyseg.kernels.elementwise import arrays

    called = []
    for name in arrays.__all__:
        update = getattr(arrays, name)
        note = lambda *given, name=name, update=update: (called.append(name), update(*given))  # noqa: E731
        monkeypatch.setattr(arrays, name, note)
    return called


@pytest.mark.parametrize("strided", ["nothing", "all", "p", "g", "state"])
@pytest.mark.parametrize("name", UPDATES)
def test_updates_take_any_layout_and_kernels_the_contiguous_one(name, strided, by_arrays):
    shape, (states, update) = (6, 5), UPDATES[name]

    def laid_out(values, part):
        return np.asfortranarray(values) if strided in (part, "all") else values

    state = [laid_out(np.zeros(shape), "state") for _ in range(states)]

    def step_of(p, g, step):
        given = laid_out(g, "g")
        update(moved, given, *state, step=step)
        p[...] = moved
        assert np.array_equal(given, g)

    moved = laid_out(drawn(shape, np.float64, 0).copy(), "p")
    p, expected = steps(shape, np.float64, OPTIMISERS[name], step_of)
    close(p, expected, np.float64, slack=10)
    assert by_arrays == ([] if strided == "nothing" else [name] * 4)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.dtype(">f4")])
@pytest.mark.parametrize("name", UPDATES)
def test_types_without_a_kernel_are_updated_array_by_array(name, dtype, by_arrays):
    states, update = UPDATES[name]
    p, g = drawn((7, 5), np.float32, 0).astype(dtype), drawn((7, 5), np.float32, 1).astype(dtype)
    theirs = torch.from_numpy(p.astype(np.float64)).requires_grad_()
    theirs.grad = torch.from_numpy(g.astype(np.float64))
    OPTIMISERS[name]([theirs]).step()
    update(p, g, *np.zeros((states, 7, 5), dtype), step=1)
    assert p.dtype == dtype
    assert by_arrays == [name]
    eps = float(ml_dtypes.finfo(p.dtype.newbyteorder("=")).eps)
    np.testing.assert_allclose(p.astype(np.float64), theirs.detach(), rtol=4 * eps, atol=4 * eps)
