"""The training loop, one for every model: it knows a loss, an optimiser and batches, and nothing of what they mean.

    trainer = Trainer(model, optimizer, loader, loss, Plan(steps=1000), folder="runs/chairs")
    outcome = trainer.run()

`loss(model, batch)` returns a Tensor, or named Tensors whose sum is the loss. `evaluate(model)` returns scores by name,
`draw(model)` a picture. All that a run is at a given step is in `state()`: a run that was killed and resumed from its
checkpoint continues to the same bits, provided that its batches and random numbers come from `Loader` and `ts.random`.
"""

from __future__ import annotations

import functools
import math
import operator
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .. import random
from ..anomaly import detect_anomaly
from ..data.loader import Batch, Loader
from ..engine import Tensor, no_grad
from ..errors import AnomalyError, ArgumentError, CheckpointError, TinysegError
from ..nn import Module
from ..optim import EMA, Optimizer, clip_grad_norm_
from .checkpoint import Store
from .display import Display, Quiet
from .log import RunLog
from .precision import Precision

__all__ = ["Outcome", "Plan", "Position", "Trainer", "stop_requests"]

Loss = Callable[[Module, Batch], Tensor | Mapping[str, Tensor]]
Evaluate = Callable[[Module], Mapping[str, float]]
Draw = Callable[[Module], Any]


