"""The tables of a run: a line for each version as it is measured, and for kernels/README.md a line for each shape."""

from __future__ import annotations

import itertools
import math
import statistics
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu.arrays import PRECISIONS
from benchmarks.gpu.rows import CHOSEN, ONLY, Ceilings, Row
from benchmarks.report import markdown, number

__all__ = ["COLUMNS", "NOT_TIMED", "cells", "goals", "tables"]

COLUMNS = ["kernel", "version", "shape", "type", "ms", "PyTorch, ms", "ratio", "TFLOP/s", "of GEMM", "GB/s", "of copy"]
NOT_TIMED = (
    "**Not timed**: the kernels ran under the emulator, on a processor. It shows that they run and are right. The "
    "difference is the largest of all versions to PyTorch's result in float32, of the largest element."
)
MAIN = CHOSEN, ONLY  # the versions that a user of the library gets
GOALS = {  # PyTorch's time / ours, geometric mean over a suite, on an H100
    ("convolution", "float32"): 0.9,
    ("convolution", "tf32"): 0.5,
    ("convolution", "float16"): 0.5,
    **{(suite, "float32"): 1.0 for suite in ("norms", "softmax", "pooling", "resizing")},
}
WIDTH, NEWLINE = 120, "\n"
COPY = 80  # % of the copy, that these suites should reach

Cells = list[str]


def cells(row: Row, ceilings: Ceilings | None) -> Cells:
    """A row as `COLUMNS` show it."""
    head = [row.name, row.version, row.shape, row.precision]
    if row.failure:
        return [*head, _failed(row), *[""] * 6]
    if math.isnan(row.ms):
        return [*head, f"not timed; off by {_short(row.error)}", *[""] * 6]
    return [*head, number(row.ms), *_figures(row, ceilings)]


def _failed(row: Row) -> str:
    return f"**failed**: {row.failure}".replace("|", "\\|")


def _figures(row: Row, ceilings: Ceilings | None) -> Cells:
    """What `COLUMNS` have behind our time."""
    theirs = " / ".join("none" if math.isnan(ms) else number(ms) for ms in row.theirs.values())
    line = [theirs, "" if math.isnan(row.ratio) else f"{row.ratio:.2f}"]
    line += [f"{2 * row.work / row.ms / 1e9:.1f}", _percent(_of_product(row, ceilings))] if row.work else ["", ""]
    return [*line, f"{row.traffic / row.ms / 1e6:.0f}", _percent(_of_copy(row, ceilings))]


def _of_product(row: Row, ceilings: Ceilings | None) -> float:
    """Per cent of a large product's speed."""
    most = ceilings.tflops.get(row.precision, math.nan) if ceilings else math.nan
    return 100 * 2 * row.work / row.ms / 1e9 / most


def _of_copy(row: Row, ceilings: Ceilings | None) -> float:
    """Per cent of a large copy's speed."""
    return 100 * row.traffic / row.ms / 1e6 / (ceilings.gbytes if ceilings else math.nan)


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.0f} %"


def goals(rows: Sequence[Row], ceilings: Ceilings | None = None) -> list[Cells]:
    """By suite and type the geometric means over the versions that the library chooses, and what is asked of them."""
    lines = []
    suites = list(dict.fromkeys(row.suite for row in rows))
    for suite, precision in itertools.product(suites, PRECISIONS):
        every = [r for r in rows if (r.suite, r.precision) == (suite, precision)]
        if not every:
            continue
        mine = [r for r in every if r.version in MAIN]
        timed = [r for r in mine if not r.failure and not math.isnan(r.ratio)]
        ratios = [r.ratio for r in timed]
        goal = GOALS.get((suite, precision))
        mean, least = (f"{statistics.geometric_mean(ratios):.2f}", f"{min(ratios):.2f}") if ratios else ("", "")
        share = _of_product if mine and mine[0].work else _of_copy
        shares = [s for r in timed if not math.isnan(s := share(r, ceilings))]
        reached = _percent(statistics.geometric_mean(shares)) if shares else ""
        reached += f" (goal {COPY} %)" if goal == 1 and reached else ""
        failed = sum(bool(r.failure) for r in every)
        count = f"{len(mine)}, **{failed} failed**" if failed else str(len(mine))
        lines.append([suite, precision, count, mean, f"{goal:g}" if goal else "", least, reached])
    return lines


def tables(result: dict[str, Any], rows: Sequence[Row], ceilings: Ceilings | None) -> list[str]:
    """The lines of the report."""
    about = ", ".join(f"{key} {value}" for key, value in result["conditions"].items())
    timed = result["timed"]
    prose = _timing(ceilings) if timed else NOT_TIMED
    lines = [*textwrap.wrap(f"{about}.", WIDTH), "", *textwrap.wrap(prose, WIDTH), "", *_checks(result), ""]
    if timed:
        head = ["suite", "type", "rows", "PyTorch's time / ours", "goal", "smallest", "of product or copy"]
        lines += markdown(head, goals(rows, ceilings), texts=2)
    else:
        lines += _counts(rows)
    for suite in dict.fromkeys(row.suite for row in rows):
        mine = [row for row in rows if row.suite == suite]
        table = _timed(mine, ceilings) if timed else _untimed(mine)
        lines += ["", f"### CUDA kernels: {suite}", "", *table]
    return lines


