"""Time our kernels beside PyTorch's on this machine: `python -m benchmarks [--quick] [--write] [--only NAME]`.

The two take turns, so that what disturbs one disturbs the other; the figure is the median of the rounds. On a machine
that others use, `--cpu-time` counts the processor time of one thread instead: waiting for a core is not counted.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable

import numba
import numpy as np
import torch

from benchmarks.cases import Case, cases

README = pathlib.Path(__file__).parents[1] / "kernels" / "README.md"
HEADER = [
    "| kernel | shape | ours, ms | PyTorch, ms | PyTorch's time / ours | GFLOP/s |",
    "|---|---|---:|---:|---:|---:|",
]


def check(case: Case) -> None:
    """Both give the same result, within float32's rounding of sums of this length."""
    ours, theirs = np.asarray(case.ours()), np.asarray(case.theirs())
    assert ours.shape == theirs.shape, (case.kernel, case.shape, ours.shape, theirs.shape)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, f"{case.kernel} {case.shape}: differs from PyTorch by {error:.1e} of the largest value"


Clock = Callable[[], float]


def milliseconds(run: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """How long one call takes."""
    start = clock()
    run()
    return (clock() - start) * 1e3


def measure(case: Case, rounds: int, clock: Clock) -> str:
    """The case's row of the table."""
    check(case)
    pairs = [(milliseconds(case.ours, clock), milliseconds(case.theirs, clock)) for _ in range(rounds)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    speed = f"{2 * case.work / ours / 1e6:.0f}" if case.work else ""
    return f"| {case.kernel} | {case.shape} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.2f} | {speed} |"


def conditions(rounds: int, clock: Clock = time.perf_counter) -> str:
    """What the figures depend on."""
    unit = "processor time of 1 thread" if clock is time.process_time else f"{numba.get_num_threads()} threads each"
    return (
        f"float32, medians of {rounds} interleaved rounds, {unit}, {platform.machine()}, numba {numba.__version__}, "
        f"NumPy {np.__version__}, PyTorch {torch.__version__}; load average at the start {os.getloadavg()[0]:.1f}."
    )


def write(lines: list[str], table: str) -> None:
    """Replace what stands between a table's markers in kernels/README.md."""
    begin, end = f"<!-- {table}: begin -->", f"<!-- {table}: end -->"
    before, rest = README.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    README.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 rounds instead of 25")
    parser.add_argument("--write", action="store_true", help="write the table into kernels/README.md")
    parser.add_argument("--only", default="", metavar="NAME", help="only kernels whose name contains NAME")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, its processor time")
    options = parser.parse_args()
    if options.cpu_time:
        numba.set_num_threads(1)
    torch.set_num_threads(numba.get_num_threads())
    clock = time.process_time if options.cpu_time else time.perf_counter
    rounds = 3 if options.quick else 25
    lines = [conditions(rounds, clock), "", *HEADER]
    print("\n".join(lines))
    for case in cases():
        if options.only in case.kernel:
            lines.append(measure(case, rounds, clock))
            print(lines[-1], flush=True)
    if options.write:
        write(lines, "benchmarks")


if __name__ == "__main__":
    main()
