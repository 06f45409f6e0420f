"""Time tinyseg beside PyTorch on this machine: `python -m benchmarks [--quick] [--write] [--only WORDS]`.

Every row is checked, then timed; `--write` puts the tables into kernels/README.md and their summary into README.md. On
a machine that others use, `--cpu-time` counts the processor time of one thread: waiting for a core is not counted.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator

import torch

import tinyseg as ts
from benchmarks.harness import Case, Row, measure
from benchmarks.report import COLUMNS, ROOT, Ceilings, ceilings, cells, conditions, markdown, summary, write
from benchmarks.suites import GOALS, SLOW, cases

SECONDS, QUICK = 2.0, 0.1  # a row


def chosen(only: str, quick: bool) -> Iterator[Case]:
    """The cases whose suite, name and shape contain the words of `only`; without the slow suites if `quick`."""
    for case in cases():
        if only in " ".join(case[:3]) and not (quick and case.suite in SLOW):
            yield case


def tables(rows: Iterable[Row], ceiling: Ceilings) -> Iterator[str]:
    """The lines of each suite's table, as its rows are measured."""
    for suite, members in itertools.groupby(rows, lambda row: row.suite):
        head, *lines = markdown(COLUMNS, [])
        yield from ("", f"**{suite[0].upper()}{suite[1:]}**", "", head, *lines)
        for row in members:
            yield markdown(COLUMNS, [cells(row, ceiling, GOALS[suite])])[-1]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute: few rounds a row, no kernels by direction")
    parser.add_argument("--write", action="store_true", help="write the tables into kernels/README.md and README.md")
    parser.add_argument("--only", default="", metavar="WORDS", help="only rows whose suite, name and shape contain it")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, its processor time")
    options = parser.parse_args()
    if options.write and (options.quick or options.only):
        parser.error("--write wants every row at full length: without --quick and --only")
    return options


def main() -> int:
    options = parse()
    if options.cpu_time:
        ts.set_num_threads(1)
    torch.set_num_threads(ts.get_num_threads())
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds = QUICK if options.quick else SECONDS
    ceiling = ceilings()
    head = conditions(seconds, ceiling, options.cpu_time)
    if options.quick:
        head += f"\n--quick: few rounds, and without {', '.join(SLOW)}."
    print(head)
    rows: list[Row] = []

    def measured() -> Iterator[Row]:
        for case in chosen(options.only, options.quick):
            rows.append(measure(case, seconds, clock))
            yield rows[-1]

    body = []
    for line in tables(measured(), ceiling):
        body.append(line)
        print(line, flush=True)
    totals = summary(rows, GOALS)
    print("", *totals, sep="\n", flush=True)
    failed = [row for row in rows if row.failure]
    for row in failed:
        print(f"failed: {row.name} {row.shape}: {row.failure}", file=sys.stderr)
    if options.write and failed:
        print("nothing written: a table with failures is no table", file=sys.stderr)
    elif options.write:
        write([head, "", *totals, *body], "benchmarks", ROOT / "kernels" / "README.md")
        write([*totals, "", head], "summary", ROOT / "README.md")
    if not rows:
        print(f"no row contains {options.only!r}", file=sys.stderr)
    return 1 if failed or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
