"""The schedule that goes by a measured value; scripts take it from `lr_scheduler`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError, CheckpointError
from .optimizer import Optimizer
from .settings import for_each, set_from

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau:
    """lr ← max(lr · factor, min_lr) once `metrics` has not improved for more than `patience` steps.

    Better means below best · (1 - threshold), or best - threshold with `threshold_mode="abs"`; above and plus with
    `mode="max"`. After a reduction `cooldown` steps pass uncounted. A change of at most `eps` is not made.
    """

    settings = ("mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "eps", "min_lrs")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor must be below 1, got {factor}")
        if mode not in ("min", "max"):
            raise ArgumentError(f"ReduceLROnPlateau: mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ArgumentError(f"ReduceLROnPlateau: threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.min_lrs = for_each(optimizer, "ReduceLROnPlateau", "min_lr", min_lr)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def step(self, metrics: Any) -> None:
        """Take note of one value, a number or a Tensor with one element, and set the rates."""
        current = float(metrics)
        self.last_epoch += 1
        if self._is_better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def _is_better(self, current: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * current < sign * self.best * (1 - sign * self.threshold)
        return sign * current < sign * self.best - self.threshold

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lr = max(group["lr"] * self.factor, least)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The current rate of each group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs beside the optimiser's state, the settings included."""
        names = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch", *self.settings)
        return {**copy.deepcopy({name: getattr(self, name) for name in names}), "_last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state, ours or PyTorch's, with its settings where it has them; also sets the rates."""
        rates = state_dict["_last_lr"]
        if len(rates) != len(self.optimizer.param_groups):
            raise CheckpointError(
                f"ReduceLROnPlateau.load_state_dict: the state has {len(rates)} groups, "
                f"the optimiser {len(self.optimizer.param_groups)}"
            )
        set_from(self, self.settings, state_dict)
        self.best, self.last_epoch = float(state_dict["best"]), int(state_dict["last_epoch"])
        self.num_bad_epochs = int(state_dict["num_bad_epochs"])
        self.cooldown_counter = int(state_dict["cooldown_counter"])
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = float(lr)
