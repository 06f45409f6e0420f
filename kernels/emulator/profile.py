"""What the memory accesses of a kernel cost, line by line.

A GPU moves global memory in sectors of 32 bytes: a warp that reads 32 neighbouring floats needs 4 of them, one that
reads every 32nd float needs 32. Shared memory has 32 banks; lanes that want different words of one bank wait for each
other. Both are counted exactly from the addresses; caches and time are not modelled.

Beside them, where NVRTC is installed: the registers and the shared memory that each kernel takes on each architecture,
and how much of a multiprocessor its blocks can fill for that (`nvrtc.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tinyseg.errors import DeviceError

from ..source import Defines, Source
from .findings import Place

__all__ = ["LineCost", "Profile", "Row", "Total", "Use", "active_profiles", "profile"]

SECTOR = 32  # bytes


class LineCost(ctypes.Structure):
    """The runtime's `LineCost` (runtime/checker.h)."""

    _fields_ = [
        ("place", ctypes.c_uint64),
        ("requests", ctypes.c_uint64),
        ("transactions", ctypes.c_uint64),
        ("ideal", ctypes.c_uint64),
        ("shared", ctypes.c_int),
        ("writes", ctypes.c_int),
        ("size", ctypes.c_int),
    ]


@dataclass
class Row:
    """The accesses of one line: `requests` of warps, `transactions` (sectors, or cycles of the banks) and how many of
    these there would be if the same bytes lay side by side (`ideal`)."""

    kernel: str
    place: Place
    memory: str  # "global" or "shared"
    access: str  # "load" or "store"
    size: int  # bytes of one lane
    requests: int = 0
    transactions: int = 0
    ideal: int = 0

    @property
    def per_request(self) -> float:
        """Sectors or cycles that one instruction of a warp needs."""
        return self.transactions / self.requests


class Total(NamedTuple):
    """All accesses of one kernel. Bytes are those of whole sectors, as the kernel asks for them: how many of these the
    caches answer is not known here."""

    kernel: str
    loaded: int  # bytes of global memory
    stored: int
    cycles: int  # of the banks of shared memory
    conflicts: int  # cycles of these in which lanes wait for each other


class Use(NamedTuple):
    """What a launched kernel takes of a multiprocessor of an architecture."""

    kernel: str
    architecture: int
    threads: int  # of a block
    registers: int
    spills: int
    shared: int  # bytes of a block, static and dynamic
    occupancy: float
    macros: str  # that it was compiled with


