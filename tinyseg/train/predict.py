"""Use and score a segmentation network: small images whole, large ones in overlapping tiles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..data.loader import Batch, Dataset, Loader
from ..data.sample import Sample
from ..devices import to_cpu
from ..engine import no_grad
from ..models import UNet2015, overlap_tile
from ..nn import Module
from .losses import images_of
from .metrics import ConfusionMatrix, Scores
from .pictures import Row, prediction_sheet

__all__ = ["evaluate", "predict", "sheet"]

Images = npt.NDArray[np.float32]
Masks = npt.NDArray[np.int64]

TILE = 512  # pixels; larger images go through in pieces of this size
MARGIN = 96  # what a pixel of a U-Net sees of its surroundings, rounded up to whole steps of its poolings
SMALLEST = 16
PIXELS = 32 * 64 * 64  # evaluated at once


def predict(model: Module, images: Images) -> Masks:
    """The class of every pixel: the largest score, or a positive one where the model has a single output channel.

    Images of more than 512 pixels a side go through in tiles that overlap; the model should be in evaluation mode.
    **Shapes** images (N, C, H, W) of any H and W -> (N, H, W).
    """
    sides = images.shape[2:]
    if isinstance(model, UNet2015) or max(sides) > TILE or min(sides) < SMALLEST:
        return np.stack([_classes(_tiled(model, image)[None])[0] for image in images])
    with no_grad():
        return _classes(to_cpu(model(images_of(model, images)).data))


def _classes(scores: npt.NDArray[np.floating]) -> Masks:
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0).astype(np.int64)
    return scores.argmax(1).astype(np.int64)


def _tiled(model: Module, image: Images) -> npt.NDArray[np.floating]:
    if not isinstance(model, UNet2015):
        return overlap_tile(model, image, TILE, MARGIN, align=16)
    margin = UNet2015.margin
    core = min(-(-(max(image.shape[1:]) - 4) // 16) * 16 + 4, 388)  # valid outputs: 4, 20, ..., 388 of the paper
    align = 16 if max(image.shape[1:]) > core else 1  # several tiles are pooled on one grid
    return overlap_tile(model, image, max(core, 4) + 2 * margin, margin, align)


def evaluate(model: Module, dataset: Dataset, n_classes: int, workers: int = 1) -> Scores:
    """Scores over all images of a data set, each at its own size; the model should be in evaluation mode."""
    matrix = ConfusionMatrix(n_classes)
    for samples in _groups(Loader(dataset, 1, workers=workers).epoch(0)):
        predictions = predict(model, np.stack([sample.image for sample in samples]))
        for sample, prediction in zip(samples, predictions, strict=True):
            matrix.update(prediction, sample.mask)
    return matrix.result()


def _groups(batches: Iterator[Batch]) -> Iterator[list[Sample]]:
    """Neighbours of one size together, as many as a training batch has pixels."""
    group: list[Sample] = []
    for batch in batches:
        sample = batch.samples[0]
        if group and (sample.image.shape != group[0].image.shape or len(group) * sample.mask.size >= PIXELS):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group


def sheet(model: Module, dataset: Dataset, count: int = 8, n_classes: int = 2) -> npt.NDArray[np.float32]:
    """A picture of `count` samples spread over the data set: image, truth, prediction, error."""
    count = min(count, len(dataset))
    places = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    return prediction_sheet([_row(model, dataset[int(i)], n_classes) for i in places])


def _row(model: Module, sample: Sample, n_classes: int) -> Row:
    prediction = predict(model, sample.image[None])[0]
    matrix = ConfusionMatrix(n_classes)
    matrix.update(prediction, sample.mask)
    caption = f"{sample.name}: mean IoU {matrix.result().mean_iou:.2f}"
    return Row(sample.image, sample.mask, prediction, f"{caption}. {sample.caption}" if sample.caption else caption)
