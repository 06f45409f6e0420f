"""Adafactor: the second moment of a matrix from its row and column means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..devices import array_module
from ..dtypes import finfo
from ..engine import Array, Tensor
from ..errors import ArgumentError
from .optimizer import Optimizer, State
from .state import count, zeros_like

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
            state.update(self._first_state(p))
        state["step"].data += 1
        if p.size == 0:
            return
        step, lr, weight_decay = int(state["step"].item()), group["lr"], group["weight_decay"]
        smallest, relative = group["eps"]
        eps = finfo(p.dtype).eps if smallest is None else smallest
        rate = max(relative, _root_mean_square(p)) * min(lr, step**-0.5)
        if weight_decay:
            p *= 1 - lr * weight_decay
        xp, v = array_module(p), _second_moment(g, state, float(step) ** group["beta2_decay"], eps)
        u = g / xp.sqrt(xp.maximum(v, eps * eps))
        p -= (rate / max(1.0, _root_mean_square(u) / group["d"])) * u

    def _first_state(self, p: Array) -> State:
        if p.ndim <= 1:
            return {"step": count(), "variance": zeros_like(p)}
        xp, shapes = array_module(p), {name: self.shape_of(name, Tensor(p)) for name in ("row_var", "col_var")}
        return {"step": count(), **{name: Tensor(xp.zeros(shape, p.dtype)) for name, shape in shapes.items()}}


def _second_moment(g: Array, state: State, new: float, eps: float) -> Array:
    """v, and its running means in the state moved by the share `new` of g²; a vector or number keeps v itself."""
    squares = g * g
    if "variance" in state:
        v = state["variance"].data
        v += new * (squares - v)
        return v
    rows, columns = state["row_var"].data, state["col_var"].data
    rows += new * (squares.mean(axis=-1, keepdims=True) - rows)
    columns += new * (squares.mean(axis=-2, keepdims=True) - columns)
    return rows * (columns / array_module(g).maximum(rows.mean(axis=-2, keepdims=True), eps))


def _root_mean_square(x: Array) -> float:
    wide = x.astype(np.float32) if x.dtype.itemsize < 4 else x
    return float((wide * wide).mean() ** 0.5)
