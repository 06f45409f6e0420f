"""How kernels are emulated from now on: `using(mode="trace")`; and what was launched: `record()`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tinyseg.errors import ArgumentError

from .build import MODES

__all__ = ["ORDERS", "LaunchRecord", "Settings", "current", "note_launch", "record", "using"]

ORDERS = ("forward", "reverse", "random")  # as in runtime/machine.h


@dataclass(frozen=True)
class Settings:
    """The mode, the order in which threads and blocks run, and the seconds that a launch may take (0: no limit)."""

    mode: str = "fast"
    order: str = "forward"
    seed: int = 1  # of the random order
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ArgumentError(f"emulator: mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.order not in ORDERS:
            raise ArgumentError(f"emulator: order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        if self.seed < 0 or self.seconds < 0:
            raise ArgumentError(f"emulator: seed and seconds must not be negative, got {self.seed}, {self.seconds}")


class LaunchRecord(NamedTuple):
    """One launch of a kernel."""

    kernel: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_mem: int


_settings = Settings()
_records: list[list[LaunchRecord]] = []


def current() -> Settings:
    """The settings in force."""
    return _settings


@contextlib.contextmanager
def using(**changes: Any) -> Iterator[Settings]:
    """Emulate with other settings inside the block: `mode` ("fast", "debug", "trace"), `order` ("forward", "reverse",
    "random"), `seed`, `seconds`.

    **Raises** ArgumentError for a setting that does not exist or a value outside its range.
    """
    global _settings
    unknown = set(changes) - set(Settings.__dataclass_fields__)
    if unknown:
        raise ArgumentError(
            f"emulator.using: no setting {sorted(unknown)[0]!r}; {', '.join(Settings.__dataclass_fields__)}"
        )
    before = _settings
    _settings = replace(before, **changes)
    try:
        yield _settings
    finally:
        _settings = before


@contextlib.contextmanager
def record() -> Iterator[list[LaunchRecord]]:
    """The launches made inside the block, in their order: what a test holds against what it expects."""
    launches: list[LaunchRecord] = []
    _records.append(launches)
    try:
        yield launches
    finally:
        _records[:] = [kept for kept in _records if kept is not launches]


def note_launch(launch: LaunchRecord) -> None:
    """Tell every `record` that is open."""
    for launches in _records:
        launches.append(launch)
