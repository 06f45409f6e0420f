"""`tinyseg train`: a command for each kind of network."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ArgumentError
from . import options as o
from . import training_options as t

if TYPE_CHECKING:
    from ..train.loop import Trainer
    from ..train.recipes import UNetRecipe

app = typer.Typer(no_args_is_help=True, help="Train a network.")

CHANGEABLE = {"resume", "workers", "threads", "checkpoint_every", "anomaly"}  # no influence on what is computed


@app.callback()
def group() -> None:
    """Train a network."""


@app.command("unet")
def unet(
    context: typer.Context,
    out: t.Out = "runs/unet",
    resume: t.Resume = "",
    data: o.Kind = "chairs",
    root: o.Root = "",
    masks: o.Masks = "",
    suffix: o.Suffix = "",
    size: o.Size = 0,
    resize: o.Resize = 0,
    samples: o.Samples = 10000,
    data_seed: o.DataSeed = 0,
    channels: o.Channels = 0,
    classes: o.Classes = 0,
    fraction: o.Fraction = 0.1,
    augment: t.Augment = "flip",
    remember: t.Remember = False,
    form: t.Form = "padded",
    width: t.Width = 32,
    bilinear: t.Bilinear = False,
    epochs: t.Epochs = 5.0,
    steps: t.Steps = 0,
    batch: t.Batch = 16,
    loss: t.Loss = "ce+dice",
    class_weight: t.ClassWeight = None,
    optimizer: t.Optimizer = "adamw",
    lr: t.LR = 1e-3,
    weight_decay: t.WeightDecay = 1e-4,
    scheduler: t.Scheduler = "cosine",
    warmup: t.Warmup = 0.05,
    ema: t.EMA = 0.0,
    clip: t.Clip = 1.0,
    seed: t.Seed = 0,
    evaluate_every: t.EvaluateEvery = 0,
    checkpoint_every: t.CheckpointEvery = 0,
    log_every: t.LogEvery = 10,
    anomaly: t.Anomaly = False,
    workers: o.Workers = 1,
    threads: o.Threads = 0,
    device: t.Device = "cpu",
    precision: t.Precision = "float32",
) -> int:
    """Train a U-Net. Ctrl-C stops cleanly; --resume goes on."""
    settings = dict(context.params)
    trainer = _resumed(context, resume) if resume else _started(settings)
    return train_and_tell(trainer, f"tinyseg train unet --resume {shlex.quote(str(resume or out))}")


def _started(settings: dict[str, Any]) -> Trainer:
    from ..train.display import Terminal
    from ..train.recipes import start_unet

    return start_unet(_recipe(settings), settings["out"], Terminal(o.console()))


def _recipe(settings: dict[str, Any]) -> UNetRecipe:
    from ..train.recipes import UNetRecipe

    data_names = (
        "root",
        "masks",
        "suffix",
        "size",
        "resize",
        "samples",
        "data_seed",
        "channels",
        "classes",
        "fraction",
    )
    spec = o.data_spec(settings["data"], **{name: settings[name] for name in data_names})
    renamed = {"data": spec, "schedule": settings["scheduler"], "class_weights": tuple(settings["class_weight"] or ())}
    passed_on = settings.keys() - {*data_names, *renamed, "scheduler", "class_weight", "out", "resume"}
    return UNetRecipe(**renamed, **{name: settings[name] for name in passed_on})


def _resumed(context: typer.Context, folder: str) -> Trainer:
    from ..train.display import Terminal
    from ..train.recipes import resume_unet

    named = set(o.given(context))
    if named - CHANGEABLE:
        extra = ", ".join("--" + name.replace("_", "-") for name in sorted(named - CHANGEABLE))
        why = ", its learning rate follows the number of steps" if named & {"steps", "epochs"} else ""
        raise ArgumentError(f"train: {extra} cannot change in a run that goes on{why}: drop it, or start a new run")
    changes = {name: context.params[name] for name in named & CHANGEABLE - {"resume"}}
    trainer = resume_unet(folder, Terminal(o.console()), changes)
    if trainer.at.step >= trainer.plan.steps:
        trainer.display.message(
            f"this run ended at step {trainer.at.step}, for which its learning rate was planned: "
            "to train longer, start a new run with more --steps and another --out"
        )
    return trainer


def train_and_tell(trainer: Trainer, again: str) -> int:
    """Run the trainer and say what came of it: exit code 0, or 130 and the command to go on if it was stopped."""
    folder = trainer.store.folder if trainer.store is not None else "."
    outcome = trainer.run()
    if not outcome.finished:
        trainer.display.message(f"stopped at step {outcome.step} of {trainer.plan.steps}, saved; go on with: {again}")
        return 130
    trainer.display.message(f"finished: {folder}/best.safetensors, last.safetensors, log.jsonl, curves.png, sheet.png")
    return 0
