"""`tinyseg evaluate` and `tinyseg predict`: what a trained network is worth, and what it sees in your pictures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ArgumentError, DataError
from . import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from ..train.metrics import Scores
    from ..train.recipes import Trained

DATA_OPTIONS = {
    "data", "root", "masks", "suffix", "size", "resize", "samples", "data_seed", "channels", "classes", "fraction",
}  # fmt: skip


def evaluate(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run's folder (its best), or a checkpoint.")
    ],
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
    out: Annotated[
        str, typer.Option(help="The sheet of predictions, a PNG. Default: evaluation.png beside the checkpoint.")
    ] = "",
    workers: o.Workers = 1,
    threads: o.Threads = 0,
) -> None:
    """Score a trained network on the validation part of its data, or of the data that the options name."""
    from ..data.images import write_png
    from ..train.predict import evaluate as score
    from ..train.predict import sheet
    from ..train.recipes import load_trained
    from ..train.sources import open_data

    o.use_threads(threads)
    trained = load_trained(run)
    target = o.png_path(out or str(trained.path.parent / "evaluation.png"))
    named = o.given(context)
    spec = trained.recipe.data
    if DATA_OPTIONS & set(named):
        spec = o.data_spec(data, root, masks, suffix, size, resize, samples, data_seed, channels, classes, fraction)
    opened = open_data(spec)
    _check_fit(trained, opened.channels, opened.classes)
    scores = score(trained.model, opened.val, len(opened.classes), workers)
    show_scores(o.console(), scores, trained, f"{len(opened.val)} images of {spec.root or spec.kind}")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, sheet(trained.model, opened.val, n_classes=len(opened.classes)))
    o.console().print(f"pictures: {target}", highlight=False)


def _check_fit(trained: Trained, channels: int, classes: Sequence[str]) -> None:
    if channels != trained.channels or len(classes) != len(trained.classes):
        raise DataError(
            f"evaluate: {trained.path} was trained on {trained.channels} channels and {len(trained.classes)} classes, "
            f"the data has {channels} and {len(classes)}: choose other --data, or set --channels and --classes"
        )


def show_scores(console: Console, scores: Scores, trained: Trained, what: str) -> None:
    """Print a table of scores, over all classes and for each."""
    from rich.table import Table

    table = Table(title=f"{trained.path} (step {trained.step})\non {what}", title_justify="left")
    table.add_column("score")
    table.add_column("all classes", justify="right")
    for name in trained.classes:
        table.add_column(name, justify="right")
    blank = [""] * len(trained.classes)
    table.add_row("pixel accuracy", f"{scores.pixel_accuracy:.4f}", *blank)
    table.add_row("mean accuracy", f"{scores.mean_accuracy:.4f}", *blank)
    table.add_row("IoU", f"{scores.mean_iou:.4f}", *(f"{value:.4f}" for value in scores.class_iou))
    table.add_row("IoU by frequency", f"{scores.weighted_iou:.4f}", *blank)
    table.add_row("Dice (foreground)", f"{scores.dice:.4f}", *(f"{value:.4f}" for value in scores.class_dice))
    console.print(table)


def predict(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Pictures, of any size.")],
    weights: Annotated[str, typer.Option(help="A run's folder (its best), or a checkpoint.")],
    out: Annotated[str, typer.Option(help="Folder for NAME_mask.png (classes) and NAME_overlay.png.")],
    threads: o.Threads = 0,
) -> None:
    """Segment pictures. Sides above 512 pixels go through in tiles that overlap."""
    from ..train.recipes import load_trained

    o.use_threads(threads)
    _check_names(files)
    trained = load_trained(weights)
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    predict_files(o.console(), trained, [pathlib.Path(file) for file in files], folder)


def _check_names(files: Sequence[str]) -> None:
    """Two pictures of one name would write the same files."""
    seen: dict[str, str] = {}
    for file in files:
        stem = pathlib.Path(file).stem
        if stem in seen:
            raise ArgumentError(
                f"predict: {seen[stem]} and {file} would both write {stem}_mask.png: rename one of them"
            )
        seen[stem] = file


def predict_files(console: Console, trained: Trained, files: Sequence[pathlib.Path], folder: pathlib.Path) -> None:
    """Write the mask and the overlay of each picture, and say what is in it."""
    import numpy as np

    from ..data.images import probe_image, read_image, write_png
    from ..train.pictures import overlay, write_mask
    from ..train.predict import predict as classify

    for path in files:
        channels = probe_image(path)[0]
        if channels != trained.channels:
            kind, wanted = ("grey", "colour") if channels == 1 else ("colour", "grey")
            console.print(f"{path}: {kind}, converted: the model was trained on {wanted} pictures", highlight=False)
        mask = classify(trained.model, read_image(path, trained.channels)[None])[0]
        write_mask(folder / f"{path.stem}_mask.png", mask)
        write_png(folder / f"{path.stem}_overlay.png", overlay(read_image(path), mask))
        shares = np.bincount(mask.ravel(), minlength=len(trained.classes)) / mask.size
        parts = ", ".join(f"{name} {share:.1%}" for name, share in zip(trained.classes, shares, strict=False))
        console.print(f"{path}: {parts} -> {folder / path.stem}_mask.png, _overlay.png", highlight=False)
