"""Folders of images and masks, paired by name; what the mask values mean is found by reading all of them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError

from . import images as files
from .coding import MaskCoding, code_name, find_mapping, mask_codes
from .images import StrPath
from .sample import IGNORE, Sample

__all__ = ["ImageFolder"]

Pair = tuple[pathlib.Path, pathlib.Path]


class ImageFolder:
    """Images and their masks, paired by name: NAME.* and NAME + suffix + .*, in two folders or one.

    Masks may hold class indices, 0 and 255, or colours (`coding.py` has the rules); `describe()` says what
    was found. `size`, an int or (H, W) in pixels, resizes images (bilinear) and masks (nearest); without it
    the images of a batch must be of one size, or cropped to one. `channels` is 1, 3, or None: grey if all
    images are. `classes` is the number of classes, or their names. `mapping` is that of another folder:
    give a validation set its training set's. Links may lead anywhere in the folder `within`; without it, not out
    of the two. Sub-folders are not searched; what the scan finds is kept in memory only.

    **Raises** DataError naming the file and the remedy: no images, an image without a mask or with two, a
    mask of another size, a value without a class, another number of classes, a link that leads out of the
    folder.
    """

    def __init__(
        self,
        images: StrPath,
        masks: StrPath,
        suffix: str = "",
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        classes: int | Sequence[str] | None = None,
        mapping: Mapping[int, int] | None = None,
        within: StrPath | None = None,
    ) -> None:
        if channels not in (None, 1, 3):
            raise ArgumentError(f"ImageFolder: channels is {channels!r}, expected 1, 3 or None")
        self.size = None if size is None else files.image_size("ImageFolder", size)
        count = classes if classes is None or isinstance(classes, int) else len(classes)
        self.pairs = _pairs(pathlib.Path(images), pathlib.Path(masks), suffix, within)
        grey, found = _scan(self.pairs)
        self.channels = channels or (1 if grey else 3)
        self.mapping = dict(mapping) if mapping is not None else find_mapping(found, count)
        count = count or 1 + max((k for k in self.mapping.values() if k != IGNORE), default=0)
        self.classes = tuple(classes) if isinstance(classes, Sequence) else _names(count)
        self._coding = MaskCoding(self.mapping, count)
        self._coding.check(found)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image_path, mask_path = self.pairs[index]
        image = files.read_image(image_path, self.channels)
        codes = _checked_codes(mask_path, image.shape[1:])
        mask = self._coding.classes_of(codes, mask_path)  # the folder may have changed since the scan
        if self.size is not None:
            image, mask = files.resize_image(image, self.size), files.resize_labels(mask, self.size)
        return Sample(image, mask, name=image_path.stem)

    def files(self) -> list[pathlib.Path]:
        """All files that the samples are read from, in their order."""
        return [path for pair in self.pairs for path in pair]

    def describe(self) -> str:
        """What was found, a few lines to print once: the images, and the class of each mask value."""
        channels = "1 channel" if self.channels == 1 else "3 channels"
        lines = [f"{len(self)} images of {channels}, {len(self.classes)} classes; mask values:"]
        for code, k in sorted(self.mapping.items()):
            meaning = "ignored" if k == IGNORE else f"class {k} ({self.classes[k]})"
            lines.append(f"  {code_name(code)} -> {meaning}")
        return "\n".join(lines)


def _names(count: int) -> tuple[str, ...]:
    return ("background", "foreground") if count == 2 else tuple(f"class {k}" for k in range(count))


def _pairs(images: pathlib.Path, masks: pathlib.Path, suffix: str, within: StrPath | None) -> list[Pair]:
    if os.sep in suffix or "/" in suffix:
        raise ArgumentError(f"ImageFolder: suffix is {suffix!r}, expected part of a name such as '_mask'")
    same = images.resolve() == masks.resolve()
    if same and not suffix:
        raise ArgumentError(f"ImageFolder: images and masks are both in {images}: give the masks' suffix")
    mask_of = _by_stem(path for path in files.list_images(masks, within) if path.stem.endswith(suffix))
    rest = files.list_images(images, within)
    image_of = _by_stem(path for path in rest if not (same and path.stem.endswith(suffix)))
    missing = [path for stem, path in image_of.items() if stem + suffix not in mask_of]
    if missing or not image_of:
        raise _no_mask(missing, len(image_of), images, f"{suffix}.* in {masks}")
    return [(path, mask_of[stem + suffix]) for stem, path in image_of.items()]


def _by_stem(paths: Iterable[pathlib.Path]) -> dict[str, pathlib.Path]:
    found: dict[str, pathlib.Path] = {}
    for path in paths:
        other = found.setdefault(path.stem, path)
        if other is not path:
            raise DataError(f"data: {path} and {other.name} differ only in the ending: remove one of them")
    return found


def _no_mask(missing: list[pathlib.Path], total: int, images: pathlib.Path, pattern: str) -> DataError:
    if len(missing) == total:
        example = missing[0].stem if missing else "NAME"
        return DataError(
            f"data: none of the {total} images in {images} has a mask: looked for {example}{pattern}, check the suffix"
        )
    return DataError(
        f"data: {missing[0]} has no mask {missing[0].stem}{pattern} "
        f"({len(missing)} of {total} images have none): add the masks or remove the images"
    )


def _scan(pairs: list[Pair]) -> tuple[bool, dict[int, pathlib.Path]]:
    """Whether all images are grey, and every code of the masks with the first file that has it."""
    found: dict[int, pathlib.Path] = {}
    grey = True
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # Pillow decodes without the GIL
        for (channels, codes), (_, mask_path) in zip(pool.map(_scan_pair, pairs), pairs, strict=True):
            grey &= channels == 1
            for code in codes:
                found.setdefault(int(code), mask_path)
    return grey, found


def _scan_pair(pair: Pair) -> tuple[int, npt.NDArray[np.int64]]:
    image_path, mask_path = pair
    channels, height, width = files.probe_image(image_path)
    return channels, np.unique(_checked_codes(mask_path, (height, width)))


def _checked_codes(path: pathlib.Path, size: tuple[int, ...]) -> npt.NDArray[np.int64]:
    codes = mask_codes(files.read_mask(path), path)
    if codes.shape != size:
        raise DataError(f"data: {path} is {codes.shape}, its image {size} (H, W): make both the same size")
    return codes
