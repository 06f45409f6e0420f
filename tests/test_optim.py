"""Optimisers beside PyTorch's, step for step in float64; clipping and averages beside arithmetic."""

import contextlib
import copy
import itertools

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn, optim
from tinyseg.errors import AnomalyError, ArgumentError, CheckpointError, DTypeError, GraphError
from tinyseg.kernels.elementwise import arrays, cpu

SHAPES = [(3, 4), (5,), (), (2, 1, 2, 2)]
SGD = [
    {"lr": lr, "momentum": m, "dampening": d, "weight_decay": w, "nesterov": n, "maximize": x}
    for lr, (m, d, n), w, x in itertools.product(
        [0.1], [(0, 0, False), (0.9, 0, False), (0.8, 0.3, False), (0.9, 0, True)], [0, 0.05], [False, True]
    )
]
ADAM = [
    {"lr": 0.03, "betas": b, "eps": e, "weight_decay": w, "amsgrad": a, "maximize": x}
    for (b, e), w, a, x in itertools.product(
        [((0.9, 0.999), 1e-8), ((0.5, 0.8), 1e-3)], [0, 0.05], [False, True], [False, True]
    )
]
RMSPROP = [
    {"lr": 0.02, "alpha": al, "eps": e, "weight_decay": w, "momentum": m, "centered": c, "maximize": x}
    for (al, e), w, m, c, x in itertools.product([(0.9, 1e-6)], [0, 0.05], [0, 0.7], [False, True], [False, True])
]
ADAFACTOR = [
    {"lr": lr, "beta2_decay": b, "eps": e, "d": d, "weight_decay": w, "maximize": x}
    for (lr, b), e, d, w, x in itertools.product(
        [(0.05, -0.8), (0.5, -0.3)], [(None, 1e-3), (0.1, 0.5)], [1.0, 2.5], [0, 0.05], [False, True]
    )
]
CASES = [
    *(("SGD", s) for s in SGD),
    *(("Adam", s) for s in ADAM),
    *(("AdamW", s) for s in ADAM),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    *(("RMSprop", s) for s in RMSPROP),
    *(("Adafactor", s) for s in ADAFACTOR),
    *((name, {}) for name in ("SGD", "Adam", "AdamW", "RMSprop", "Adafactor")),
]


def twins(seed=0):
    """The same parameters in both libraries."""
    rng = np.random.default_rng(seed)
    values = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    ours = [nn.Parameter(v.copy()) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    return ours, theirs, rng


def feed(ours, theirs, rng, without=()):
    """The same random gradients; the parameters `without` have none."""
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        g = np.asarray(rng.standard_normal(p.shape))
        p.grad = None if i in without else ts.Tensor(g.copy())
        q.grad = None if i in without else torch.tensor(g)


def assert_same(ours, theirs, rtol=1e-12):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=rtol, atol=1e-13)


@pytest.fixture(params=["fused kernels", "arrays"])
def arithmetic_used(request, monkeypatch):
    """Both ways to compute an update: the CPU's kernels, and the array form that half types and GPUs use."""
    if request.param == "arrays":
        for name in arrays.__all__:
            monkeypatch.setattr(cpu, name, getattr(arrays, name))


