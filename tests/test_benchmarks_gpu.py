"""The GPU's report: rows are checked before they are timed, failures show, and what was not timed says so."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from benchmarks.gpu import compiling
from benchmarks.gpu.arrays import PRECISIONS
from benchmarks.gpu.convolutions import SMALL, directions
from benchmarks.gpu.device import Emulated
from benchmarks.gpu.results import save
from benchmarks.gpu.rows import Ceilings, Row, Work, measure
from benchmarks.gpu.small import launch_all
from benchmarks.gpu.suites import works
from benchmarks.gpu.tables import COLUMNS, NOT_TIMED, cells, goals, tables
from tests.kernels_cuda import KERNEL_NAMES, SOURCES
from tinyseg import kernels
from tinyseg.kernels import emulator, launch
from tinyseg.kernels.emulated import EmulatedArray
from tinyseg.kernels.launch import options
from tinyseg.kernels.matmul import cuda as products
from tinyseg.kernels.source import KERNELS, read_source


class Clock(Emulated):
    """An emulated device whose runs take 2, 4, 6, ... milliseconds."""

    timed = True

    def milliseconds(self, runs, seconds):
        return [2.0 * (k + 1) for k in range(len(runs))]


def filled(value):
    return np.full(3, value, np.float32)


def work(ours, precision="float32", expected=lambda: torch.ones(3)):
    theirs = {"NCHW": lambda: torch.ones(3), "NHWC": lambda: torch.ones(3)}
    return Work("convolution", "conv2d", "3", precision, ours, theirs, expected, work=10**9, traffic=10**6)


def row(**changes):
    made = Row(
        "convolution", "conv2d", "(chosen)", "3", "float32", 2.0, {"NCHW": 4.0, "NHWC": 3.0}, 10**9, 10**6, 0.0, []
    )
    return made._replace(**changes)


def test_a_version_that_is_wrong_or_raises_is_not_timed():
    good, wrong, broken = (lambda: filled(1)), (lambda: filled(1.01)), (lambda: 1 / 0)
    rows = list(measure(work({"a": wrong, "b": good, "c": broken}), Clock(), 0.1))
    assert [r.version for r in rows] == ["a", "b", "c"]
    assert rows[0].failure == "off by 1.0e-02"
    assert rows[1].ms == 2.0
    assert rows[1].theirs == {"NCHW": 4.0, "NHWC": 6.0}
    assert rows[1].ratio == 2.0  # to the faster layout
    assert rows[2].failure.startswith("ZeroDivisionError")
    assert math.isnan(rows[0].ms)
    assert math.isnan(rows[2].ms)
    (nan,) = measure(work({"a": lambda: filled(math.nan)}), Clock(), 0.1)
    assert nan.failure
    (places,) = measure(work({"a": lambda: np.arange(3)}, expected=lambda: torch.tensor([0, 1, 3])), Clock(), 0.1)
    assert places.failure  # whole numbers are equal or wrong


def test_what_pytorch_lacks_is_shown_as_none():
    def lacking():
        raise NotImplementedError

    (made,) = measure(work({"a": lambda: filled(1)})._replace(theirs={"": lacking}), Clock(), 0.1)
    assert made.ms == 2.0
    assert math.isnan(made.ratio)
    assert cells(made, None)[4:7] == ["2.00", "none", ""]


def test_the_traffic_is_that_of_inputs_and_results():
    (made,) = measure(work({"a": lambda: filled(1)})._replace(traffic=0, inputs=lambda: [filled(0)] * 2), Clock(), 0.1)
    assert made.traffic == 3 * 12


def test_tolerances_follow_the_type():
    near = {"a": lambda: filled(1.001)}
    failures = {p: next(iter(measure(work(near, p), Clock(), 0.1))).failure for p in PRECISIONS}
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
    assert cells(row(failure="a | b"), ceilings)[4] == "**failed**: a \\| b"


def test_goals_are_of_what_the_library_chooses():
    rows = [row(), row(ms=1.0), row(version="direct", ms=1e-9), row(version="im2col", failure="off")]
    ceilings = Ceilings({"float32": 50.0}, 3000.0)
    assert goals(rows, ceilings) == [["convolution", "float32", "2, **1 failed**", "2.12", "0.9", "1.50", "3 %"]]
    softmax = row(suite="softmax", work=0, traffic=3 * 10**9)
    assert goals([softmax], ceilings)[0][4:] == ["1", "1.50", "50 % (goal 80 %)"]


def test_a_table_has_a_line_for_each_shape_and_the_versions_side_by_side():
    rows = [
        row(version="direct", ms=8.0),
        row(),
        row(version="tensor", precision="float16", failure="off"),
        row(precision="float16"),
        row(suite="pooling", name="max_pool2d", version="cuda", shape="4", theirs={"": 1.0}, work=0),
    ]
    result = {"conditions": {"device": "H100"}, "timed": True}
    lines = tables(result, rows, Ceilings({"float32": 50.0, "float16": 500.0}, 3000.0))
    first, second = (i for i, line in enumerate(lines) if line.startswith("### "))
    assert lines[first + 2 : second - 1] == [
        f"| kernel | shape | type | direct | tensor | chosen, ms | {' | '.join(COLUMNS[5:])} |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| conv2d | 3 | float32 | 8.00 |  | 2.00 | 4.00 / 3.00 | 1.50 | 1.0 | 2 % | 0 | 0 % |",
        "| conv2d | 3 | float16 |  | **failed**: off | 2.00 | 4.00 / 3.00 | 1.50 | 1.0 | 0 % | 0 | 0 % |",
    ]
    assert lines[second + 2 :] == [
        "| kernel | shape | type | ms | PyTorch, ms | ratio | GB/s | of copy |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| max_pool2d | 4 | float32 | 2.00 | 1.00 | 0.50 | 0 | 0 % |",
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
    text = " ".join(tables(result, rows, None))
    assert NOT_TIMED in text
    assert "| conv2d | 3 | float32 0 |" in text
    save(result, rows, None, tmp_path / "results" / "emulated.json")
    stored = json.loads((tmp_path / "results" / "emulated.json").read_text())
    assert stored["rows"][0]["ms"] is None
    assert stored["timed"] is False
    timed = tables({**result, "timed": True}, [row()], Ceilings({"float32": 50.0}, 3000.0))
    assert NOT_TIMED not in " ".join(timed)


@pytest.fixture(scope="module")
def rows():
    """Those of float32 and of TF32."""
    device = Emulated()
    made = [w for w in works(device) if w.precision in ("float32", "tf32")]
    return [r for w in made for r in measure(w, device, 0.0)]


def test_rows_are_right_under_the_emulator(rows):
    assert [r for r in rows if r.failure] == []
    assert np.isfinite([r.error for r in rows]).all()
    assert all(math.isnan(r.ms) for r in rows)
    assert [r for r in rows if not r.launches] == []


def test_versions_are_those_that_they_are_called(rows):
    """And no other in its place."""
    ran = {
        "direct": ("direct", "depthwise"), "im2col": ("cublas",), "implicit": ("implicit",), "tensor": ("tensor",),
        "winograd2x2": ("product",), "winograd4x4": ("product",), "composed": ("shares",), "flash": ("flash",),
        "flash_tensor": ("flash",), "any places": ("scatter",),
    }  # fmt: skip
    named = [r for r in rows if r.version in ran]
    assert {r.version for r in named} == set(ran)
    assert [r for r in named if not any(name.startswith(ran[r.version]) for name in r.launches)] == []


def test_every_kernel_is_launched_by_some_row(rows):
    launched = {name for r in rows for name in r.launches}
    assert KERNEL_NAMES - launched == set()


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_rows_of_half_types_are_right_under_the_emulator(precision):
    device = Emulated()
    some = [w for w in works(device) if w.precision == precision and w.suite not in ("convolution", "attention")][::5]
    some += directions(SMALL[0], precision, device)
    for made in some:
        for r in measure(made, device, 0.0):
            assert not r.failure, r
            assert r.launches
    assert len(some) > 20


class Planned(Emulated):
    """A device of the timed shapes: arrays without contents, and PyTorch without results."""

    timed = True

    def normal(self, shape, dtype, seed=0):
        return np.zeros(shape, dtype).view(EmulatedArray)  # memory that is never touched

    def theirs(self, array):
        return torch.empty(array.shape, dtype=getattr(torch, array.dtype.name), device="meta")

    def numpy(self, array):
        return np.zeros(array.shape, np.int64 if array.dtype == torch.int64 else np.float32)


@pytest.fixture
def planned(monkeypatch):
    """Launches are only noted."""
    noted = set()

    class Launch:
        max_dynamic_shared_size_bytes = 48 << 10

        def __init__(self, source, name, device, defines):
            self.kernel = name

        def __call__(self, grid, block, args, shared_mem=0):
            assert all(0 < n <= most for n, most in zip(grid, (2**31 - 1, 65535, 65535), strict=False)), self.kernel
            assert math.prod(block) <= 1024
            noted.add(self.kernel)

    monkeypatch.setattr(launch, "_function", Launch)
    monkeypatch.setattr(products, "_multiply", lambda *given: None)
    with np.errstate(all="ignore"):  # what nobody writes holds anything
        yield noted


def test_every_kernel_is_launched_by_some_row_of_those_that_are_timed(planned):
    for made in works(Planned()):
        if made.precision in ("float32", "tf32"):
            with kernels.use(allow_tf32=made.precision == "tf32"):
                made.prepare()
                for version, run in made.ours.items():
                    if version != "im2col":  # what it does beside its kernels takes NumPy seconds
                        run()
    assert KERNEL_NAMES - planned == set()


def test_the_sanitizer_is_shown_every_kernel_and_the_trace_finds_nothing():
    with emulator.using(mode="trace"), emulator.record() as launches:
        assert launch_all(Emulated()) > 500
    assert KERNEL_NAMES - {launch.kernel for launch in launches} == set()


def test_the_rows_of_one_run_fit_its_time():
    """About 0.3 s each, with what cuDNN tries: some 150 s of the 480."""
    every, some = (list(works(Planned(), every=every)) for every in (True, False))
    assert len(some) < 500 < len(every)
    assert {(w.suite, w.precision) for w in every} - {(w.suite, w.precision) for w in some} == {
        ("transposed convolution", "bfloat16")
    }


def test_convolutions_come_first():
    """Those of bfloat16, which no goal is set for, among what is last."""
    order = list(dict.fromkeys((w.precision, w.suite) for w in works(Planned(), every=False)))
    kinds = ["convolution", "transposed convolution"]
    assert order[:6] == [(p, kind) for p in ("float32", "tf32", "float16") for kind in kinds]
    places = [order.index(pair) for pair in (("tf32", "products"), ("float16", "norms"), ("bfloat16", "convolution"))]
    assert places == sorted(places)


def test_zeros_between_pixels_are_one_launch_each_way():
    device = Emulated()
    made = [r for w in works(device, "zero_insert") for r in measure(w, device, 0.0)]
    assert {r.name for r in made} == {"zero_insert 2", "zero_insert 2, gradient"}
    assert len(made) == 6
    assert all(not r.failure and r.launches == ["pick"] for r in made)


def test_parts_compile_every_variant_once(monkeypatch):
    cupy = pytest.importorskip("cupy", exc_type=ImportError)
    asked = []

    class Module:
        def __init__(self, code, options):
            self.given = code, options

        def compile(self):
            asked.append(self.given)

    monkeypatch.setattr(cupy, "RawModule", Module)
    for part in range(3):
        compiling.compile_part(part, 3, 75)
    sources = [read_source(KERNELS / path) for path in SOURCES]
    wanted = [(s.text, options(v.defines)) for s in sources for v in s.variants if v.architecture <= 75]
    assert sorted(asked) == sorted(wanted)


def test_a_part_goes_on_behind_what_does_not_compile(monkeypatch):
    cupy = pytest.importorskip("cupy", exc_type=ImportError)

    class Module:
        def __init__(self, code, options):
            pass

        def compile(self):
            raise RuntimeError("line 3")

    monkeypatch.setattr(cupy, "RawModule", Module)
    errors = compiling.compile_part(0, 3, 75)
    assert len(errors) == len(list(compiling.variants(75))[::3])
    assert all(error.endswith("RuntimeError: line 3") for error in errors)
