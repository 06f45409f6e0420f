"""Correctness before speed: the whole test table on the device, and NVIDIA's sanitizer over every kernel."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import Any

from benchmarks.gpu.device import Device
from benchmarks.report import ROOT

__all__ = ["sanitize", "table"]

TOOLS = ("memcheck", "racecheck")


def table(device: Device, only: str = "") -> dict[str, Any]:
    """Every row of the test table on the device, in a process of its own: how many passed, and which failed.

    Where nothing is timed it is a sample, whose words `only` are: the whole table runs in the project's tests.
    """
    command = [sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider", "tests/test_cases.py"]
    command += ["-k", f"{device.name} and ({only})" if only else device.name]
    if device.timed:
        command += ["-W", "default"]  # what the versions of that machine warn of is not the kernels' fault
        if _has("xdist"):
            command += ["-n", str(min(12, os.cpu_count() or 1))]  # they share the cache of what CuPy compiles
    done = _run(command, {"TINYSEG_TEST_DEVICES": device.name}, seconds=240)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error|skipped)", done["output"])}
    if not counts:  # stopped before its summary
        marks = "".join(re.findall(r"^([.FEs]+)(?: +\[ *\d+%\])?$", done["output"], re.MULTILINE))
        counts = {word: marks.count(mark) for mark, word in ((".", "passed"), ("F", "failed"), ("E", "error"))}
    failed = re.findall(r"^FAILED (\S+)", done["output"], re.MULTILINE)
    return {**counts, "failures": failed, "seconds": done["seconds"], "ended": done["ended"], "last": _last(done)}


def sanitize(device: Device) -> list[dict[str, Any]]:
    """compute-sanitizer over a launch of every kernel on small shapes; the emulator's trace mode in its place."""
    script = [sys.executable, "-m", "benchmarks.gpu.small", device.name]
    if not device.timed:
        done = _run(script, {}, seconds=300)
        return [
            {
                "tool": "emulator, trace mode",
                "clean": done["code"] == 0,
                "last": _last(done),
                "seconds": done["seconds"],
            }
        ]
    found = shutil.which("compute-sanitizer") or _beside_cuda()
    if found is None:
        return [{"tool": tool, "clean": None, "last": "compute-sanitizer is not installed"} for tool in TOOLS]
    rows = []
    for tool in TOOLS:
        more = ["--report-api-errors", "no"] if tool == "memcheck" else []  # PyTorch asks the driver for what it lacks
        done = _run([found, "--tool", tool, *more, "--error-exitcode", "9", *script], {}, seconds=90)
        rows.append({"tool": tool, "clean": done["code"] == 0, "last": _last(done), "seconds": done["seconds"]})
    return rows


def _beside_cuda() -> str | None:
    places = [pathlib.Path(p) for p in (os.environ.get("CUDA_HOME", ""), "/usr/local/cuda") if p]
    found = [place / "bin" / "compute-sanitizer" for place in places]
    return next((str(path) for path in found if path.is_file()), None)


def _has(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def _last(done: dict[str, Any]) -> str:
    lines = [line for line in done["output"].splitlines() if line.strip()]
    summary = [line for line in lines if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
    return (summary or lines or [""])[-1].strip("= ")


def _run(command: list[str], extra: dict[str, str], seconds: float) -> dict[str, Any]:
    import time

    began = time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **extra}, capture_output=True, text=True, timeout=seconds
        )
        output, code, ended = done.stdout + done.stderr, done.returncode, True
    except subprocess.TimeoutExpired as late:
        output = b"".join(filter(None, (late.stdout, late.stderr))).decode(errors="replace")  # type: ignore[arg-type]
        code, ended = 124, False
    return {"output": output, "code": code, "ended": ended, "seconds": round(time.perf_counter() - began, 1)}
