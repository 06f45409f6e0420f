"""Losses of segmentation by name: each compares class scores with a batch's masks, pixels of mask 255 left out.

A model whose output is smaller than its input (the 2015 U-Net) gets the images with a mirrored border of `model.margin`
pixels; masks are cropped to the middle of any output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.loader import Batch
from ..data.sample import IGNORE, Sample
from ..devices import to_device
from ..engine import Tensor
from ..errors import ArgumentError, DataError
from ..models.unet import weight_map
from ..nn import Module
from ..nn import functional as F

__all__ = ["LOSSES", "images_of", "segmentation_loss"]

Loss = Callable[[Module, Batch], Tensor]
Term = Callable[[Tensor, Batch, Tensor | None], Tensor]


def segmentation_loss(name: str, weight: Sequence[float] | None = None) -> Loss:
    """The loss `name` as a function of (model, batch), as the training loop takes it.

    * "ce": cross-entropy, its classes weighted by `weight`.
    * "dice": 1 - the mean Dice score of the classes.
    * "ce+dice": the sum of both.
    * "border": cross-entropy with the pixel weights of the U-Net paper, high in the gaps between instances.
    * "bce": binary cross-entropy for a model with one output channel; `weight` is (background, foreground).

    **Raises** ArgumentError for another name, or a `weight` with a loss that has none.
    """
    if name not in LOSSES:
        raise ArgumentError(f"segmentation_loss: name is {name!r}, expected one of {', '.join(LOSSES)}")
    if weight is not None and name in ("dice", "border"):
        raise ArgumentError(f"segmentation_loss: {name!r} takes no class weights, expected weight=None")
    term = LOSSES[name]

    def loss(model: Module, batch: Batch) -> Tensor:
        scores = model(images_of(model, batch.images))
        _check_classes(scores, batch, binary=name == "bce")
        on = scores.device
        return term(scores, batch, None if weight is None else Tensor(to_device(np.array(weight, scores.dtype), on)))

    return loss


def images_of(model: Module, images: npt.NDArray[np.float32]) -> Tensor:
    """Images where the model's weights are, in their type, mirrored beyond the border by what its convolutions eat."""
    home, margin = next(iter(model.parameters())), getattr(model, "margin", 0)
    if margin:
        images = np.pad(images, [(0, 0), (0, 0), (margin, margin), (margin, margin)], mode="reflect")
    return Tensor(to_device(images.astype(home.dtype, copy=False), home.device))


def _cross_entropy(scores: Tensor, batch: Batch, weight: Tensor | None) -> Tensor:
    return F.cross_entropy(scores, _target(scores, batch.masks), weight, ignore_index=IGNORE)


def _dice(scores: Tensor, batch: Batch, weight: Tensor | None) -> Tensor:
    return F.dice_loss(scores, _target(scores, batch.masks), ignore_index=IGNORE)


def _cross_entropy_and_dice(scores: Tensor, batch: Batch, weight: Tensor | None) -> Tensor:
    return _cross_entropy(scores, batch, weight) + _dice(scores, batch, weight)


def _border(scores: Tensor, batch: Batch, weight: Tensor | None) -> Tensor:
    """Σ w(x) CE(x) / Σ w(x) over the pixels x that count."""
    masks = _middle(batch.masks, scores)
    maps = np.stack([_middle(_border_weights(sample), scores) for sample in batch.samples])
    weights = Tensor(to_device((maps * (masks != IGNORE)).astype(scores.dtype), scores.device))
    pixels = F.cross_entropy(scores, _target(scores, batch.masks), ignore_index=IGNORE, reduction="none")
    return (pixels * weights).sum() / weights.sum()


def _border_weights(sample: Sample) -> npt.NDArray[np.float32]:
    if sample.instances is None:
        raise DataError(
            f"train: border loss: {sample.name!r} has no instance labels: choose --loss ce, or data with instances"
        )
    return weight_map(sample.instances)


def _binary_cross_entropy(scores: Tensor, batch: Batch, weight: Tensor | None) -> Tensor:
    masks = _middle(batch.masks, scores)[:, None]
    counted = Tensor(to_device((masks != IGNORE).astype(scores.dtype), scores.device))
    target = Tensor(to_device((masks == 1).astype(scores.dtype), scores.device))
    if weight is not None:
        counted = counted * (weight[0] + target * (weight[1] - weight[0]))
    return F.binary_cross_entropy_with_logits(scores, target, counted, reduction="sum") / counted.sum()


LOSSES: dict[str, Term] = {
    "ce": _cross_entropy,
    "dice": _dice,
    "ce+dice": _cross_entropy_and_dice,
    "border": _border,
    "bce": _binary_cross_entropy,
}


def _target(scores: Tensor, masks: npt.NDArray[np.int64]) -> Tensor:
    return Tensor(to_device(np.ascontiguousarray(_middle(masks, scores)), scores.device))


def _middle(masks: npt.NDArray[Any], scores: Tensor) -> npt.NDArray[Any]:
    """The middle of (..., H, W) of the size of `scores`."""
    height, width = scores.shape[-2:]
    top, left = (masks.shape[-2] - height) // 2, (masks.shape[-1] - width) // 2
    return masks[..., top : top + height, left : left + width]


def _check_classes(scores: Tensor, batch: Batch, binary: bool) -> None:
    """Name the file whose mask has a class that the model does not know; the loss itself sees numbers only."""
    channels = scores.shape[1]
    if binary and channels != 1:
        raise ArgumentError(f"bce: the model has {channels} output channels, expected 1: choose the loss 'ce'")
    known = 2 if channels == 1 else channels
    for sample in batch.samples:
        worst = int(np.where(sample.mask == IGNORE, 0, sample.mask).max(initial=0))
        if worst >= known:
            raise DataError(
                f"train: mask of {sample.name!r} holds class {worst}, the model has classes 0 to {known - 1}: "
                "give the right --classes"
            )
