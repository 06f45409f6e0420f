"""The GPU's report: rows are checked before they are timed, failures show, and what was not timed says so."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from benchmarks.gpu.convolutions import SMALL, VERSIONS, directions
from benchmarks.gpu.device import Emulated
from benchmarks.gpu.passes import passes
from benchmarks.gpu.results import COLUMNS, NOT_TIMED, cells, goals, save, tables
from benchmarks.gpu.rows import Ceilings, Row, Work, measure
from benchmarks.gpu.small import launch_all
from tinyseg.kernels import emulator
from tinyseg.kernels.source import KERNELS, read_source


class Clock(Emulated):
    """An emulated device whose runs take 2, 4, 6, ... milliseconds."""

    timed = True

    def milliseconds(self, runs, seconds):
        return [2.0 * (k + 1) for k in range(len(runs))]


def work(ours, expected, precision="float32"):
    theirs = {"NCHW": lambda: torch.ones(3), "NHWC": lambda: torch.ones(3)}
    return Work("convolution", "conv2d", "3", precision, ours, theirs, expected, work=10**9, traffic=10**6)


def row(**changes):
    made = Row(
        "convolution", "conv2d", "(chosen)", "3", "float32", 2.0, {"NCHW": 4.0, "NHWC": 3.0}, 10**9, 10**6, 0.0, []
    )
    return made._replace(**changes)


def test_a_version_that_is_wrong_or_raises_is_not_timed():
    good, wrong, broken = (lambda: torch.ones(3)), (lambda: torch.full((3,), 1.01)), (lambda: 1 / 0)
    rows = list(measure(work({"a": wrong, "b": good, "c": broken}, good), Clock(), 0.1))
    assert [r.version for r in rows] == ["a", "b", "c"]
    assert rows[0].failure == "off by 1.0e-02"
    assert rows[1].ms == 2.0
    assert rows[1].theirs == {"NCHW": 4.0, "NHWC": 6.0}
    assert rows[1].ratio == 2.0  # to the faster layout
    assert rows[2].failure.startswith("ZeroDivisionError")
    assert math.isnan(rows[0].ms)
    assert math.isnan(rows[2].ms)
    nan = list(measure(work({"a": lambda: torch.tensor([1, math.nan, 1])}, good), Clock(), 0.1))
    assert nan[0].failure


def test_tolerances_follow_the_type():
    good, near = (lambda: torch.ones(3)), (lambda: torch.full((3,), 1.001))
    failures = {p: next(iter(measure(work({"a": near}, good, p), Clock(), 0.1))).failure for p in VERSIONS}
    assert {p: bool(f) for p, f in failures.items()} == {
        "float32": True,
        "tf32": False,
        "float16": False,
        "bfloat16": False,
    }


def test_cells():
    ceilings = Ceilings({"float32": 50.0}, 3000.0)
    assert len(cells(row(), ceilings)) == len(COLUMNS)
    assert cells(row(), ceilings)[4:] == ["2.00", "4.00 / 3.00", "1.50", "1.0", "2 %", "0", "0 %"]
    assert "failed" in cells(row(failure="off"), ceilings)[4]
    assert cells(row(ms=math.nan, error=3e-7), None)[4] == "not timed; off by 3e-07"
    assert goals([row(), row(ms=1.0), row(version="direct", ms=1e-9)])[0] == [
        "convolution",
        "float32",
        "2",
        "2.12",
        "0.9",
        "1.50",
    ]


def test_a_report_that_was_not_timed_says_so(tmp_path):
    result = {
        "conditions": {"device": "emulated"},
        "timed": False,
        "table": {"passed": 3},
        "sanitizer": [],
        "training": [],
    }
    rows = [row(ms=math.nan)]
    lines = tables(result, rows, None)
    assert NOT_TIMED in lines
    save(result, rows, None, tmp_path / "results" / "emulated.json")
    stored = json.loads((tmp_path / "results" / "emulated.json").read_text())
    assert stored["rows"][0]["ms"] is None
    assert stored["timed"] is False
    timed = tables({**result, "timed": True}, [row()], Ceilings({"float32": 50.0}, 3000.0))
    assert NOT_TIMED not in timed


@pytest.mark.parametrize("precision", VERSIONS)
def test_rows_of_convolutions_are_right_under_the_emulator(precision):
    for layer in SMALL[:2]:
        for made in directions(layer, precision, Emulated()):
            for r in measure(made, Emulated(), 0.0):
                assert not r.failure, r
                assert r.launches
                assert math.isnan(r.ms)


def test_rows_of_passes_are_right_under_the_emulator():
    rows = [r for made in passes(Emulated()) for r in measure(made, Emulated(), 0.0)]
    assert [r for r in rows if r.failure] == []
    assert all(r.launches for r in rows)
    assert {r.suite for r in rows} == {"passes over memory", "attention"}
    ran = {"composed": "shares", "flash": "flash", "flash_tensor": "flash"}
    assert all(ran[r.version] in r.launches for r in rows if r.version in ran)  # and no other in its place
    assert np.isfinite([r.error for r in rows]).all()


def test_the_sanitizer_is_shown_every_kernel():
    with emulator.record() as launches:
        launch_all(Emulated())
    kernels = {signature.name for path in KERNELS.glob("*/*.cu") for signature in read_source(path).signatures}
    assert kernels - {launch.kernel for launch in launches} == set()
