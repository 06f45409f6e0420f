"""Label maps of instances: their numbers 1..K, their boxes, and keeping a sample's rows in step with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .sample import Sample

__all__ = ["moved", "renumber", "tight_boxes"]


def renumber(instances: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Number the instances that have pixels 1..K, in their old order; also the old numbers, K of them.

    **Shapes** (H, W) integers >= 0 -> (H, W) int32 and (K,) int64.
    """
    present = np.bincount(instances.ravel(), minlength=1) > 0
    present[0] = False
    table = np.cumsum(present, dtype=np.int32) * present
    return table.astype(np.int32)[instances], np.flatnonzero(present)


def tight_boxes(instances: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """The smallest box around the pixels of each of the instances 1..K, none of which may be empty.

    **Shapes** (H, W) -> (K, 4) float32: x0 y0 x1 y1 in pixels, x1 and y1 exclusive.
    """
    from scipy import ndimage

    slices = ndimage.find_objects(instances)
    boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in slices]
    return np.array(boxes, np.float32).reshape(-1, 4)


def moved(
    sample: Sample,
    image: npt.NDArray[np.float32],
    mask: npt.NDArray[np.int64],
    instances: npt.NDArray[np.int32] | None,
    boxes: npt.NDArray[np.float32] | None,
) -> Sample:
    """The sample after a change of geometry: what left the image leaves the rows too, the rest is renumbered.

    Boxes follow the instances where there are any; without them, `boxes` are the moved ones, clipped here.
    An attribute named "box" follows too; a caption stays, even if what it speaks of has left the image.
    """
    kept: npt.NDArray[np.int64] | None = None
    if instances is not None:
        instances, numbers = renumber(instances)
        boxes, kept = tight_boxes(instances), numbers - 1
    elif boxes is not None:
        height, width = mask.shape
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        boxes = boxes[kept]
    sample = sample.replace(image=image, mask=mask, instances=instances, boxes=boxes)
    return sample if kept is None or boxes is None else _with_rows(sample, kept, boxes)


def _with_rows(sample: Sample, kept: npt.NDArray[np.int64], boxes: npt.NDArray[np.float32]) -> Sample:
    """The sample with the labels and attributes of the instances `kept`, which now have these boxes."""
    labels = None if sample.labels is None else sample.labels[kept]
    attributes = [dict(sample.attributes[k]) for k in kept] if sample.attributes else []
    for row, box in zip(attributes, boxes.tolist(), strict=False):  # no rows at all where nothing is described
        if "box" in row:
            row["box"] = tuple(box)
    return sample.replace(labels=labels, attributes=attributes)
