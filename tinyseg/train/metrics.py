"""Scores of a segmentation, all from one table: how many pixels of class t were called class p.

**Source** Long, Shelhamer & Darrell, Fully Convolutional Networks, 2015, section 5; a class that occurs neither in
truth nor in prediction is left out of every mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..data.sample import IGNORE
from ..errors import ArgumentError, BoundsError, ShapeError

__all__ = ["ConfusionMatrix", "Scores"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """Scores in [0, 1]; NaN where nothing was there to score. `dice` leaves out class 0, the background."""

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    weighted_iou: float
    dice: float
    class_iou: tuple[float, ...]
    class_dice: tuple[float, ...]

    def summary(self) -> dict[str, float]:
        """The scores over all classes by name, as a log line has them."""
        names = ("pixel_accuracy", "mean_accuracy", "mean_iou", "weighted_iou", "dice")
        return {name: getattr(self, name) for name in names}


class ConfusionMatrix:
    """Counts over any number of images: `counts[t, p]` pixels of true class t were predicted as p.

    **Raises** ArgumentError for fewer than 2 or more than 255 classes.
    """

    def __init__(self, n_classes: int) -> None:
        if not 2 <= n_classes <= IGNORE:
            raise ArgumentError(f"ConfusionMatrix: n_classes is {n_classes}, expected 2 to {IGNORE}")
        self.n_classes = n_classes
        self.counts = np.zeros((n_classes, n_classes), np.int64)

    def update(self, prediction: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> None:
        """Count the pixels of a prediction; those whose target is 255 are left out.

        **Shapes** both the same, any. **Raises** ShapeError, or BoundsError for a class outside [0, n_classes).
        """
        if prediction.shape != target.shape:
            raise ShapeError(f"ConfusionMatrix: prediction is {prediction.shape} and target {target.shape}")
        counted = target != IGNORE
        true, predicted = target[counted].astype(np.int64), prediction[counted].astype(np.int64)
        self._check("target", true)
        self._check("prediction", predicted)
        n = self.n_classes
        self.counts += np.bincount(n * true + predicted, minlength=n * n).reshape(n, n)

    def _check(self, name: str, classes: npt.NDArray[np.int64]) -> None:
        outside = classes[(classes < 0) | (classes >= self.n_classes)]
        if outside.size:
            raise BoundsError(
                f"ConfusionMatrix: {name} holds class {outside[0]}, expected 0 to {self.n_classes - 1} "
                f"(or {IGNORE} in the target, to ignore)"
            )

    def result(self) -> Scores:
        """The scores of all that was counted, with n_tp pixels of class t called p, t_t = Σ_p n_tp, c_p = Σ_t n_tp.

        pixel accuracy Σ n_tt / Σ t_t; mean accuracy: mean of n_tt / t_t; IoU_t = n_tt / (t_t + c_t - n_tt), its mean,
        and its mean weighted by t_t; Dice_t = 2 n_tt / (t_t + c_t).
        """
        right = self.counts.diagonal().astype(np.float64)
        true, called = self.counts.sum(1).astype(np.float64), self.counts.sum(0).astype(np.float64)
        iou, dice = _ratio(right, true + called - right), _ratio(2 * right, true + called)
        there = true > 0
        return Scores(
            pixel_accuracy=float(_ratio(right.sum(keepdims=True), true.sum(keepdims=True))[0]),
            mean_accuracy=_mean(_ratio(right, true)),
            mean_iou=_mean(iou),
            weighted_iou=float((true[there] * iou[there]).sum() / true.sum()) if there.any() else np.nan,
            dice=_mean(dice[1:]),
            class_iou=tuple(iou.tolist()),
            class_dice=tuple(dice.tolist()),
        )


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean(values: Floats) -> float:
    """The mean without NaN; NaN if there is nothing else (`nanmean` warns then)."""
    known: Sequence[float] = values[~np.isnan(values)].tolist()
    return sum(known) / len(known) if known else float("nan")
