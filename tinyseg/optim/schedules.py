"""Learning-rate schedules under PyTorch's names: call `scheduler.step()` after each epoch (or step, as you count).

Each is a function of the number of steps taken and of the group's initial rate alone. PyTorch's update the rate from
its last value; the numbers agree to rounding, and here a resumed run gets the same bits whatever came between.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, CheckpointError
from .optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "LRScheduler", "LambdaLR", "LinearLR", "SequentialLR", "StepLR", "warmup_cosine"]


class LRScheduler:
    """Sets `lr` of each group; a subclass says what it is after `epoch` steps.

    `last_epoch` is the number of the last step taken, -1 for a new run; the constructor takes the next one.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(f"{type(self).__name__}: last_epoch {last_epoch} needs 'initial_lr' in every group")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps of group number `group`, which began with `base_lr`."""
        return base_lr

    def step(self) -> None:
        """Count one step and set the rates."""
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.lr_at(self.last_epoch, base, i)

    def get_last_lr(self) -> list[float]:
        """The current rate of each group."""
        return [self.lr_at(self.last_epoch, base, i) for i, base in enumerate(self.base_lrs)]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs; the settings are not part of it."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state; also sets the rates."""
        if len(state_dict["base_lrs"]) != len(self.optimizer.param_groups):
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: the state has {len(state_dict['base_lrs'])} groups, "
                f"the optimiser {len(self.optimizer.param_groups)}"
            )
        self.last_epoch, self.base_lrs = int(state_dict["last_epoch"]), [float(lr) for lr in state_dict["base_lrs"]]
        self._set()


class StepLR(LRScheduler):
    """lr = base · γ^⌊t / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = _positive("StepLR", "step_size", step_size), gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * self.gamma ** (epoch // self.step_size)


class LinearLR(LRScheduler):
    """lr = base · (start + (end - start) · min(t, n) / n) with n = total_iters: a warm-up."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ArgumentError(f"LinearLR: factors must be above 0 and at most 1, got {start_factor} and {end_factor}")
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = _positive("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """lr = η_min + (base - η_min)(1 + cos(π t / T_max)) / 2. **Source** Loshchilov & Hutter 2017, eq. 5."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = _positive("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class LambdaLR(LRScheduler):
    """lr = base · lr_lambda(t), with one function for all groups or a list of one for each."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ArgumentError(f"LambdaLR: got {len(self.lr_lambdas)} functions for {groups} groups")
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * self.lr_lambdas[group](epoch)


class SequentialLR(LRScheduler):
    """One schedule after another: `schedulers[i]` takes over at step `milestones[i - 1]` and counts from 0 there."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} rising milestones, "
                f"got {list(milestones)}"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise ArgumentError("SequentialLR: all schedulers must belong to the same optimizer")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        turn = bisect_right(self.milestones, epoch)
        start = self.milestones[turn - 1] if turn else 0
        return self.schedulers[turn].lr_at(epoch - start, base_lr, group)


def warmup_cosine(
    optimizer: Optimizer, warmup: int, total: int, eta_min: float = 0.0, start_factor: float = 1e-3
) -> LRScheduler:
    """A linear rise from start_factor · lr over `warmup` steps, then a cosine down to `eta_min` at step `total`."""
    if not 0 <= warmup < total:
        raise ArgumentError(f"warmup_cosine: warmup must be from 0 to below total {total}, got {warmup}")
    cosine = CosineAnnealingLR(optimizer, total - warmup, eta_min)
    if warmup == 0:
        return cosine
    return SequentialLR(optimizer, [LinearLR(optimizer, start_factor, 1.0, warmup), cosine], [warmup])


def _positive(caller: str, name: str, value: int) -> int:
    if not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{caller}: {name} must be a positive integer, got {value!r}")
    return value
