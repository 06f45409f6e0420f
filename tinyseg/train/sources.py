"""The data that the command line can name: where each kind lies, and its two parts, to train and to validate."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.chair_segments import ChairSegments
from ..data.chairs import Chairs
from ..data.folders import ImageFolder
from ..data.loader import Dataset, Subset, split
from ..data.nuclei import Nuclei, NucleiKaggle
from ..data.transforms import ColorJitter, Compose, Elastic, RandomCrop, RandomFlip, Transform
from ..errors import ArgumentError, DataError

__all__ = ["AUGMENTATIONS", "SOURCES", "Data", "DataSpec", "open_data"]

VALIDATION_CHAIRS = 200
AUGMENTATIONS = ("none", "flip", "strong")


@dataclass(frozen=True)
class DataSpec:
    """A data set by name, as stored in a checkpoint.

    `kind` is one of SOURCES, `root` its folder (`masks` and `suffix` for kind "folder"). `size` is the side in pixels
    of a training picture: chairs are rendered at it, other images cropped to it; `resize` resizes a folder's images
    first. `samples` and `seed` are for chairs; `fraction` is kept for validation where there is no part for it.
    """

    kind: str = "chairs"
    root: str = ""
    masks: str = ""
    suffix: str = ""
    size: int = 64
    resize: int = 0
    samples: int = 10000
    seed: int = 0
    channels: int = 0  # 0: what the data has
    classes: int = 0  # 0: as many as the masks show
    fraction: float = 0.1


@dataclass(frozen=True)
class Data:
    """An opened data set: its two parts, what it holds, and how to describe it."""

    train: Dataset
    val: Dataset
    channels: int
    classes: tuple[str, ...]
    crop: bool = False  # whether training takes crops of its images
    description: str = ""
    files: Sequence[pathlib.Path] = ()  # that the samples are read from; none where they are generated


def open_data(spec: DataSpec) -> Data:
    """The data set that `spec` names. **Raises** ArgumentError for an unknown kind; DataError as its class does."""
    if spec.kind not in SOURCES:
        raise ArgumentError(f"data: kind is {spec.kind!r}, expected one of {', '.join(SOURCES)}")
    if spec.kind != "chairs" and not spec.root:
        raise ArgumentError(f"data: kind {spec.kind!r} needs a folder: give it with --root")
    if spec.kind in ("chairs", "chair-segments") and spec.channels not in (0, 3):
        raise ArgumentError(f"data: {spec.kind} has 3 channels, got channels {spec.channels}")
    for option, folder in (("--root", spec.root), ("--masks", spec.masks)):
        if folder and not pathlib.Path(folder).is_dir():
            what = "is not a folder" if pathlib.Path(folder).exists() else "does not exist"
            raise DataError(f"data: {folder} {what}: give {option} a folder")
    data = SOURCES[spec.kind](spec)
    if spec.classes and spec.classes != len(data.classes):
        raise DataError(
            f"data: {spec.root or spec.kind} has {len(data.classes)} classes ({', '.join(data.classes)}), "
            f"asked for {spec.classes}: drop --classes or choose other data"
        )
    return data


def training_transform(spec: DataSpec, data: Data, augment: str) -> Transform:
    """The crop that the data needs, then "none", "flip" (left-right) or "strong" (bends, colours, flips) changes."""
    if augment not in AUGMENTATIONS:
        raise ArgumentError(f"train: augment is {augment!r}, expected one of {', '.join(AUGMENTATIONS)}")
    crop: list[Transform] = [RandomCrop(spec.size)] if data.crop else []
    upright = spec.kind in ("chairs", "chair-segments", "folder")  # cells have no up
    flip = RandomFlip(0.5, 0.0 if upright else 0.5)
    strong: list[Transform] = [Elastic(sd=0.02 * spec.size), ColorJitter(0.2, 0.2, 0.2), flip]
    changes: dict[str, list[Transform]] = {"none": [], "flip": [RandomFlip()], "strong": strong}
    return Compose(*crop, *changes[augment])


def _chairs(spec: DataSpec) -> Data:
    train = Chairs(spec.samples, spec.size, spec.seed, "train")
    return Data(train, Chairs(VALIDATION_CHAIRS, spec.size, spec.seed, "val"), 3, Chairs.classes)


def _chair_segments(spec: DataSpec) -> Data:
    train, val = (ChairSegments(spec.root, part, spec.size) for part in ("train", "val"))
    return Data(train, val, 3, ChairSegments.classes, files=[*train.files(), *val.files()])


def _nuclei(spec: DataSpec) -> Data:
    channels = spec.channels or 1
    train, val = (Nuclei(spec.root, part, channels) for part in ("train", "val"))
    return Data(train, val, channels, Nuclei.classes, crop=True, files=[*train.files(), *val.files()])


def _nuclei_kaggle(spec: DataSpec) -> Data:
    channels = spec.channels or 1
    whole = NucleiKaggle(spec.root, channels)
    train, val = _parts(whole, spec)
    return Data(train, val, channels, NucleiKaggle.classes, crop=True, files=whole.files())


def _parts(whole: Dataset, spec: DataSpec) -> tuple[Subset, Subset]:
    """What to train on, and the fraction kept to validate."""
    total = len(whole)
    if not 0 < round(total * spec.fraction) < total:
        enough = max(0.1, math.ceil(100 / total) / 100)
        remedy = f"give --fraction {enough:g}" if total > 1 else "add images and masks"
        raise DataError(
            f"data: {spec.root} has {total} images, of which --fraction {spec.fraction:g} leaves none to "
            f"{'validate' if spec.fraction < 0.5 else 'train on'}: {remedy}"
        )
    return split(whole, spec.fraction, spec.seed)


def _folder(spec: DataSpec) -> Data:
    """root/{train,val}/{images,masks} with a part of its own to validate, root/{images,masks}, or any two folders."""
    root = pathlib.Path(spec.root)
    if (root / "train").is_dir() and not spec.masks:
        train = _image_folder(spec, root / "train" / "images", root / "train" / "masks", root)
        val = _image_folder(spec, root / "val" / "images", root / "val" / "masks", root, like=train)
        return _folder_data(spec, train, train, val, [*train.files(), *val.files()])
    images, masks = (root, pathlib.Path(spec.masks)) if spec.masks else (root / "images", root / "masks")
    whole = _image_folder(spec, images, masks, None if spec.masks else root)
    return _folder_data(spec, whole, *_parts(whole, spec), whole.files())


def _image_folder(
    spec: DataSpec,
    images: pathlib.Path,
    masks: pathlib.Path,
    within: pathlib.Path | None,
    like: ImageFolder | None = None,
) -> ImageFolder:
    settings: dict[str, Any] = {"channels": spec.channels or None, "classes": spec.classes or None}
    if like is not None:
        settings = {"channels": like.channels, "classes": like.classes, "mapping": like.mapping}
    return ImageFolder(images, masks, spec.suffix, spec.resize or None, within=within, **settings)


def _folder_data(
    spec: DataSpec, found: ImageFolder, train: Dataset, val: Dataset, files: Sequence[pathlib.Path]
) -> Data:
    crop = not spec.resize or spec.size < spec.resize
    return Data(train, val, found.channels, found.classes, crop, found.describe(), files)


SOURCES: dict[str, Callable[[DataSpec], Data]] = {
    "chairs": _chairs,
    "chair-segments": _chair_segments,
    "nuclei": _nuclei,
    "nuclei-kaggle": _nuclei_kaggle,
    "folder": _folder,
}
