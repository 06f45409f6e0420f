"""Samples kept in memory, for data that costs more to make than to learn from."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ..data.loader import Dataset
from ..data.sample import Sample
from ..errors import BoundsError

__all__ = ["Remembered"]


class Remembered:
    """The images (in steps of 1/255), masks, names and captions of a data set, made once, by all cores.

    Making them before training rather than beside it also keeps the cores free: threads that compute one kernel
    together wait for the slowest, and one that shares its core with a renderer is slow. About 4 bytes a pixel.
    """

    def __init__(self, dataset: Dataset, tell: Callable[[str], None] = lambda text: None) -> None:
        tell(f"preparing {len(dataset)} samples")
        self.dataset = dataset
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            self._kept = list(pool.map(self._made, range(len(dataset))))

    def _made(self, index: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], str, str]:
        sample = self.dataset[index]
        image = np.rint(sample.image * np.float32(255)).astype(np.uint8)
        return image, sample.mask.astype(np.uint8), sample.name, sample.caption

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self._kept):
            raise BoundsError(f"Remembered: index is {index}, expected 0 to {len(self._kept) - 1}")
        image, mask, name, caption = self._kept[index]
        return Sample(image.astype(np.float32) / np.float32(255), mask.astype(np.int64), name=name, caption=caption)
