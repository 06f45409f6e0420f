"""Augmentation: image, mask, instances and boxes change together. A transform is `t(sample, rng) -> sample`.

All randomness comes from `rng`, so that the loader can make any sample again. A transform that draws "no
change" returns the sample itself, bit for bit. Geometry beyond the image: crops pad the image by mirroring
and the mask with 255 (never a label that nobody gave); warps (rotation, elastic) mirror image and labels
alike.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError

from .images import FloatImage, image_size, luma, resize_image, resize_labels
from .instances import moved
from .sample import IGNORE, Sample

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Elastic",
    "Grey",
    "RandomCrop",
    "RandomFlip",
    "RandomRotate",
    "RandomScale",
    "Resize",
    "Transform",
]

Transform = Callable[[Sample, np.random.Generator], Sample]
Array = npt.NDArray[Any]


class Compose:
    """Transforms one after the other, all drawing from the same generator."""

    def __init__(self, *transforms: Transform) -> None:
        self.transforms = transforms

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        for transform in self.transforms:
            sample = transform(sample, rng)
        return sample

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


# --- Flips ---


@dataclass(frozen=True)
class RandomFlip:
    """Mirror left-right with probability `horizontal`, and upside down with probability `vertical`.

    A left-right flip also swaps the words left and right in the caption and the attributes.
    """

    horizontal: float = 0.5
    vertical: float = 0.0

    def __post_init__(self) -> None:
        _check_range("RandomFlip", 0, 1, horizontal=self.horizontal, vertical=self.vertical)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        draws = rng.random(2)
        if draws[0] < self.horizontal:
            sample = _swap_sides(_flip(sample, axis=-1))
        if draws[1] < self.vertical:
            sample = _flip(sample, axis=-2)
        return sample


def _flip(sample: Sample, axis: int) -> Sample:
    def flip(array: Array) -> Array:
        return np.ascontiguousarray(np.flip(array, axis))

    boxes = sample.boxes
    if boxes is not None:
        low, high = (0, 2) if axis == -1 else (1, 3)
        boxes = boxes.copy()
        boxes[:, [low, high]] = sample.mask.shape[axis] - boxes[:, [high, low]]
    return moved(sample, flip(sample.image), flip(sample.mask), _maybe(flip, sample.instances), boxes)


def _swap_sides(sample: Sample) -> Sample:
    attributes = [{k: _swapped(v) if isinstance(v, str) else v for k, v in a.items()} for a in sample.attributes]
    return sample.replace(caption=_swapped(sample.caption), attributes=attributes)


def _swapped(text: str) -> str:
    return re.sub(r"\b(left|right)\b", lambda word: "right" if word[0] == "left" else "left", text)


# --- Crops ---


@dataclass(frozen=True)
class RandomCrop:
    """Cut out a window of `size`, an int or (H, W) in pixels, anywhere; a smaller image is padded first.

    The padding mirrors the image; in the mask it is 255 ("ignore") and in the instances 0.
    """

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        image_size("RandomCrop", self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = image_size("RandomCrop", self.size)
        sample = _padded(sample, height, width)
        rows, columns = sample.mask.shape
        top, left = rng.integers([rows - height + 1, columns - width + 1]).tolist()
        return _crop(sample, top, left, height, width)


@dataclass(frozen=True)
class CenterCrop:
    """Cut out the middle window of `size`, an int or (H, W) in pixels; padding as in `RandomCrop`."""

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        image_size("CenterCrop", self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        height, width = image_size("CenterCrop", self.size)
        sample = _padded(sample, height, width)
        rows, columns = sample.mask.shape
        return _crop(sample, (rows - height) // 2, (columns - width) // 2, height, width)


def _padded(sample: Sample, height: int, width: int) -> Sample:
    """The sample in at least (height, width) pixels, itself in the middle."""
    rows, columns = max(0, height - sample.mask.shape[0]), max(0, width - sample.mask.shape[1])
    if rows == columns == 0:
        return sample
    top, left = rows // 2, columns // 2
    around = ((top, rows - top), (left, columns - left))

    image = np.pad(sample.image, ((0, 0), *around), "reflect")
    mask = np.pad(sample.mask, around, constant_values=IGNORE)
    instances = _maybe(lambda labels: np.pad(labels, around), sample.instances)
    return moved(sample, image, mask, instances, _shifted(sample.boxes, left, top))


def _crop(sample: Sample, top: int, left: int, height: int, width: int) -> Sample:
    if (height, width) == sample.mask.shape:
        return sample

    def window(array: Array) -> Array:
        return np.ascontiguousarray(array[..., top : top + height, left : left + width])

    boxes = _shifted(sample.boxes, -left, -top)
    return moved(sample, window(sample.image), window(sample.mask), _maybe(window, sample.instances), boxes)


def _shifted(boxes: npt.NDArray[np.float32] | None, x: int, y: int) -> npt.NDArray[np.float32] | None:
    return None if boxes is None else boxes + np.array([x, y, x, y], np.float32)


# --- Sizes ---


@dataclass(frozen=True)
class Resize:
    """Resize to `size`, an int or (H, W) in pixels: the image bilinearly, labels to the nearest pixel."""

    size: int | tuple[int, int]

    def __post_init__(self) -> None:
        image_size("Resize", self.size)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return _resized(sample, image_size("Resize", self.size))


@dataclass(frozen=True)
class RandomScale:
    """Resize by one factor for both sides, drawn log-uniformly from [low, high]; follow it with a crop.

    Log-uniform draws are as likely to halve as to double.
    """

    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        _check_range("RandomScale", 0.01, 100, low=self.low, high=self.high)
        if self.low > self.high:
            raise ArgumentError(f"RandomScale: low is {self.low} and high {self.high}, expected low <= high")

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        factor = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        height, width = sample.mask.shape
        return _resized(sample, (max(1, round(height * factor)), max(1, round(width * factor))))


def _resized(sample: Sample, size: tuple[int, int]) -> Sample:
    (rows, columns), (height, width) = sample.mask.shape, size
    if (rows, columns) == size:
        return sample
    boxes = sample.boxes
    if boxes is not None:
        boxes = boxes * np.array([width / columns, height / rows] * 2, np.float32)
    instances = _maybe(lambda labels: resize_labels(labels, size), sample.instances)
    return moved(sample, resize_image(sample.image, size), resize_labels(sample.mask, size), instances, boxes)


# --- Warps ---


@dataclass(frozen=True)
class RandomRotate:
    """Rotate anti-clockwise about the centre by a uniform angle from [-degrees, degrees]; the size stays."""

    degrees: float

    def __post_init__(self) -> None:
        _check_range("RandomRotate", 0, 360, degrees=self.degrees)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        angle = math.radians(rng.uniform(-self.degrees, self.degrees))
        if angle == 0:
            return sample
        (height, width), cos, sin = sample.mask.shape, math.cos(angle), math.sin(angle)
        y = np.arange(height)[:, None] - (height - 1) / 2
        x = np.arange(width)[None, :] - (width - 1) / 2
        # The y axis points down: to turn the picture anti-clockwise, look up each pixel clockwise of it.
        return _warped(sample, cos * y + sin * x + (height - 1) / 2, cos * x - sin * y + (width - 1) / 2)


@dataclass(frozen=True)
class Elastic:
    """Bend the image: random displacements on a coarse grid over it, interpolated bicubically to every pixel.

    d ~ N(0, sd^2) pixels for each of grid x grid points, the outer ones in the corners; out(p) = in(p +
    d(p)), the image sampled bilinearly, labels at the nearest pixel. The paper's values suit its images of
    about 500 pixels: on small ones take an `sd` of about 2 % of the side, or objects fold over themselves.

    **Source** Ronneberger et al. 2015 (U-Net), section 3.1.
    """

    sd: float = 10.0
    grid: int = 3

    def __post_init__(self) -> None:
        _check_range("Elastic", 0, 1000, sd=self.sd)
        _check_range("Elastic", 2, 100, grid=self.grid)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        coarse = rng.normal(size=(2, self.grid, self.grid)) * self.sd
        if self.sd == 0:
            return sample
        height, width = sample.mask.shape
        # Separable: down the columns, then along the rows. No BLAS, whose threads would fight the loader's.
        rows = np.einsum("yi,cij->cyj", cubic_matrix(height, self.grid), coarse)
        down, right = np.einsum("cyj,xj->cyx", rows, cubic_matrix(width, self.grid))
        return _warped(sample, np.arange(height)[:, None] + down, np.arange(width)[None, :] + right)


@functools.lru_cache(maxsize=64)
def cubic_matrix(out: int, size: int) -> npt.NDArray[np.float64]:
    """The matrix that interpolates `size` values to `out` by cubic convolution, ends on ends, edges repeated.

    **Shapes** (out, size); rows add up to 1. **Source** Keys 1981 with a = -3/4, as PyTorch's
    `interpolate(mode="bicubic", align_corners=True)`.
    """
    position = np.arange(out) * ((size - 1) / max(out - 1, 1))
    whole = np.floor(position).astype(int)
    matrix = np.zeros((out, size))
    for tap in (-1, 0, 1, 2):
        column = np.clip(whole + tap, 0, size - 1)
        np.add.at(matrix, (np.arange(out), column), _cubic(np.abs(position - whole - tap)))
    matrix.flags.writeable = False  # the cache hands the same array to everyone
    return matrix


def _cubic(t: npt.NDArray[np.float64], a: float = -0.75) -> npt.NDArray[np.float64]:
    """Keys' kernel at distances 0 <= t <= 2."""
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = a * (((t - 5) * t + 8) * t - 4)
    weights: npt.NDArray[np.float64] = np.where(t <= 1, near, far)
    return weights