@pytest.mark.usefixtures("arithmetic_used")
@pytest.mark.parametrize(("name", "settings"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_twenty_steps_equal_pytorch(name, settings):
    ours, theirs, rng = twins()
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for step in range(20):
        feed(ours, theirs, rng, without=(1,) if step % 3 == 0 else ())
        a.step()
        b.step()
        assert_same(ours, theirs)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adafactor"])
def test_groups_have_their_own_settings(name):
    ours, theirs, rng = twins(1)
    groups = [[{"params": ps[:2], "lr": 0.2}, {"params": ps[2:], "weight_decay": 0.1}] for ps in (ours, theirs)]
    a, b = getattr(optim, name)(groups[0], lr=0.01), getattr(torch.optim, name)(groups[1], lr=0.01)
    for _ in range(20):
        feed(ours, theirs, rng)
        a.step()
        b.step()
    assert_same(ours, theirs)
    assert [g["lr"] for g in a.param_groups] == [0.2, 0.01]


def test_a_frozen_parameter_without_gradient_stays():
    ours, _, _ = twins()
    before = ours[0].detach().numpy().copy()
    opt = optim.AdamW(ours, weight_decay=0.5)
    ours[1].grad = ts.ones_like(ours[1])
    opt.step()
    np.testing.assert_array_equal(ours[0].detach().numpy(), before)
    assert ours[0] not in opt.state
    assert set(opt.state_dict()["state"]) == {1}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"momentum": 0.9, "lr": 0.1}),
        ("Adam", {"amsgrad": True}),
        ("AdamW", {}),
        ("RMSprop", {"centered": True, "momentum": 0.5}),
        ("Adafactor", {"weight_decay": 0.1}),
    ],
)
def test_state_dict_has_pytorchs_structure_and_continues_its_run(name, settings):
    ours, theirs, rng = twins(2)
    a, b = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for _ in range(5):
        feed(ours, theirs, rng)
        b.step()
    for p, q in zip(ours, theirs, strict=True):
        p.assign_(q.detach().numpy())
    a.load_state_dict(b.state_dict())
    for _ in range(5):
        feed(ours, theirs, rng)
        a.step()
        b.step()
    assert_same(ours, theirs)
    state, reference = a.state_dict(), b.state_dict()
    for i, entries in reference["state"].items():
        assert list(state["state"][i]) == [k for k, v in entries.items() if v is not None]
        assert all(state["state"][i][k].shape == tuple(v.shape) for k, v in entries.items() if v is not None)
    assert [g["params"] for g in state["param_groups"]] == [g["params"] for g in reference["param_groups"]]
    assert set(state["param_groups"][0]) <= set(reference["param_groups"][0])


def test_adafactor_follows_its_schedule_and_small_gradients():
    """Two hundred steps with a learning rate that falls, and gradients that vanish: the bounds eps1 and 1/√t decide."""
    ours, theirs, rng = twins(4)
    a, b = optim.Adafactor(ours, lr=0.3), torch.optim.Adafactor(theirs, lr=0.3)
    schedules = optim.lr_scheduler.ExponentialLR(a, 0.97), torch.optim.lr_scheduler.ExponentialLR(b, 0.97)
    for step in range(200):
        feed(ours, theirs, rng)
        for p, q in zip(ours, theirs, strict=True):
            p.grad, q.grad = p.grad * 0.8**step, q.grad * 0.8**step
        a.step()
        b.step()
        for schedule in schedules:
            schedule.step()
        assert_same(ours, theirs, rtol=1e-9)
    assert optim.Adafactor(ours, foreach=True).param_groups[0]["lr"] == 1e-2


def test_adafactor_keeps_rows_and_columns():
    p = nn.Parameter(np.zeros((2, 3, 4, 5)))
    p.grad = ts.ones_like(p)
    opt = optim.Adafactor([p])
    opt.step()
    assert {name: t.shape for name, t in opt.state[p].items()} == {
        "step": (), "row_var": (2, 3, 4, 1), "col_var": (2, 3, 1, 5),
    }  # fmt: skip
    state = opt.state_dict()
    state["state"][0]["row_var"] = ts.zeros(2, 3, 4, 5, dtype=ts.float64)
    with pytest.raises(CheckpointError, match="row_var has shape"):
        optim.Adafactor([p]).load_state_dict(state)


def test_load_state_dict_copies():
    ours, theirs, rng = twins()
    a, b = optim.Adam(ours), optim.Adam([nn.Parameter(p.detach().numpy().copy()) for p in ours])
    feed(ours, theirs, rng)
    a.step()
    b.load_state_dict(a.state_dict())
    before = b.state_dict()["state"][0]["exp_avg"].numpy().copy()
    a.step()
    np.testing.assert_array_equal(b.state_dict()["state"][0]["exp_avg"].numpy(), before)


def test_load_state_dict_refuses_another_models_state():
    a = optim.Adam([nn.Parameter(np.zeros(3))])
    b = optim.Adam([nn.Parameter(np.zeros(4))])
    b.param_groups[0]["params"][0].grad = ts.ones(4, dtype=ts.float64)
    b.step()
    with pytest.raises(CheckpointError, match=r"exp_avg has shape \(4,\), its parameter \(3,\)"):
        a.load_state_dict(b.state_dict())
    assert not a.state
    with pytest.raises(CheckpointError, match="groups of"):
        a.load_state_dict(optim.Adam([nn.Parameter(np.zeros(3)), nn.Parameter(np.zeros(3))]).state_dict())