@dataclass
class Profile:
    """The rows of all kernels that were launched; printed as three tables: by line, by kernel, by architecture."""

    rows: list[Row] = field(default_factory=list)
    launches: dict[tuple[str, int, int, Source, Defines], None] = field(default_factory=dict)

    def note(self, kernel: str, threads: int, shared: int, source: Source, defines: Defines) -> None:
        """Remember a launch: blocks of `threads`, `shared` bytes of dynamic shared memory."""
        self.launches[kernel, threads, shared, source, defines] = None

    def uses(self) -> list[Use]:
        """Registers, spills, shared memory and occupancy of each launched kernel on each architecture.

        **Raises** DeviceError without NVRTC.
        """
        from .. import nvrtc

        found = []
        for kernel, threads, dynamic, source, defines in self.launches:
            least = min((v.architecture for v in source.variants if v.defines == defines), default=75)
            for architecture in (a for a in nvrtc.ARCHITECTURES if a >= least):
                taken = nvrtc.compile_source(source, defines, architecture)[1][kernel]
                shared = taken.shared + dynamic
                share = nvrtc.occupancy(architecture, threads, taken.registers, shared)
                macros = " ".join(f"{key}={value}" for key, value in defines)
                found.append(Use(kernel, architecture, threads, taken.registers, taken.spills, shared, share, macros))
        return found

    def add(self, kernel: str, costs: list[LineCost], where: dict[int, Place]) -> None:
        """Count one launch."""
        for cost in costs:
            memory, access = ("shared" if cost.shared else "global"), ("store" if cost.writes else "load")
            at = where.get(cost.place, Place())  # an inlined line is one line, wherever it was called from
            wanted = Row(kernel, Place(at.file, at.line), memory, access, cost.size)
            same = ("kernel", "place", "memory", "access", "size")
            row = next((r for r in self.rows if all(getattr(r, n) == getattr(wanted, n) for n in same)), wanted)
            if row is wanted:
                self.rows.append(row)
            row.requests += cost.requests
            row.transactions += cost.transactions
            row.ideal += cost.ideal

    def select(
        self,
        *,
        kernel: str | None = None,
        line: int | None = None,
        memory: str | None = None,
        access: str | None = None,
    ) -> list[Row]:
        """The rows that fit."""
        fits = {"kernel": kernel, "memory": memory, "access": access}
        return [
            row
            for row in self.rows
            if (line is None or row.place.line == line)
            and all(value is None or getattr(row, name) == value for name, value in fits.items())
        ]

    def totals(self) -> list[Total]:
        """The accesses of each kernel, added up over its lines and launches."""

        def total(kernel: str) -> Total:
            def moved(access: str) -> int:
                return SECTOR * sum(r.transactions for r in self.select(kernel=kernel, memory="global", access=access))

            shared = self.select(kernel=kernel, memory="shared")
            cycles = sum(row.transactions for row in shared)
            return Total(kernel, moved("load"), moved("store"), cycles, cycles - sum(row.ideal for row in shared))

        return [total(kernel) for kernel in dict.fromkeys(row.kernel for row in self.rows)]

    def __str__(self) -> str:
        names = f"{'kernel':20} {'line':32} {'memory':6} {'access':6}"
        head = f"{names} {'bytes':>5} {'requests':>9} {'per request':>11} {'ideal':>6}"
        lines = [head]
        for r in sorted(self.rows, key=lambda r: (r.kernel, r.place.file, r.place.line)):
            at = f"{r.place.file.rpartition('/')[2]}:{r.place.line}"
            lines.append(
                f"{r.kernel:20} {at:32} {r.memory:6} {r.access:6} {r.size:5} {r.requests:9} {r.per_request:11.2f} "
                f"{r.ideal / r.requests:6.2f}"
            )
        return "\n".join([*lines, "", *self._table_of_totals(), "", *self._table_of_uses()])

    def _table_of_totals(self) -> list[str]:
        lines = [f"{'kernel':20} {'loaded, KB':>11} {'stored, KB':>11} {'shared, cycles':>15} {'conflicts':>10}"]
        return lines + [
            f"{t.kernel:20} {t.loaded / 1024:11.1f} {t.stored / 1024:11.1f} {t.cycles:15} {t.conflicts:10}"
            for t in self.totals()
        ]

    def _table_of_uses(self) -> list[str]:
        try:
            uses = self.uses()
        except DeviceError as error:
            return [f"no registers, no occupancy: {error}"]
        lines = [
            f"{'kernel':20} {'arch':>6} {'threads':>8} {'registers':>10} {'spills':>7} {'shared':>7} {'occupancy':>10}"
            "  macros"
        ]
        for u in uses:
            lines.append(
                f"{u.kernel:20} {'sm_' + str(u.architecture):>6} {u.threads:8} {u.registers:10} {u.spills:7} "
                f"{u.shared:7} {u.occupancy:10.0%}  {u.macros}"
            )
        return lines


active_profiles: list[Profile] = []


@contextlib.contextmanager
def profile() -> Iterator[Profile]:
    """Count the memory accesses of all kernels launched inside the block; they run in trace mode.

    with emulator.profile() as costs:
        kernel(grid, block, args)
    print(costs)
    """
    costs = Profile()
    active_profiles.append(costs)
    try:
        yield costs
    finally:
        active_profiles[:] = [p for p in active_profiles if p is not costs]
