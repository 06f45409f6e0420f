"""The versions of conv2d beside each other: `python -m benchmarks.versions [--write]`.

Every version takes every row that it applies to; the slow ones stay in the table. They and PyTorch take turns.
"""

from __future__ import annotations

import argparse
import functools
from typing import Any

import torch

import tinyseg as ts
from benchmarks.convolutions import Layer, kernels_of
from benchmarks.harness import Run, agree, medians, milliseconds
from benchmarks.report import ROOT, conditions, markdown, number, write
from tinyseg import kernels
from tinyseg.kernels import conv2d
from tinyseg.kernels.conv2d.cpu import ALGORITHMS

LAYERS = [
    Layer(8, 64, 64, (64, 64)),
    Layer(8, 256, 256, (16, 16)),
    Layer(8, 64, 128, (64, 64), stride=2),
    Layer(4, 3, 64, (128, 128)),
    Layer(2, 65, 17, (61, 61)),
]
COLUMNS = ["3×3, ms", "shape", *ALGORITHMS, "PyTorch"]
SECONDS = 2.0  # a row, all versions together


def by(version: str, run: Run) -> Any:
    """What `run` returns when convolution is done by this version."""
    with kernels.use(conv2d=version):
        return run()


def rows(conv: Layer) -> list[list[str]]:
    """A line for each direction: milliseconds of each version, and of PyTorch."""
    lines = []
    for direction, make in kernels_of(conv).items():
        pair = make()
        versions = conv2d.algorithms(conv.geometry, conv.w)
        runs = [functools.partial(by, version, pair.ours) for version in versions]
        for run in runs:
            agree(run(), pair.theirs())
        figures = dict(zip([*versions, "PyTorch"], medians([*runs, pair.theirs], milliseconds, SECONDS), strict=True))
        cells = [number(figures[name]) if name in figures else "" for name in COLUMNS[2:]]
        lines.append([direction, str(conv), *cells])
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into kernels/README.md")
    options = parser.parse_args()
    torch.set_num_threads(ts.get_num_threads())
    lines = [conditions(SECONDS), "", *markdown(COLUMNS, [])]
    print("\n".join(lines))
    for conv in LAYERS:
        added = markdown(COLUMNS, rows(conv))[2:]
        print("\n".join(added), flush=True)
        lines += added
    if options.write:
        write(lines, "versions", ROOT / "kernels" / "README.md")


if __name__ == "__main__":
    main()
