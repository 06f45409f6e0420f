"""`tinyseg data`: look at what a network learns from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as o

if TYPE_CHECKING:
    from ..data.loader import Dataset
    from ..data.transforms import Transform

app = typer.Typer(no_args_is_help=True, help="Look at data.")

MOST_PIXELS = 2**28  # to render for a preview: a few minutes


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
    from ..train.pictures import data_sheet
    from ..train.sources import open_data, training_transform

    target = o.png_path(out)
    spec = o.data_spec(data, root, masks, suffix, size, resize, samples, data_seed, channels, classes, fraction)
    if spec.kind == "chairs" and count * spec.size**2 > MOST_PIXELS:
        raise ArgumentError(
            f"preview: --count {count} of {spec.size}x{spec.size} are {count * spec.size**2:,} pixels to render, "
            f"expected at most {MOST_PIXELS:,}: lower --count or --size"
        )
    opened = open_data(spec)
    total = len(opened.train)
    if start >= total:
        raise ArgumentError(f"preview: --start is {start}, expected 0 to {total - 1} ({total} images to train)")
    change = training_transform(spec, opened, augment) if augment else None
    picture = data_sheet(_shown(opened.train, range(start, min(start + count, total)), change, data_seed))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_png(target, picture)
    found = opened.description or f"images of {opened.channels} channels, classes {', '.join(opened.classes)}"
    parts = f"{total} to train, {len(opened.val)} to validate"
    o.console().print(f"{found}\n{parts}\npictures: {target}", highlight=False, markup=False)


def _shown(dataset: Dataset, indices: range, change: Transform | None, seed: int) -> Iterator[tuple[Any, Any, str]]:
    """Image, mask and caption of each sample, one at a time."""
    from ..random import generator

    for k, i in enumerate(indices):
        sample = dataset[i] if change is None else change(dataset[i], generator(seed, k))
        yield sample.image, sample.mask, f"{sample.name}: {sample.caption}" if sample.caption else sample.name
