"""Check and time the CUDA kernels on this machine's GPU: `python -m benchmarks.gpu`.

Needs no network and installs nothing; on a machine whose CuPy and PyTorch are to stay as they are, the library itself
comes by `pip install --no-deps --no-build-isolation -e .`. A section that fails is part of the report, and the others
go on. Without a GPU `--device emulated` goes through the same steps on the processor, on small shapes: everything is
checked, nothing is timed, and the report says so. On a GPU a run takes less than eight minutes (`schedule.py` divides
them) and leaves out the rarer shapes, and bfloat16 where float16 tells as much; `--all --sections rows --limit 1000`
times them too.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence

import torch

from benchmarks.gpu import checks, training
from benchmarks.gpu.compiling import compile_all
from benchmarks.gpu.device import Cuda, Device, Emulated, tf32
from benchmarks.gpu.results import Report
from benchmarks.gpu.rows import Ceilings, Row, measure
from benchmarks.gpu.schedule import GRACE, LIMIT, SECTIONS, SLOWER, Schedule
from benchmarks.gpu.suites import works
from benchmarks.gpu.tables import COLUMNS, cells, tables
from benchmarks.report import ROOT, markdown, write
from tinyseg import cuda_available
from tinyseg.errors import DeviceError
from tinyseg.kernels.emulator.build import compiler

SECONDS = 0.25  # a row, all its versions and PyTorch's together
PAGE = ROOT / "kernels" / "README.md"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda")
    parser.add_argument("--only", default="", metavar="WORDS", help="only rows and sanitized launches that contain it")
    parser.add_argument("--all", action="store_true", help="on a GPU every shape in every type; wants a longer --limit")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--limit", type=float, help=f"seconds for everything (default: {LIMIT:.0f}, on a GPU)")
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file (default: benchmarks/results/<device>.json)")
    parser.add_argument("--write", action="store_true", help="write the tables into the page")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, help="the page (default: kernels/README.md)")
    options = parser.parse_args(arguments)
    options.sections = options.sections.split(",")
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"--sections: no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background, children too
    began, options = time.perf_counter(), parse(arguments)
    device = chosen_device(options.device)
    options.all = options.all or not device.timed
    if options.only and next(works(device, options.only, options.all), None) is None:
        sys.exit(f"--only: no row contains {options.only!r}" + ("" if options.all else "; rarer ones need --all"))
    schedule = Schedule(options.limit or LIMIT * (1 if device.timed else SLOWER), options.sections)
    report = Report(device, options.out)
    found, rows = report.found, report.rows
    print(*(f"{key}: {value}" for key, value in found["conditions"].items()), sep="\n", flush=True)
    check(device, options, schedule, report)
    if "rows" in options.sections:
        if device.timed:
            with report.section("ceilings"):
                report.ceilings = ceilings(device)
        with report.section("rows"):
            time_rows(device, options, schedule, report)
    found["seconds"] = round(time.perf_counter() - began, 1)
    report.save()
    if options.write:
        write(tables(found, rows, report.ceilings), "gpu", options.page)
    shapes = len({(row.name, row.shape, row.precision) for row in rows})
    print(f"{len(rows)} rows of {shapes} shapes and types, {found['seconds']:.0f} s; written to {report.path}")
    return 1 if report.failed else 0


def chosen_device(name: str) -> Device:
    if name == "emulated":
        try:
            compiler()
        except DeviceError as missing:
            sys.exit(str(missing))
        return Emulated()
    if not (cuda_available() and torch.cuda.is_available()):
        sys.exit("no GPU that both CuPy and PyTorch see; `--device emulated` checks everything on the processor")
    return Cuda()


def check(device: Device, options: argparse.Namespace, schedule: Schedule, report: Report) -> None:
    """Everything but the rows."""
    found, sections = report.found, options.sections
    if device.timed:
        with report.section("compile"):
            found["compiled"] = compile_all(schedule.left("compile"))
            print("compiled:", found["compiled"], flush=True)
    if "table" in sections:
        with report.section("table"):
            found["table"] = checks.table(device, schedule.left("table"))
            print("test table:", {**found["table"], "output": "(in the file)"}, flush=True)
    if "sanitizer" in sections:
        with report.section("sanitizer"):
            found["sanitizer"] = checks.sanitize(device, options.only, schedule.left("sanitizer"))
            print(*(f"{row['tool']}: {row['last']}" for row in found["sanitizer"]), sep="\n", flush=True)
    if "training" in sections:
        found["training"] = []
        for k, precision in enumerate(training.PRECISIONS):
            with report.section(f"training, {precision}"):
                seconds = schedule.left("training", len(training.PRECISIONS) - k)
                found["training"].append(training.trained(device, precision, seconds))
                print(found["training"][-1], flush=True)


def ceilings(device: Device, seconds: float = 0.5) -> Ceilings:
    """What the GPU reaches: products of 8192×8192 matrices by cuBLAS, a copy of 1 GB."""
    size = 8192
    found = {}
    types = {"float32": torch.float32, "tf32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    for precision, dtype in types.items():
        a = torch.randn(size, size, device="cuda").to(dtype)
        with tf32(precision == "tf32"):
            (ms,) = device.milliseconds([lambda a=a: a @ a], seconds)
        found[precision] = 2 * size**3 / ms / 1e9
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    (ms,) = device.milliseconds([lambda: target.copy_(source)], seconds)
    return Ceilings(found, 2 * source.nbytes / ms / 1e6)


def time_rows(device: Device, options: argparse.Namespace, schedule: Schedule, report: Report) -> None:
    """The rows, printed as they come; whoever stops the run does not lose all."""
    saved = time.perf_counter()
    print(*markdown(COLUMNS, [], texts=4), sep="\n")
    for made in measured(device, options, schedule, report):
        report.rows.append(made)
        print(markdown(COLUMNS, [cells(made, report.ceilings)], texts=4)[-1], flush=True)
        if time.perf_counter() > saved + 10:
            report.save()
            saved = time.perf_counter()
        if made.failure:
            device.synchronize()  # raises what a GPU raises that answers no more: every row behind would only repeat it
    if not report.rows:
        raise TimeoutError("not one row: the sections before them took all the time")


def measured(device: Device, options: argparse.Namespace, schedule: Schedule, report: Report) -> Iterator[Row]:
    """The rows; those that come when the time is up get the fewest rounds, and soon there are no more."""
    until, todo = schedule.until("rows"), works(device, options.only, options.all)
    for work in todo:
        if time.perf_counter() > until + GRACE:
            first = f"{work.name} {work.shape} {work.precision}"
            report.found["left out"] = f"before {first}: {1 + sum(1 for _ in todo)} shapes and types are left out"
            print(f"the time is up {report.found['left out']}")
            return
        try:
            yield from measure(work, device, SECONDS if time.perf_counter() < until else 0.0)
        except Exception as problem:  # before any version ran, PyTorch's too: a lack of memory; the other rows go on
            failure = f"{type(problem).__name__}: {problem}".splitlines()[0]
            yield Row(*work[:2], "(none)", *work[2:4], math.nan, {}, work.work, work.traffic, math.nan, [], failure)


if __name__ == "__main__":
    sys.exit(main())
