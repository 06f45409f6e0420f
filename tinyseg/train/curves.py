"""A run's curves as a picture: loss, scores and learning rate over the steps."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

from ..data.images import write_atomically

__all__ = ["draw_curves"]

Entry = dict[str, Any]
SCORES = {"mean_iou": "mean IoU", "dice": "Dice", "pixel_accuracy": "pixel accuracy"}


def draw_curves(entries: Sequence[Entry], path: str | os.PathLike[str]) -> None:
    """Draw the entries of a log (`read_log`) to a PNG. **Raises** DataError if it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no pyplot: no global state, twice as fast to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    FigureCanvasAgg(figure)
    loss, score, rate = figure.subplots(1, 3)
    train = [entry for entry in entries if entry["kind"] == "train"]
    _plot(loss, train, {"loss": "loss"})
    _plot(score, [entry for entry in entries if entry["kind"] == "evaluation"], _score_names(entries), marker="o")
    _plot(rate, train, {"lr": "learning rate"})
    loss.set_ylim(bottom=0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def _score_names(entries: Sequence[Entry]) -> dict[str, str]:
    """The known scores, or whatever numbers another model's evaluation has."""
    seen = {key for entry in entries if entry["kind"] == "evaluation" for key in entry}
    known = {key: name for key, name in SCORES.items() if key in seen}
    return known or {key: key for key in sorted(seen - {"kind", "step", "epoch", "seconds"})}


def _plot(axes: Any, entries: Sequence[Entry], names: dict[str, str], marker: str = "") -> None:
    for key, name in names.items():
        points = [(entry["step"], entry[key]) for entry in entries if entry.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker=marker, markersize=4)
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
