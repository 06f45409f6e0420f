"""Cell nuclei of the 2018 Data Science Bowl (BBBC038), with one label image each or one PNG per nucleus."""

from __future__ import annotations

import pathlib

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError

from .images import StrPath, check_inside, list_images, read_image, read_mask
from .instances import renumber, tight_boxes
from .sample import Sample

__all__ = ["Nuclei", "NucleiKaggle"]

CLASSES = ("background", "nucleus")


class Nuclei:
    """Nuclei with one label image each: root/{train,val}/{images,labels}/NAME.png, 0 background, k nucleus k.

    `channels` 1 (the default) turns every image to grey, as most of them are; 3 keeps the colours of the
    stained ones.

    **Raises** DataError for an image without labels, labels of another size and all that `read_image`
    refuses; ArgumentError for another `split` or `channels`.
    """

    classes = CLASSES

    def __init__(self, root: StrPath, split: str = "train", channels: int = 1) -> None:
        if split not in ("train", "val"):
            raise ArgumentError(f"Nuclei: split is {split!r}, expected 'train' or 'val'")
        self.channels = _checked_channels("Nuclei", channels)
        folder = pathlib.Path(root) / split
        labels = {path.stem: path for path in list_images(folder / "labels", root)}
        self.images = list_images(folder / "images", root)
        for path in self.images:
            if path.stem not in labels:
                raise DataError(f"data: {path} has no label image in {folder / 'labels'}: add it or remove the image")
        self.labels = [labels[path.stem] for path in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def files(self) -> list[pathlib.Path]:
        """All files that the samples are read from, in their order."""
        return [path for pair in zip(self.images, self.labels, strict=True) for path in pair]

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.images[index], self.channels)
        labels = _label_map(self.labels[index], image.shape[1:])
        return _sample(image, labels, self.images[index].stem)


class NucleiKaggle:
    """Nuclei in the competition's layout: root/ID/images/ID.png and root/ID/masks/*.png, one PNG a nucleus.

    Where two nuclei overlap, the later file has the pixel. `channels` as in `Nuclei`.

    **Raises** DataError for a folder without image or masks (as in the test stage), for masks of another
    size, and all that `read_image` refuses.
    """

    classes = CLASSES

    def __init__(self, root: StrPath, channels: int = 1) -> None:
        self.channels = _checked_channels("NucleiKaggle", channels)
        self.folders = _sample_folders(pathlib.Path(root))
        self.images = [_only_image(folder / "images", root) for folder in self.folders]
        self.masks = [list_images(folder / "masks", root) for folder in self.folders]

    def __len__(self) -> int:
        return len(self.folders)

    def files(self) -> list[pathlib.Path]:
        """All files that the samples are read from, in their order."""
        return [path for image, masks in zip(self.images, self.masks, strict=True) for path in (image, *masks)]

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.images[index], self.channels)
        instances = np.zeros(image.shape[1:], np.int64)
        for number, path in enumerate(self.masks[index], start=1):
            instances[_label_map(path, image.shape[1:]) > 0] = number
        return _sample(image, instances, self.folders[index].name)


def _checked_channels(function: str, channels: int) -> int:
    if channels not in (1, 3):
        raise ArgumentError(f"{function}: channels is {channels!r}, expected 1 or 3")
    return channels


def _sample_folders(root: pathlib.Path) -> list[pathlib.Path]:
    if not root.is_dir():
        raise DataError(f"data: {root} is not a folder: give the one that holds the ID folders")
    folders = sorted(path for path in root.iterdir() if (path / "images").is_dir())
    if not folders:
        raise DataError(f"data: {root} has no folders of the form ID/images: check the path")
    for folder in folders:
        check_inside(folder, root)
    return folders


def _only_image(folder: pathlib.Path, root: StrPath) -> pathlib.Path:
    images = list_images(folder, root)
    if len(images) > 1:
        raise DataError(f"data: {folder} has {len(images)} images, expected 1: remove the others")
    return images[0]


def _label_map(path: pathlib.Path, size: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The label image as (H, W) integers; a mask saved in colours counts by its first channel."""
    labels = read_mask(path)
    if labels.ndim == 3:
        labels = labels[..., 0]
    if labels.shape != size:
        raise DataError(f"data: {path} is {labels.shape}, its image {size} (H, W): make both the same size")
    if labels.min() < 0 or labels.max() > 65535:
        raise DataError(f"data: {path} has values {labels.min()} to {labels.max()}, expected 0 to 65535: check it")
    return labels.astype(np.int64)


def _sample(image: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], name: str) -> Sample:
    instances, numbers = renumber(labels)
    ones = np.ones(len(numbers), np.int64)
    mask = (instances > 0).astype(np.int64)
    return Sample(image, mask, instances, tight_boxes(instances), ones, caption="cell nuclei", name=name)
