"""How a 3×3 layer's time grows with N, C and H: `python -m benchmarks.growth [--write]`.

Forward and both gradients, over two decades of each, even and odd sizes; PyTorch takes turns. A cliff would be a size
whose multiply-adds take much longer than those of its smaller neighbour: the largest such step is printed for both.
`--write` draws docs/growth.png and notes the steps in kernels/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import torch

import tinyseg as ts
from benchmarks.convolutions import Layer, row
from benchmarks.harness import Row, measure
from benchmarks.report import ROOT, conditions, markdown, number, write

PICTURE = ROOT / "docs" / "growth.png"
SECONDS = 0.2  # a point, in each sweep


class Axis(NamedTuple):
    """One panel: what grows, what stands still, and the sizes."""

    name: str
    rest: str
    layer: Callable[[int], Layer]
    sizes: tuple[int, ...]


AXES = [
    Axis(
        "N",
        "C = O = 32, H = W = 32",
        lambda n: Layer(n, 32, 32, (32, 32)),
        (1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 24, 32, 33, 48, 64, 80, 100),
    ),
    Axis(
        "C",
        "N = 4, O = C, H = W = 16",
        lambda c: Layer(4, c, c, (16, 16)),
        (4, 6, 8, 12, 16, 17, 24, 31, 32, 48, 64, 65, 96, 128, 129, 192, 256, 320, 400),
    ),
    Axis(
        "H",
        "N = 2, C = O = 16, W = H",
        lambda h: Layer(2, 16, 16, (h, h)),
        (4, 6, 8, 11, 16, 17, 24, 32, 33, 48, 61, 64, 96, 128, 129, 192, 256, 320, 400),
    ),
]


def sweep(axis: Axis) -> list[Row]:
    """A row for each size, the faster one of a sweep up and a sweep down: machines have slow minutes, sizes do not."""
    cases = [row("growth", axis.layer(size)) for size in axis.sizes]
    up = [measure(case, SECONDS) for case in cases]
    down = [measure(case, SECONDS) for case in reversed(cases)]
    for found in (*up, *down):
        if found.failure:
            raise SystemExit(f"{found.name} {found.shape}: {found.failure}")
    return [min(pair, key=lambda found: found.ours + found.theirs) for pair in zip(up, reversed(down), strict=True)]


def largest_step(sizes: tuple[int, ...], rows: list[Row], figure: Callable[[Row], float]) -> tuple[float, int, int]:
    """(factor, from, to): where the time of a multiply-add rises most between neighbouring sizes."""
    cost = [figure(row) / row.work for row in rows]
    steps = zip(itertools.pairwise(cost), itertools.pairwise(sizes), strict=True)
    return max((b / a, low, high) for (a, b), (low, high) in steps)


def draw(curves: dict[str, list[Row]], path: pathlib.Path) -> None:
    """A panel for each axis, both scales logarithmic: a straight line of slope 1 (N, H²) or 2 (C) is no surprise."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(AXES), figsize=(11, 3.6), constrained_layout=True)
    for axis, panel in zip(AXES, panels, strict=True):
        rows = curves[axis.name]
        panel.loglog(axis.sizes, [row.theirs for row in rows], "o-", color="0.6", markersize=3, label="PyTorch")
        panel.loglog(axis.sizes, [row.ours for row in rows], "o-", color="C0", markersize=3, label="tinyseg")
        panel.set(xlabel=axis.name, title=axis.rest)
        panel.title.set_fontsize(10)
        panel.grid(True, which="both", linewidth=0.3, alpha=0.5)
    panels[0].set_ylabel("ms, 3×3 forward and both gradients")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--write", action="store_true", help="draw docs/growth.png, note steps in kernels/README.md")
    options = parser.parse_args()
    torch.set_num_threads(ts.get_num_threads())
    head = conditions(SECONDS)
    print(head)
    curves = {axis.name: sweep(axis) for axis in AXES}
    lines = []
    for axis in AXES:
        rows = curves[axis.name]
        for size, found in zip(axis.sizes, rows, strict=True):
            print(f"{axis.name} = {size}: {number(found.ours)} ms, PyTorch {number(found.theirs)}")
        for name, figure in (("tinyseg", lambda row: row.ours), ("PyTorch", lambda row: row.theirs)):
            factor, low, high = largest_step(axis.sizes, rows, figure)
            lines.append([axis.name, name, f"{factor:.2f}, from {low} to {high}"])
    table = markdown(["grows", "of", "largest rise of the time of a multiply-add"], lines, texts=3)
    print("", *table, sep="\n")
    if options.write:
        draw(curves, PICTURE)
        write([head, "", *table], "growth", ROOT / "kernels" / "README.md")


if __name__ == "__main__":
    main()
