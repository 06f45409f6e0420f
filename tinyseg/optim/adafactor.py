"""Adafactor: the second moment of a matrix from its row and column means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..devices import array_module
from ..dtypes import finfo
from ..engine import Array, Tensor
from ..errors import ArgumentError
from .arithmetic import adafactor_update
from .optimizer import Optimizer, State
from .state import array_of, count, zeros_like

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """r ← βr + (1-β)·row means of g²,  c ← βc + (1-β)·column means,  v = r c / max(mean r, ε₁),  u = g / max(√v, ε₁),
    p ← (1 - lr·λ)p - max(ε₂, RMS(p)) · min(lr, 1/√t) · u / max(1, RMS(u)/d),  with β = 1 - t^`beta2_decay`.

    Rows and columns are the last two axes; a vector or number keeps v itself. `eps` is (ε₁, ε₂), an ε₁ of None the
    element type's; `d` clips the update; λ is `weight_decay`; `maximize` ascends; `foreach` changes no value.
    **Source** Shazeer & Stern 2018, algorithms 4 and 5; PyTorch's use of `lr` and of ε₁, which differ from the paper's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        settings = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "maximize": maximize})

    def check(self, group: dict[str, Any]) -> None:
        """Raise ArgumentError for a setting outside its range."""
        super().check({name: group[name] for name in ("lr", "weight_decay")})
        for eps in group["eps"]:
            super().check({"eps": 0 if eps is None else eps})
        if not group["beta2_decay"] <= 0:
            raise ArgumentError(f"{self._name}: beta2_decay must not be positive, got {group['beta2_decay']}")
        if not group["d"] >= 1:
            raise ArgumentError(f"{self._name}: d must be at least 1, got {group['d']}")

    def shape_of(self, name: str, p: Tensor) -> tuple[int, ...]:
        """Of the means over an axis, that axis has size 1."""
        gone = {"row_var": p.ndim - 1, "col_var": p.ndim - 2}.get(name)
        return tuple(1 if i == gone else n for i, n in enumerate(p.shape))

    def update(self, p: Array, g: Array, group: dict[str, Any], state: State) -> None:
        """One step of one parameter."""
        if not state:
            state["step"] = count()
            if p.ndim > 1:
                xp, shapes = array_module(p), [self.shape_of(name, Tensor(p)) for name in ("row_var", "col_var")]
                state.update(zip(("row_var", "col_var"), (Tensor(xp.zeros(s, p.dtype)) for s in shapes), strict=True))
            else:
                state["variance"] = zeros_like(p)
        state["step"].data += 1
        smallest, relative = group["eps"]
        adafactor_update(
            p,
            g,
            array_of(state, "row_var"),
            array_of(state, "col_var"),
            array_of(state, "variance"),
            step=int(state["step"].item()),
            lr=group["lr"],
            beta2_decay=group["beta2_decay"],
            eps1=finfo(p.dtype).eps if smallest is None else smallest,
            eps2=relative,
            d=group["d"],
            weight_decay=group["weight_decay"],
        )
