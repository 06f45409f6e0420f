"""Schedules beside PyTorch's: the rate of every group at every step."""

import random

import pytest
import torch

import tinyseg as ts
from tinyseg.errors import ArgumentError, CheckpointError
from tinyseg.optim import lr_scheduler

BUILD = {
    "multistep": lambda s, o: s.MultiStepLR(o, [9, 3, 3, 17], gamma=0.5),
    "multistep, defaults": lambda s, o: s.MultiStepLR(o, [4]),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 9, power=0.9),
    "polynomial, defaults": lambda s, o: s.PolynomialLR(o),
    "one cycle": lambda s, o: s.OneCycleLR(o, [0.5, 0.1], total_steps=26, cycle_momentum=False),
    "one cycle, linear": lambda s, o: s.OneCycleLR(
        o, 0.3, epochs=13, steps_per_epoch=2, pct_start=0.37, anneal_strategy="linear", cycle_momentum=False
    ),
    "sequence with a cycle": lambda s, o: s.SequentialLR(
        o, [s.ExponentialLR(o, 0.9), s.PolynomialLR(o, 9, 2.0), s.MultiStepLR(o, [2])], [5, 17]
    ),
    "step": lambda s, o: s.StepLR(o, 3, gamma=0.5),
    "linear": lambda s, o: s.LinearLR(o, 0.1, 0.8, total_iters=7),
    "linear, defaults": lambda s, o: s.LinearLR(o),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, T_max=9, eta_min=0.01),
    "lambda": lambda s, o: s.LambdaLR(o, lambda t: 0.9**t),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda t: 1 / (1 + t), lambda t: t]),
    "sequence": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1.0, 5), s.CosineAnnealingLR(o, 12, 0.001), s.StepLR(o, 2)], [5, 17]
    ),
}


def optimizers():
    ours = [ts.nn.Parameter(ts.zeros(2)) for _ in range(2)]
    theirs = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
    made = []
    for sgd, params in ((ts.optim.SGD, ours), (torch.optim.SGD, theirs)):
        made.append(sgd([{"params": params[:1], "lr": 0.5}, {"params": params[1:]}], lr=0.2))
    return made


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch wants optimizer.step() in between
def test_rates_equal_pytorchs(name):
    a, b = optimizers()
    ours, theirs = BUILD[name](lr_scheduler, a), BUILD[name](torch.optim.lr_scheduler, b)
    for _ in range(25):
        rates = [g["lr"] for g in a.param_groups]
        assert rates == pytest.approx([g["lr"] for g in b.param_groups], rel=1e-10, abs=1e-15)
        assert ours.get_last_lr() == rates
        b.step()
        ours.step()
        theirs.step()


@pytest.mark.parametrize("name", BUILD)
def test_a_resumed_schedule_goes_on_bit_for_bit(name):
    straight = BUILD[name](lr_scheduler, optimizers()[0])
    first = BUILD[name](lr_scheduler, optimizers()[0])
    for _ in range(8):
        first.step()
        straight.step()
    optimizer = optimizers()[0]
    second = BUILD[name](lr_scheduler, optimizer)
    second.load_state_dict(first.state_dict())
    assert [g["lr"] for g in optimizer.param_groups] == straight.get_last_lr()
    for _ in range(8):
        second.step()
        straight.step()
        assert second.get_last_lr() == straight.get_last_lr()


