"""Image files, read with suspicion and written whole.

A file that comes from elsewhere may be missing, cut short, no image at all, or a few kilobytes that unpack
to gigabytes: each case is one `DataError` that names the file and what to do. Pillow decodes, imported on
first use.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "check_inside",
    "check_regular",
    "image_size",
    "list_images",
    "luma",
    "open_regular",
    "probe_image",
    "read_image",
    "read_mask",
    "resize_image",
    "resize_labels",
    "write_atomically",
    "write_png",
]

StrPath = str | os.PathLike[str]
FloatImage = npt.NDArray[np.float32]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".ppm", ".pgm", ".pbm"}
MAX_PIXELS = 89_478_485  # what Pillow refuses by default: a size above it is a typing error or an attack
SIDEWAYS = {5, 6, 7, 8}  # the EXIF orientations that swap height and width
ORIENTATION = 0x0112
_opening = threading.Lock()


# --- Reading ---


def open_regular(path: StrPath) -> BinaryIO:
    """Open a file to read its bytes. **Raises** DataError if it is missing, forbidden, a folder, a pipe or a device."""
    check_regular(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise DataError(f"data: {path}: {error.strerror}: check the path") from None


def check_regular(path: StrPath) -> None:
    """Refuse a pipe or a device, which could keep a reader waiting for ever. **Raises** DataError."""
    target = pathlib.Path(path)
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise DataError(f"data: {path} is not a regular file (a pipe, a socket or a device): remove it or copy it")


def read_image(path: StrPath, channels: int | None = None) -> FloatImage:
    """Read an image as float32 in [0, 1], upright (EXIF orientation), transparent parts over white.

    8-bit values are divided by 255, 16-bit ones by 65535; float files hold [0, 1], or [0, 255] if any value
    is above 1. `channels` 1 turns colours into luma, 3 repeats grey; None keeps what the file has (grey 1,
    else 3).

    **Shapes** (C, H, W).
    **Raises** DataError: missing, truncated, not an image, too large, more than one frame.
    """
    if channels not in (None, 1, 3):
        raise ArgumentError(f"read_image: channels is {channels!r}, expected 1, 3 or None")
    array = _to_float(_load(path), path)
    if channels == 1:
        return luma(array)
    if channels == 3 and len(array) == 1:
        return np.repeat(array, 3, axis=0)
    return array


def read_mask(path: StrPath) -> npt.NDArray[Any]:
    """Read a mask as the integers that the file stores; a palette image gives its indices, as in Pascal VOC.

    **Shapes** (H, W) integers, or (H, W, 3) uint8 if the mask is coded in colours (alpha is dropped).
    **Raises** DataError as `read_image`, and for a float mask with values between the integers.
    """
    image = _load(path)
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    if image.mode == "F":
        return _whole_numbers(np.asarray(image), path)
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("L", "P", "I") or image.mode.startswith("I;16"):
        return np.array(image)
    return np.array(image.convert("RGB"))


def probe_image(path: StrPath) -> tuple[int, int, int]:
    """(C, H, W) that `read_image` would return, from the header alone."""
    with _opened(path) as image:
        grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
        width, height = image.size
        if image.getexif().get(ORIENTATION) in SIDEWAYS:
            width, height = height, width
        return 1 if grey else 3, height, width


@contextlib.contextmanager
def _opened(path: StrPath) -> Iterator[Image]:
    """The file opened by Pillow; whatever goes wrong inside the block becomes a DataError of one line."""
    from PIL import Image, UnidentifiedImageError

    try:
        with _open_quietly(path) as image:
            _check_size(image, path)
            yield image
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise _bomb(path) from None
    except UnidentifiedImageError:
        raise DataError(f"data: {path} is not an image that Pillow can read: remove or convert it") from None
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"data: {path}: {error.strerror}: check the path") from None
    except Exception as error:  # a damaged file makes the decoders raise nearly anything: zlib.error, SyntaxError ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"data: {path} is damaged or cut short ({reason}): copy it again or remove it") from None


def _open_quietly(path: StrPath) -> Image:
    """`Image.open` without Pillow's warning about large images: `_check_size` refuses those instead."""
    from PIL import Image

    check_regular(path)
    with _opening, warnings.catch_warnings():  # the filters are global to the process, hence the lock
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _check_size(image: Image, path: StrPath) -> None:
    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise _bomb(path)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO: a phone's photo, whose second frame is a preview
        raise DataError(f"data: {path} holds {frames} frames, expected 1: save each frame as a file of its own")


