"""Correctness before speed: the whole test table on the device, and NVIDIA's sanitizer over every kernel."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import shutil
import sys
import time
from typing import Any

from benchmarks.gpu.device import Device
from benchmarks.gpu.processes import Done, Process, shortened

__all__ = ["sanitize", "table"]

TOOLS = ("memcheck", "racecheck")
PATIENCE = 15.0  # seconds: when interrupted pytest prints its tracebacks, xdist ten seconds later
SAMPLE = "conv2d or softmax or max_pool2d or interpolate or group_norm"  # of the table, where nothing is timed


def table(device: Device, seconds: float) -> dict[str, Any]:
    """Every row of the test table on the device, in a process of its own: how many passed, which failed, and why.

    Where nothing is timed it is a sample: the whole table runs in the project's tests.
    """
    command = [sys.executable, "-m", "pytest", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
    command += ["tests/test_cases.py", "-k", device.name if device.timed else f"{device.name} and ({SAMPLE})"]
    if device.timed:
        command += ["tests/test_cases_versions.py"]
        command += ["-W", "default"]  # what the versions of that machine warn of is not the kernels' fault
        if importlib.util.find_spec("xdist"):
            command += ["-n", str(min(12, os.cpu_count() or 1))]  # they share the cache of what CuPy compiles
    return read_table(Process(command, {"TINYSEG_TEST_DEVICES": device.name}).done(seconds, PATIENCE))


def read_table(done: Done) -> dict[str, Any]:
    """What pytest printed, also where it was stopped before its summary."""
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", done.output)}
    if not counts:
        marks = "".join(re.findall(r"^([.FEs]+)(?: +\[ *\d+%\])?$", done.output, re.MULTILINE))
        counts = {word: marks.count(mark) for mark, word in ((".", "passed"), ("F", "failed"), ("E", "error"))}
    before, _, summary = done.output.partition("= short test summary info =")
    return {
        **counts,
        "failures": re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", summary, re.MULTILINE),
        "seconds": done.seconds,
        "ended": done.ended,
        "last": done.last,
        "output": shortened(before),
    }


def sanitize(device: Device, only: str, seconds: float) -> list[dict[str, Any]]:
    """compute-sanitizer over a launch of every kernel on small shapes; the emulator's trace mode in its place."""
    end = time.perf_counter() + seconds
    script = [sys.executable, "-m", "benchmarks.gpu.small", device.name, only]
    if not device.timed:
        return [sanitized("emulator, trace mode", Process(script).done(seconds))]
    found = shutil.which("compute-sanitizer") or _beside_cuda()
    if found is None:
        return [{"tool": tool, "clean": None, "last": "compute-sanitizer is not installed"} for tool in TOOLS]
    rows = []
    for k, tool in enumerate(TOOLS):
        more = ["--report-api-errors", "no"] if tool == "memcheck" else []  # PyTorch asks the driver for what it lacks
        process = Process([found, "--tool", tool, *more, "--error-exitcode", "9", *script])
        rows.append(sanitized(tool, process.done((end - time.perf_counter()) / (len(TOOLS) - k))))
    return rows


def sanitized(tool: str, done: Done) -> dict[str, Any]:
    return {
        "tool": tool,
        "clean": done.ended and done.code == 0,
        "last": done.last,
        "seconds": done.seconds,
        "output": shortened(done.output),
    }


def _beside_cuda() -> str | None:
    places = [pathlib.Path(p) for p in (os.environ.get("CUDA_HOME", ""), "/usr/local/cuda") if p]
    found = [place / "bin" / "compute-sanitizer" for place in places]
    return next((str(path) for path in found if path.is_file()), None)
