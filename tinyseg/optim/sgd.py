"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..engine import Array
from ..errors import ArgumentError
from ..kernels import elementwise
from .optimizer import Optimizer, State
from .state import array_of, zeros_like

__all__ = ["SGD"]


class SGD(Optimizer):
    """b ← μb + (1 - τ)g,  p ← p - lr · b  with momentum μ and dampening τ; b starts as the first g.

    `weight_decay` λ adds λp to g; `nesterov` steps along g + μb; `maximize` ascends.
    **Source** Sutskever et al. 2013, section 2; as in PyTorch, lr multiplies b instead of going into it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "nesterov": nesterov, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """Raise ArgumentError for a setting outside its range."""
        super().check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            given = f"{group['momentum']} and {group['dampening']}"
            raise ArgumentError(f"SGD: nesterov needs momentum above 0 and dampening 0, got {given}")

    def update(self, p: Array, g: Array, group: dict[str, Any], state: State) -> None:
        """One step of one parameter."""
        first = not state
        if group["momentum"] and first:
            state["momentum_buffer"] = zeros_like(p)
        elementwise.sgd_update(
            p,
            g,
            array_of(state, "momentum_buffer") if group["momentum"] else None,
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=0.0 if first else group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
        )
