"""How a run divides its time: what is checked first may not take the rows' share.

A section may take all that is left but for the shares of those behind it, so what one does not use is the next one's.
A process whose time is up is stopped, training makes fewer steps, rows get fewer rounds; all of it is in the report.
"""

from __future__ import annotations

import time
from collections.abc import Collection

__all__ = ["GRACE", "LIMIT", "SECTIONS", "SLOWER", "Schedule"]

SHARES = {  # seconds of a run on a GPU, in the order of the run; another --limit stretches them all
    "compile": 40.0, "table": 95.0, "sanitizer": 60.0, "training": 60.0, "rows": 185.0,
}  # fmt: skip
LIMIT = sum(SHARES.values())  # after it a row gets the fewest rounds
GRACE = 30.0  # seconds more, after which no row is begun: with them a run takes less than eight minutes
SLOWER = 5  # times the limit, under the emulator
SECTIONS = "table", "sanitizer", "training", "rows"  # that can be asked for


class Schedule:
    """The deadlines of a run that begins now and has these sections."""

    def __init__(self, limit: float, sections: Collection[str]) -> None:
        self.end, self.scale, self.sections = time.perf_counter() + limit, limit / LIMIT, sections

    def until(self, section: str) -> float:
        """When it has to be done, by `time.perf_counter`."""
        names = list(SHARES)
        behind = [name for name in names[names.index(section) + 1 :] if name in self.sections]
        return self.end - self.scale * sum(SHARES[name] for name in behind)

    def left(self, section: str, parts: int = 1) -> float:
        """The seconds it may take from now on, shared among the parts that it still has to do."""
        return max(0.0, self.until(section) - time.perf_counter()) / parts
