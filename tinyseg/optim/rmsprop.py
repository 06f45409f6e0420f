"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..device import array_module
from ..engine import Array
from .optimizer import Optimizer, State
from .state import count, zeros_like

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
        xp, alpha = array_module(p), group["alpha"]
        if not state:
            wanted = {"square_avg": True, "momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
            state.update(step=count(), **{name: zeros_like(p) for name, on in wanted.items() if on})
        state["step"].data += 1
        g = -g if group["maximize"] else g
        if group["weight_decay"]:
            g = g + group["weight_decay"] * p
        v = state["square_avg"].data
        v *= alpha
        v += (1 - alpha) * g * g
        if group["centered"]:
            mean = state["grad_avg"].data
            mean += (1 - alpha) * (g - mean)
            v = v - mean * mean
        step = g / (xp.sqrt(v) + group["eps"])
        if group["momentum"] > 0:
            b = state["momentum_buffer"].data
            b *= group["momentum"]
            b += step
            step = b
        p -= group["lr"] * step
