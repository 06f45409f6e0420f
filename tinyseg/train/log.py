"""The log of a run: one JSON object a line, appended as it happens, cut back to the checkpoint when a run resumes."""

from __future__ import annotations

import json
import math
import os
import pathlib
from typing import IO, Any

from ..data.images import open_regular, write_atomically
from ..errors import DataError

__all__ = ["RunLog", "read_log"]

Entry = dict[str, Any]


class RunLog:
    """Lines of {"kind": "train" or "evaluation", "step": k, ...} in a file.

    Opening keeps the lines up to `step` and drops the rest: steps after the checkpoint are made, and logged, again.

    **Raises** DataError if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], step: int = 0) -> None:
        self.path = pathlib.Path(path)
        kept = [entry for entry in read_log(self.path) if entry["step"] <= step] if self.path.exists() else []
        write_atomically(self.path, "".join(_line(entry) for entry in kept).encode())
        try:
            self._file: IO[str] = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  open as long as the run
        except OSError as error:
            raise _failed(self.path, error) from None

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append a line. It is in the file when this returns: a killed run loses no line."""
        try:
            self._file.write(_line({"kind": kind, "step": step, **values}))
            self._file.flush()
        except OSError as error:
            raise _failed(self.path, error) from None

    def sync(self) -> None:
        """Put the lines on the disk, before a checkpoint that relies on them."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _failed(self.path, error) from None

    def close(self) -> None:
        """Close the file. A line that did not fit on the disk is tried, and can fail, once more here."""
        try:
            self._file.close()
        except OSError as error:
            raise _failed(self.path, error) from None


def read_log(path: str | os.PathLike[str]) -> list[Entry]:
    """The entries of a log, in order; a last line that was cut short is left out. **Raises** DataError."""
    entries: list[Entry] = []
    with open_regular(path) as file:
        text = file.read().decode(errors="replace")
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:  # the machine went down in the middle of a line
            continue
        if isinstance(entry, dict) and "step" in entry:
            entries.append(entry)
    return entries


def _line(entry: Entry) -> str:
    """JSON knows no NaN: a score of nothing is null."""
    known = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in entry.items()}
    return json.dumps(known) + "\n"


def _failed(path: pathlib.Path, error: OSError) -> DataError:
    return DataError(f"log: {path}: {error.strerror}: free space or choose another folder")
