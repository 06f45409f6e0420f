"""Chair Segments (Pinto-Alva et al.) in its authors' layout: composites of chairs over scenes, 64x64."""

from __future__ import annotations

import pathlib

import numpy as np

from tinyseg.errors import ArgumentError, DataError

from .images import StrPath, image_size, list_images, read_image, resize_image
from .sample import Sample

__all__ = ["ChairSegments"]

THRESHOLD = 0.4  # the authors' own, on a mask that resizing has made soft


class ChairSegments:
    """Chairs from root/Chair064/{train,val}/{image,mask}/NUMBER.png, in the order of the numbers.

    A pixel is chair where the mask's first channel, resized bilinearly to `size`, is above 0.4.
    The authors' smaller and larger variants lie in folders of their own: `folder="Chair128"`.

    **Raises** DataError for an image without mask, a mask of another size, a name that is no number, and
    all that `read_image` refuses; ArgumentError for another `split` or an absurd `size`.
    """

    classes = ("background", "chair")
    channels = 3

    def __init__(
        self,
        root: StrPath,
        split: str = "train",
        size: int | tuple[int, int] = 64,
        folder: str = "Chair064",
    ) -> None:
        if split not in ("train", "val"):
            raise ArgumentError(f"ChairSegments: split is {split!r}, expected 'train' or 'val'")
        self.size = image_size("ChairSegments", size)
        home = pathlib.Path(root) / folder / split
        images, masks = _by_number(home / "image", root), _by_number(home / "mask", root)
        for number, path in images.items():
            if number not in masks:
                raise DataError(f"data: {path} has no mask in {home / 'mask'}: add it or remove the image")
        self.pairs = [(images[number], masks[number]) for number in sorted(images)]

    def __len__(self) -> int:
        return len(self.pairs)

    def files(self) -> list[pathlib.Path]:
        """All files that the samples are read from, in their order."""
        return [path for pair in self.pairs for path in pair]

    def __getitem__(self, index: int) -> Sample:
        image_path, mask_path = self.pairs[index]
        image, soft = read_image(image_path, 3), read_image(mask_path)
        if soft.shape[1:] != image.shape[1:]:
            sizes = f"{soft.shape[1:]}, its image {image.shape[1:]}"
            raise DataError(f"data: {mask_path} is {sizes} (H, W): make both the same size")
        mask = resize_image(soft[:1], self.size)[0] > THRESHOLD
        return Sample(resize_image(image, self.size), mask.astype(np.int64), caption="a chair", name=image_path.stem)


def _by_number(folder: pathlib.Path, root: StrPath) -> dict[int, pathlib.Path]:
    numbered = {}
    for path in list_images(folder, root):
        if not (path.stem.isascii() and path.stem.isdigit()):
            raise DataError(f"data: {path} is not named by a number such as 12.png: rename or remove it")
        numbered[int(path.stem)] = path
    return numbered
