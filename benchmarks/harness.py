"""How a row comes about: check, then take turns, then compare with what the machine can do.

A `Case` names a row and says how to make it; making it gives a `Pair`, the same work done by our library and by
PyTorch. Both results are compared before any clock starts: a fast wrong kernel is no kernel. Then the two take turns
(A B A B), so that what disturbs one disturbs the other, and the medians are the figures of the `Row`.
"""

from __future__ import annotations

import math
import os
import pathlib
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numba
import numpy as np
import torch

from tinyseg.kernels import simd
from tinyseg.kernels.jit import parallel, prange

__all__ = ["Case", "Ceilings", "Pair", "Row", "agree", "ceilings", "conditions", "mean", "measure", "milliseconds"]

Run = Callable[[], Any]
Gauge = Callable[[Run], float]
MOST_ROUNDS = 101


class Differs(AssertionError):
    """The two results are not the same."""


def arrays(result: Any) -> Iterator[np.ndarray]:
    """The arrays of a result: an array, a Tensor of either library, or several."""
    if isinstance(result, tuple | list):
        for part in result:
            yield from arrays(part)
    else:
        yield np.asarray(result.detach()) if hasattr(result, "detach") else np.asarray(result)


def agree(ours: Any, theirs: Any, tolerance: float = 1e-4) -> None:
    """Both hold the same arrays, within float32's rounding of long sums, relative to the largest element."""
    for number, (a, b) in enumerate(zip(arrays(ours), arrays(theirs), strict=True)):
        if a.shape != b.shape:
            raise Differs(f"result {number} has shape {a.shape}, PyTorch's {b.shape}")
        error = np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)
        if not error < tolerance:  # NaN differs too
            raise Differs(f"result {number} differs from PyTorch's by {error:.1e} of its largest element")


def milliseconds(run: Run, clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    start = clock()
    run()
    return (clock() - start) * 1e3


class Pair(NamedTuple):
    """The same work done by both: functions without arguments, which return what `check` compares.

    `gauge` measures one run, in `unit`; where it is not a time the functions may return the figure themselves.
    """

    ours: Run
    theirs: Run
    work: int = 0  # multiply-adds of the definition, 0 where memory is what counts
    traffic: int = 0  # bytes that must be read or written at least once
    check: Callable[[Any, Any], None] = agree
    gauge: Gauge | None = None
    unit: str = "ms"


class Case(NamedTuple):
    """A row that is not measured yet. Its arrays are made by `make`, so a list of cases costs nothing."""

    suite: str
    name: str
    shape: str
    make: Callable[[], Pair]


class Row(NamedTuple):
    """A measured case: medians of both, in `unit`; or `failure`, in words."""

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
        """PyTorch's figure / ours: above 1 we are better."""
        return self.theirs / self.ours


def measure(case: Case, seconds: float, clock: Callable[[], float] = time.perf_counter) -> Row:
    """Check a case, then let the two take turns for `seconds`, but 3 times at least and `MOST_ROUNDS` at most."""
    start = Row(case.suite, case.name, case.shape)
    try:
        pair = case.make()
        pair.check(pair.ours(), pair.theirs())
    except Exception as error:  # whatever it is, it belongs into the table and the other rows go on
        return start._replace(failure=f"{type(error).__name__}: {error}".replace("\n", " "))
    gauge = pair.gauge or (lambda run: milliseconds(run, clock))
    turns: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(turns) < 3 or (time.perf_counter() < end and len(turns) < MOST_ROUNDS):
        turns.append((gauge(pair.ours), gauge(pair.theirs)))
    ours, theirs = (statistics.median(column) for column in zip(*turns, strict=True))
    return start._replace(ours=ours, theirs=theirs, unit=pair.unit, work=pair.work, traffic=pair.traffic)
