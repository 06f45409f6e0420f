"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .case import Draw, apart, classes, functional, given, normal, positive, probabilities, row


def loss_rows() -> None:
    """Losses over weights, ignored targets, reductions, smoothing and shapes."""
    x = normal(2, 3, 2, 3)
    for reduction in ("mean", "sum", "none"):
        target = classes(3, 2, 2, 3, ignored=-100)
        functional("cross_entropy", reduction, x, target, reduction=reduction)
        functional("nll_loss", reduction, x, target, reduction=reduction)
        functional("mse_loss", reduction, normal(3, 4), normal(3, 4), reduction=reduction)
        functional("l1_loss", reduction, apart(3, 4), given(np.full((3, 4), 0.01)), reduction=reduction)
        functional("binary_cross_entropy_with_logits", reduction, normal(3, 4), probabilities(3, 4),
                   reduction=reduction)  # fmt: skip

    def weighted(name: str, **kwargs: Any) -> Callable[..., Any]:
        return lambda m, x, t, w: getattr(m.nn.functional, name)(x, t, weight=w, **kwargs)

    for name in ("cross_entropy", "nll_loss"):
        options: dict[str, Any] = {"differentiable": (0,)}
        for reduction in ("mean", "none"):
            row(f"{name}[weights, {reduction}]", weighted(name, reduction=reduction), x, classes(3, 2, 2, 3),
                positive(3), **options)  # fmt: skip
        row(f"{name}[weights, ignored]", weighted(name, ignore_index=255), x, classes(3, 2, 2, 3, ignored=255),
            positive(3), **options)  # fmt: skip
        functional(name, "a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
        functional(name, "one sample", normal(4), classes(4))
        functional(name, "rows", normal(5, 4), classes(4, 5))
    functional("cross_entropy", "far", given([[100.0, -100.0, 0.0], [300.0, 299.0, -5.0]]), given([1, 0]))
    functional("cross_entropy", "smoothing", x, classes(3, 2, 2, 3, ignored=-100), label_smoothing=0.2)
    functional("cross_entropy", "smoothing, none", x, classes(3, 2, 2, 3), label_smoothing=0.3, reduction="none")
    row("cross_entropy[smoothing, weights, ignored]", weighted("cross_entropy", label_smoothing=0.2, ignore_index=0),
        x, classes(3, 2, 2, 3), positive(3), differentiable=(0,))  # fmt: skip
    for reduction in ("mean", "sum", "none"):
        functional("cross_entropy", f"probabilities, {reduction}", x, probabilities(2, 3, 2, 3), reduction=reduction)
    functional("cross_entropy", "probabilities, one sample", normal(4), probabilities(4, axis=0))
    row("cross_entropy[probabilities, weights, smoothing]", weighted("cross_entropy", label_smoothing=0.1), x,
        probabilities(2, 3, 2, 3), positive(3), differentiable=(0, 1))  # fmt: skip

    def bce(**which: int) -> Callable[..., Any]:
        name = "binary_cross_entropy_with_logits"
        return lambda m, x, t, *e: getattr(m.nn.functional, name)(x, t, **{k: e[i] for k, i in which.items()})

    logits, hits = normal(4, 3), probabilities(4, 3)
    row("bce[weight]", bce(weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[pos_weight]", bce(pos_weight=0), logits, hits, positive(3), differentiable=(0, 1))
    row("bce[both]", bce(weight=0, pos_weight=1), logits, hits, positive(4, 1), positive(3), differentiable=(0, 1))
    row("bce[far]", bce(), given([-100.0, 100.0, -100.0, 100.0]), given([0.0, 1.0, 1.0, 0.0]), differentiable=(0,))
    for label, kwargs in {"plain": {}, "no background": {"include_background": False}, "eps": {"eps": 0.5}}.items():
        dice_row(label, x, classes(3, 2, 2, 3, ignored=-100), **kwargs)
    dice_row("a class ignored", x, classes(3, 2, 2, 3), ignore_index=1)
    dice_row("one channel", normal(2, 1, 3, 3), classes(2, 2, 3, 3, ignored=255), ignore_index=255)
    dice_row("rows", normal(6, 3), classes(3, 6))


def dice_row(label: str, x: Draw, target: Draw, **kwargs: Any) -> None:
    """Add a Dice row; its reference counts pixel by pixel what the formula says."""
    row(f"dice_loss[{label}]", lambda m, x, t: m.nn.functional.dice_loss(x, t, **kwargs), x, target,
        reference=lambda x, t: dice_reference(x, t, **kwargs))  # fmt: skip


def dice_reference(
    x: torch.Tensor, target: torch.Tensor, ignore_index: int = -100, include_background: bool = True, eps: float = 1e-6
) -> torch.Tensor:
    """1 - mean over classes of (2 Σ p t + ε) / (Σ p + Σ t + ε), over the pixels that are not ignored."""
    pixels = x.movedim(1, -1).reshape(-1, x.shape[1])
    classes_ = target.reshape(-1)
    pixels, classes_ = pixels[classes_ != ignore_index], classes_[classes_ != ignore_index]
    scores = []
    for c in range(x.shape[1]):
        if x.shape[1] == 1:
            p, t = torch.sigmoid(pixels[:, 0]), classes_ == 1
        else:
            p, t = torch.softmax(pixels, -1)[:, c], classes_ == c
        scores.append((2 * p[t].sum() + eps) / (p.sum() + t.sum() + eps))
    first = 0 if include_background or x.shape[1] == 1 else 1
    return 1 - torch.stack(scores[first:]).mean()


loss_rows()
