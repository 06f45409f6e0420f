"""The IDX format of MNIST and Fashion-MNIST: a big-endian header and the array, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import pathlib
import struct
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from tinyseg.errors import ArgumentError, DataError

from .images import StrPath, open_regular
from .sample import IGNORE, Sample

__all__ = ["FashionMNIST", "IDXImages", "read_idx"]

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_BYTES = 2**31  # a header that asks for more is damaged; all of MNIST has 2**26


def read_idx(path: StrPath) -> npt.NDArray[Any]:
    """Read an IDX file, gzipped or not: bytes 0 0 (type) (ndim), ndim sizes of 4 bytes, then the values.

    **Shapes** as the header says, in the machine's byte order.
    **Raises** DataError: missing, wrong magic number, unknown type, absurd sizes, too short or too long.
    """
    try:
        with _open(path) as file:
            dtype, shape = _header(file, path)
            expected = math.prod(shape) * dtype.itemsize
            data = file.read(expected + 1)  # one byte more shows a file that is too long
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"data: {path}: {reason}: check the path, or download it again") from None
    except (EOFError, zlib.error):
        raise DataError(f"data: {path} is a gzip file cut short or damaged: download it again") from None
    if len(data) != expected:
        size = "more" if len(data) > expected else len(data)
        raise DataError(f"data: {path}: shape {shape} needs {expected} bytes, got {size}: download it again")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _open(path: StrPath) -> BinaryIO:
    """The file as a stream of plain bytes; its first two bytes, not its name, say whether it is gzipped."""
    file = open_regular(path)  # the caller closes it
    gzipped = file.read(2) == b"\x1f\x8b"
    if gzipped:
        file.close()
        return cast(BinaryIO, gzip.open(path, "rb"))
    file.seek(0)
    return file


def _header(file: BinaryIO, path: StrPath) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or magic[3] == 0:
        raise DataError(f"data: {path} starts with {magic.hex(' ')}, which is no IDX header: check the file")
    raw = file.read(4 * magic[3])
    if len(raw) < 4 * magic[3]:
        raise DataError(f"data: {path} ends within its header: download it again")
    dtype, shape = np.dtype(DTYPES[magic[2]]), struct.unpack(f">{magic[3]}I", raw)
    if math.prod(shape) * dtype.itemsize > MAX_BYTES:
        raise DataError(f"data: {path} claims shape {shape}, above 2 GiB: the header is damaged, download it again")
    return dtype, shape


class IDXImages:
    """Images and class labels from two IDX files, such as MNIST, for classification and generation.

    A sample is the image (1, H, W), with `labels` holding its one class, and a mask that is 255 ("ignore")
    throughout: nobody has segmented these. `classes` names the classes; by default they are the numbers.

    **Raises** DataError as `read_idx`, and where the two files do not fit each other or `classes`.
    """

    channels = 1

    def __init__(self, images: StrPath, labels: StrPath, classes: Sequence[str] | None = None) -> None:
        self.images, self.labels = read_idx(images), read_idx(labels)
        if self.images.ndim != 3 or self.images.dtype != np.uint8 or self.images.size == 0:
            came = f"{self.images.dtype} of shape {self.images.shape}"
            raise DataError(f"data: {images} holds {came}, expected uint8 (N, H, W): give the image file first")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype.kind not in "iu":
            came = f"{self.labels.dtype} of shape {self.labels.shape}"
            raise DataError(f"data: {labels} holds {came}, expected {len(self.images)} integers: give its label file")
        low, high = int(self.labels.min()), int(self.labels.max())
        self.classes = tuple(classes) if classes is not None else tuple(str(k) for k in range(high + 1))
        if low < 0 or high >= len(self.classes):
            raise DataError(f"data: {labels} has labels {low} to {high}, expected 0 to {len(self.classes) - 1}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        pixels, label = self.images[index], int(self.labels[index])
        image = pixels[None].astype(np.float32) / np.float32(255)
        mask = np.full(pixels.shape, IGNORE, np.int64)
        labels = np.array([label], np.int64)
        return Sample(image, mask, labels=labels, caption=self.classes[label], name=str(index % len(self)))


class FashionMNIST(IDXImages):
    """Fashion-MNIST (Xiao et al. 2017) from a folder of its four gzipped files: ten kinds of clothes.

    **Raises** DataError as `IDXImages`; ArgumentError unless `split` is "train" or "test".
    """

    CLASSES = (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )

    def __init__(self, root: StrPath, split: str = "train") -> None:
        if split not in ("train", "test"):
            raise ArgumentError(f"FashionMNIST: split is {split!r}, expected 'train' or 'test'")
        prefix = "train" if split == "train" else "t10k"
        folder = pathlib.Path(root)
        images, labels = f"{prefix}-images-idx3-ubyte.gz", f"{prefix}-labels-idx1-ubyte.gz"
        super().__init__(folder / images, folder / labels, self.CLASSES)
