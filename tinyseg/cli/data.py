"""`tinyseg data`: look at what a network learns from."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from . import options as o

app = typer.Typer(no_args_is_help=True, help="Look at data.")


@app.callback()
def group() -> None:
    """Look at data."""


@app.command("preview")
def preview(
    out: Annotated[str, typer.Option(help="The picture to write, a PNG.")] = "sheet.png",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many samples.")] = 16,
    start: Annotated[int, typer.Option(min=0, help="Number of the first one.")] = 0,
    augment: Annotated[
        str, typer.Option(help="Show crops and changes as in training: none, flip or strong. Default: whole images.")
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
) -> None:
    """Draw samples of a data set with their masks, and say what was found in it."""
    from ..data.images import write_png
    from ..errors import ArgumentError
    from ..random import generator
    from ..train.pictures import data_sheet
    from ..train.sources import open_data, training_transform

    spec = o.data_spec(data, root, masks, suffix, size, resize, samples, data_seed, channels, classes, fraction)
    opened = open_data(spec)
    total = len(opened.train)
    if start >= total:
        raise ArgumentError(f"preview: start is {start}, expected less than {total}, the number of samples")
    change = training_transform(spec, opened, augment) if augment else None
    shown = [opened.train[i] for i in range(start, min(start + count, total))]
    if change is not None:
        shown = [change(sample, generator(data_seed, i)) for i, sample in enumerate(shown)]
    captions = [f"{sample.name}: {sample.caption}" if sample.caption else sample.name for sample in shown]
    target = pathlib.Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, data_sheet([s.image for s in shown], [s.mask for s in shown], captions))
    found = opened.description or f"{total} images of {opened.channels} channels, classes {', '.join(opened.classes)}"
    o.console().print(f"{found}\n{len(opened.val)} more to validate\npictures: {target}", highlight=False, markup=False)
