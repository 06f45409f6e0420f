"""What a run leaves behind: one JSON file, and what depends on the machine that it ran on."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import pathlib
import platform
import re
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import numba
import numpy as np
import torch

from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import Ceilings, Row
from benchmarks.report import ROOT

__all__ = ["RESULTS", "Report", "conditions", "save"]

RESULTS = ROOT / "benchmarks" / "results"
LINES = 12  # of a traceback


class Report:
    """What a run has found so far, in a file from the first section on."""

    def __init__(self, device: Device, path: pathlib.Path | None) -> None:
        self.found: dict[str, Any] = {"conditions": conditions(device), "timed": device.timed, "problems": []}
        self.rows: list[Row] = []
        self.ceilings: Ceilings | None = None
        name = re.sub("[^a-z0-9]+", "-", self.found["conditions"]["device"].lower())
        self.path = path or RESULTS / f"{name}.json"

    @contextlib.contextmanager
    def section(self, name: str) -> Iterator[None]:
        """What goes wrong inside is kept, and the run goes on."""
        try:
            yield
        except Exception as problem:
            lines = "".join(traceback.format_exception(problem)).splitlines()[-LINES:]
            kind, message = type(problem).__name__, str(problem)
            self.found["problems"].append({"section": name, "type": kind, "message": message, "traceback": lines})
            print(f"{name} failed:", *lines, sep="\n", flush=True)
        self.save()

    def save(self) -> None:
        save(self.found, self.rows, self.ceilings, self.path)

    @property
    def failed(self) -> bool:
        """Whether anything went wrong in any section."""
        table = self.found.get("table", {"passed": 1, "ended": True})
        return bool(
            self.found["problems"]
            or self.found.get("compiled", {}).get("errors")
            or table.get("failed")
            or table.get("error")
            or not (table.get("passed") and table["ended"])
            or any(row["clean"] is False for row in self.found.get("sanitizer", []))
            or not all(math.isfinite(row["last loss"]) for row in self.found.get("training", []))
            or any(row.failure for row in self.rows)
        )


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