def _timing(ceilings: Ceilings | None) -> str:
    """What the figures of the tables are."""
    prose = (
        "PyTorch's times: channels first / channels last, where there are two; the ratio is PyTorch's faster time / "
        "ours. Versions are in ms; what follows them is of the one that the library chooses."
    )
    if ceilings is None:
        return prose
    products = ", ".join(f"{key} {value:.0f}" for key, value in ceilings.tflops.items())
    return (
        f"In the same run a large product reached {products} TFLOP/s (cuBLAS, through PyTorch), a large copy "
        f"{ceilings.gbytes:.0f} GB/s. {prose}"
    )


def _counts(rows: Sequence[Row]) -> list[str]:
    """How many shapes and versions ran, by suite and type."""
    lines = []
    for suite in dict.fromkeys(row.suite for row in rows):
        kinds = [[r for r in rows if (r.suite, r.precision) == (suite, p)] for p in PRECISIONS]
        lines.append([suite, *(str(len(kind)) if kind else "" for kind in kinds)])
    return markdown(["versions of kernels, each on each shape", *PRECISIONS], lines, texts=1)


def _by_work(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[str, Row]]:
    """The versions of each kernel, shape and type; the types of a shape together."""
    order = list(dict.fromkeys((row.name, row.shape) for row in rows))
    found: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in sorted(rows, key=lambda r: (order.index((r.name, r.shape)), PRECISIONS.index(r.precision))):
        found.setdefault((row.name, row.shape, row.precision), {})[row.version] = row
    return found


def _untimed(rows: Sequence[Row]) -> list[str]:
    """A line for each shape, or several where types have different versions and launches."""
    merged: dict[tuple[str, ...], list[str]] = {}
    for (name, shape, precision), versions in _by_work(rows).items():
        launches = ", ".join(dict.fromkeys(list(versions.values())[-1].launches))
        named = ", ".join(version for version in versions if version not in MAIN)
        failures = "; ".join(_failed(row) for row in versions.values() if row.failure)
        error = max((row.error for row in versions.values() if not math.isnan(row.error)), default=math.nan)
        merged.setdefault((name, shape, named, launches), []).append(f"{precision} {failures or _short(error)}")
    lines = [[name, shape, ", ".join(errors), *rest] for (name, shape, *rest), errors in merged.items()]
    head = ["kernel", "shape", "difference", "versions", "launches of the one chosen"]
    head, lines = _filled(head, lines)
    return markdown(head, lines, texts=len(head))


def _short(error: float) -> str:
    return f"{error:.0e}" if error else "0"


def _timed(rows: Sequence[Row], ceilings: Ceilings | None) -> list[str]:
    """A line for each shape and type, with the versions side by side."""
    names = [name for name in dict.fromkeys(row.version for row in rows) if name not in MAIN]
    head = ["kernel", "shape", "type", *names, "chosen, ms" if names else "ms", *COLUMNS[5:]]
    lines = [
        [*key, *_times(versions, names), *cells(list(versions.values())[-1], ceilings)[4:]]
        for key, versions in _by_work(rows).items()
    ]
    return markdown(*_filled(head, lines), texts=3)


def _times(versions: dict[str, Row], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        row = versions.get(name)
        yield "" if row is None else _failed(row) if row.failure else number(row.ms)


def _filled(head: Cells, lines: list[Cells]) -> tuple[Cells, list[Cells]]:
    """Without the columns that are empty in every line."""
    kept = [i for i in range(len(head)) if any(line[i] for line in lines)]
    return [head[i] for i in kept], [[line[i] for i in kept] for line in lines]


def _checks(result: dict[str, Any]) -> Iterator[str]:
    for problem in result.get("problems", []):
        yield f"- **{problem['section']} failed**: {problem['type']}: {problem['message'].partition(NEWLINE)[0]}"
        yield from ["", "  ```text", *(f"  {line}" for line in problem["traceback"]), "  ```", ""]
    if errors := result.get("compiled", {}).get("errors"):
        yield f"- **Not compiled**: {' '.join(errors).partition(NEWLINE)[0]}"
    if table := result.get("table"):
        failed = table.get("failed", 0) + table.get("error", 0)
        yield f"- Test table: {table.get('passed', 0)} passed, {failed} failed{_stopped(table)}."
    for row in result.get("sanitizer", []):
        yield f"- {row['tool']}{'' if row['clean'] is not False else ', **not clean**'}: {row['last']}."
    for row in result.get("training", []):
        step = row.get("step", {})
        speed = f"; a step {step['ours']:.1f} ms, PyTorch's {step['PyTorch']:.1f}" if step else ""
        yield (
            f"- U-Net, {row['precision']}, {row['steps']} steps: loss {row['first loss']:.3f} to "
            f"{row['last loss']:.3f}, IoU of chairs {row['IoU']:.3f}{speed}."
        )
    if late := result.get("left out"):
        yield f"- The time was up {late}."


def _stopped(table: dict[str, Any]) -> str:
    return "" if table.get("ended", True) else f", **{table['last']}**"
