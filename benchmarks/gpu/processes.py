"""Commands that may hang, fail or crash: what they had printed is kept, and they end when their time is up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.report import ROOT

__all__ = ["Done", "Process", "shortened"]

HEAD, TAIL = 4000, 8000  # characters of an output that are kept: the first error, and the last


class Done(NamedTuple):
    """What a process left behind."""

    output: str
    code: int
    ended: bool  # by itself
    seconds: float

    @property
    def last(self) -> str:
        """The last line, a sanitizer's summary before others."""
        if not self.ended:
            return f"stopped after {self.seconds:.0f} s"
        lines = [line for line in self.output.splitlines() if line.strip()]
        summary = [line for line in lines if "ERROR SUMMARY" in line or "RACECHECK SUMMARY" in line]
        return (summary or lines or [""])[-1].strip("= ")


class Process:
    """A command that has begun, in a group of its own; it prints into a file, which no child of it can keep open."""

    def __init__(self, command: Sequence[str], extra: Mapping[str, str] | None = None) -> None:
        self._began = time.perf_counter()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `done`)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(extra or {})},
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def done(self, seconds: float, patience: float = 2.0) -> Done:
        """Wait for its end, or interrupt it, and end it with its children where that is not enough.

        Of its seconds `patience` are what it has to print its last words between the one and the other.
        """
        ended, end = True, time.perf_counter() + seconds
        try:
            self._process.wait(max(0.0, seconds - patience))
        except subprocess.TimeoutExpired:
            ended = False
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(max(0.0, end - time.perf_counter()))
        finally:  # whoever stops the run stops it too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        with self._file:
            self._file.seek(0)
            output = self._file.read().decode(errors="replace")
        return Done(output, code, ended, round(time.perf_counter() - self._began, 1))


def shortened(text: str) -> str:
    """The beginning and the end of a long output."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n[...]\n{text[-TAIL:]}"