class Scheduler(Protocol):
    """What the loop needs of a learning-rate schedule."""

    def step(self) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How long to train, and how often to do what, in steps (0: only at the end).

    `clip` is the largest gradient norm; `score` the name of the score that chooses the best checkpoint;
    `anomaly` checks every op for NaN and names the first (slow). **Raises** ArgumentError.
    """

    steps: int
    clip: float = math.inf
    log_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    score: str = "mean_iou"
    anomaly: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "log_every", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < (1 if name == "steps" else 0):
                raise ArgumentError(f"Plan: {name} is {getattr(self, name)}, expected a positive number of steps")
        if not self.clip > 0:
            raise ArgumentError(f"Plan: clip is {self.clip}, expected a gradient norm above 0")

    def due(self, every: int, step: int) -> bool:
        """Whether what happens every `every` steps happens after this one; at the end everything does."""
        return step == self.steps or (every > 0 and step % every == 0)


@dataclass
class Position:
    """Where a run stands: steps, the epoch and its batches, seconds, the best score, and losses not logged yet."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    images: int = 0
    counted: int = 0
    since: float = 0.0  # `seconds` when the sums were empty


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `finished`, or stopped early by a signal; the last scores."""

    finished: bool
    step: int
    scores: dict[str, float]


@dataclass
class Trainer:
    """A run: what is trained, with what, how long, and where its files go (`folder`; None: nowhere).

    `config` is stored in every checkpoint, for whoever has to build the same run again.
    """

    model: Module
    optimizer: Optimizer
    loader: Loader
    loss: Loss
    plan: Plan
    scheduler: Scheduler | None = None
    ema: EMA | None = None
    evaluate: Evaluate | None = None
    draw: Draw | None = None
    precision: Precision = field(default_factory=Precision)
    folder: str | os.PathLike[str] | None = None
    config: dict[str, Any] = field(default_factory=dict)
    display: Display = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        self.at = Position()
        self.scores: dict[str, float] = {}
        self.store = None if self.folder is None else Store(self.folder)
        self.log: RunLog | None = None
        self.used_lr = self.lr  # of the last step
        self.saved = -1  # the step of the last checkpoint

    # --- The run ---

    def run(self) -> Outcome:
        """Train from where the run stands to `plan.steps`, or until Ctrl-C or SIGTERM; the state is saved either way.

        **Raises** AnomalyError, with the checkpoints of before intact, when loss or gradient is no longer finite.
        """
        self._open()
        try:
            with stop_requests() as stopped, self.display.running(self.plan.steps, self.at.step):
                finished = self._train(stopped)
        except Exception:
            if self.store is not None and self.at.step == 0:
                self.store.clear()  # nothing is learned yet: the corrected run may have the folder
            raise
        finally:
            if self.log is not None:
                self.log.close()
        return Outcome(finished, self.at.step, self.scores)

    def _open(self) -> None:
        if self.store is None:
            return
        self.store.prepare()
        self.log = RunLog(self.store.folder / "log.jsonl", self.at.step)
        if self.at.step == 0:
            self.save()  # a full disk or a forbidden folder shows now, not after an hour
        elif self.at.best_step == self.at.step:
            self.store.mark_best()  # the run may have died between saving and marking

    def _train(self, stopped: Callable[[], bool]) -> bool:
        self.model.train()
        with closing(self._batches()) as batches, detect_anomaly() if self.plan.anomaly else nullcontext():
            before = time.perf_counter()
            for batch in batches:
                self._step(batch)
                self.at.seconds += time.perf_counter() - before
                self._report()
                self._evaluate_and_save()
                before = time.perf_counter()
                if stopped() and self.at.step < self.plan.steps:
                    if self.saved != self.at.step:
                        self.save()
                    return False
        return True

    def _batches(self) -> Generator[Batch]:
        """The batches from the run's position on, epoch after epoch, until the plan's last step."""
        while self.at.step < self.plan.steps:
            if self.at.batch >= len(self.loader):  # a checkpoint from when there were more
                raise CheckpointError(
                    f"train: the run stands at batch {self.at.batch} of an epoch, but the data makes only "
                    f"{len(self.loader)} batches now: restore the data, or start a new run"
                )
            for batch in self.loader.epoch(self.at.epoch, self.at.batch):
                yield batch
                if self.at.step >= self.plan.steps:
                    return

    def _step(self, batch: Batch) -> None:
        """One step of gradient descent; the position moves on."""
        self.optimizer.zero_grad()
        scaler = self.precision.scaler
        with self.precision.step():
            with self.precision.forward():
                losses = self._losses(batch)
            values = {name: float(loss.item()) for name, loss in losses.items()}
            self._check_finite("loss", values["loss"])
            scaler.scale(losses["loss"]).backward()
        scaler.unscale_(self.optimizer)
        norm = float(clip_grad_norm_(self.model.parameters(), self.plan.clip).item())
        if not self.precision.may_skip():
            self._check_finite("gradient norm", norm)
        values["grad_norm"] = norm if math.isfinite(norm) else 0.0
        self.used_lr = self.lr
        scaler.step(self.optimizer)
        scaler.update()
        if self.scheduler is not None:
            self.scheduler.step()
        if self.ema is not None:
            self.ema.update()
        self._count(values, len(batch))

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """The parts of the loss, if it has named ones, and their sum under "loss"."""
        losses = self.loss(self.model, batch)
        if isinstance(losses, Tensor):
            return {"loss": losses}
        return {**losses, "loss": functools.reduce(operator.add, losses.values())}

    def _check_finite(self, name: str, value: float) -> None:
        if math.isfinite(value):
            return
        kept = f"; the checkpoints in {self.folder} are from before" if self.folder else ""
        raise AnomalyError(
            f"train: {name} is {value} at step {self.at.step + 1}: lower the learning rate (now {self.lr:.3g}), clip "
            f"gradients, or look for the cause with anomaly mode (--anomaly){kept}"
        )

    def _count(self, values: dict[str, float], images: int) -> None:
        at = self.at
        at.sums = {name: at.sums.get(name, 0.0) + value for name, value in values.items()}
        at.counted, at.images = at.counted + 1, at.images + images
        at.step, at.batch = at.step + 1, at.batch + 1
        if at.batch == len(self.loader):
            at.epoch, at.batch = at.epoch + 1, 0

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    # --- What is reported ---

    def _report(self) -> None:
        at = self.at
        means = {name: total / at.counted for name, total in at.sums.items()}
        rate = at.images / max(at.seconds - at.since, 1e-9)
        self.display.step(at.step, rate, means["loss"])
        if not self.plan.due(self.plan.log_every, at.step):
            return
        if self.log is not None:
            times = {"epoch": at.epoch, "seconds": at.seconds, "images_per_second": rate}
            self.log.write("train", at.step, lr=self.used_lr, **means, **times)
        at.sums, at.counted, at.images, at.since = {}, 0, 0, at.seconds

    def _evaluate_and_save(self) -> None:
        step, plan = self.at.step, self.plan
        evaluated = self.evaluate is not None and plan.due(plan.evaluate_every, step)
        if evaluated:
            self._evaluate()
        if evaluated or plan.due(plan.checkpoint_every, step):
            self.save()

    def _evaluate(self) -> None:
        assert self.evaluate is not None
        with self.evaluating() as model:
            self.scores = dict(self.evaluate(model))
            picture = None if self.draw is None else self.draw(model)
        score, best = self.scores.get(self.plan.score, math.nan), self.at.best
        if score > (-math.inf if best is None else best):
            self.at.best, self.at.best_step = score, self.at.step
        if self.log is not None:
            self.log.write("evaluation", self.at.step, epoch=self.at.epoch, seconds=self.at.seconds, **self.scores)
        self._write_pictures(picture)
        self.display.scores(self.at.step, self.scores)

    @contextmanager
    def evaluating(self) -> Iterator[Module]:
        """The model as it is used: averaged weights where there are any, evaluation mode, no graph."""
        self.model.eval()
        try:
            with no_grad(), self.ema.applied() if self.ema is not None else nullcontext():
                yield self.model
        finally:
            self.model.train()

    def _write_pictures(self, sheet: Any) -> None:
        """Pictures are for people: a run does not die of one that cannot be written."""
        if self.store is None or self.log is None:
            return
        from ..data.images import write_png
        from .curves import draw_curves
        from .log import read_log

        try:
            if sheet is not None:
                write_png(self.store.folder / "sheet.png", sheet)
            draw_curves(read_log(self.log.path), self.store.folder / "curves.png")
        except (TinysegError, OSError) as error:
            self.display.message(f"no picture: {error}")

    # --- The state ---

    def _parts(self) -> dict[str, Any]:
        scaler = self.precision.scaler
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "ema": self.ema,
            "scaler": scaler if scaler.is_enabled() else None,
        }

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        states = {name: part.state_dict() for name, part in self._parts().items() if part is not None}
        return {"config": self.config, "position": asdict(self.at), "random": random.get_state(), **states}

    def save(self) -> None:
        """Write a checkpoint now. **Raises** CheckpointError; the one before is then intact."""
        if self.store is None:
            return
        if self.log is not None:
            self.log.sync()
        self.store.save(self.state(), is_best=self.at.best_step == self.at.step)
        self.saved = self.at.step

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state. **Raises** CheckpointError if it is another model's or lacks a part."""
        for name, part in self._parts().items():
            if (part is None) != (name not in state):
                raise CheckpointError(f"checkpoint: {self.folder}: the run and its checkpoint differ in having {name}")
            if part is not None:
                part.load_state_dict(state[name])
        self.at = Position(**state["position"])
        random.set_state(state["random"])

    def resume(self) -> None:
        """Go back to the folder's newest good checkpoint. **Raises** CheckpointError if none is there, or fits."""
        assert self.store is not None
        state, notice = self.store.load()
        if notice:
            self.display.message(notice)
        try:
            self.restore(state)
        except TinysegError as error:
            raise CheckpointError(f"checkpoint: {self.store.last} does not fit this run: {error}") from None


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM only set a flag, for a clean stop; a second Ctrl-C stops at once.

    Yields the function that reads the flag. Off the main thread, which gets no signals, it stays False.
    """
    requested = threading.Event()

    def request(number: int, frame: Any) -> None:
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    if threading.current_thread() is not threading.main_thread():
        yield requested.is_set
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requested.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
