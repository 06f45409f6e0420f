"""Options of `tinyseg train`, by panel of its help."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import PANEL as DATA

MODEL, TRAINING, RUN, MACHINE = "Model", "Training", "Run", "Machine"

Out = Annotated[str, typer.Option(help="Folder for checkpoints, log and pictures.", rich_help_panel=RUN)]
Resume = Annotated[str, typer.Option(help="Folder of a run to go on with, to the same bits.", rich_help_panel=RUN)]
Augment = Annotated[str, typer.Option(help="none, flip, or strong (bends, colours, flips).", rich_help_panel=DATA)]
Remember = Annotated[
    bool,
    typer.Option(
        "--remember",
        help="Make all samples once and keep them in memory (4 bytes a pixel).",
        rich_help_panel=DATA,
    ),
]
Form = Annotated[
    str, typer.Option(help="padded (any size), or 2015 (the paper's valid convolutions).", rich_help_panel=MODEL)
]
Width = Annotated[
    int, typer.Option(min=2, max=1024, help="Channels at full size; 64 in the paper.", rich_help_panel=MODEL)
]
Bilinear = Annotated[bool, typer.Option("--bilinear", help="Upsample by interpolation.", rich_help_panel=MODEL)]
Epochs = Annotated[float, typer.Option(min=0.0, help="Passes over the data, unless --steps.", rich_help_panel=TRAINING)]
Steps = Annotated[int, typer.Option(min=0, help="Batches to train on. 0: as --epochs says.", rich_help_panel=TRAINING)]
Batch = Annotated[int, typer.Option(min=1, max=65536, help="Images a step.", rich_help_panel=TRAINING)]
Loss = Annotated[
    str,
    typer.Option(help="ce, dice, ce+dice, border (U-Net paper), bce (one output).", rich_help_panel=TRAINING),
]
ClassWeight = Annotated[
    list[float] | None,
    typer.Option(help="Weight of a class in ce and bce; once for each class.", rich_help_panel=TRAINING),
]
Optimizer = Annotated[str, typer.Option(help="adamw, adam, sgd, rmsprop.", rich_help_panel=TRAINING)]
LR = Annotated[float, typer.Option(min=0.0, help="Learning rate at its highest.", rich_help_panel=TRAINING)]
WeightDecay = Annotated[float, typer.Option(min=0.0, help="Pull of the weights to zero.", rich_help_panel=TRAINING)]
Scheduler = Annotated[str, typer.Option(help="Learning rate: cosine, step or constant.", rich_help_panel=TRAINING)]
Warmup = Annotated[float, typer.Option(help="Share of the steps in which it rises first.", rich_help_panel=TRAINING)]
EMA = Annotated[float, typer.Option(help="Decay of averaged weights, such as 0.99. 0: none.", rich_help_panel=TRAINING)]
Clip = Annotated[float, typer.Option(min=0.0, help="Largest gradient norm. 0: any.", rich_help_panel=TRAINING)]
Seed = Annotated[int, typer.Option(min=0, help="Of first weights, order and augmentation.", rich_help_panel=TRAINING)]
EvaluateEvery = Annotated[
    int,
    typer.Option(min=0, help="Steps between evaluations. 0: a tenth of the run, 100 or more.", rich_help_panel=RUN),
]
CheckpointEvery = Annotated[
    int, typer.Option(min=0, help="Steps between checkpoints. 0: a tenth of the run.", rich_help_panel=RUN)
]
LogEvery = Annotated[int, typer.Option(min=1, help="Steps between lines of the log.", rich_help_panel=RUN)]
Anomaly = Annotated[
    bool, typer.Option("--anomaly", help="Find the operation that gives the first NaN (slow).", rich_help_panel=RUN)
]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:N (CuPy), emulated.", rich_help_panel=MACHINE)]
Precision = Annotated[
    str, typer.Option(help="Of products: float32, tf32 (GPU), float16, bfloat16.", rich_help_panel=MACHINE)
]
