"""Writes `docs/parity.md` from the plans that `tests/test_op_db.py` runs: `python -m tests.parity`."""

from __future__ import annotations

import collections
import pathlib
import sys

import torch

from tests import op_db
from tests import op_db_names as names
from tests import op_db_tables as tables

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "parity.md"

HEAD = """# Parity with PyTorch

*Written by `python -m tests.parity`; a test keeps it current.*

PyTorch carries a database of its own operators, `torch.testing._internal.common_methods_invocations.op_db`: for each
one sample inputs, and inputs that must raise. `tests/test_op_db.py` runs every operator whose name resolves in tinyseg
on every sample that applies, against PyTorch {version} in float64 (bitwise logic: int64):

- **values** agree to {values:g}, with the same shape, element type, NaN and infinity;
- **gradients**, weighted by random numbers u, for every input that requires one, to {gradients:g};
- **second derivatives**, the gradient of ⟨v, gradient⟩ for random v with respect to the inputs and to u, to {second:g};
- **errors** are ours, raised by our own code before NumPy sees the arguments, and name the function and an argument.

Each is checked twice: on the CPU, and on the device "emulated", where the CUDA kernels run on the processor and all
that is computed stays on the device (errors, which come before either, once). The same on a GPU, of which no run is on
record yet: `TINYSEG_TEST_DEVICES=cuda python -m pytest tests/test_op_db.py`.

Tolerances are relative to the largest element, and absolute where that is below 1. Errors of float32, float16 and
bfloat16 have a page of their own: [precision](precision.md).
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def counted(against: collections.Counter[str]) -> str:
    """Reasons with their counts, the frequent ones first."""
    return ", ".join(f"{reason} {n}" for reason, n in sorted(against.items(), key=lambda item: (-item[1], item[0])))


def cell(entry: op_db.Entry, kind: str, plan: op_db.Plan | None) -> str:
    """What one check covers."""
    if plan is None:
        return ""
    if (entry.id, kind) in tables.KNOWN:
        return f"fails [{len(plan.samples)}]"
    differences = kind == "second derivatives" and not entry.info.supports_gradgrad and plan.samples
    return f"{len(plan.samples)}{' (by differences)' if differences else ''}"


def row(entry: op_db.Entry, plans: dict[str, op_db.Plan]) -> list[str]:
    """One operator's line."""
    against = [counted(plans["values"].against)]
    if "gradients" in plans and plans["gradients"].against - plans["values"].against:
        against.append(f"derivatives: {counted(plans['gradients'].against)}")
    if "errors" in plans:
        against.append(f"errors: {counted(plans['errors'].against)}" if plans["errors"].against else "")
    arguments = ", ".join(f"`{name}`" for name in sorted(op_db.arguments_of(entry, plans["values"])))
    cells = [cell(entry, kind, plans.get(kind)) for kind in op_db.KINDS]
    return [f"`{entry.id}`", f"`{entry.path}`", *cells, "; ".join(filter(None, against)), arguments]


def listing(groups: dict[str, list[str]]) -> str:
    """Names under the heading of their group."""
    return "\n".join(f"- {group}: {', '.join(f'`{n}`' for n in found)}" for group, found in groups.items() if found)


def page() -> str:
    """The whole page."""
    entries = sorted(op_db.offered(), key=lambda e: e.id)
    plans = {e: {kind: op_db.planned(e, kind) for kind in e.kinds} for e in entries}
    rows = [row(entry, found) for entry, found in plans.items()]
    passing = collections.Counter[str]()
    against = collections.Counter[str]()
    for entry, found in plans.items():
        for kind, plan in found.items():
            against += plan.against
            passing[kind] += 0 if (entry.id, kind) in tables.KNOWN else len(plan.samples)
    totals = ", ".join(f"{passing[kind]} {kind}" for kind in op_db.KINDS)
    accepted = collections.defaultdict(list)
    for entry, found in plans.items():
        if "errors" in found and found["errors"].against["accepted here"]:
            accepted[tables.ACCEPTED[entry.name][1]].append(entry.id)
    known = collections.defaultdict(list)
    for (name, kind), why in tables.KNOWN.items():
        known[why].append(f"{name}, {kind}")
    missing = {g: [n for n in v.split() if n in op_db.missing()] for g, v in names.VOCABULARY.items()}
    outside = {g: [n for n in v.split() if n in op_db.missing()] for g, v in names.NOT_OFFERED.items()}
    tolerance = op_db.TOLERANCE
    parts = [
        HEAD.format(
            version=torch.__version__.partition("+")[0],
            values=tolerance["values"],
            gradients=tolerance["gradients"],
            second=tolerance["second derivatives"],
        ),
        f"**{len({e.name for e in plans})} operators** in {len(plans)} variants are checked on {totals}.",
        "## What does not apply\n\n"
        "A sample is left out for one of these reasons alone, decided by the sample and never by what our code says:\n",
        table(["reason", "samples", "meaning"], [[r, str(against[r]), what] for r, what in tables.REASONS.items()]),
        "## Operators\n\n"
        "Numbers of samples checked. The arguments are those that samples give. Derivatives are empty where PyTorch "
        "has none, errors where the database has none; 'by differences' where PyTorch has no second derivative to "
        "compare with.\n",
        table(["PyTorch", "tinyseg", *op_db.KINDS, "does not apply", "arguments covered"], rows),
        "## Accepted here\n\nPyTorch raises, tinyseg computes:\n\n" + listing(accepted),
        "## Known failures\n\n" + (listing(known) or "None."),
        "## In the vocabulary and still missing\n\n" + (listing(missing) or "None."),
        "## Not offered\n\nOutside the project's vocabulary:\n\n" + listing(outside),
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE}\n")
