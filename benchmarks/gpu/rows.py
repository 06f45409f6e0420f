"""What a row is: one kernel version on one shape, checked, then timed in turns with PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.gpu.device import Device, tf32
from tinyseg import kernels
from tinyseg.kernels import emulator

__all__ = ["CHOSEN", "ONLY", "Ceilings", "Row", "Work", "measure"]

TOLERANCE = {"float32": 1e-4, "tf32": 2e-3, "float16": 5e-3, "bfloat16": 4e-2}  # of the largest element
CHOSEN, ONLY = "(chosen)", "cuda"  # of several versions the one that the library's rule takes; where there is one
Run = Callable[[], Any]


class Work(NamedTuple):
    """The same result by our versions and by PyTorch: functions without arguments."""

    suite: str
    name: str
    shape: str
    precision: str  # float32, tf32, float16, bfloat16
    ours: Mapping[str, Run]  # by version
    theirs: Mapping[str, Run]  # by layout, or "" where there is one way
    expected: Run  # PyTorch's in float32, on the same rounded inputs
    inputs: Callable[[], Sequence[Any]] = tuple  # what ours reads: with its results the least that memory has to move
    work: int = 0  # multiply-adds of the definition
    traffic: int = 0  # bytes, where it is not that of inputs and results
    extra: bool = False  # timed with --all only
    prepare: Run = tuple  # called first: what ours has from its forward pass


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
        return min((ms for ms in self.theirs.values() if not math.isnan(ms)), default=math.nan)

    @property
    def ratio(self) -> float:
        """PyTorch's time / ours."""
        return self.best / self.ms


class Ceilings(NamedTuple):
    """What this GPU reaches: TFLOP/s of a large product by precision, GB/s of a large copy."""

    tflops: dict[str, float]
    gbytes: float


def difference(device: Device, ours: Any, expected: Any) -> float:
    """The largest, of the largest element of what is expected; over all arrays of a result. Whole numbers are equal."""
    worst = 0.0
    for a, b in zip(listed(ours), listed(expected), strict=True):
        x, y = device.theirs(a), b.detach()
        if x.shape != y.shape:
            raise AssertionError(f"shape {tuple(x.shape)}, PyTorch's is {tuple(y.shape)}")
        if not x.numel():
            continue
        if not y.is_floating_point():
            error = float((x != y).any())
        else:
            error = float((x.float() - y.float()).abs().max()) / max(float(y.abs().max()), 1e-30)
        worst = error if math.isnan(error) else max(worst, error)
    return worst


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, tuple | list) else [result]


def measure(work: Work, device: Device, seconds: float) -> Iterator[Row]:
    """A row for each version of ours; TF32 is allowed on both sides, or on none."""
    allowed = work.precision == "tf32"
    with kernels.use(allow_tf32=allowed):
        work.prepare()
        with tf32(False):
            expected = work.expected()
        checked = {version: _checked(work, version, expected, device) for version in work.ours}
        del expected
        with tf32(allowed):
            runs = {version: run for version, run in work.ours.items() if not checked[version].failure}
            theirs = {layout: run for layout, run in work.theirs.items() if _runs(run)}
            times = device.milliseconds([*runs.values(), *theirs.values()], seconds)
    ours, others = dict(zip(runs, times, strict=False)), dict(zip(theirs, times[len(runs) :], strict=True))
    figures = {layout: others.get(layout, math.nan) for layout in work.theirs}
    for version, row in checked.items():
        yield row._replace(ms=ours.get(version, math.nan), theirs=figures)


def _checked(work: Work, version: str, expected: Any, device: Device) -> Row:
    """The row of a version, without times."""
    row = Row(*work[:2], version, *work[2:4], math.nan, {}, work.work, work.traffic, math.nan, [])
    try:
        with emulator.record() as launches:
            result = work.ours[version]()
        traffic = work.traffic or sum(array.nbytes for array in (*work.inputs(), *listed(result)))
        error = difference(device, result, expected)
    except Exception as problem:  # it belongs into the table, and the other rows go on
        return row._replace(failure=f"{type(problem).__name__}: {problem}".splitlines()[0])
    wrong = "" if error < TOLERANCE[work.precision] else f"off by {error:.1e}"
    return row._replace(traffic=traffic, error=error, launches=[x.kernel for x in launches], failure=wrong)


def _runs(run: Run) -> bool:
    """Whether PyTorch can do it here: some of its functions have no half types. cuDNN chooses its algorithm."""
    try:
        run()
    except RuntimeError:
        return False
    return True
