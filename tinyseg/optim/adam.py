"""Adam, and AdamW with its weight decay apart from the gradient."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..engine import Array
from ..kernels import elementwise
from .optimizer import Optimizer, State
from .state import array_of, count, zeros_like

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²,  p ← p - lr · m̂ / (√v̂ + ε),  with m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ).

    `weight_decay` λ adds λp to g, or with `decoupled_weight_decay` first shrinks p ← (1 - lr·λ)p; `amsgrad` divides by
    the largest v so far; `maximize` ascends.
    **Source** Kingma & Ba 2015, algorithm 1; Reddi et al. 2018 for amsgrad.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        flags = {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**settings, **flags})

    def update(self, p: Array, g: Array, group: dict[str, Any], state: State) -> None:
        """One step of one parameter."""
        if not state:
            state.update(step=count(), exp_avg=zeros_like(p), exp_avg_sq=zeros_like(p))
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = zeros_like(p)
        state["step"].data += 1
        elementwise.adam_update(
            p,
            g,
            state["exp_avg"].data,
            state["exp_avg_sq"].data,
            array_of(state, "max_exp_avg_sq"),
            step=int(state["step"].item()),
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: p ← (1 - lr·λ)p before the step. **Source** Loshchilov & Hutter 2019."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