CHAINS = {
    "warm-up and decay": lambda s, o: [s.LinearLR(o, 0.1, 1.0, 5), s.ExponentialLR(o, 0.9)],
    "decay and milestones": lambda s, o: [s.ExponentialLR(o, 0.9), s.MultiStepLR(o, [3, 8], 0.5)],
    "cosine with a floor": lambda s, o: [s.StepLR(o, 4, 0.5), s.CosineAnnealingLR(o, 9, 0.01)],
    "polynomial to its end": lambda s, o: [s.PolynomialLR(o, 12, 2.0), s.StepLR(o, 4, 0.5)],
    "sequence": lambda s, o: [
        s.SequentialLR(o, [s.ExponentialLR(o, 0.9), s.StepLR(o, 3, 0.5)], [6]),
        s.MultiStepLR(o, [3, 9], 0.5),
    ],
    "lambda first": lambda s, o: [s.LambdaLR(o, lambda t: 0.9**t), s.StepLR(o, 4, 0.5)],
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_schedules_on_one_optimiser_multiply_as_pytorchs(name):
    a, b = optimizers()
    ours, theirs = CHAINS[name](lr_scheduler, a), CHAINS[name](torch.optim.lr_scheduler, b)
    plateaus = lr_scheduler.ReduceLROnPlateau(a, patience=4), torch.optim.lr_scheduler.ReduceLROnPlateau(b, patience=4)
    b.step()
    for step in range(15):
        for schedule in (*ours, *theirs):
            schedule.step()
        for plateau in plateaus:
            plateau.step(1.0)  # reduces at steps 5 and 10
        if step == 2:
            a.param_groups[1]["lr"] = b.param_groups[1]["lr"] = 0.07  # by hand
        assert [g["lr"] for g in a.param_groups] == pytest.approx([g["lr"] for g in b.param_groups], rel=1e-10), step


def test_schedules_on_one_optimiser_resume_bit_for_bit():
    def made():
        a, _ = optimizers()
        return a, [*CHAINS["cosine with a floor"](lr_scheduler, a), lr_scheduler.ReduceLROnPlateau(a, patience=2)]

    def go_on(schedules):
        rates = []
        for _ in range(6):
            for schedule in schedules:
                schedule.step(*[1.0] * isinstance(schedule, lr_scheduler.ReduceLROnPlateau))
            rates.append(schedules[0].get_last_lr())
        return rates

    _, first = made()
    go_on(first)
    states = [schedule.state_dict() for schedule in first]
    _, second = made()
    for schedule, state in zip(second, states, strict=True):
        schedule.load_state_dict(state)
    assert go_on(second) == go_on(first)


def test_the_module_is_where_scripts_import_it_from():
    from tinyseg.optim.lr_scheduler import ReduceLROnPlateau

    assert ReduceLROnPlateau is ts.optim.lr_scheduler.ReduceLROnPlateau


def test_last_epoch_continues_from_the_groups_initial_rate():
    a, _ = optimizers()
    with pytest.raises(ArgumentError, match="initial_lr"):
        lr_scheduler.StepLR(a, 2, last_epoch=3)
    for group in a.param_groups:
        group["initial_lr"] = 1.0
    assert lr_scheduler.StepLR(a, 2, gamma=0.1, last_epoch=3).get_last_lr() == pytest.approx([0.01, 0.01])


def test_warmup_cosine_rises_then_falls_to_eta_min():
    a, _ = optimizers()
    schedule = lr_scheduler.warmup_cosine(a, warmup=4, total=20, eta_min=0.002, start_factor=0.25)
    rates = []
    for _ in range(21):
        rates.append(schedule.get_last_lr()[0])
        schedule.step()
    assert rates[:5] == pytest.approx([0.125, 0.21875, 0.3125, 0.40625, 0.5])
    assert rates[12] == pytest.approx((0.5 + 0.002) / 2)
    assert rates[20] == pytest.approx(0.002)
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert isinstance(lr_scheduler.warmup_cosine(a, 0, 5), lr_scheduler.CosineAnnealingLR)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: lr_scheduler.StepLR(a, 0), "step_size must be a positive integer, got 0"),
        (lambda a: lr_scheduler.CosineAnnealingLR(a, 0), "T_max"),
        (lambda a: lr_scheduler.LinearLR(a, start_factor=0), "factors"),
        (lambda a: lr_scheduler.LambdaLR(a, [abs]), "1 functions for 2 groups"),
        (lambda a: lr_scheduler.SequentialLR(a, [lr_scheduler.StepLR(a, 1)], [3]), "0 rising milestones"),
        (
            lambda a: lr_scheduler.SequentialLR(a, [lr_scheduler.StepLR(optimizers()[0], 1)], []),
            "the same optimizer",
        ),
        (lambda a: lr_scheduler.MultiStepLR(a, [1.5]), "milestones must be integers"),
        (lambda a: lr_scheduler.PolynomialLR(a, 0), "total_iters"),
        (lambda a: lr_scheduler.OneCycleLR(a, 0.1), "give total_steps"),
        (lambda a: lr_scheduler.OneCycleLR(a, 0.1, 0), "total_steps must be a positive integer, got 0"),
        (lambda a: lr_scheduler.OneCycleLR(a, 0.1, epochs=2, steps_per_epoch=0), "steps_per_epoch"),
        (lambda a: lr_scheduler.OneCycleLR(a, 0.1, 5, pct_start=2), "pct_start must be between 0 and 1, got 2"),
        (lambda a: lr_scheduler.OneCycleLR(a, 0.1, 5, anneal_strategy="step"), "anneal_strategy"),
        (lambda a: lr_scheduler.OneCycleLR(a, [0.1], 5), "1 values of max_lr for 2 groups"),
        (lambda a: lr_scheduler.SequentialLR(a, [lr_scheduler.OneCycleLR(a, 0.1, 5)], []), "cycle_momentum=False"),
        (lambda a: lr_scheduler.SequentialLR(a, [lr_scheduler.ReduceLROnPlateau(a)], []), "not ReduceLROnPlateau"),
        (lambda a: lr_scheduler.ReduceLROnPlateau(a, factor=1), "factor must be below 1, got 1"),
        (lambda a: lr_scheduler.ReduceLROnPlateau(a, "most"), "mode must be"),
        (lambda a: lr_scheduler.ReduceLROnPlateau(a, threshold_mode="x"), "threshold_mode must be"),
        (lambda a: lr_scheduler.ReduceLROnPlateau(a, min_lr=[0, 0, 0]), "3 values of min_lr for 2 groups"),
        (lambda a: lr_scheduler.warmup_cosine(a, 5, 5), "warmup must be from 0 to below total 5, got 5"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make(optimizers()[0])


def test_state_of_other_groups_is_refused():
    a, _ = optimizers()
    one = lr_scheduler.StepLR(ts.optim.SGD([ts.nn.Parameter(ts.zeros(1))]), 2)
    with pytest.raises(CheckpointError, match="1 groups"):
        lr_scheduler.StepLR(a, 2).load_state_dict(one.state_dict())


CYCLES = [{}, {"three_phase": True}, {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.41}]
CYCLES += [{"pct_start": 0.0}, {"pct_start": 0.9, "div_factor": 10, "final_div_factor": 100}]
CYCLES += [{"base_momentum": [0.5, 0.6], "max_momentum": [0.8, 0.9], "max_lr": [0.1, 0.7]}]


@pytest.mark.parametrize("options", CYCLES, ids=str)
@pytest.mark.parametrize("kind", ["SGD", "Adam", "RMSprop"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_one_cycle_moves_rates_and_momenta_as_pytorch_does(kind, options):
    def made(module, tensors, schedules):
        extra = {} if kind == "Adam" else {"momentum": 0.3}
        groups = [{"params": tensors[:1]}, {"params": tensors[1:], "lr": 0.4}]
        optimizer = getattr(module, kind)(groups, lr=0.2, **extra)
        return optimizer, schedules.OneCycleLR(optimizer, **{"max_lr": 0.5, "total_steps": 23, **options})

    a, ours = made(ts.optim, [ts.nn.Parameter(ts.zeros(2)) for _ in range(2)], lr_scheduler)
    b, theirs = made(torch.optim, [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)], torch.optim.lr_scheduler)
    name = "betas" if kind == "Adam" else "momentum"
    for step in range(24):
        for x, y in zip(a.param_groups, b.param_groups, strict=True):
            assert x["lr"] == pytest.approx(y["lr"], rel=1e-10, abs=1e-15)
            assert x["initial_lr"] == pytest.approx(y["initial_lr"], rel=1e-12)
            assert x[name] == pytest.approx(y[name], rel=1e-10)
        if step == 11:  # a new run goes on from PyTorch's state, and from ours
            state, mine = theirs.state_dict(), ours.state_dict()
            a, ours = made(ts.optim, [ts.nn.Parameter(ts.zeros(2)) for _ in range(2)], lr_scheduler)
            ours.load_state_dict(state)
            rates = [dict(g) for g in a.param_groups]
            ours.load_state_dict(mine)
            assert rates == a.param_groups
        if step < 23:
            ours.step()
            theirs.step()
    for schedule in (ours, theirs):
        with pytest.raises(ValueError, match="23"):
            schedule.step()


def test_one_cycle_needs_a_momentum_to_cycle():
    with pytest.raises(ArgumentError, match="Plain has no momentum"):
        lr_scheduler.OneCycleLR(Plain([ts.nn.Parameter(ts.zeros(1))], {"lr": 1.0}), 0.1, 5)


class Plain(ts.optim.Optimizer):
    pass


PLATEAUS = [{}, {"mode": "max", "patience": 1}, {"patience": 0, "cooldown": 3, "factor": 0.5}]
PLATEAUS += [{"threshold_mode": "abs", "threshold": 0.2, "patience": 2}, {"patience": 1, "min_lr": [0.1, 0.05]}]
PLATEAUS += [{"mode": "max", "threshold_mode": "abs", "threshold": 0.3, "patience": 1}, {"eps": 0.05, "patience": 1}]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateaus_are_seen_as_pytorch_sees_them(options):
    a, b = optimizers()
    ours, theirs = (
        lr_scheduler.ReduceLROnPlateau(a, **options),
        torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options),
    )
    chance = random.Random(0)
    values = [chance.choice([-1, 1]) * round(chance.random(), 1) for _ in range(60)] + [float("nan")] * 15 + [-5.0] * 15
    for i, value in enumerate(values):
        ours.step(ts.tensor(value, dtype=ts.float64) if i % 2 else value)
        theirs.step(value)
        assert [g["lr"] for g in a.param_groups] == ours.get_last_lr() == [g["lr"] for g in b.param_groups]
        state = theirs.state_dict()
        for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch"):
            assert ours.state_dict()[name] == state[name]
        if i % 20 == 7:
            a, _ = optimizers()
            before, ours = ours, lr_scheduler.ReduceLROnPlateau(a, **options)
            ours.load_state_dict(state if i % 40 == 7 else before.state_dict())
    assert min(ours.get_last_lr()) < 0.2 or "eps" in options
    with pytest.raises(CheckpointError, match="the state has 1 groups"):
        ours.load_state_dict({**ours.state_dict(), "_last_lr": [0.1]})
