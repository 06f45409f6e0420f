"""`tinyseg train`: a command for each kind of network."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ArgumentError
from . import options as o

if TYPE_CHECKING:
    from ..train.loop import Trainer
    from ..train.recipes import UNetRecipe

app = typer.Typer(no_args_is_help=True, help="Train a network.")

MODEL, TRAINING, RUN, MACHINE = "Model", "Training", "Run", "Machine"
CHANGEABLE = {"resume", "workers", "threads", "checkpoint_every", "anomaly"}  # no influence on what is computed


@app.callback()
def group() -> None:
    """Train a network."""


@app.command("unet")
def unet(
    context: typer.Context,
    out: Annotated[
        str, typer.Option(help="Folder for checkpoints, log and pictures.", rich_help_panel=RUN)
    ] = "runs/unet",
    resume: Annotated[
        str, typer.Option(help="Folder of a run to go on with, to the same bits.", rich_help_panel=RUN)
    ] = "",
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
    augment: Annotated[
        str, typer.Option(help="none, flip, or strong (bends, colours, flips).", rich_help_panel=o.PANEL)
    ] = "flip",
    remember: Annotated[
        bool,
        typer.Option(
            "--remember",
            help="Make all samples once and keep them in memory (4 bytes a pixel).",
            rich_help_panel=o.PANEL,
        ),
    ] = False,
    form: Annotated[
        str, typer.Option(help="padded (any size), or 2015 (the paper's valid convolutions).", rich_help_panel=MODEL)
    ] = "padded",
    width: Annotated[
        int, typer.Option(min=2, max=1024, help="Channels at full size; 64 in the paper.", rich_help_panel=MODEL)
    ] = 32,
    bilinear: Annotated[
        bool, typer.Option("--bilinear", help="Upsample by interpolation.", rich_help_panel=MODEL)
    ] = False,
    epochs: Annotated[
        float, typer.Option(min=0.0, help="Passes over the data, unless --steps.", rich_help_panel=TRAINING)
    ] = 5.0,
    steps: Annotated[
        int, typer.Option(min=0, help="Batches to train on. 0: as --epochs says.", rich_help_panel=TRAINING)
    ] = 0,
    batch: Annotated[int, typer.Option(min=1, max=65536, help="Images a step.", rich_help_panel=TRAINING)] = 16,
    loss: Annotated[
        str,
        typer.Option(help="ce, dice, ce+dice, border (U-Net paper), bce (one output).", rich_help_panel=TRAINING),
    ] = "ce+dice",
    class_weight: Annotated[
        list[float] | None,
        typer.Option(help="Weight of a class in ce and bce; once for each class.", rich_help_panel=TRAINING),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="adamw, adam, sgd, rmsprop.", rich_help_panel=TRAINING)] = "adamw",
    lr: Annotated[float, typer.Option(min=0.0, help="Learning rate at its highest.", rich_help_panel=TRAINING)] = 1e-3,
    weight_decay: Annotated[
        float, typer.Option(min=0.0, help="Pull of the weights to zero.", rich_help_panel=TRAINING)
    ] = 1e-4,
    scheduler: Annotated[
        str, typer.Option(help="Learning rate: cosine, step or constant.", rich_help_panel=TRAINING)
    ] = "cosine",
    warmup: Annotated[
        float, typer.Option(help="Share of the steps in which it rises first.", rich_help_panel=TRAINING)
    ] = 0.05,
    ema: Annotated[
        float, typer.Option(help="Decay of averaged weights, such as 0.99. 0: none.", rich_help_panel=TRAINING)
    ] = 0.0,
    clip: Annotated[
        float, typer.Option(min=0.0, help="Largest gradient norm. 0: any.", rich_help_panel=TRAINING)
    ] = 1.0,
    seed: Annotated[
        int, typer.Option(min=0, help="Of first weights, order and augmentation.", rich_help_panel=TRAINING)
    ] = 0,
    evaluate_every: Annotated[
        int, typer.Option(min=0, help="Steps between evaluations. 0: a tenth of the run.", rich_help_panel=RUN)
    ] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(min=0, help="Steps between checkpoints. 0: a tenth of the run.", rich_help_panel=RUN)
    ] = 0,
    log_every: Annotated[int, typer.Option(min=1, help="Steps between lines of the log.", rich_help_panel=RUN)] = 10,
    anomaly: Annotated[
        bool, typer.Option("--anomaly", help="Find the operation that gives the first NaN (slow).", rich_help_panel=RUN)
    ] = False,
    workers: o.Workers = 1,
    threads: o.Threads = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N (CuPy).", rich_help_panel=MACHINE)] = "cpu",
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
        raise ArgumentError(f"train: {extra} cannot change in a run that goes on: drop it, or start a new run")
    changes = {name: context.params[name] for name in named & CHANGEABLE - {"resume"}}
    return resume_unet(folder, Terminal(o.console()), changes)


def train_and_tell(trainer: Trainer, again: str) -> int:
    """Run the trainer and say what came of it: exit code 0, or 130 and the command to go on if it was stopped."""
    folder = trainer.store.folder if trainer.store is not None else "."
    outcome = trainer.run()
    if not outcome.finished:
        trainer.display.message(f"stopped at step {outcome.step} of {trainer.plan.steps}, saved; go on with: {again}")
        return 130
    trainer.display.message(f"finished: {folder}/best.safetensors, last.safetensors, log.jsonl, curves.png, sheet.png")
    return 0
