"""Check and time the CUDA kernels on this machine's GPU: `python -m benchmarks.gpu`.

Without a GPU `--device emulated` goes through the same steps on the processor, on small shapes: everything is checked,
nothing is timed, and the report says so. Needs no network, installs nothing.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.gpu import checks, training
from benchmarks.gpu.convolutions import convolutions
from benchmarks.gpu.device import Cuda, Device, Emulated
from benchmarks.gpu.passes import passes
from benchmarks.gpu.results import COLUMNS, RESULTS, cells, conditions, save, tables
from benchmarks.gpu.rows import Ceilings, Row, Work, measure
from benchmarks.report import ROOT, markdown, write
from tinyseg import cuda_available

SECTIONS = ("table", "sanitizer", "training", "rows")
LIMIT = 420.0  # seconds for everything; after them a row gets the fewest rounds
GRACE = 50.0  # seconds more, after which no row is begun
SECONDS = 0.25  # a row, all its versions and PyTorch's together
SAMPLE = "conv2d or softmax or max_pool2d or interpolate or group_norm"  # of the table, where nothing is timed


def ceilings(device: Cuda, seconds: float = 0.5) -> Ceilings:
    """What the GPU reaches: products of 8192×8192 matrices by cuBLAS, a copy of 1 GB."""
    size = 8192
    found = {}
    types = {"float32": torch.float32, "tf32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    for precision, dtype in types.items():
        a = torch.randn(size, size, device="cuda").to(dtype)
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        (ms,) = device.milliseconds([lambda a=a: a @ a], seconds)
        found[precision] = 2 * size**3 / ms / 1e9
    torch.backends.cuda.matmul.allow_tf32 = False
    source = torch.empty(1 << 28, device="cuda")
    target = torch.empty_like(source)
    (ms,) = device.milliseconds([lambda: target.copy_(source)], seconds)
    return Ceilings(found, 2 * source.nbytes / ms / 1e6)


def works(device: Device, only: str) -> Iterator[Work]:
    for source in (passes, convolutions):
        for work in source(device):
            if only in f"{work.suite} {work.name} {work.shape} {work.precision}":
                yield work


def measured(device: Device, only: str, until: float) -> Iterator[Row]:
    """The rows; those that come when the time is up get the fewest rounds, and soon there are no more."""
    for work in works(device, only):
        if device.timed and time.perf_counter() > until + GRACE:
            print(f"the time is up before {work.name} {work.shape} {work.precision}: the rows behind it are left out")
            return
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = work.precision == "tf32"
        try:
            yield from measure(work, device, SECONDS if time.perf_counter() < until else 0.0)
        except Exception as problem:  # PyTorch's own, such as a lack of memory: the other rows go on
            head = work.suite, work.name, "PyTorch", work.shape, work.precision
            failure = f"{type(problem).__name__}: {problem}".splitlines()[0]
            yield Row(*head, math.nan, {}, work.work, work.traffic, math.nan, [], failure)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "emulated"], default="cuda")
    parser.add_argument("--only", default="", metavar="WORDS", help="only rows whose suite, name and shape contain it")
    parser.add_argument("--sections", default=",".join(SECTIONS), help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for everything")
    parser.add_argument("--out", type=pathlib.Path, help="the JSON file (default: benchmarks/results/<device>.json)")
    parser.add_argument("--write", action="store_true", help="write the tables into kernels/README.md")
    return parser.parse_args()


def main() -> int:
    began = time.perf_counter()
    options = parse()
    sections = options.sections.split(",")
    if unknown := set(sections) - set(SECTIONS):
        sys.exit(f"--sections: no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    if options.device == "cuda" and not (cuda_available() and torch.cuda.is_available()):
        sys.exit("no GPU that both CuPy and PyTorch see; `--device emulated` checks everything on the processor")
    device: Device = Cuda() if options.device == "cuda" else Emulated()
    result: dict[str, Any] = {"conditions": conditions(device), "timed": device.timed}
    print(*(f"{key}: {value}" for key, value in result["conditions"].items()), sep="\n", flush=True)
    path = options.out or RESULTS / f"{re.sub('[^a-z0-9]+', '-', result['conditions']['device'].lower())}.json"
    top = ceilings(device) if isinstance(device, Cuda) else None
    rows: list[Row] = []
    if "table" in sections:
        result["table"] = checks.table(device, "" if device.timed else SAMPLE)
        print("test table:", result["table"], flush=True)
    if "sanitizer" in sections:
        result["sanitizer"] = checks.sanitize(device)
        print(*result["sanitizer"], sep="\n", flush=True)
    if "training" in sections:
        result["training"] = []
        for precision in training.PRECISIONS:
            row = training.train(device, precision)
            result["training"].append({**row, "step": training.step_times(device, precision, 2.0)})
            print(result["training"][-1], flush=True)
    save(result, rows, top, path)
    if "rows" in sections:
        print(*markdown(COLUMNS, [], texts=4), sep="\n")
        for made in measured(device, options.only, began + options.limit):
            rows.append(made)
            print(markdown(COLUMNS, [cells(made, top)], texts=4)[-1], flush=True)
            save(result, rows, top, path)  # whoever stops the run loses nothing
        save(result, rows, top, path)
    seconds = time.perf_counter() - began
    result["seconds"] = round(seconds, 1)
    save(result, rows, top, path)
    if options.write:
        write(tables(result, rows, top), "gpu", ROOT / "kernels" / "README.md")
    print(f"{seconds:.0f} s; written to {path}")
    failed = [row for row in rows if row.failure]
    table = result.get("table", {"passed": 1, "ended": True})
    bad = table.get("failed", 0) or table.get("error", 0) or not (table.get("passed", 0) and table["ended"])
    bad = bad or any(row["clean"] is False for row in result.get("sanitizer", []))
    bad = bad or not all(math.isfinite(row["last loss"]) for row in result.get("training", []))
    return 1 if failed or bad else 0


if __name__ == "__main__":
    sys.exit(main())
