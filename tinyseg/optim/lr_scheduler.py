"""Learning-rate schedules under PyTorch's names: call `scheduler.step()` after each epoch (or step, as you count).

Each but ReduceLROnPlateau is a function of the number of steps and of the group's initial rate, so that a resumed run
gets the same bits. Where something else has changed the rate since the last step (a second schedule on the same
optimiser, or the user), the schedule goes on from there as PyTorch's does: by the factor that it would have moved by.
LambdaLR and OneCycleLR overwrite, in PyTorch too.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..errors import ArgumentError, CheckpointError
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .settings import for_each, positive, set_from

__all__ = [
    "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "OneCycleLR",
    "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepLR", "warmup_cosine",
]  # fmt: skip


class LRScheduler:
    """Sets `lr` of each group; a subclass says what it is after `epoch` steps where nothing else changes it.

    `last_epoch` is the number of the last step taken, -1 for a new run; the constructor takes the next one.
    """

    overwrites = False  # whether what others did to the rate is lost at every step
    settings: ClassVar[tuple[str, ...]] = ()  # the names, PyTorch's too, under which a state holds them
    floor = 0.0  # the rate that the schedule falls towards: factors are those of the distance from it

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ArgumentError(f"{type(self).__name__}: last_epoch {last_epoch} needs 'initial_lr' in every group")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()
        if last_epoch != -1:  # a run that goes on: whatever rate the groups hold, theirs is that of the epoch
            self._overwrite()

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps of group number `group`, which began with `base_lr`."""
        return base_lr

    def step(self) -> None:
        """Count one step and set the rates."""
        self.last_epoch += 1
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.moved(group["lr"], self.last_epoch, base, i)

    def moved(self, lr: float, epoch: int, base_lr: float, group: int) -> float:
        """The rate of a group after `epoch` steps, from its rate `lr` before the last of them."""
        now = self.lr_at(epoch, base_lr, group)
        was = self.lr_at(epoch - 1, base_lr, group) if epoch else base_lr
        if self.overwrites or lr == was:
            return now
        if was == self.floor:  # there is no factor; PyTorch's cosine leaves its floor by a difference
            return lr + (now - was)
        return self.floor + (lr - self.floor) * ((now - self.floor) / (was - self.floor))

    def get_last_lr(self) -> list[float]:
        """The current rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, the settings included; functions are not part of it."""
        rates = {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), "_last_lr": self.get_last_lr()}
        return {**copy.deepcopy({name: getattr(self, name) for name in self.settings}), **rates}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, ours or PyTorch's, with its settings where it has them; also sets the rates."""
        if len(state_dict["base_lrs"]) != len(self.optimizer.param_groups):
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: the state has {len(state_dict['base_lrs'])} groups, "
                f"the optimiser {len(self.optimizer.param_groups)}"
            )
        self.restore(state_dict)
        self.last_epoch, self.base_lrs = int(state_dict["last_epoch"]), [float(lr) for lr in state_dict["base_lrs"]]
        for group, lr in zip(self.optimizer.param_groups, state_dict["_last_lr"], strict=True):
            group["lr"] = float(lr)
        if self.overwrites:
            self._overwrite()

    def restore(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the settings of a saved state."""
        set_from(self, self.settings, state_dict)

    def _overwrite(self) -> None:
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.lr_at(self.last_epoch, base, i)


class StepLR(LRScheduler):
    """lr = base · γ^⌊t / step_size⌋."""

    settings = ("step_size", "gamma")

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = positive("StepLR", "step_size", step_size), gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = base · γ^(number of milestones reached); one that is listed twice counts twice."""

    settings = ("milestones", "gamma")

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = self._sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _sorted(milestones: Sequence[int]) -> list[int]:
        if not all(isinstance(m, int) for m in milestones):
            raise ArgumentError(f"MultiStepLR: milestones must be integers, got {list(milestones)}")
        return sorted(milestones)

    def restore(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the settings; PyTorch counts how often each milestone is listed."""
        given = state_dict.get("milestones", self.milestones)
        listed = list(Counter(given).elements()) if isinstance(given, Mapping) else list(given)
        super().restore({**state_dict, "milestones": self._sorted(listed)})

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * self.gamma ** bisect_right(self.milestones, epoch)


class ExponentialLR(LRScheduler):
    """lr = base · γ^t."""

    settings = ("gamma",)

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * self.gamma**epoch


class PolynomialLR(LRScheduler):
    """lr = base · (1 - min(t, n) / n)^power with n = total_iters. **Source** Liu et al. 2015 ("poly")."""

    settings = ("total_iters", "power")

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = positive("PolynomialLR", "total_iters", total_iters), power
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return base_lr * (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power


class LinearLR(LRScheduler):
    """lr = base · (start + (end - start) · min(t, n) / n) with n = total_iters: a warm-up."""

    settings = ("start_factor", "end_factor", "total_iters")

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
        self.total_iters = positive("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base_lr * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """lr = η_min + (base - η_min)(1 + cos(π t / T_max)) / 2. **Source** Loshchilov & Hutter 2017, eq. 5."""

    settings = ("T_max", "eta_min")

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = positive("CosineAnnealingLR", "T_max", T_max), eta_min
        self.floor = eta_min
        super().__init__(optimizer, last_epoch)

    def restore(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the settings."""
        super().restore(state_dict)
        self.floor = self.eta_min

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return self.eta_min + (base_lr - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class LambdaLR(LRScheduler):
    """lr = base · lr_lambda(t), with one function for all groups or a list of one for each."""

    overwrites = True

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
        if not all(isinstance(s, LRScheduler) for s in schedulers):
            raise ArgumentError("SequentialLR: takes schedules of the number of steps only, not ReduceLROnPlateau")
        if any(s.optimizer is not optimizer for s in schedulers):
            raise ArgumentError("SequentialLR: all schedulers must belong to the same optimizer")
        if any(isinstance(s, OneCycleLR) and s.cycle_momentum for s in schedulers):
            raise ArgumentError("SequentialLR: sets rates only; give OneCycleLR cycle_momentum=False")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, with the states of the schedules."""
        parts = [s.state_dict() for s in self.schedulers]
        return {**super().state_dict(), "_milestones": list(self.milestones), "_schedulers": parts}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state; in PyTorch's the schedules alone know the first rates."""
        first: Mapping[str, Any] = next(iter(state_dict.get("_schedulers", ())), {})
        super().load_state_dict({"base_lrs": first.get("base_lrs", self.base_lrs), **state_dict})

    def restore(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the milestones and the settings of the schedules."""
        parts, milestones = state_dict.get("_schedulers"), state_dict.get("_milestones", self.milestones)
        if (parts is not None and len(parts) != len(self.schedulers)) or len(milestones) != len(self.milestones):
            raise CheckpointError(
                f"SequentialLR.load_state_dict: the state is not that of {len(self.schedulers)} schedulers"
            )
        for scheduler, part in zip(self.schedulers, parts or (), strict=bool(parts)):
            scheduler.restore(part)
        self.milestones = list(milestones)

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        turn = bisect_right(self.milestones, epoch)
        start = self.milestones[turn - 1] if turn else 0
        return self.schedulers[turn].lr_at(epoch - start, base_lr, group)

    def moved(self, lr: float, epoch: int, base_lr: float, group: int) -> float:
        """As the schedule whose turn it is moves it; at its first step it sets its own rate."""
        turn = bisect_right(self.milestones, epoch)
        since = epoch - (self.milestones[turn - 1] if turn else 0)
        return self.schedulers[turn].moved(lr, since, base_lr, group) if since else self.lr_at(epoch, base_lr, group)


class OneCycleLR(LRScheduler):
    """Up from max_lr / div_factor to max_lr over `pct_start` of all steps, then down to start / final_div_factor.

    With `three_phase` down to the start as fast as up, and the rest to the end. Meanwhile momentum (or β₁) moves the
    other way between `max_momentum` and `base_momentum`. Call `step()` after each batch; `total_steps`, or
    `epochs` · `steps_per_epoch`, says how many there are. `max_lr` and the momenta may be lists, one for each group.
    **Source** Smith & Topin 2017, section 2; the shapes of the phases are PyTorch's.
    """

    overwrites = True
    settings = ("total_steps", "cosine", "ends", "rates", "momenta", "cycle_momentum")

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ArgumentError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            total_steps = positive("OneCycleLR", "epochs", epochs) * positive(
                "OneCycleLR", "steps_per_epoch", steps_per_epoch
            )
        if not 0 <= pct_start <= 1:
            raise ArgumentError(f"OneCycleLR: pct_start must be between 0 and 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        self.total_steps, self.cosine = positive("OneCycleLR", "total_steps", total_steps), anneal_strategy == "cos"
        self.ends = [pct_start * total_steps - 1, *([2 * pct_start * total_steps - 2] if three_phase else [])]
        self.ends.append(total_steps - 1)
        top = for_each(optimizer, "OneCycleLR", "max_lr", max_lr)
        first = [lr / div_factor for lr in top]
        last = [lr / final_div_factor for lr in first]
        self.rates = [first, top, *([first] if three_phase else []), last]
        self.cycle_momentum = cycle_momentum
        low, high = (
            for_each(optimizer, "OneCycleLR", name, m)
            for name, m in (("base_momentum", base_momentum), ("max_momentum", max_momentum))
        )
        self.momenta = [high, low, high, high] if three_phase else [high, low, high]
        self._claim(optimizer, first, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _claim(self, optimizer: Optimizer, first: Sequence[float], last_epoch: int) -> None:
        """Check that the momenta can be set, and make the first rate that from which the groups started."""
        for group, lr in zip(optimizer.param_groups, first, strict=True):
            if self.cycle_momentum and not ("momentum" in group or "betas" in group):
                raise ArgumentError(
                    f"OneCycleLR: {type(optimizer).__name__} has no momentum and no betas; pass cycle_momentum=False"
                )
            if last_epoch == -1:
                group["initial_lr"] = lr

    def _between(self, epoch: int, values: Sequence[Sequence[float]], group: int) -> float:
        """The value after `epoch` steps, where phase i goes from values[i] to values[i + 1]."""
        phase = next((i for i, end in enumerate(self.ends) if epoch <= end), len(self.ends) - 1)
        start = self.ends[phase - 1] if phase else 0
        length = self.ends[phase] - start
        done = (epoch - start) / length if length else 1.0
        a, b = values[phase][group], values[phase + 1][group]
        return b + (a - b) / 2 * (math.cos(math.pi * done) + 1) if self.cosine else a + (b - a) * done

    def lr_at(self, epoch: int, base_lr: float, group: int) -> float:
        """The rate after `epoch` steps."""
        return self._between(epoch, self.rates, group)

    def step(self) -> None:
        """Count one step and set rates and momenta. **Raises** ArgumentError beyond the last step."""
        if self.last_epoch >= self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {self.last_epoch + 1} is beyond total_steps {self.total_steps}")
        super().step()
        self._set_momenta()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, ours or PyTorch's; also sets rates and momenta."""
        super().load_state_dict(state_dict)
        self._set_momenta()

    def restore(self, state_dict: Mapping[str, Any]) -> None:
        """Take over the settings; PyTorch's state has the phases, and keeps rates and momenta with the optimiser."""
        super().restore(state_dict)
        if "_anneal_func_type" in state_dict:
            self.cosine = state_dict["_anneal_func_type"] == "cos"
        if "_schedule_phases" in state_dict:
            self.ends = [phase["end_step"] for phase in state_dict["_schedule_phases"]]
            back = len(self.ends) == 3
            (first, top), last = self.rates[:2], self.rates[-1]
            high, low = self.momenta[:2]
            self.rates = [first, top, *([first] if back else []), last]
            self.momenta = [high, low, high, high] if back else [high, low, high]

    def _set_momenta(self) -> None:
        for i, group in enumerate(self.optimizer.param_groups if self.cycle_momentum else ()):
            momentum = self._between(self.last_epoch, self.momenta, i)
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum


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
