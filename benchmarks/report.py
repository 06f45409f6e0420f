"""What rows are held against, and the tables that show them: ceilings of the machine, goals of the suites, Markdown."""

from __future__ import annotations

import datetime
import os
import pathlib
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import tinyseg as ts
from benchmarks.harness import FEWEST, MOST, Row, Run, medians, milliseconds
from tinyseg.kernels import simd

__all__ = ["COLUMNS", "Ceilings", "Goal", "ceilings", "cells", "conditions", "markdown", "number", "summary", "write"]

SIZE, MEGABYTES = 2048, 256  # of the product and the copy that are the ceilings
ROOT = pathlib.Path(__file__).resolve().parents[1]
COLUMNS = ["what", "shape", "ours, ms", "PyTorch, ms", "ratio", "GFLOP/s", "of GEMM", "GB/s", "of copy"]


class Ceilings(NamedTuple):
    """What the machine reaches, measured in the same run: GFLOP/s of a large product, GB/s of a large copy."""

    gflops: float
    gbytes: float


class Goal(NamedTuple):
    """What a suite should reach, PyTorch's time / ours: the geometric mean, and each row of it."""

    mean: float | None = None
    least: float | None = None


def ceilings() -> Ceilings:
    """A product of two large matrices by NumPy's BLAS, and a large copy, on the threads in use."""
    a = np.random.default_rng(0).standard_normal((SIZE, SIZE), np.float32)
    source = torch.ones(MEGABYTES << 18)
    target = torch.zeros_like(source)
    threads = ts.get_num_threads()

    def best(run: Run) -> float:
        run()
        return medians([run], milliseconds, seconds=0.5)[0]

    with threadpool_limits(threads, user_api="blas"):
        product = best(lambda: a @ a)
    return Ceilings(2 * SIZE**3 / product / 1e6, 2 * source.nbytes / best(lambda: target.copy_(source)) / 1e6)


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        text = ""
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.processor() or platform.machine()


def conditions(seconds: float, ceiling: Ceilings | None = None, per_thread: bool = False) -> str:
    """What the figures depend on: machine, versions, date, way of timing."""
    unit = "processor time of 1 thread" if per_thread else f"{ts.get_num_threads()} threads each"
    lines = [
        f"{processor()}, {os.cpu_count()} cores, vectors of {8 * simd.BYTES} bits; {platform.system()}, Python "
        f"{platform.python_version()}, numba {numba.__version__}, NumPy {np.__version__}, PyTorch {torch.__version__}; "
        f"{datetime.date.today()}, load average at the start {os.getloadavg()[0]:.1f}.",
        f"float32, {unit}, interleaved; medians of the rounds that fit {seconds:g} s, {FEWEST} to {MOST}.",
    ]
    if ceiling:
        lines.append(
            f"In the same run a product of {SIZE}×{SIZE} matrices (NumPy's BLAS) reached {ceiling.gflops:.0f} GFLOP/s "
            f"and a copy of {MEGABYTES} MB {ceiling.gbytes:.0f} GB/s: the shares are of these. GFLOP/s count the "
            "multiply-adds of the definition, GB/s the bytes that must be read or written at least once. Winograd, "
            "which needs fewer products, and what is updated in place or stays in the cache go above 100 %."
        )
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits or so."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 2) -> list[str]:
    """The lines of a table whose first `texts` columns are words, the others figures."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return [f"| {' | '.join(line)} |" for line in [head, rule, *rows]]


def cells(row: Row, ceiling: Ceilings, goal: Goal) -> list[str]:
    """A row as `COLUMNS` show it, its ratio bold where the goal says more."""
    if row.failure:
        return [row.name, row.shape, f"**failed**: {row.failure}".replace("|", "\\|"), *[""] * (len(COLUMNS) - 3)]
    unit = "" if row.unit == "ms" else f" {row.unit}"
    bold = "**" if row.ratio < (goal.least or 0) else ""
    times = (f"{number(figure)}{unit}" for figure in (row.ours, row.theirs))
    line = [row.name, row.shape, *times, f"{bold}{row.ratio:.2f}{bold}"]
    for amount, most in ((2 * row.work, ceiling.gflops), (row.traffic, ceiling.gbytes)):
        rate = amount / row.ours / 1e6
        line += [f"{rate:.{0 if rate >= 10 else 1}f}", f"{100 * rate / most:.0f} %"] if amount else ["", ""]
    return line


def summary(rows: Sequence[Row], goals: dict[str, Goal]) -> list[str]:
    """A table with a line for each suite: geometric mean and smallest ratio, beside their goals."""
    lines = []
    for suite, goal in goals.items():
        ratios = [row.ratio for row in rows if row.suite == suite and not row.failure]
        failed = sum(bool(row.failure) for row in rows if row.suite == suite)
        if not ratios and not failed:
            continue
        count = f"{len(ratios) + failed}" + (f", {failed} failed" if failed else "")
        figures = [f"{statistics.geometric_mean(ratios):.2f}", f"{min(ratios):.2f}"] if ratios else ["", ""]
        wanted = ["" if g is None else f"{g:g}" for g in goal]
        lines.append([suite, count, figures[0], wanted[0], figures[1], wanted[1]])
    head = ["PyTorch's time (memory) / ours", "rows", "geometric mean", "goal", "smallest", "goal"]
    return markdown(head, lines, texts=1)


def write(lines: Sequence[str], table: str, page: pathlib.Path) -> None:
    """Replace what stands between a table's markers in a page."""
    begin, end = f"<!-- {table}: begin -->", f"<!-- {table}: end -->"
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"write: {page.name} must contain {begin} and then {end}, once each")
    before, rest = text.split(begin)
    page.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{rest.split(end)[1]}"]), encoding="utf-8")
