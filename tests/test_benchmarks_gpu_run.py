"""The GPU's command as a whole: a section that fails is in the report, each has its time, and the next ones go on."""

from __future__ import annotations

import json
import sys
import types

import pytest

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import checks, compiling, results, schedule, training
from benchmarks.gpu.device import Emulated
from benchmarks.gpu.processes import Done, Process, shortened
from benchmarks.gpu.results import Report
from benchmarks.gpu.schedule import GRACE, LIMIT, Schedule
from benchmarks.gpu.suites import works
from benchmarks.gpu.tables import NOT_TIMED
from tinyseg.kernels.emulator import build

ROW = "log_softmax 5×300 float32"


@pytest.fixture
def run(tmp_path):
    """The command on the emulated device: its exit code, its JSON and its page."""

    def started(sections, only=ROW, *more):
        page, out = tmp_path / "page.md", tmp_path / "results" / "emulated.json"
        page.write_text("before\n<!-- gpu: begin -->\nold\n<!-- gpu: end -->\nbehind\n")
        given = ["--device", "emulated", "--sections", sections, "--only", only, "--out", str(out)]
        code = command.main([*given, "--write", "--page", str(page), *more])
        return code, json.loads(out.read_text()), page.read_text()

    return started


def test_a_run(run, monkeypatch, capsys):
    monkeypatch.setattr(training, "PRECISIONS", ("float16",))
    code, stored, page = run("training,sanitizer,rows", "softmax 5×300")
    assert code == 0
    assert stored["problems"] == []
    assert [(r["precision"], r["steps"], r["step"]) for r in stored["training"]] == [("float16", 2, {})]
    (trace,) = stored["sanitizer"]
    assert trace["clean"] is True
    assert trace["last"] == "4 functions launched their kernels"
    assert [r["precision"] for r in stored["rows"]] == ["float32"] * 2 + ["float16"] * 2 + ["bfloat16"] * 2
    assert all(not r["failure"] and r["launches"] and r["ms"] is None for r in stored["rows"])
    assert page.startswith("before\n<!-- gpu: begin -->\ndevice emulated")
    assert page.endswith("<!-- gpu: end -->\nbehind\n")
    assert NOT_TIMED in " ".join(page.splitlines())
    assert "- U-Net, float16, 2 steps: loss " in page
    assert "- emulator, trace mode: 4 functions launched their kernels.\n" in page
    assert "\n| softmax | 5×300 | float32 " in page
    assert "6 rows of 6 shapes and types" in capsys.readouterr().out


def test_a_section_that_raises_is_in_the_report_and_the_others_go_on(run, monkeypatch):
    def broken(*given):
        raise ValueError("no such\nlibrary")

    def train(device, precision, seconds):
        if precision == "tf32":
            raise MemoryError(f"of {precision}")
        return {"precision": precision, "steps": 1, "first loss": 1.0, "last loss": 1.0, "IoU": 0.0}

    monkeypatch.setattr(checks, "table", broken)
    monkeypatch.setattr(checks, "sanitize", broken)
    monkeypatch.setattr(training, "trained", train)
    code, stored, page = run("table,sanitizer,training,rows")
    assert code == 1
    found = [(p["section"], p["type"], p["message"]) for p in stored["problems"]]
    raised = "ValueError", "no such\nlibrary"
    assert found == [("table", *raised), ("sanitizer", *raised), ("training, tf32", "MemoryError", "of tf32")]
    assert stored["problems"][0]["traceback"][-2:] == ["ValueError: no such", "library"]
    assert [row["precision"] for row in stored["training"]] == ["float32", "float16"]
    assert len(stored["rows"]) == 1
    assert "\n- **table failed**: ValueError: no such\n\n  ```text\n  Traceback" in page
    assert "\n  library\n  ```\n" in page
    assert "| log_softmax | 5×300 | float32 " in page


