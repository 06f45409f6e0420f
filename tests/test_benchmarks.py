"""The harness that times us beside PyTorch: it refuses wrong kernels, and its figures are what they say."""

from __future__ import annotations

import gc
import math
import re
import sys
import weakref

import numpy as np
import pytest

import benchmarks.__main__ as command
from benchmarks import convolutions, growth, layers, report, suites
from benchmarks.harness import FEWEST, MOST, Case, Differs, Pair, Row, agree, measure, medians
from benchmarks.report import Ceilings, Goal, cells, markdown, number, summary, write
from benchmarks.steps import layer

X = np.arange(6, dtype=np.float32).reshape(2, 3)
CEILING = Ceilings(gflops=200.0, gbytes=20.0)


def case(ours, theirs=lambda: X, **options):
    return Case("s", "op", "2×3", lambda: Pair(ours, theirs, **options))


# ---------------------------------------------------------------- check, then time


@pytest.mark.parametrize(
    ("ours", "why"),
    [
        (lambda: X + np.array([0, 0, 0.01]), "off PyTorch's by 2.0e-03"),
        (lambda: np.where(X == 3, np.nan, X), "off PyTorch's by nan"),
        (lambda: X.T, r"shape \(3, 2\), PyTorch's \(2, 3\)"),
        (lambda: [X, X], "zip"),
        (lambda: 1 // 0, "ZeroDivisionError"),
    ],
    ids=["value", "nan", "shape", "count", "raises"],
)
def test_a_wrong_kernel_is_refused_before_it_is_timed(ours, why):
    timed = []
    row = measure(case(ours, gauge=lambda run: timed.append(run) or 1.0), seconds=0)
    assert timed == []
    assert math.isnan(row.ratio)
    assert re.search(why, row.failure), row.failure
    assert "**failed**" in cells(row, CEILING, Goal())[2]


def test_every_array_of_a_result_is_compared():
    agree([X, (X, X)], [X, (X, X)])
    agree(X * (1 + 1e-6), X)
    with pytest.raises(Differs, match="result 2"):
        agree([X, (X, X + 1)], [X, (X, X)])


def test_a_failure_of_the_clock_is_a_failed_row():
    row = measure(case(lambda: X, gauge=lambda run: 1 / 0), seconds=0)
    assert "ZeroDivisionError" in row.failure


def test_the_two_take_turns_and_medians_count():
    order = []
    times = {"a": iter([9.0, 1.0, 2.0, 0.0, 3.0]), "b": iter([4.0, 400.0, 5.0, 6.0, 0.0])}

    def gauge(name):
        order.append(name)
        return next(times[name])

    assert FEWEST == 5
    assert medians(["a", "b"], gauge, seconds=0) == [2.0, 5.0]
    assert "".join(order) == "ab" * 5


def test_rounds_end():
    order = []
    medians(["a", "b"], lambda run: float(order.append(run) is None), seconds=60)
    assert len(order) == 2 * MOST


def test_arrays_of_a_finished_row_are_freed():
    made = []

    def make():
        x = np.ones(1000, np.float32)
        made.append(weakref.ref(x))
        return Pair(lambda: x, lambda: x)

    row = measure(Case("s", "op", "1000", make), seconds=0)
    gc.collect()
    assert not row.failure
    assert made[0]() is None


@pytest.mark.parametrize(
    ("mend", "why"),
    [
        (lambda y, g: (y, g), None),
        (lambda y, g: (y * 0.8, g), "result 0"),  # not scaled
        (lambda y, g: (y, g * 0.8), "result 1"),
        (lambda y, g: (y, np.roll(g, 1)), "other places"),
        (lambda y, g: (np.where(np.arange(y.size) % 2, y, 0), np.where(np.arange(y.size) % 2, g, 0)), "dropped, not"),
    ],
)
def test_dropout_is_held_against_its_definition(mend, why):
    rng = np.random.default_rng(0)
    x, gy = rng.standard_normal((2, 20000))

    def dropped():
        keep = (rng.random(x.size) >= 0.2) / 0.8
        return x * keep, gy * keep

    if why is None:
        layers.dropped(mend(*dropped()), dropped())
        return
    with pytest.raises(Differs, match=why):
        layers.dropped(mend(*dropped()), dropped())


# ---------------------------------------------------------------- what is counted


def test_a_layers_bytes_and_products():
    linear = layer(
        "s", "linear", lambda F, x, w, b: F.linear(x, w, b), (5, 3), (7, 3), (7,), shape="5×3 → 7", work=5 * 3 * 7
    )
    pair = linear.make()
    inputs, y = 5 * 3 + 7 * 3 + 7, 5 * 7
    assert pair.work == 3 * 5 * 3 * 7
    assert pair.traffic == 4 * (2 * inputs + 2 * y)  # x, w, b and their gradients; y and gy
    values, gradients = pair.ours()[0], pair.ours()[1:]
    assert values.shape == (5, 7)
    assert [g.shape for g in gradients] == [(5, 3), (7, 3), (7,)]
    pair.check(pair.ours(), pair.theirs())


def test_a_forward_pass_counts_no_gradients():
    pair = layer("s", "relu", lambda F, x: F.relu(x), (4, 4), work=16, backward=False).make()
    assert pair.traffic == 4 * (16 + 16)
    assert pair.work == 16
    assert not pair.ours().requires_grad


def test_inputs_without_gradients():
    pair = layer("s", "cross_entropy", lambda F, t, x: F.cross_entropy(x, t), layers.labels(3, 4), (4, 3)).make()
    assert pair.traffic == 4 * 8 + 4 * (2 * 12) + 2 * 4
    assert len(pair.ours()) == 2


@pytest.mark.parametrize("conv", [*convolutions.KINDS, *convolutions.TRANSPOSED, *convolutions.UNET[-2:]], ids=str)
def test_multiply_adds_of_convolutions(conv):
    """As many as ones give: a convolution of ones by ones, summed, without padding's zeros."""
    import torch

    dense = conv._replace(n=1, size=(17, 23), padding=0)
    y = dense(torch.nn.functional, torch.ones(dense.x), torch.ones(dense.w))
    assert dense.work == int(y.double().sum())


def test_shares_of_the_ceilings():
    row = Row("s", "op", "2×3", ours=2.0, theirs=3.0, work=100_000_000, traffic=10_000_000)
    expected = ["op", "2×3", "2.00", "3.00", "1.50", "100", "50 %", "5.0", "25 %"]
    assert cells(row, CEILING, Goal(1.0, 1.5)) == expected
    assert cells(row, CEILING, Goal(1.0, 1.6))[4] == "**1.50**"
    bare = cells(row._replace(work=0, traffic=0, unit="MB"), CEILING, Goal())
    assert bare == ["op", "2×3", "2.00 MB", "3.00 MB", "1.50", "", "", "", ""]
    assert len(expected) == len(report.COLUMNS)


def test_geometric_mean_and_smallest():
    rows = [Row("a", "x", "", 1.0, ratio) for ratio in (0.5, 2.0, 8.0)]
    rows += [Row("a", "y", "", failure="wrong"), Row("b", "z", "", failure="wrong")]
    lines = summary(rows, {"a": Goal(1.2, 0.8), "b": Goal(1.0), "empty": Goal()})
    assert lines[2] == "| a | 4, 1 failed | 2.00 | 1.2 | 0.50 | 0.8 |"
    assert lines[3] == "| b | 1, 1 failed |  | 1 |  |  |"
    assert len(lines) == 4


def test_numbers_keep_three_digits():
    assert [number(x) for x in (1234.5, 123.4, 12.34, 1.234, 0.1234)] == ["1234", "123", "12.3", "1.23", "0.123"]


def test_a_cliff_is_found():
    rows = [Row("s", "", "", ours=t, work=w) for t, w in ((1.0, 1), (2.0, 2), (12.0, 4), (24.0, 8))]
    assert growth.largest_step((1, 2, 4, 8), rows, lambda row: row.ours) == (3.0, 2, 4)


# ---------------------------------------------------------------- the suites


def test_the_suites_are_whole():
    cases = list(suites.cases())
    names = [c[:3] for c in cases]
    assert len(set(names)) == len(names)
    assert {c.suite for c in cases} == set(suites.GOALS)
    assert set(suites.SLOW) <= set(suites.GOALS)
    for suite in list(suites.GOALS)[:5]:
        assert any(odd in c.shape for c in cases if c.suite == suite for odd in ("61", "17×23", "65")), suite


# ---------------------------------------------------------------- the pages


def test_only_what_stands_between_the_markers_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t: begin -->\nold\n<!-- t: end -->\nafter | <!-- u: begin -->\n", encoding="utf-8")
    for _ in range(2):
        write(markdown(["a", "b", "c"], [["×", "y", "1"]]), "t", page)
    table = "| a | b | c |\n| --- | --- | ---: |\n| × | y | 1 |"
    expected = f"before\n<!-- t: begin -->\n{table}\n<!-- t: end -->\nafter | <!-- u: begin -->\n"
    assert page.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    "text", ["", "<!-- t: begin -->", "<!-- t: end -->\n<!-- t: begin -->", "<!-- t: begin -->" * 2]
)
def test_a_page_without_markers_is_left_alone(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"write: page\.md must contain <!-- t: begin -->"):
        write(["new"], "t", page)
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("name", "table"),
    [("README.md", "summary"), *(("kernels/README.md", t) for t in ("benchmarks", "versions", "growth", "gpu"))],
)
def test_the_pages_have_their_markers(tmp_path, name, table):
    page = tmp_path / "page.md"
    page.write_text((report.ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    write(["new"], table, page)


# ---------------------------------------------------------------- the command


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`run(cases, *arguments)` is the exit code; pages are copies with markers, and no ceiling is measured."""
    (tmp_path / "kernels").mkdir()
    for name, table in (("README.md", "summary"), ("kernels/README.md", "benchmarks")):
        (tmp_path / name).write_text(f"<!-- {table}: begin -->\nold\n<!-- {table}: end -->\n", encoding="utf-8")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "ceilings", lambda: CEILING)
    monkeypatch.setattr(command, "GOALS", {"s": Goal(1.0, 0.5), "slow": Goal()})
    monkeypatch.setattr(command, "SLOW", ["slow"])
    monkeypatch.setattr(command, "SECONDS", 0.0)

    def run(cases, *arguments):
        monkeypatch.setattr(command, "cases", lambda: iter(cases))
        monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
        return command.main()

    run.pages = [tmp_path / "README.md", tmp_path / "kernels" / "README.md"]
    return run


RIGHT, WRONG, SLOW = case(lambda: X), case(lambda: X + 1)._replace(name="wrong"), case(lambda: X)._replace(suite="slow")


def test_a_failed_row_is_shown_and_fails_the_command(run, capsys):
    assert run([RIGHT, WRONG, SLOW], "--write") == 1
    out, err = capsys.readouterr()
    assert "| wrong | 2×3 | **failed**: Differs: result 0" in out
    assert "**Slow**" in out  # the others go on
    assert "| s | 2, 1 failed |" in out
    assert "nothing written" in err
    assert all("old" in page.read_text() for page in run.pages)


def test_tables_are_written(run, capsys):
    assert run([RIGHT, SLOW], "--write") == 0
    summary_page, table_page = (page.read_text(encoding="utf-8") for page in run.pages)
    printed = capsys.readouterr().out
    assert "old" not in summary_page + table_page
    assert "| s | 1 |" in summary_page
    assert "| op | 2×3 |" not in summary_page
    rows = [line for line in printed.splitlines() if line.startswith("| op")]
    assert len(rows) == 2
    assert all(line in table_page for line in rows)
    assert "200 GFLOP/s" in table_page


def test_what_quick_leaves_out_is_said(run, capsys):
    assert run([RIGHT, SLOW], "--quick") == 0
    out = capsys.readouterr().out
    assert "--quick: few rounds, and without slow." in out
    assert "**Slow**" not in out


def test_only_some_rows(run, capsys):
    assert run([RIGHT, WRONG], "--only", "s op") == 0
    assert "wrong" not in capsys.readouterr().out
    assert run([RIGHT, WRONG], "--only", "nothing") == 1
    assert "no row contains 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--quick"], ["--only", "op"]])
def test_parts_of_a_table_are_not_written(run, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        run([RIGHT], "--write", *option)
    assert stopped.value.code == 2
    assert "--write wants every row" in capsys.readouterr().err
