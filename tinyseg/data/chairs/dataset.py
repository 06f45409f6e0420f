"""The data set: sample i of a split is a function of (seed, split, i) and nothing else."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyseg.data.chairs.captions import attributes, caption
from tinyseg.data.chairs.compose import Composition, compose
from tinyseg.data.chairs.dice import Dice
from tinyseg.data.sample import Sample
from tinyseg.errors import ArgumentError
from tinyseg.random import generator

__all__ = ["Chairs"]

SPLITS = ("train", "val")
LARGEST = 4096  # pixels a side: the renderer keeps four subsamples of 16 bytes for each pixel
KEY = 0xC4A185  # sets these random numbers apart from those of other data sets with the same seed
Size = int | tuple[int, int]


def _check_size(size: Size) -> tuple[int, int]:
    """(H, W) of a valid size."""
    pair = size if isinstance(size, tuple) else (size, size)
    if len(pair) != 2 or not all(_is_index(side) and 1 <= side <= LARGEST for side in pair):
        raise ArgumentError(f"Chairs: size must be an integer or (H, W), each from 1 to {LARGEST} pixels, got {size!r}")
    return int(pair[0]), int(pair[1])


def _is_index(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


class Chairs:
    """Rendered chairs in furnished rooms, with masks, instances, boxes, attributes and captions.

    **Sample** image (3, H, W); mask (H, W) with classes 0 background, 1 chair; instance k is the k-th visible chair.
    A chair of which less than a thousandth of the picture is visible is background. The same index at another size is
    the same scene; the field of view is that of the shorter side.

    **Raises** ArgumentError for a size outside 1 ... 4096, a negative length or seed, an unknown split; IndexError for
    an index outside [-length, length), which also ends iteration.
    """

    classes = ("background", "chair")
    channels = 3

    def __init__(self, length: int = 10000, size: Size = 64, seed: int = 0, split: str = "train") -> None:
        if not _is_index(length) or length < 0:
            raise ArgumentError(f"Chairs: length must be a non-negative integer, got {length!r}")
        if not _is_index(seed) or seed < 0:
            raise ArgumentError(f"Chairs: seed must be a non-negative integer, got {seed!r}")
        if split not in SPLITS:
            raise ArgumentError(f"Chairs: split must be one of {', '.join(SPLITS)}, got {split!r}")
        self.height, self.width = _check_size(size)
        self.length, self.seed, self.split = int(length), int(seed), split

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        i = operator.index(index)
        if not -self.length <= i < self.length:
            raise IndexError(f"Chairs: index must be in [{-self.length}, {self.length}), got {i}")
        i %= self.length
        rng = generator(KEY, self.seed, SPLITS.index(self.split), i)
        composition = compose(Dice(rng))
        image, owner = _draw(composition, self.height, self.width)
        _develop(rng, image)
        return _sample(image, owner, composition, f"{self.split}-{self.seed}-{i:05d}")


def _draw(composition: Composition, height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Render: the image and the chair that owns each pixel."""
    from tinyseg.data.chairs.raster import render  # imports numba, on first need

    image = np.zeros((3, height, width), np.float32)
    owner = np.empty((height, width), np.int64)
    render(*composition.scene, image, owner)
    return image, owner


def _develop(rng: np.random.Generator, image: npt.NDArray[np.float32]) -> None:
    """Sensor noise and clipping, in place."""
    noise = rng.standard_normal(image.shape, np.float32)
    noise *= np.float32(rng.uniform(0.0, 0.02))
    image += noise
    np.clip(image, 0, 1, out=image)


def _sample(
    image: npt.NDArray[np.float32], owner: npt.NDArray[np.int64], composition: Composition, name: str
) -> Sample:
    """Number the chairs that are visible and describe them."""
    instances = np.zeros(owner.shape, np.int32)
    described: list[dict[str, Any]] = []
    least = max(1, owner.size // 1000)
    for number, seen in enumerate(composition.chairs, start=1):
        visible = owner == number
        if np.count_nonzero(visible) < least:
            continue
        instances[visible] = len(described) + 1
        described.append(attributes(seen, _box(visible)))
    boxes = np.array([chair["box"] for chair in described], np.float32).reshape(-1, 4)
    return Sample(
        image=image,
        mask=(instances > 0).astype(np.int64),
        instances=instances,
        boxes=boxes,
        labels=np.ones(len(described), np.int64),
        attributes=described,
        caption=caption(described, composition),
        name=name,
    )


def _box(visible: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The tight box x0, y0, x1, y1 around the True pixels, x1 and y1 exclusive."""
    rows, cols = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return float(cols[0]), float(rows[0]), float(cols[-1] + 1), float(rows[-1] + 1)