class Clock(Emulated):
    """Every run takes two milliseconds."""

    timed = True

    def milliseconds(self, runs, seconds):
        return [2.0] * len(runs)


def test_a_timed_run_goes_on_without_compiler_and_ceilings(run, monkeypatch):
    def broken(seconds):
        raise OSError("no disk")

    monkeypatch.setattr(command, "chosen_device", lambda name: Clock())
    monkeypatch.setattr(command, "works", lambda device, *given: works(Emulated(), *given))
    monkeypatch.setattr(command, "compile_all", broken)
    monkeypatch.setattr(command, "ceilings", broken)
    monkeypatch.setattr(results, "conditions", lambda device: {"device": "H100"})
    code, stored, page = run("rows")
    assert code == 1
    assert [problem["section"] for problem in stored["problems"]] == ["compile", "ceilings"]
    assert [(r["ms"], r["failure"]) for r in stored["rows"]] == [(2.0, "")]
    assert NOT_TIMED not in " ".join(page.splitlines())
    assert "- **ceilings failed**: OSError: no disk\n" in page
    assert "| log_softmax | 5×300 | float32 | 2.00 | 2.00 | 1.00 | " in page


def test_what_was_found_is_stored_after_each_section(monkeypatch, tmp_path):
    class Stopped(BaseException):
        pass

    def stopped(*given):
        raise Stopped

    monkeypatch.setattr(checks, "sanitize", lambda *given: [{"tool": "trace", "clean": True, "last": "all"}])
    monkeypatch.setattr(training, "trained", stopped)
    out = tmp_path / "a.json"
    with pytest.raises(Stopped):
        command.main(["--device", "emulated", "--sections", "sanitizer,training", "--out", str(out)])
    assert json.loads(out.read_text())["sanitizer"][0]["last"] == "all"


def test_what_cannot_run_says_so_at_once(run, monkeypatch):
    with pytest.raises(SystemExit, match="no row contains 'nosuchrow'"):
        run("rows", "nosuchrow")
    build.compiler.cache_clear()
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    try:
        with pytest.raises(SystemExit, match=r"no g\+\+ on the PATH"):
            run("rows")
    finally:
        build.compiler.cache_clear()


def test_rows_that_got_no_time_are_left_out_and_none_at_all_is_a_failure(run, monkeypatch):
    monkeypatch.setattr(command, "GRACE", -1.0)
    code, stored, page = run("rows", "softmax 5×300", "--limit", "0.5")
    assert (code, stored["rows"]) == (1, [])
    assert stored["left out"] == "before softmax 5×300 float32: 6 shapes and types are left out"
    assert f"- The time was up {stored['left out']}.\n" in page
    assert stored["problems"][0]["type"] == "TimeoutError"


def test_a_device_that_answers_no_more_ends_the_rows(run, monkeypatch):
    def dead(device):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(Emulated, "synchronize", dead)
    monkeypatch.setattr(Emulated, "theirs", dead)
    code, stored, _ = run("rows", "softmax 5×300")
    assert code == 1
    assert len(stored["rows"]) == 1
    assert stored["problems"][0]["message"] == "an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("found", "failed"),
    [
        ({}, False),
        ({"table": {"passed": 3, "ended": True}}, False),
        ({"table": {"passed": 3, "ended": False}}, True),
        ({"table": {"passed": 3, "failed": 1, "ended": True}}, True),
        ({"table": {"passed": 3, "error": 1, "ended": True}}, True),
        ({"table": {"ended": True}}, True),
        ({"sanitizer": [{"clean": True}, {"clean": None}]}, False),
        ({"sanitizer": [{"clean": True}, {"clean": False}]}, True),
        ({"training": [{"last loss": 0.5}]}, False),
        ({"training": [{"last loss": float("nan")}]}, True),
        ({"compiled": {"errors": [], "late": 1}}, False),
        ({"compiled": {"errors": ["line 3"], "late": 0}}, True),
        ({"problems": [{"section": "rows"}]}, True),
    ],
)
def test_what_fails_a_run(found, failed, tmp_path):
    report = Report(Emulated(), tmp_path / "a.json")
    report.found.update(found)
    assert report.failed is failed


