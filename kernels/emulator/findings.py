"""What the runtime found, as text with the line of the .cu file."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tinyseg.errors import TinysegError

__all__ = ["Finding", "KernelError", "Place", "Report", "places", "reports"]

# The order is that of Kind in runtime/machine.h.
KINDS = (
    "failure",
    "out of bounds",
    "race",
    "uninitialised",
    "misaligned",
    "not waited for",
    "diverged",
    "returned",
    "deadlock",
    "undefined",
)
# Places here say less than the line that calls them: thin wrappers, the shim, the table of kernels.
THIN = re.compile(r"(^|/)(ptx\.cuh|half\.cuh|emulator/include/\w+\.h|the table of kernels)$")


_known: dict[pathlib.Path, dict[int, Place]] = {}


class KernelError(TinysegError, RuntimeError):
    """A CUDA kernel that does not compile, or that does something wrong when it is emulated; see `reports`."""

    def __init__(self, message: str, reports: Sequence[Report] = ()) -> None:
        super().__init__(message)
        self.reports = list(reports)

    @classmethod
    def of(cls, kernel: str, reports: Sequence[Report]) -> KernelError:
        """The error of a launch: a line for each report."""
        return cls("\n  ".join([f"{kernel}:", *map(str, reports)]), reports)


class Finding(ctypes.Structure):
    """The runtime's `Finding` (runtime/machine.h)."""

    _fields_ = [
        ("kind", ctypes.c_int),
        ("buffer", ctypes.c_int),
        ("place", ctypes.c_uint64),
        ("other", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("count", ctypes.c_uint64),
        ("block", ctypes.c_uint * 3),
        ("thread", ctypes.c_uint * 3),
        ("text", ctypes.c_char * 96),
    ]


@dataclass(frozen=True)
class Place:
    """A line of a source; `callers` are the lines that an inlined function was called from."""

    file: str = "?"
    line: int = 0
    callers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ", called at ".join([f"{self.file}:{self.line}", *self.callers])


@dataclass(frozen=True)
class Report:
    """One thing that is wrong with a kernel: its kind (see `KINDS`), where, and a sentence about it."""

    kind: str
    place: Place
    text: str

    def __str__(self) -> str:
        return self.text


def places(library: pathlib.Path, offsets: Iterable[int]) -> dict[int, Place]:
    """The source lines of offsets in a compiled library, by binutils' addr2line; each is looked up once."""
    known = _known.setdefault(library, {0: Place()})
    unknown = sorted(set(offsets) - known.keys())
    tool = shutil.which("addr2line")
    if not unknown or tool is None:
        return known
    command = [tool, "-a", "-i", "-e", str(library), *map(hex, unknown)]
    chains: list[list[str]] = []
    for line in subprocess.run(command, capture_output=True, text=True).stdout.splitlines():
        if line.startswith("0x"):
            chains.append([])
        else:
            chains[-1].append(os.path.normpath(line.partition(" (")[0]))
    known.update(zip(unknown, map(_place, chains), strict=True))
    return known


def _place(chain: list[str]) -> Place:
    """From the innermost line outwards, without thin wrappers."""
    kept = [at for at in chain if not THIN.search(at.rpartition(":")[0])] or chain or ["?:0"]
    file, _, line = kept[0].rpartition(":")
    return Place(file, int(line) if line.isdigit() else 0, tuple(kept[1:]))


def reports(found: Sequence[Finding], where: dict[int, Place], arguments: Sequence[str]) -> list[Report]:
    """One report for each thing that is wrong; what differs in the compiled code only is left out or put together."""
    made: dict[tuple[str, Place, Place], Report] = {}
    stuck = [f for f in found if KINDS[f.kind] == "deadlock"]
    if stuck:
        groups = (f"{f.count} wait in {f.text.decode()} at {where.get(f.place, Place())}" for f in stuck)
        first = where.get(stuck[0].place, Place())
        made["deadlock", first, first] = Report("deadlock", first, f"threads wait for ever: {'; '.join(groups)}")
    for f in found:
        kind, place, other = KINDS[f.kind], where.get(f.place, Place()), where.get(f.other, Place())
        if kind == "deadlock" or (kind == "diverged" and place == other):
            continue  # one line, compiled to two places
        text = f"{_sentence(f, kind, place, other, arguments)} (block {tuple(f.block)}, thread {tuple(f.thread)}"
        made.setdefault(
            (kind, place, other), Report(kind, place, f"{text}, {f.count} times)" if f.count > 1 else f"{text})")
        )
    return list(made.values())


def _sentence(f: Finding, kind: str, place: Place, other: Place, arguments: Sequence[str]) -> str:
    memory = "shared memory" if f.buffer == -1 else arguments[f.buffer] if f.buffer >= 0 else "memory of no argument"
    at = f"byte {f.offset} of {memory}" if f.buffer >= -1 else memory
    return {
        "failure": f"{place}: {f.text.decode()}",
        "undefined": f"{place}: {f.text.decode()}",
        "out of bounds": f"{place}: access out of bounds, at {at}",
        "race": f"{place}: race with {other} for {at}: nothing orders the two accesses",
        "uninitialised": f"{place}: reads what nobody has written, {at}",
        "misaligned": f"{place}: the address of a wide access is not a multiple of its size, at {at}",
        "not waited for": f"{place}: access to {at}, where the cp.async of {other} has not been waited for",
        "diverged": f"{place}: threads are here while others of their group are at {other}",
        "returned": f"{place}: {f.offset} threads of the block had returned when the others came to this barrier",
    }[kind]
