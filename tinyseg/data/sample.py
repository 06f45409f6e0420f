"""The one value that every data set yields: an image with everything that is known about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["IGNORE", "Sample"]

IGNORE = 255  # the class index of pixels that losses and metrics leave out


@dataclass(frozen=True)
class Sample:
    """An image, its semantic mask and, where the data set knows them, its instances.

    **Shapes** image (C, H, W) float32 in [0, 1]; mask (H, W) int64, a class index or 255 for "ignore";
    instances (H, W) int32, 0 background, k instance k; boxes (K, 4) float32, x0 y0 x1 y1 in pixels,
    x1 and y1 exclusive; labels (K,) int64, the class of each instance; attributes, one dict per instance.
    Row k - 1 of boxes, labels and attributes belongs to instance k.
    """

    image: npt.NDArray[np.float32]
    mask: npt.NDArray[np.int64]
    instances: npt.NDArray[np.int32] | None = None
    boxes: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[np.int64] | None = None
    attributes: list[dict[str, Any]] = field(default_factory=list)
    caption: str = ""
    name: str = ""

    def replace(self, **changes: Any) -> Sample:
        """A copy with some fields changed, as a transform makes it."""
        return dataclasses.replace(self, **changes)
