"""Anomaly mode: stop at the op that produced the first NaN or infinity, and say which line called it."""

from __future__ import annotations

import pathlib
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import AnomalyError

__all__ = ["detect_anomaly", "watching"]


class _Mode(threading.local):
    on = False  # whether ops are checked,
    inside = False  # and whether those of a backward are at work


_mode = _Mode()
_HOME = str(pathlib.Path(__file__).resolve().parent)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Inside this context every op is checked, forward and backward; it is slow, and for finding bugs.

    **Raises** AnomalyError naming the op and the line that called it, where finite inputs first give NaN or infinity.
    """
    before, _mode.on = watching(), True
    try:
        yield
    finally:
        _mode.on = before


def watching() -> bool:
    """Whether anomaly mode is on for this thread."""
    return _mode.on


def check_forward(op: Any, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Remember the line that called `op`, and check what it returned."""
    op.line = _calling_line()
    bad = next((_describe(a) for a in outputs if _describe(a)), None)
    if bad and not _inside_backward():
        already = [i for i, a in enumerate(inputs) if a is not None and _describe(a)]
        origin = f"its input {already[0]} had it already" if already else "its inputs are finite"
        raise AnomalyError(f"forward of {op.name} gave {bad}; {origin} ({op.line})")


def checked_backward(op: Any, gys: Sequence[Any]) -> Any:
    """What `op.backward` returns, checked; the ops that compute it are not: the user knows `op`, not them."""
    if _inside_backward():
        return op.backward(*gys)
    _mode.inside = True
    try:
        returned = op.backward(*gys)
    finally:
        _mode.inside = False
    _check_gradients(op, gys, returned if isinstance(returned, tuple) else (returned,))
    return returned


def _inside_backward() -> bool:
    return _mode.inside


def _check_gradients(op: Any, gys: Sequence[Any], gxs: Sequence[Any]) -> None:
    for i, g in enumerate(gxs):
        if g is not None and _describe(g.data):
            given = any(gy is not None and _describe(gy.data) for gy in gys)
            origin = "the gradient it was given had it already" if given else "the gradient it was given is finite"
            line = getattr(op, "line", "recorded outside detect_anomaly")
            raise AnomalyError(f"backward of {op.name} gave {_describe(g.data)} for input {i}; {origin} ({line})")


def _describe(array: Any) -> str:
    if array.dtype.kind in "biu":
        return ""
    values = array.astype(np.float32) if array.dtype.itemsize < 4 else array
    if bool((values != values).any()):
        return "NaN"
    return "infinity" if bool((abs(values) == np.inf).any()) else ""


def _calling_line() -> str:
    """File, line and text of the innermost frame outside the library."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_HOME):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "called from inside tinyseg"
