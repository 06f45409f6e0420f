"""Errors of storage in float32, float16 and bfloat16: how they are measured; `python -m tests.precision` writes
`docs/precision.md`.

A subject is an operator of PyTorch's database that tinyseg offers, or a function of `tests/cases` that the database
lacks. Its inputs are rounded to the storage type, and the reference is PyTorch in float64 on exactly those inputs.
"""

from __future__ import annotations

import functools
import math
import pathlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import tinyseg as ts
from tests import op_db, op_db_tables, parity
from tests import precision_tables as tables
from tests.cases import CASES, Case, listed

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "precision.md"
TYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SAMPLES = 10  # of each subject, evenly spread over those that there are


# --- subjects and samples --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample:
    """One call: its arguments, (positional, by name) with PyTorch's float64 tensors, and the function of each side."""

    arguments: Any
    ours: Callable[..., Any]
    theirs: Callable[..., Any]

    def __str__(self) -> str:
        return op_db.described(self.arguments)


@dataclass(frozen=True, eq=False)
class Subject:
    """What has a line in the table."""

    name: str
    draw: Callable[[], list[Sample]]

    def samples(self) -> list[Sample]:
        """At most `SAMPLES` of the samples, the same in every process."""
        found = self.draw()
        return [found[i * len(found) // SAMPLES] for i in range(SAMPLES)] if len(found) > SAMPLES else found

    @property
    def refused(self) -> tuple[str, ...]:
        """The types that it does not take."""
        return tables.REFUSED.get(self.name, ())

    def tolerance(self, dtype: str) -> tuple[int, int]:
        """(of the value, of the gradient)."""
        return tables.EXCEPTIONS.get(self.name, ("", {}))[1].get(dtype, tables.DEFAULT[dtype])


def of_entry(entry: op_db.Entry) -> list[Sample]:
    """The database's samples; those for gradients where the operator has any that apply."""
    kinds = [kind for kind in ("gradients", "values") if kind in entry.kinds]
    plans = [op_db.planned(entry, kind).samples for kind in kinds]
    samples = next((plan for plan in plans if plan), [])
    return [Sample(op_db.arguments(s), entry.function, entry.info.op) for s in samples]


def of_case(case: Case) -> Sample:
    """A row of `tests/cases`."""
    varied = case.varied()
    tensors = [torch.tensor(a, requires_grad=i in varied) for i, a in enumerate(case.arrays())]
    theirs = case.reference or functools.partial(case.function, torch)
    return Sample((tuple(tensors), {}), functools.partial(case.function, ts), theirs)


@functools.cache
def subjects() -> list[Subject]:
    """Every operator of the database that takes float64, then the functions that only `tests/cases` has."""
    drawn = {n for n, reasons in op_db_tables.PREDICATES.items() if ("random result", op_db_tables._always) in reasons}
    left_out = drawn | tables.NO_SAMPLES
    entries = [e for e in op_db.offered() if e.dtype == torch.float64 and not {e.name, e.id} & left_out]
    names = {e.name.rpartition(".")[2].strip("_") for e in entries}
    alone: dict[str, list[Case]] = {}
    for case in CASES:
        name = case.name.partition("[")[0]
        if name not in names and any(a.dtype.kind == "f" for a in case.arrays()):
            alone.setdefault(name, []).append(case)
    found = [Subject(e.id, functools.partial(of_entry, e)) for e in entries]
    return found + [Subject(n, lambda cases=cases: [of_case(c) for c in cases]) for n, cases in alone.items()]


def stored(value: Any, store: torch.dtype, held: torch.dtype, memo: dict[int, torch.Tensor]) -> Any:
    """Nested arguments with float64 tensors rounded to `store` and held in `held`, which float64 as a type becomes too.

    `memo` has the new tensor for the id of each old one.
    """
    if isinstance(value, torch.Tensor):
        if value.dtype != torch.float64:
            return value
        if id(value) not in memo:
            memo[id(value)] = value.detach().to(store).to(held).requires_grad_(value.requires_grad)
        return memo[id(value)]
    if value is torch.float64:
        return held
    if isinstance(value, tuple) and not isinstance(value, torch.Size):
        parts = [stored(v, store, held, memo) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [stored(v, store, held, memo) for v in value]
    if isinstance(value, dict):
        return {k: stored(v, store, held, memo) for k, v in value.items()}
    return value


# --- one measurement -------------------------------------------------------------------------------------------------


def array(value: Any) -> np.ndarray:
    """The values of either side's result: floats as float64, integers and booleans as they are."""
    values = value.data if isinstance(value, ts.Tensor) else value
    values = op_db.array_of(values) if isinstance(values, torch.Tensor) else np.asarray(values)
    return values if values.dtype.kind in "biu" else values.astype(np.float64)


def error(found: Any, exact: Any, dtype: torch.dtype, least: float = 0.0) -> float:
    """The largest difference, in eps of `dtype` times the largest element of the exact result (or `least` of it).

    What the type cannot hold must be infinite, up to a last bit; integers must be equal; otherwise it is infinite.
    """
    x, y, info = array(found), array(exact), torch.finfo(dtype)
    if x.shape != y.shape or not np.array_equal(np.isnan(x), np.isnan(y)):
        return math.inf
    if y.dtype.kind in "biu":
        return 0.0 if np.array_equal(x, y) else math.inf
    held = np.abs(y) < info.max
    beyond = ~held & ~np.isnan(y)
    if (np.sign(x[beyond]) != np.sign(y[beyond])).any() or (np.abs(x[beyond]) < info.max * (1 - 4 * info.eps)).any():
        return math.inf
    scale = max(np.abs(y[held]).max(initial=0.0), least, info.tiny)
    return float(np.abs(x[held] - y[held]).max(initial=0.0) / (info.eps * scale))


@dataclass
class Measured:
    """One sample in one type: errors of (value, gradient), ours and PyTorch's (NaN: there is none)."""

    ours: tuple[float, float]
    theirs: tuple[float, float]
    wrong_types: list[str] = field(default_factory=list)


@dataclass
class Run:
    """One side's outputs, and its leaves by the ids of the sample's tensors."""

    outputs: list[Any]
    leaves: dict[int, Any]


def their_run(sample: Sample, store: torch.dtype, held: torch.dtype) -> Run:
    """PyTorch on inputs rounded to `store`, computed in `held`."""
    memo: dict[int, torch.Tensor] = {}
    given, keywords = stored(sample.arguments, store, held, memo)
    with op_db.quiet():
        return Run(listed(sample.theirs(*given, **keywords)), memo)


def our_run(sample: Sample, store: torch.dtype) -> Run:
    """The same in tinyseg."""
    memo: dict[int, torch.Tensor] = {}
    ours = op_db.Leaves("cpu")
    given, keywords = op_db.converted(stored(sample.arguments, store, store, memo), ours)
    return Run(listed(sample.ours(*given, **keywords)), {k: ours[id(t)] for k, t in memo.items()})


def measure(sample: Sample, name: str, vanishing: bool = False) -> Measured:
    """The errors of one sample in the type `name`."""
    dtype = TYPES[name]
    exact, ours = their_run(sample, dtype, torch.float64), our_run(sample, dtype)
    try:
        theirs = their_run(sample, dtype, dtype)
    except RuntimeError:  # PyTorch has no kernel for this type on the CPU
        theirs = None
    expected = [_type(t, dtype if theirs is None else None) for t in (theirs or exact).outputs]
    wrong = [
        f"output {i} is {y.dtype}, PyTorch's {t}"
        for i, (y, t) in enumerate(zip(ours.outputs, expected, strict=True))
        if t is not None and y.dtype != op_db.numpy_type(t)
    ]
    units = [t if t in TYPES.values() else dtype for t in expected]
    values = [
        max([error(y, t, u) for y, t, u in zip(side.outputs, exact.outputs, units, strict=True)], default=0.0)
        if side
        else math.nan
        for side in (ours, theirs)
    ]
    gradients, types = _gradients(exact, ours, theirs, units, dtype, vanishing)
    return Measured((values[0], gradients[0]), (values[1], gradients[1]), wrong + types)


def _type(output: Any, stored_in: torch.dtype | None) -> torch.dtype | None:
    """The element type that an output should have; in the exact run float64 stands for the type that is stored."""
    found = output.dtype if isinstance(output, torch.Tensor) else None
    return stored_in or found if found == torch.float64 else found


def _gradients(
    exact: Run, ours: Run, theirs: Run | None, units: list[torch.dtype], dtype: torch.dtype, vanishing: bool
) -> tuple[tuple[float, float], list[str]]:
    """Errors of the gradients for the same random weights u of the outputs, which every side's type can hold."""
    places = [i for i, t in enumerate(exact.outputs) if isinstance(t, torch.Tensor) and t.requires_grad]
    keys = [k for k, t in exact.leaves.items() if t.requires_grad]
    if not places or not keys:
        return (math.nan, math.nan), []
    rng = np.random.default_rng(0)
    us = {i: torch.tensor(rng.standard_normal(tuple(exact.outputs[i].shape))).to(units[i]) for i in places}

    def of(run: Run) -> Any:
        ys = [i for i in places if run.outputs[i].requires_grad]
        weights = [us[i].to(run.outputs[i].dtype) for i in ys]
        outputs, leaves = [run.outputs[i] for i in ys], [run.leaves[k] for k in keys]
        with op_db.quiet():
            return torch.autograd.grad(outputs, leaves, weights, materialize_grads=True)

    wanted = of(exact)
    ys = [(ours.outputs[i], u) for i, u in us.items() if ours.outputs[i].requires_grad]
    weights = [ts.tensor(op_db.array_of(u).astype(y.dtype)) for y, u in ys]
    found = ts.grad([y for y, _ in ys], [ours.leaves[k] for k in keys], weights, materialize_grads=True)
    wrong = [f"a gradient is {g.dtype}, its input {dtype}" for g in found if g.dtype != op_db.numpy_type(dtype)]
    least = max((float(u.abs().max()) for u in us.values() if u.numel()), default=0.0) if vanishing else 0.0
    try:
        their = of(theirs) if theirs else None
    except RuntimeError:
        their = None
    ours_, theirs_ = (
        max(error(g, w, dtype, least) for g, w in zip(side, wanted, strict=True)) if side else math.nan
        for side in (found, their)
    )
    return (ours_, theirs_), wrong


def comparable(subject: Subject, sample: Sample, name: str) -> bool:
    """Whether the rounded sample has one answer: not where a sort would have to choose between equal elements."""
    if subject.name not in tables.TIES:
        return True
    x = array(stored(sample.arguments, TYPES[name], TYPES[name], {})[0][0])
    return len(np.unique(x)) == x.size


def measured(subject: Subject, name: str) -> list[tuple[Sample, Measured]]:
    """Every sample of a subject in one type."""
    vanishing = subject.name in tables.VANISHING
    with op_db.one_thread(), sdpa_kernel(SDPBackend.MATH):
        return [(s, measure(s, name, vanishing)) for s in subject.samples() if comparable(subject, s, name)]


# --- the page --------------------------------------------------------------------------------------------------------

HEAD = """# Precision of storage

*Written by `python -m tests.precision`; a test keeps it current.*

Every operator of PyTorch's database that tinyseg offers ([parity](parity.md)), and every function of `tests/cases` that
the database lacks, with inputs rounded to float32, float16 and bfloat16: values and gradients against PyTorch {version}
in float64 on exactly the rounded inputs. `tests/test_precision.py` asserts that

- errors stay within the tolerances below, in units of the type's eps (2⁻²³, 2⁻¹⁰, 2⁻⁷) times the largest element of the
  exact result: rounding it once is half a unit;
- a tolerance above the common one is needed: one that is more than two steps of {ladder} too wide fails;
- results and gradients have PyTorch's element types;
- half types are nowhere worse than four times PyTorch's own error and one unit;
- a result that fits float16 does not overflow on the way, shown for sums, moments, norms and losses of numbers whose
  squares do not fit.

Half types are stored, and computed in float32: a single op rounds its result once, and so does a function of several
ops (`tinyseg/ops/halves.py`). The common tolerances, value and gradient, are {defaults}.
"""


def page() -> str:
    """The whole page: tolerances alone, which are the same on every machine."""
    rows = []
    for subject in sorted(subjects(), key=lambda s: s.name):
        reason = tables.EXCEPTIONS.get(subject.name, ("",))[0]
        notes = [tables.REASONS[reason]] if reason else []
        notes += ["gradient relative to u"] if subject.name in tables.VANISHING else []
        notes += ["no equal elements"] if subject.name in tables.TIES else []
        cells = [
            "refused" if name in subject.refused else " · ".join(map(str, subject.tolerance(name))) for name in TYPES
        ]
        rows.append([f"`{subject.name}`", *cells, "; ".join(notes)])
    defaults = ", ".join(f"{v} · {g} ({name})" for name, (v, g) in tables.DEFAULT.items())
    head = HEAD.format(
        version=torch.__version__.partition("+")[0], defaults=defaults, ladder=", ".join(map(str, tables.LADDER))
    )
    notes = (
        "'Gradient relative to u': where the function hardly depends on its input, as a vector of one element is "
        "always normalised to ±1, the exact gradient vanishes; its error is relative to the weights u of the outputs. "
        "'No equal elements': samples in which rounding makes elements equal have no single order."
    )
    table = parity.table(["operator", *TYPES, "notes"], rows)
    return "\n\n".join((head.strip(), f"## Tolerances\n\nValue · gradient. {notes}", table)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
