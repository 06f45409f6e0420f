"""What a run leaves behind: one JSON file, and the tables of kernels/README.md."""

from __future__ import annotations

import datetime
import json
import math
import pathlib
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numba
import numpy as np
import torch

from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Ceilings, Row
from benchmarks.report import ROOT, markdown, number

__all__ = ["COLUMNS", "RESULTS", "cells", "conditions", "goals", "save", "tables"]

RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = ["kernel", "version", "shape", "type", "ms", "PyTorch, ms", "ratio", "TFLOP/s", "of GEMM", "GB/s", "of copy"]
NOT_TIMED = "**Not timed**: the kernels ran under the emulator, on a processor. It shows that they run and are right."
GOALS = {  # PyTorch's time / ours, geometric mean over a suite, on an H100
    ("convolution", "float32"): 0.9,
    ("convolution", "tf32"): 0.5,
    ("convolution", "float16"): 0.5,
    ("passes over memory", "float32"): 1.0,
}


def conditions(device: Device) -> dict[str, str]:
    """What the figures depend on."""
    found = {
        "device": "emulated",
        "date": str(datetime.date.today()),
        "system": platform.system(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "numba": numba.__version__,
        "PyTorch": torch.__version__,
    }
    if device.timed:
        import cupy

        found["device"] = torch.cuda.get_device_name()
        found["CuPy"] = cupy.__version__
        found["CUDA"] = str(torch.version.cuda)
        found["cuDNN"] = str(torch.backends.cudnn.version())
    return found


def cells(row: Row, ceilings: Ceilings | None) -> list[str]:
    """A row as `COLUMNS` show it."""
    head = [row.name, row.version, row.shape, row.precision]
    if row.failure:
        return [*head, f"**failed**: {row.failure}".replace("|", "\\|"), *[""] * 6]
    if math.isnan(row.ms):
        return [*head, f"not timed; off by {row.error:.0e}", *[""] * 6]
    theirs = " / ".join(number(ms) for ms in row.theirs.values())
    line = [*head, number(row.ms), theirs, f"{row.ratio:.2f}"]
    flops, traffic = 2 * row.work / row.ms / 1e9, row.traffic / row.ms / 1e6
    most = ceilings.tflops.get(row.precision, math.nan) if ceilings else math.nan
    line += [f"{flops:.1f}", f"{100 * flops / most:.0f} %"] if row.work else ["", ""]
    line += [f"{traffic:.0f}", f"{100 * traffic / ceilings.gbytes:.0f} %"] if ceilings else ["", ""]
    return line


def goals(rows: Sequence[Row]) -> list[list[str]]:
    """By suite and type the geometric mean of PyTorch's time / ours for the versions that the library chooses."""
    lines = []
    for key in dict.fromkeys((row.suite, row.precision) for row in rows):
        mine = [r for r in rows if (r.suite, r.precision) == key and r.version in ("(chosen)", "cuda")]
        ratios = [r.ratio for r in mine if not r.failure and not math.isnan(r.ratio)]
        goal = f"{GOALS[key]:g}" if key in GOALS else ""
        mean, least = (f"{statistics.geometric_mean(ratios):.2f}", f"{min(ratios):.2f}") if ratios else ("", "")
        lines.append([*key, str(len(mine)), mean, goal, least])
    return lines


def tables(result: dict[str, Any], rows: Sequence[Row], ceilings: Ceilings | None) -> list[str]:
    """The lines of the report."""
    about = ", ".join(f"{key} {value}" for key, value in result["conditions"].items())
    lines = [about + ".", ""]
    if ceilings is None:
        lines += [NOT_TIMED, ""]
    else:
        products = ", ".join(f"{key} {value:.0f}" for key, value in ceilings.tflops.items())
        lines += [
            f"In the same run a large product reached {products} TFLOP/s (cuBLAS, through PyTorch), a large copy "
            f"{ceilings.gbytes:.0f} GB/s. PyTorch's times: channels first / channels last; the ratio is to the faster.",
            "",
        ]
    lines += markdown(["suite", "type", "rows", "PyTorch's time / ours", "goal", "smallest"], goals(rows), texts=2)
    lines += ["", *_checks(result), ""]
    lines += markdown(COLUMNS, (cells(row, ceilings) for row in rows), texts=4)
    return lines


def _checks(result: dict[str, Any]) -> Iterable[str]:
    table = result.get("table", {})
    yield f"Test table: {table.get('passed', 0)} passed, {table.get('failed', 0) + table.get('error', 0)} failed."
    for row in result.get("sanitizer", []):
        yield f"{row['tool']}: {row['last']}."
    for row in result.get("training", []):
        step = row.get("step", {})
        speed = f"; a step {step['ours']:.1f} ms, PyTorch's {step['PyTorch']:.1f}" if step else ""
        yield (
            f"U-Net, {row['precision']}, {row['steps']} steps: loss {row['first loss']:.3f} to {row['last loss']:.3f}, "
            f"IoU of chairs {row['IoU']:.3f}{speed}."
        )


def save(result: dict[str, Any], rows: Sequence[Row], ceilings: Ceilings | None, path: pathlib.Path) -> None:
    """Write everything as JSON; NaN as null."""
    whole = {**result, "ceilings": ceilings and ceilings._asdict(), "rows": [row._asdict() for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(whole), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
