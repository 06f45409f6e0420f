"""Losses as modules; each calls the function of the same name. `reduction` is 'mean', 'sum' or 'none'."""

from __future__ import annotations

from typing import Any

from ..engine import Tensor
from ..errors import ArgumentError
from . import functional as F
from .module import Module

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "DiceLoss", "L1Loss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    def __init__(self, size_average: None = None, reduce: None = None, reduction: str = "mean") -> None:
        super().__init__()
        caller = type(self).__name__
        if size_average is not None or reduce is not None:
            raise ArgumentError(f"{caller}: size_average and reduce are not supported; use reduction=...")
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(f"{caller}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """-w_t log softmax(input)_t: `functional.cross_entropy`. The class weights are a buffer, and part of the state."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C, ...) and classes (N, ...) to a number."""
        settings: dict[str, Any] = {"reduction": self.reduction, "label_smoothing": self.label_smoothing}
        return F.cross_entropy(input, target, self.weight, ignore_index=self.ignore_index, **settings)


class NLLLoss(_Loss):
    """-w_t input_t for log-probabilities: `functional.nll_loss`."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities (N, C, ...) and classes (N, ...) to a number."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of sigmoid(input): `functional.binary_cross_entropy_with_logits`."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and targets in [0, 1] of one shape to a number."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class MSELoss(_Loss):
    """(input - target)²: `functional.mse_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two Tensors of one shape to a number."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|input - target|: `functional.l1_loss`."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two Tensors of one shape to a number."""
        return F.l1_loss(input, target, reduction=self.reduction)


class DiceLoss(Module):
    """1 - the mean of the classes' Dice scores: `functional.dice_loss`."""

    def __init__(self, ignore_index: int = -100, include_background: bool = True, eps: float = 1e-6) -> None:
        super().__init__()
        self.ignore_index, self.include_background, self.eps = ignore_index, include_background, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C, ...) and classes (N, ...) to a number."""
        return F.dice_loss(input, target, self.ignore_index, self.include_background, self.eps)