def test_the_rows_keep_their_share(monkeypatch):
    clock = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(schedule, "time", types.SimpleNamespace(perf_counter=lambda: clock.now))
    every = Schedule(LIMIT, schedule.SECTIONS)
    assert LIMIT + GRACE < 480
    for section in schedule.SECTIONS[:-1]:  # each takes all that it may, and something more
        assert every.left(section) > 20
        assert every.left(section, 2) == every.left(section) / 2
        clock.now += every.left(section) + 1
    assert every.left("training") == 0
    assert 180 < every.left("rows") < 185
    assert every.until("rows") == 100 + LIMIT
    clock.now = 100.0
    assert Schedule(50, ["rows"]).left("rows") == 50  # nothing is kept for what is not asked for
    assert Schedule(50, ["table", "training"]).left("training") == 50
    half = Schedule(LIMIT / 2, schedule.SECTIONS)
    assert half.left("table") == pytest.approx(every.left("table") / 2)


def test_training_ends_with_its_time():
    assert training.train(Emulated(), "float32", most=0.0)["steps"] == 1


def python(script, **extra):
    return Process([sys.executable, "-c", script], extra)


def test_a_process_is_stopped_in_time_and_its_words_are_kept():
    done = python("import os; print(os.environ['A'])", A="= 7 =").done(60)
    assert (done.output, done.code, done.ended, done.last) == ("= 7 =\n", 0, True, "7")
    child = "import time; time.sleep(60)"  # keeps a pipe open, which nobody waits for
    script = f"""
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, if it is so where the tests were started
subprocess.Popen([sys.executable, "-c", {child!r}])
print("begun", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    done = python(script).done(33.0, patience=30.0)
    assert (done.output, done.ended) == ("begun\ninterrupted\n", False)
    assert done.seconds < 30
    assert done.last == f"stopped after {done.seconds:.0f} s"
    script = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    deaf = python(script).done(1.0, patience=0.1)
    assert (deaf.ended, deaf.code != 0) == (False, True)
    assert deaf.seconds < 30


def test_the_output_of_the_table_keeps_its_tracebacks():
    traceback, names = "..F\n= FAILURES =\nE  why\n", "FAILED tests/a.py::t[x, empty batch] - why\n1 failed, 2 passed\n"
    text = f"{traceback}= short test summary info =\n{names}"
    read = checks.read_table(Done(text, 1, True, 3.0))
    assert (read["failed"], read["passed"], read["ended"]) == (1, 2, True)
    assert read["failures"] == ["tests/a.py::t[x, empty batch]"]
    assert read["output"] == traceback
    late = checks.read_table(Done("..F [ 10%]\n.E", 124, False, 90.0))
    assert (late["passed"], late["failed"], late["error"], late["last"]) == (3, 1, 1, "stopped after 90 s")
    assert checks.sanitized("memcheck", Done("x\n= ERROR SUMMARY: 2 errors\ny", 9, True, 1.0))["clean"] is False
    long = shortened("a" * 9000 + "b" * 9000)
    assert 12000 < len(long) < 12020
    assert (long[0], long[-1]) == ("a", "b")


def test_parts_that_do_not_compile_or_come_late_are_counted(monkeypatch):
    ends = iter([Done("", 0, True, 1.0), Done("a.cu: line 3", 1, True, 1.0), Done("", -9, False, 2.0)])

    class Part:
        def __init__(self, given):
            pass

        def done(self, seconds):
            return next(ends)

    monkeypatch.setattr(compiling, "Process", Part)
    monkeypatch.setattr(compiling.os, "cpu_count", lambda: 3)
    made = compiling.compile_all(10.0)
    assert (made["processes"], made["late"], made["errors"]) == (3, 1, ["a.cu: line 3"])
