"""The versions of conv2d beside each other: `python -m benchmarks.versions [--write]`.

Every version takes every row that it applies to; the slow ones stay in the table. They and PyTorch take turns.
"""

from __future__ import annotations

import argparse
import statistics

import numba
import torch
import torch.nn.functional as F

from benchmarks.__main__ import conditions, milliseconds, write
from benchmarks.cases import random
from tinyseg import kernels
from tinyseg.kernels import conv2d
from tinyseg.kernels.conv2d import ConvGeometry
from tinyseg.kernels.conv2d.cpu import ALGORITHMS

SHAPES = [(8, 64, 64, 64, 1), (8, 256, 256, 16, 1), (8, 64, 128, 64, 2), (4, 3, 64, 128, 1)]  # N, C, O, H, stride
ROUNDS = 11


def rows(n: int, c: int, o: int, size: int, stride: int) -> list[str]:
    """A line for each direction: milliseconds of each version, and of PyTorch."""
    geometry = ConvGeometry((stride, stride), ((1, 1), (1, 1)))
    x, w = random(n, c, size, size), random(o, c, 3, 3)
    gy = random(*F.conv2d(x, w, None, stride, 1).shape)
    a, b, g = x.numpy(), w.numpy(), gy.numpy()

    def backward(*mask: bool) -> object:
        return torch.ops.aten.convolution_backward(
            gy, x, w, None, [stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [*mask, False]
        )

    directions = {
        "forward": (lambda: conv2d.forward(a, b, geometry), lambda: F.conv2d(x, w, None, stride, 1)),
        "grad_input": (lambda: conv2d.grad_input(g, b, geometry, (size, size)), lambda: backward(True, False)),
        "grad_weight": (lambda: conv2d.grad_weight(a, g, geometry, (3, 3)), lambda: backward(False, True)),
    }
    lines = []
    for name, (ours, theirs) in directions.items():
        times: dict[str, list[float]] = {version: [] for version in (*ALGORITHMS, "PyTorch")}
        for turn in range(ROUNDS + 1):
            for version in (*conv2d.algorithms(geometry, w.shape), "PyTorch"):
                with kernels.use(conv2d=None if version == "PyTorch" else version):
                    taken = milliseconds(theirs if version == "PyTorch" else ours)
                times[version] += [taken] if turn else []  # the first turn warms up
        cells = [f"{statistics.median(taken):.2f}" if taken else "" for taken in times.values()]
        shape = f"{n}×{c}×{size}×{size} → {o}" + (", stride 2" if stride == 2 else "")
        lines.append(f"| {name} | {shape} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the table into kernels/README.md")
    options = parser.parse_args()
    torch.set_num_threads(numba.get_num_threads())
    head = [f"| 3×3, ms | shape | {' | '.join(ALGORITHMS)} | PyTorch |", "|---|---|" + "---:|" * (len(ALGORITHMS) + 1)]
    lines = [conditions(ROUNDS), "", *head]
    print("\n".join(lines))
    for shape in SHAPES:
        for line in rows(*shape):
            lines.append(line)
            print(line, flush=True)
    if options.write:
        write(lines, "versions")


if __name__ == "__main__":
    main()