def test_a_step_is_seen_by_a_graph_that_needs_the_old_values():
    p = nn.Parameter(np.ones(3))
    y = (p * p).sum()
    p.grad = ts.ones_like(p)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_closure_runs_with_gradients_and_its_loss_is_returned():
    p = nn.Parameter(np.array([2.0]))
    opt = optim.SGD([p], lr=0.1)

    def closure():
        opt.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with ts.no_grad():
        assert opt.step(closure).item() == 4.0
    assert p.item() == pytest.approx(2 - 0.1 * 4)


def test_zero_grad():
    p = nn.Parameter(np.ones(2))
    opt = optim.SGD([p], lr=0.1)
    p.grad = ts.ones_like(p)
    opt.zero_grad(set_to_none=False)
    assert p.grad.numpy().tolist() == [0, 0]
    opt.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(
    "make",
    [
        lambda n, ps: n.Adam(ps, 0.1),
        lambda n, ps: n.SGD(ps, 0.1, momentum=0.9, nesterov=True),
        lambda n, ps: n.RMSprop(ps, 0.1, centered=True),
        lambda n, ps: n.Adafactor(ps, 0.1),
    ],
    ids=["Adam", "SGD", "RMSprop", "Adafactor"],
)
def test_small_float_types_stay_and_step_like_pytorch(make, dtype):
    p = nn.Parameter(ts.ones(3, dtype=getattr(ts, dtype)))
    q = torch.nn.Parameter(torch.ones(3, dtype=getattr(torch, dtype)))
    a, b = make(optim, [p]), make(torch.optim, [q])
    for g in ([1.0, 2.0, -3.0], [0.5, 0.25, 1.0]):
        p.grad, q.grad = ts.tensor(g).to(p.dtype), torch.tensor(g).to(q.dtype)
        a.step()
        b.step()
    assert p.dtype == getattr(ts, dtype)
    assert {k: str(t.dtype) for k, t in a.state[p].items()} == {
        k: "float32" if k == "step" else dtype for k in a.state[p]
    }
    eps = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-7}[dtype]
    np.testing.assert_allclose(p.detach().to(ts.float64).numpy(), q.detach().double().numpy(), rtol=4 * eps)


