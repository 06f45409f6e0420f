"""What a row is: one kernel version on one shape, checked, then timed in turns with PyTorch's in both layouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.gpu.device import Device
from tinyseg import kernels
from tinyseg.kernels import emulator

__all__ = ["Ceilings", "Row", "Work", "measure"]

TOLERANCE = {"float32": 1e-4, "tf32": 2e-3, "float16": 5e-3, "bfloat16": 4e-2}  # of the largest element


class Work(NamedTuple):
    """The same result by our versions and by PyTorch: functions without arguments."""

    suite: str
    name: str
    shape: str
    precision: str  # float32, tf32, float16, bfloat16
    ours: Mapping[str, Callable[[], Any]]  # by version
    theirs: Mapping[str, Callable[[], Any]]  # by layout, or "" where there is one way
    expected: Callable[[], Any]  # PyTorch's in float32, on the same rounded inputs
    work: int = 0  # multiply-adds of the definition
    traffic: int = 0  # bytes that must be read or written at least once


class Row(NamedTuple):
    """One version, measured; times in milliseconds, NaN where nothing is timed."""

    suite: str
    name: str
    version: str
    shape: str
    precision: str
    ms: float
    theirs: dict[str, float]
    work: int
    traffic: int
    error: float  # largest, of the largest element
    launches: list[str]  # known under the emulator only
    failure: str = ""

    @property
    def best(self) -> float:
        """PyTorch's time in its faster layout."""
        return min(self.theirs.values(), default=math.nan)

    @property
    def ratio(self) -> float:
        """PyTorch's time / ours."""
        return self.best / self.ms


class Ceilings(NamedTuple):
    """What this GPU reaches: TFLOP/s of a large product by precision, GB/s of a large copy."""

    tflops: dict[str, float]
    gbytes: float


def difference(device: Device, ours: Any, expected: Any) -> float:
    """The largest, of the largest element of what is expected; over all arrays of a result."""
    worst = 0.0
    for a, b in zip(listed(ours), listed(expected), strict=True):
        x, y = device.numpy(a), device.numpy(b)
        if x.shape != y.shape:
            raise AssertionError(f"shape {x.shape}, PyTorch's is {y.shape}")
        if not x.size:
            continue
        error = float(np.abs(x.astype(np.float64) - y).max() / max(np.abs(y).max(), 1e-30))
        worst = error if math.isnan(error) else max(worst, error)
    return worst


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def measure(work: Work, device: Device, seconds: float) -> Iterator[Row]:
    """A row for each version of ours."""
    runs: dict[str, Callable[[], Any]] = {}
    notes: dict[str, tuple[float, list[str], str]] = {}
    with kernels.use(allow_tf32=work.precision == "tf32"):
        expected = work.expected()
        for version, run in work.ours.items():
            try:
                with emulator.record() as launches:
                    error = difference(device, run(), expected)
                good = error < TOLERANCE[work.precision]
                notes[version] = error, [x.kernel for x in launches], "" if good else f"off by {error:.1e}"
            except Exception as problem:  # it belongs into the table, and the other rows go on
                notes[version] = math.nan, [], f"{type(problem).__name__}: {problem}".splitlines()[0]
            if not notes[version][2]:
                runs[version] = run
        theirs = {f"PyTorch {layout}": run for layout, run in work.theirs.items()}
        if device.timed:
            for run in theirs.values():
                run()  # cuDNN chooses its algorithm
        times = dict(
            zip([*runs, *theirs], device.milliseconds([*runs.values(), *theirs.values()], seconds), strict=True)
        )
    figures = {layout: times[f"PyTorch {layout}"] for layout in work.theirs}
    for version in work.ours:
        error, names, failure = notes[version]
        head = work.suite, work.name, version, work.shape, work.precision
        yield Row(*head, times.get(version, math.nan), figures, work.work, work.traffic, error, names, failure)
