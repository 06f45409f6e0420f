"""What schedules check of their settings, and how they take them from a saved state."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ArgumentError
from .optimizer import Optimizer

__all__ = ["for_each", "positive", "set_from"]


def for_each(optimizer: Optimizer, caller: str, name: str, value: float | Sequence[float]) -> list[float]:
    """One value for each group of parameters."""
    groups = len(optimizer.param_groups)
    listed = list(value) if isinstance(value, Sequence) else [value] * groups
    if len(listed) != groups:
        raise ArgumentError(f"{caller}: got {len(listed)} values of {name} for {groups} groups")
    return listed


def set_from(scheduler: Any, names: Sequence[str], state_dict: Mapping[str, Any]) -> None:
    """Set those of the named settings that a state has; none shares a list with it."""
    for name in names:
        if name in state_dict:
            value = copy.deepcopy(state_dict[name])
            counts = name in ("step_size", "total_iters", "T_max", "total_steps")
            setattr(scheduler, name, positive(type(scheduler).__name__, name, value) if counts else value)


def positive(caller: str, name: str, value: int) -> int:
    """`value` if it is an integer above 0. **Raises** ArgumentError."""
    if not isinstance(value, int) or value < 1:
        raise ArgumentError(f"{caller}: {name} must be a positive integer, got {value!r}")
    return value