def test_a_gradient_that_does_not_fit_is_named():
    p = nn.Parameter(np.ones(3))
    for wrong in (ts.ones(3), ts.ones(2, dtype=ts.float64)):
        p.grad = wrong
        with pytest.raises(DTypeError, match=r"Adam.step: a parameter of float64 \(3,\) has a gradient of"):
            optim.Adam([p]).step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD([], lr=1), ArgumentError, "no parameters"),
        (lambda p: optim.SGD(p, lr=1), DTypeError, "iterable"),
        (lambda p: optim.SGD([p, p]), ArgumentError, "appears twice"),
        (lambda p: optim.SGD([{"params": [p]}, {"params": [p]}]), ArgumentError, "appears twice"),
        (lambda p: optim.SGD([p * 2]), ArgumentError, "only leaves"),
        (lambda p: optim.SGD([np.ones(2)]), DTypeError, "ndarray"),
        (lambda p: optim.SGD([p], lr=-1), ArgumentError, "lr must not be negative, got -1"),
        (lambda p: optim.SGD([p], lr=float("nan")), ArgumentError, "lr must not be negative, got nan"),
        (lambda p: optim.SGD([p], nesterov=True), ArgumentError, "nesterov needs momentum"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ArgumentError, "betas"),
        (lambda p: optim.Adam([p], eps=-1.0), ArgumentError, "eps"),
        (lambda p: optim.RMSprop([p], alpha=-0.1), ArgumentError, "alpha"),
        (lambda p: optim.Adafactor([p], lr=-0.1), ArgumentError, "lr"),
        (lambda p: optim.Adafactor([p], eps=(None, -1.0)), ArgumentError, "eps"),
        (lambda p: optim.Adafactor([p], beta2_decay=0.1), ArgumentError, "beta2_decay"),
        (lambda p: optim.Adafactor([p], d=0.5), ArgumentError, "d must be at least 1"),
        (lambda p: optim.clip_grad_norm_([p], -1.0), ArgumentError, "max_norm"),
        (lambda p: optim.EMA(nn.Linear(1, 1), 1.5), ArgumentError, "decay"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make(nn.Parameter(np.ones(2)))
    assert "\n" not in str(caught.value)


def test_repr_lists_the_settings():
    text = repr(optim.SGD([nn.Parameter(np.ones(2))], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n")
    assert "    lr: 0.5\n" in text


# -- clipping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e6])
def test_clip_grad_norm_equals_pytorch(norm_type, max_norm):
    ours, theirs, rng = twins(3)
    feed(ours, theirs, rng, without=(1,))
    total = optim.clip_grad_norm_(ours, max_norm, norm_type)
    reference = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total.item() == pytest.approx(reference.item(), rel=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is not None:
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-12)


def test_clip_grad_norm_without_gradients_or_with_nan():
    p = nn.Parameter(np.ones(2))
    assert nn.clip_grad_norm_(p, 1.0).item() == 0
    p.grad = ts.tensor(np.array([1.0, np.nan]))
    with pytest.raises(AnomalyError, match="nan"):
        nn.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    nn.clip_grad_norm_(p, 1.0)
    assert np.isnan(p.grad.numpy()).all()


def test_clip_grad_norm_of_half_adds_up_in_float32():
    p = nn.Parameter(np.zeros(1000, np.float16))
    p.grad = ts.full((1000,), 100.0, dtype=ts.float16)
    assert nn.clip_grad_norm_(p, 1.0).item() == pytest.approx(100 * 1000**0.5, rel=1e-3)  # its square is not a float16


# -- average of weights -----------------------------------------------------------------------------------------------


def small_net():
    ts.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).double()


def walk(net, rng):
    for p in net.parameters():
        p.assign_(rng.standard_normal(p.shape))
    for b in net.buffers():
        b.assign_(7)


@pytest.mark.parametrize("warmup", [False, True])
def test_ema_is_its_formula(warmup):
    net, rng = small_net(), np.random.default_rng(0)
    ema = optim.EMA(net, 0.9, warmup)
    expected = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    for t in range(30):
        walk(net, rng)
        ema.update()
        d = min(0.9, (1 + t) / (10 + t)) if warmup else 0.9
        for name, p in net.named_parameters():
            expected[name] = d * expected[name] + (1 - d) * p.detach().numpy()
    for name, value in ema.shadow.items():
        wanted = 7 if "running" in name or "batches" in name else expected[name]
        np.testing.assert_allclose(value.numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_ema_applied_gives_the_average_and_restores_the_bits():
    net, rng = small_net(), np.random.default_rng(1)
    ema = optim.EMA(net, 0.5)
    walk(net, rng)
    ema.update()
    before = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    average = {k: v.numpy().copy() for k, v in ema.shadow.items()}
    with contextlib.suppress(KeyError), ema.applied():
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), average[name])
        raise KeyError  # an interrupted evaluation must put the weights back too
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert not np.array_equal(average["0.weight"], before["0.weight"])


def test_ema_state_resumes_exactly():
    net, rng = small_net(), np.random.default_rng(2)
    ema = optim.EMA(net, 0.9, warmup=True)
    walk(net, rng)
    ema.update()
    other_net = small_net()
    other_net.load_state_dict(net.state_dict())
    other = optim.EMA(other_net, 0.9, warmup=True)
    other.load_state_dict(copy.deepcopy(ema.state_dict()))
    for pair in ((net, ema), (other_net, other)):
        walk(pair[0], np.random.default_rng(3))
        pair[1].update()
    for name in ema.shadow:
        np.testing.assert_array_equal(ema.shadow[name].numpy(), other.shadow[name].numpy())
    with pytest.raises(CheckpointError, match=r"0\.weight"):
        optim.EMA(nn.Sequential(nn.Conv2d(1, 3, 3))).load_state_dict(ema.state_dict())
