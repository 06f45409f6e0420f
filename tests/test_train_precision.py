"""Training on another device and in another precision: the same loop, resumed to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseg as ts
from tinyseg.cli import run
from tinyseg.errors import AnomalyError, ArgumentError, CheckpointError
from tinyseg.train import recipes
from tinyseg.train.precision import PRECISIONS, Precision
from tinyseg.train.sources import DataSpec


def recipe(**changes):
    settings = {"data": DataSpec(samples=40, size=16), "width": 2, "steps": 4, "batch": 2, "workers": 0, "clip": 0.0}
    return recipes.UNetRecipe(**{**settings, "loss": "ce", "optimizer": "sgd", "log_every": 1, **changes})


def weights(trainer):
    return {name: t.numpy().copy() for name, t in trainer.model.state_dict().items()}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_trains(precision, tmp_path):
    device = "emulated" if precision == "tf32" else "cpu"
    trainer = recipes.start_unet(recipe(precision=precision, device=device), tmp_path / "run")
    before = weights(trainer)
    assert trainer.run().finished
    after = weights(trainer)
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    assert all(t.dtype in (np.float32, np.int64) for t in trainer.model.state_dict().values())
    assert not ts.is_autocast_enabled()
    assert not ts.backends.allow_tf32


NO_DEVICE = "device: expected 'cpu', 'cuda', 'cuda:N' or 'emulated', got 'gpu'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--precision", "tf32"],
            "train: --precision tf32 is a GPU's: choose float32, or --device cuda",
        ),
        (["--device", "gpu"], NO_DEVICE),
        (
            ["--device", "gpu", "--precision", "tf32"],
            NO_DEVICE,
        ),
    ],
)
def test_a_device_that_cannot_be_is_told_in_one_line(options, message, tmp_path, capsys):
    small = ["--size", "16", "--samples", "8", "--width", "2", "--batch", "2", "--steps", "1"]
    assert run(["train", "unet", "--out", str(tmp_path / "run"), *small, *options]) == 2
    assert capsys.readouterr().err == f"tinyseg: error: {message}\n"
    assert not (tmp_path / "run").exists()


def test_a_run_in_float16_resumes_to_the_same_bits(tmp_path):
    whole = recipes.start_unet(recipe(precision="float16", steps=6, checkpoint_every=3), tmp_path / "whole")
    whole.run()
    half = recipes.start_unet(recipe(precision="float16", steps=6, checkpoint_every=3), tmp_path / "half")
    half.plan = half.plan.__class__(3, clip=half.plan.clip, log_every=1, checkpoint_every=3)
    half.run()
    rest = recipes.resume_unet(tmp_path / "half")
    assert rest.precision.scaler.state_dict() == half.precision.scaler.state_dict()
    assert rest.precision.scaler.state_dict()["_growth_tracker"] == 3
    rest.plan = whole.plan
    rest.run()
    a, b = weights(whole), weights(rest)
    assert all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_a_step_whose_gradients_overflow_is_skipped_and_a_run_of_them_stops(tmp_path):
    trainer = recipes.start_unet(recipe(precision="float16", steps=3), tmp_path / "run")
    trainer.precision.scaler = ts.amp.GradScaler(init_scale=2.0**60)
    before = weights(trainer)
    trainer.run()
    after = weights(trainer)
    trained = [name for name, _ in trainer.model.named_parameters()]
    assert all(np.array_equal(before[name], after[name]) for name in trained)
    assert trainer.precision.scaler.get_scale() == 2.0**57
    trainer = recipes.start_unet(recipe(precision="float16", lr=1e30), tmp_path / "wild")
    with pytest.raises(AnomalyError):
        trainer.run()


def test_a_scaler_belongs_to_its_run(tmp_path):
    recipes.start_unet(recipe(), tmp_path / "run").run()
    with pytest.raises(CheckpointError, match="scaler"):
        recipes.resume_unet(tmp_path / "run", changes={"precision": "float16"})


def test_what_is_not_a_precision():
    with pytest.raises(ArgumentError, match="precision is 'half'"):
        recipe(precision="half")
    with pytest.raises(ArgumentError, match="precision is 'half'"):
        Precision("half")


def test_the_emulated_device_trains_as_the_cpu_does(tmp_path):
    """The same seed, batches and network: float32's rounding apart. Few steps, before ReLUs flip."""
    runs = []
    for device in ("cpu", "emulated"):
        trainer = recipes.start_unet(recipe(device=device, steps=2, lr=1e-3), tmp_path / device)
        trainer.evaluate = trainer.draw = None
        trainer.run()
        assert {p.device.type for p in trainer.model.parameters()} == {device}
        runs.append((weights(trainer), trainer.at.step))
    (a, _), (b, _) = runs
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=2e-4 * max(1.0, np.abs(a[name]).max()), err_msg=name)
