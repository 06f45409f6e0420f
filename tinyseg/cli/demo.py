"""`tinyseg demo`: from nothing to a trained network and its pictures in a few minutes."""

from __future__ import annotations

import pathlib
import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CheckpointError
from . import options as o
from .train import train_and_tell
from .use import predict_files, show_scores

if TYPE_CHECKING:
    from ..train.loop import Trainer

UNSEEN = 200
SIDES = ((64, 112), (80, 80), (97, 71))  # pictures of other sizes than it was trained on, odd ones too


def demo(
    out: Annotated[str, typer.Option(help="Folder for everything that the demo makes.")] = "runs/demo",
    steps: Annotated[
        int, typer.Option(min=0, help="Train for fewer steps than the recipe, to try it out. 0: the recipe's.")
    ] = 0,
    threads: o.Threads = 0,
) -> int:
    """Train a U-Net on rendered chairs, score it on 200 unseen ones, and draw what it sees.

    Started again it goes on where it was stopped, or draws again if it had finished.
    """
    began = time.monotonic()
    folder, console = pathlib.Path(out), o.console()
    trainer = _trainer(folder, steps, threads)
    code = train_and_tell(trainer, f"tinyseg demo --out {shlex.quote(out)}" + (f" --steps {steps}" if steps else ""))
    if code:
        return code
    score = _score(folder)
    _use(folder)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    console.print(
        f"\nmean IoU {score:.4f} on {UNSEEN} unseen chairs, {minutes} min {seconds:02d} s in all", highlight=False
    )
    for name, what in (
        ("evaluation.png", "unseen chairs: image, truth, prediction, error"),
        ("curves.png", "loss, scores and learning rate"),
        ("predictions/", "larger pictures as `tinyseg predict` draws them"),
    ):
        console.print(f"  {folder / name}{'/' if name.endswith('/') else ''}  {what}", highlight=False)
    return 0


def _trainer(folder: pathlib.Path, steps: int, threads: int) -> Trainer:
    from dataclasses import replace

    from ..train.checkpoint import Store
    from ..train.display import Terminal
    from ..train.recipes import DEMO, UNetRecipe, resume_unet, start_unet

    recipe = replace(DEMO, steps=steps or DEMO.steps, threads=threads)
    display = Terminal(o.console())
    if not Store(folder).exists():
        return start_unet(recipe, folder, display)
    trainer = resume_unet(folder, display)
    if replace(UNetRecipe.from_dict(trainer.config["settings"]), threads=threads) != recipe:
        raise CheckpointError(f"demo: {folder} holds a run of other settings: remove it, or choose another --out")
    return trainer


def _score(folder: pathlib.Path) -> float:
    """Score the last weights, not the best ones: those would have been chosen by the very chairs that judge them."""
    from ..data.chairs import Chairs
    from ..data.images import write_png
    from ..train.predict import evaluate, sheet
    from ..train.recipes import load_trained

    trained = load_trained(folder / "last.safetensors")
    unseen = Chairs(UNSEEN, trained.recipe.data.size, trained.recipe.data.seed, "val")
    scores = evaluate(trained.model, unseen, len(trained.classes))
    show_scores(o.console(), scores, trained, f"{UNSEEN} unseen chairs")
    write_png(folder / "evaluation.png", sheet(trained.model, unseen))
    return scores.mean_iou


def _use(folder: pathlib.Path) -> None:
    """Render a few larger pictures and let the network draw its masks on them."""
    from ..data.chairs import Chairs
    from ..data.images import write_png
    from ..train.recipes import load_trained

    pictures, predictions = folder / "pictures", folder / "predictions"
    for path in (pictures, predictions):
        path.mkdir(exist_ok=True)
    files = []
    for i, side in enumerate(SIDES):
        files.append(pictures / f"chair{i + 1}.png")
        write_png(files[-1], Chairs(UNSEEN + 1 + i, side, 0, "val")[UNSEEN + i].image)
    predict_files(o.console(), load_trained(folder / "last.safetensors"), files, predictions)
