"""PyTorch's operator database against every operator that tinyseg offers: values, gradients, seconds, errors.

On each device that the test table runs on (`tests.cases.DEVICES`): off the CPU all that is computed stays there.
"""

from __future__ import annotations

import pytest

from tests import op_db, op_db_checks, parity
from tests import op_db_names as names
from tests import op_db_tables as tables
from tests.cases import DEVICES

ITEMS = [(entry, kind) for entry in op_db.offered() for kind in entry.kinds]
RUNS = [(*item, device) for device in DEVICES for item in ITEMS if device == "cpu" or item[1] != "errors"]


def run(entry: op_db.Entry, kind: str, device: str):
    known = tables.KNOWN.get((entry.id, kind))
    marks = [pytest.mark.xfail(reason=known, strict=True)] if known else []
    where = "" if device == "cpu" else f"-{device}"
    return pytest.param(entry, kind, device, id=f"{entry.id}-{kind}{where}", marks=marks)


@pytest.mark.parametrize(("entry", "kind", "device"), [run(*r) for r in RUNS])
def test_agrees_with_pytorch(entry: op_db.Entry, kind: str, device: str):
    found = op_db_checks.failures(entry, kind, device)
    lines = "\n".join(found[:20])
    assert not found, f"{entry.id}, {kind}, {device}: {len(found)} samples fail\n{lines}"


def test_known_failures_are_items():
    assert set(tables.KNOWN) <= {(entry.id, kind) for entry, kind in ITEMS}


def test_ids_are_unique():
    ids = [(entry.id, kind) for entry, kind in ITEMS]
    assert len(set(ids)) == len(ids)


def test_the_vocabulary_is_there():
    """What the library promises is offered, or listed as still to come."""
    promised = [name for group in names.VOCABULARY.values() for name in group.split()]
    assert set(promised) <= {info.name for info in op_db.database()}
    assert set(promised) & set(op_db.missing()) <= set(names.PENDING.split())


def test_every_operator_of_the_database_has_a_place():
    """One that PyTorch adds must be offered, promised, or listed as outside the vocabulary."""
    listed = {name for groups in (names.VOCABULARY, names.NOT_OFFERED) for v in groups.values() for name in v.split()}
    assert sorted(set(op_db.missing()) - listed) == []


def test_reasons_are_the_fixed_list():
    plans = [op_db.planned(entry, kind) for entry, kind in ITEMS]
    assert {reason for plan in plans for reason in plan.against} <= set(tables.REASONS)


def test_the_page_is_current():
    assert parity.PAGE.read_text() == parity.page(), "docs/parity.md is out of date: run python -m tests.parity"
