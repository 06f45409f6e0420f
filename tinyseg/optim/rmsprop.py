"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..engine import Array
from ..kernels import elementwise
from .optimizer import Optimizer, State
from .state import array_of, count, zeros_like

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """v ← αv + (1-α)g²,  p ← p - lr · g / (√v + ε).

    `centered` takes the squared running mean of g off v; with `momentum` μ the step is b ← μb + g / (√v + ε);
    `weight_decay` λ adds λp to g. **Source** Hinton's lecture 6e; Graves 2013, eq. 38-45, for the centred form.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**settings, "centered": centered, "maximize": maximize})

    def update(self, p: Array, g: Array, group: dict[str, Any], state: State) -> None:
        """One step of one parameter."""
        if not state:
            wanted = {"square_avg": True, "momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
            state.update(step=count(), **{name: zeros_like(p) for name, on in wanted.items() if on})
        state["step"].data += 1
        elementwise.rmsprop_update(
            p,
            g,
            state["square_avg"].data,
            array_of(state, "momentum_buffer"),
            array_of(state, "grad_avg"),
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
        )
