"""PyTorch's operator database against every operator that tinyseg offers: values, gradients, seconds, errors."""

from __future__ import annotations

import pytest

from tests import op_db
from tests import op_db_tables as tables

ITEMS = [(entry, kind) for entry in op_db.offered() for kind in entry.kinds]


def item(entry: op_db.Entry, kind: str):
    known = tables.KNOWN.get((entry.id, kind))
    marks = [pytest.mark.xfail(reason=known, strict=True)] if known else []
    return pytest.param(entry, kind, id=f"{entry.id}-{kind}", marks=marks)


@pytest.mark.parametrize(("entry", "kind"), [item(*i) for i in ITEMS])
def test_agrees_with_pytorch(entry: op_db.Entry, kind: str):
    found = op_db.failures(entry, kind)
    lines = "\n".join(found[:20])
    assert not found, f"{entry.id}, {kind}: {len(found)} samples fail\n{lines}"


def test_known_failures_are_items():
    assert set(tables.KNOWN) <= {(entry.id, kind) for entry, kind in ITEMS}


def test_ids_are_unique():
    ids = [(entry.id, kind) for entry, kind in ITEMS]
    assert len(set(ids)) == len(ids)