def _bomb(path: StrPath) -> DataError:
    from PIL import Image

    return DataError(
        f"data: {path} has more than {Image.MAX_IMAGE_PIXELS} pixels, refused as a decompression bomb: "
        "cut it into tiles or make it smaller"
    )


def _load(path: StrPath) -> Image:
    """The decoded image, upright."""
    from PIL import ImageOps

    with _opened(path) as image:
        image.load()
        return ImageOps.exif_transpose(image)


def _to_float(image: Image, path: StrPath) -> FloatImage:
    """(C, H, W) float32 in [0, 1] of an image in any of Pillow's modes."""
    if image.mode == "F":
        return _unit_range(np.asarray(image), path)[None]
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _sixteen_bit(np.asarray(image), path)[None]
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        image = _over_white(image)
    array = np.asarray(image.convert("L" if grey else "RGB"), np.float32) / np.float32(255)
    return array[None] if grey else np.ascontiguousarray(array.transpose(2, 0, 1))


def _over_white(image: Image) -> Image:
    """What a viewer shows: colours under full transparency are arbitrary and must not reach a network."""
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def _unit_range(array: npt.NDArray[Any], path: StrPath) -> FloatImage:
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # so written, a NaN is refused as well
        raise DataError(f"data: {path} has values from {low:g} to {high:g}: scale them to [0, 1] or [0, 255]")
    return (array / (255 if high > 1 else 1)).astype(np.float32)


def _sixteen_bit(array: npt.NDArray[Any], path: StrPath) -> FloatImage:
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise DataError(f"data: {path} has values from {low} to {high}: save it with 8 or 16 bits a channel")
    return array.astype(np.float32) / np.float32(65535)


def _whole_numbers(array: npt.NDArray[Any], path: StrPath) -> npt.NDArray[Any]:
    if not (np.abs(array) < 2**24).all() or (array != np.rint(array)).any():  # above 2**24 float32 skips integers
        raise DataError(f"data: {path} stores values that are no integers: save the mask as an 8- or 16-bit PNG")
    return array.astype(np.int32)


# --- Folders ---


def list_images(folder: StrPath, within: StrPath | None = None) -> list[pathlib.Path]:
    """The image files directly in a folder, sorted by name; other and hidden files are passed over.

    **Raises** DataError: no such folder, no image in it, or a link that leads out of it, or of the folder `within`
    that holds it and others (a data set from elsewhere must not make a program read, and show in a picture, the files
    that lie beside it).
    """
    root = pathlib.Path(folder)
    try:
        files = sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    except OSError as error:
        raise DataError(f"data: {root}: {error.strerror}: give a folder of images") from None
    if not files:
        raise DataError(f"data: {root} has no images (looked for {' '.join(sorted(SUFFIXES))}): check the path")
    home = root if within is None else within
    check_inside(root, home)
    for path in files:
        if path.is_symlink():
            check_inside(path, home)
    return files


def check_inside(path: StrPath, folder: StrPath) -> None:
    """Refuse a path that a link, its own or of a folder on the way, leads out of `folder`. **Raises** DataError."""
    real = pathlib.Path(path).resolve()
    if not real.is_relative_to(pathlib.Path(folder).resolve()):
        raise DataError(f"data: {path} links to {real}, outside {folder}: copy it there instead")


# --- Sizes ---