def _warped(sample: Sample, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> Sample:
    """The sample whose pixel (i, j) shows the old one's place (y[i, j], x[i, j])."""
    from scipy.ndimage import map_coordinates

    at = np.stack(np.broadcast_arrays(y, x))

    def nearest(labels: Array) -> Array:
        moved_labels: Array = map_coordinates(labels, at, order=0, mode="mirror")
        return moved_labels

    image: FloatImage = np.stack([map_coordinates(plane, at, order=1, mode="mirror") for plane in sample.image])
    boxes = sample.boxes
    if sample.instances is None and boxes is not None:
        boxes = np.stack([_warped_box(box, nearest, sample.mask.shape) for box in boxes]) if len(boxes) else boxes
    return moved(sample, image, nearest(sample.mask), _maybe(nearest, sample.instances), boxes)


def _warped_box(box: npt.NDArray[np.float32], nearest: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
    """The box around the pixels that show the inside of a box; an empty one if there are none."""
    x0, y0, x1, y1 = np.rint(box).astype(int)
    inside = np.zeros(shape, np.uint8)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 1
    rows, columns = np.nonzero(nearest(inside))
    if rows.size == 0:
        return np.zeros(4, np.float32)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)


# --- Colours ---


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast and saturation, in this order, by factors from [max(0, 1 - v), 1 + v].

    x -> f x; x -> m + f (x - m), m the mean brightness of the image; x -> g + f (x - g), g the pixel's own
    brightness. After each step the values are clipped to [0, 1]. Grey images have no saturation to change.

    **Source** torchvision's ColorJitter, whose order of steps is random.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        _check_range("ColorJitter", 0, 100, **vars(self))

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = sample.image
        strengths = np.array([self.brightness, self.contrast, self.saturation])
        factors = rng.uniform(np.maximum(0, 1 - strengths), 1 + strengths)
        for factor, centre in zip(factors.tolist(), (_black, _mean, luma), strict=True):
            if factor != 1 and not (centre is luma and len(image) == 1):
                image = _spread(image, centre(image), factor)
        return sample if image is sample.image else sample.replace(image=image)


def _black(image: FloatImage) -> FloatImage:
    return np.zeros(1, np.float32)


def _mean(image: FloatImage) -> FloatImage:
    return luma(image).mean(keepdims=True)


def _spread(image: FloatImage, centre: FloatImage, factor: float) -> FloatImage:
    """Move every value away from `centre`, or towards it for a factor below 1."""
    spread: FloatImage = np.clip(centre + np.float32(factor) * (image - centre), 0, 1)
    return spread


@dataclass(frozen=True)
class Grey:
    """Turn the image into its brightness, one channel."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return sample if len(sample.image) == 1 else sample.replace(image=luma(sample.image))


# --- Shared ---


def _maybe(function: Callable[[Array], Array], array: Array | None) -> Array | None:
    return None if array is None else function(array)


def _check_range(function: str, least: float, most: float, /, **arguments: float) -> None:
    for name, value in arguments.items():
        if not least <= value <= most:
            raise ArgumentError(f"{function}: {name} is {value!r}, expected {least} to {most}")
