"""Schedules beside PyTorch's: the rate of every group at every step."""

import pytest
import torch

import tinyseg as ts
from tinyseg.errors import ArgumentError, CheckpointError
from tinyseg.optim import lr_scheduler

BUILD = {
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