def image_size(function: str, size: int | tuple[int, int]) -> tuple[int, int]:
    """(H, W) of a `size` argument: one int for a square, or (H, W), in pixels.

    **Raises** ArgumentError below one pixel and above 89 million.
    """
    pair = (size, size) if isinstance(size, int | np.integer) else tuple(size) if isinstance(size, tuple | list) else ()
    valid = len(pair) == 2 and all(isinstance(n, int | np.integer) and n >= 1 for n in pair)
    if not valid or pair[0] * pair[1] > MAX_PIXELS:
        raise ArgumentError(
            f"{function}: size is {size!r}, expected a positive int or (height, width), "
            f"at most {MAX_PIXELS} pixels in all"
        )
    return int(pair[0]), int(pair[1])


def resize_image(image: FloatImage, size: tuple[int, int]) -> FloatImage:
    """Resize bilinearly, by a triangle filter that widens when shrinking; values stay in their range.

    **Shapes** (C, H, W) -> (C, *size). **Source** PyTorch's `interpolate(mode="bilinear", antialias=True)`.
    """
    from PIL import Image

    if image.shape[1:] == tuple(size):
        return image
    height, width = size
    planes = [Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR) for plane in image]
    return np.stack([np.asarray(plane, np.float32) for plane in planes])


def resize_labels(labels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize a label map to the nearest pixel centres: row floor((d + 1/2) H / OH), in integer arithmetic.

    **Shapes** (H, W) -> size. **Source** PyTorch's `interpolate(mode="nearest-exact")`.
    """
    rows, columns = (
        (2 * np.arange(target) + 1) * source // (2 * target) for target, source in zip(size, labels.shape, strict=True)
    )
    resized: npt.NDArray[Any] = labels[rows[:, None], columns[None, :]]
    return resized


def luma(image: FloatImage) -> FloatImage:
    """Brightness as the eye weighs colours: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).

    **Shapes** (1 or 3, H, W) -> (1, H, W).
    """
    if len(image) == 1:
        return image
    if len(image) != 3:
        raise ShapeError(f"luma: image has {len(image)} channels, expected 1 or 3 (image {image.shape})")
    red, green, blue = image
    grey: FloatImage = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.minimum(grey, 1)[None]  # rounding may lift white a little above 1


# --- Writing ---


def write_png(path: StrPath, array: npt.NDArray[Any]) -> None:
    """Write an image (float, [0, 1]) or a label map (integers) as PNG: the whole file or, on an error, none.

    **Shapes** (H, W), (1, H, W) or (3, H, W); integers up to 255, or 65535 where grey (8 and 16 bits).
    **Raises** DataError if the folder is missing or the disk full; an older file then stays as it was.
    """
    from PIL import Image

    pixels = _pixels(np.asarray(array))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def _pixels(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(H, W) or (H, W, 3) of 8- or 16-bit integers, as Pillow takes them."""
    if array.ndim == 3 and len(array) in (1, 3):
        array = array[0] if len(array) == 1 else array.transpose(1, 2, 0)
    elif array.ndim != 2:
        raise ShapeError(f"write_png: array has shape {array.shape}, expected (H, W), (1, H, W) or (3, H, W)")
    if array.size == 0:
        raise ShapeError(f"write_png: array is empty, shape {array.shape}")
    if array.dtype.kind == "f":
        array = np.rint(np.clip(np.nan_to_num(array), 0, 1) * 255)
    low, high = array.min(), array.max()
    if low < 0 or high > (65535 if array.ndim == 2 else 255):
        raise ArgumentError(f"write_png: array has values from {low} to {high}, expected 0 to 255 (65535 if grey)")
    return np.ascontiguousarray(array.astype(np.uint8 if high <= 255 else np.uint16))


def write_atomically(path: StrPath, data: bytes) -> None:
    """Write a file under another name, then rename: a crash leaves the old file or the new one, never a half.

    **Raises** DataError with the system's reason (no space left, no such folder, permission denied).
    """
    target = pathlib.Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(part, "wb") as file:
            file.write(data)
        os.replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise DataError(f"cannot write {target}: {error.strerror}: free space or choose another folder") from None
    except BaseException:  # Ctrl-C between the two steps must not leave the part behind
        with contextlib.suppress(OSError):
            part.unlink()
        raise
