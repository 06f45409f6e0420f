"""How a row comes about: check, then let the two libraries take turns, then take medians.

A `Case` names a row and says how to make it; made, it is a `Pair`: the same work done by our library and by PyTorch.
Both results are compared before any clock starts: a fast wrong kernel is no kernel. Then they take turns (A B A B), so
that what disturbs one disturbs the other, and the medians are the figures of the `Row`.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["FEWEST", "MOST", "Case", "Clock", "Differs", "Gauge", "Pair", "Row", "Run"]
__all__ += ["agree", "arrays", "measure", "medians", "milliseconds"]

Run = Callable[[], Any]
Clock = Callable[[], float]
Gauge = Callable[[Run], float]

FEWEST, MOST = 5, 101  # rounds


class Differs(AssertionError):
    """The two results are not the same."""


def arrays(result: Any) -> Iterator[np.ndarray]:
    """The arrays of a result: an array, a Tensor of either library, or several."""
    if isinstance(result, tuple | list):
        for part in result:
            yield from arrays(part)
    else:
        yield result.detach().numpy() if hasattr(result, "detach") else np.asarray(result)


def agree(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    """Both hold the same arrays, within float32's rounding of long sums; relative to the largest element."""
    for number, (a, b) in enumerate(zip(arrays(ours), arrays(theirs), strict=True)):
        if a.shape != b.shape:
            raise Differs(f"result {number} has shape {a.shape}, PyTorch's {b.shape}")
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
        if not error < tolerance:  # NaN differs too
            raise Differs(f"result {number} is off PyTorch's by {error:.1e} of the largest element")


class Pair(NamedTuple):
    """The same work done by both: functions without arguments, which return what `check` compares.

    `gauge` measures one run, in `unit`; None: its time in milliseconds.
    """

    ours: Run
    theirs: Run
    work: int = 0  # multiply-adds of the definition; 0 where memory is what counts
    traffic: int = 0  # bytes that must be read or written at least once
    check: Callable[[Any, Any], None] = agree
    gauge: Gauge | None = None
    unit: str = "ms"


class Case(NamedTuple):
    """A row that is not measured yet. `make` makes its arrays, so a list of cases holds none."""

    suite: str
    name: str
    shape: str
    make: Callable[[], Pair]


class Row(NamedTuple):
    """A measured case: the medians of both, in `unit`; or the reason why there are none."""

    suite: str
    name: str
    shape: str
    ours: float = math.nan
    theirs: float = math.nan
    unit: str = "ms"
    work: int = 0
    traffic: int = 0
    failure: str = ""

    @property
    def ratio(self) -> float:
        """PyTorch's figure / ours: above 1 ours is the better one."""
        return self.theirs / self.ours


def milliseconds(run: Run, clock: Clock = time.perf_counter) -> float:
    """How long one call takes."""
    start = clock()
    run()
    return (clock() - start) * 1e3


def medians(runs: Sequence[Run], gauge: Gauge, seconds: float) -> list[float]:
    """The median of each run; they take turns for `seconds`, at least `FEWEST` and at most `MOST` rounds."""
    rounds: list[list[float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < FEWEST or (len(rounds) < MOST and time.perf_counter() < end):
        rounds.append([gauge(run) for run in runs])
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def measure(case: Case, seconds: float, clock: Clock = time.perf_counter) -> Row:
    """Check a case, then time it."""
    row = Row(case.suite, case.name, case.shape)
    try:
        pair = case.make()
        pair.check(pair.ours(), pair.theirs())
        gauge = pair.gauge or (lambda run: milliseconds(run, clock))
        ours, theirs = medians((pair.ours, pair.theirs), gauge, seconds)
    except Exception as error:  # whatever went wrong belongs into the table, and the other rows go on
        return row._replace(failure=f"{type(error).__name__}: {error}".replace("\n", " "))
    return row._replace(ours=ours, theirs=theirs, unit=pair.unit, work=pair.work, traffic=pair.traffic)
