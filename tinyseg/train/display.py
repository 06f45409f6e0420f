"""What one sees of a run: a bar with rate and time left on a terminal, a line now and then elsewhere, or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["Display", "Quiet", "Terminal"]


class Display(Protocol):
    """Where a run shows itself."""

    def running(self, total: int, done: int) -> AbstractContextManager[None]:
        """The context of a run of `total` steps of which some are done."""
        ...

    def step(self, step: int, rate: float, loss: float) -> None:
        """A step is done; `rate` in images a second."""
        ...

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """An evaluation is done."""
        ...

    def message(self, text: str) -> None:
        """Something to know."""
        ...


class Quiet:
    """Shows nothing."""

    @contextmanager
    def running(self, total: int, done: int) -> Iterator[None]:
        """Nothing around the run."""
        yield

    def step(self, step: int, rate: float, loss: float) -> None:
        """Nothing."""

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


class Terminal:
    """A progress bar, or on a file or pipe a line every `seconds`."""

    def __init__(self, console: Console, seconds: float = 15.0) -> None:
        self.console, self.seconds = console, seconds
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total, self._spoke = 0, 0.0

    @contextmanager
    def running(self, total: int, done: int) -> Iterator[None]:
        """Show the bar during the run."""
        self._total, self._spoke = total, time.monotonic()
        if not self.console.is_terminal:
            yield
            return
        with _bar(self.console) as self._bar:
            self._task = self._bar.add_task("train", total=total, completed=done, rate=0.0, loss=float("nan"))
            try:
                yield
            finally:
                self._bar.refresh()
        self._bar = None

    def step(self, step: int, rate: float, loss: float) -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, rate=rate, loss=loss)
        elif time.monotonic() - self._spoke > self.seconds:
            self._spoke = time.monotonic()
            self.message(f"step {step}/{self._total}  {rate:.1f} images/s  loss {loss:.4f}")

    def scores(self, step: int, scores: Mapping[str, float]) -> None:
        """A line of scores, above the bar."""
        self.message(f"step {step}/{self._total}  " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))

    def message(self, text: str) -> None:
        """A line of text."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:6.1f} images/s  loss {task.fields[loss]:.4f}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    return Progress(*columns, console=console)
