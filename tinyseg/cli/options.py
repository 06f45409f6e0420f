"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from ..train.sources import DataSpec

__all__ = ["console", "data_spec", "given", "png_path", "use_threads"]

PANEL = "Data"
SIZES = {"chairs": 64, "chair-segments": 64, "nuclei": 128, "nuclei-kaggle": 128, "folder": 256}

Kind = Annotated[
    str,
    typer.Option(
        "--data",
        help="What to learn from: chairs (rendered), folder, nuclei, nuclei-kaggle or chair-segments.",
        rich_help_panel=PANEL,
    ),
]
Root = Annotated[
    str,
    typer.Option(
        help="Folder of the data. For 'folder': one with images/ and masks/ in it or in train/ and val/, "
        "or with --masks the folder of the images.",
        rich_help_panel=PANEL,
    ),
]
Masks = Annotated[
    str, typer.Option(help="For 'folder': the folder of the masks, if not ROOT/masks.", rich_help_panel=PANEL)
]
Suffix = Annotated[
    str, typer.Option(help="For 'folder': what a mask's name has more than its image's: _mask.", rich_help_panel=PANEL)
]
Size = Annotated[
    int,
    typer.Option(
        min=0,
        max=4096,
        help="Side of a training picture, pixels: rendered (chairs) or cropped. 0: 64 for chairs, 128 for nuclei, "
        "256 or RESIZE for a folder.",
        rich_help_panel=PANEL,
    ),
]
Resize = Annotated[
    int,
    typer.Option(
        min=0,
        max=4096,
        help="For 'folder': resize images to this side first, pixels. 0: as they are.",
        rich_help_panel=PANEL,
    ),
]
Samples = Annotated[
    int, typer.Option(min=1, max=10_000_000, help="How many chairs to render for an epoch.", rich_help_panel=PANEL)
]
DataSeed = Annotated[int, typer.Option(min=0, help="Which chairs, or which split of a folder.", rich_help_panel=PANEL)]
Channels = Annotated[
    int, typer.Option(min=0, max=3, help="1 grey, 3 colour, 0: as the data is (nuclei: grey).", rich_help_panel=PANEL)
]
Classes = Annotated[
    int,
    typer.Option(
        min=0,
        max=255,
        help="Number of classes, background included. 0: as many as the masks show.",
        rich_help_panel=PANEL,
    ),
]
Fraction = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Share of the images kept for validation where there is no such part.",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, max=256, help="Threads that prepare data ahead.", rich_help_panel="Machine")
]
Threads = Annotated[
    int, typer.Option(min=0, max=1024, help="Threads that compute. 0: one per core.", rich_help_panel="Machine")
]


def data_spec(
    kind: str,
    root: str,
    masks: str,
    suffix: str,
    size: int,
    resize: int,
    samples: int,
    data_seed: int,
    channels: int,
    classes: int,
    fraction: float,
) -> DataSpec:
    """The data set of the options, its folders absolute: a run can be resumed from anywhere."""
    from ..train.sources import DataSpec

    return DataSpec(
        kind=kind,
        root=os.path.abspath(root) if root else "",
        masks=os.path.abspath(masks) if masks else "",
        suffix=suffix,
        size=size or (resize if kind == "folder" and resize else SIZES.get(kind, 64)),
        resize=resize,
        samples=samples,
        seed=data_seed,
        channels=channels,
        classes=classes,
        fraction=fraction,
    )


def png_path(name: str) -> pathlib.Path:
    """Where a picture goes. **Raises** ArgumentError unless its name says that it is a PNG."""
    if not name.lower().endswith(".png"):
        raise ArgumentError(f"out: {name} is no name of a picture: give --out a name that ends in .png")
    return pathlib.Path(name)


def given(context: typer.Context) -> list[str]:
    """The names of the options that were given on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def console() -> Console:
    """Where commands write; lines are never broken, so that paths can be copied."""
    from rich.console import Console

    return Console(soft_wrap=True)


def use_threads(count: int) -> None:
    """Let as many threads compute as `--threads` says; 0 leaves their number alone."""
    if count:
        from ..kernels import jit

        jit.set_num_threads(count)
