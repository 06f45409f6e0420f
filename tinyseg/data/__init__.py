"""Data sets, loaders and transforms: everything is NumPy here; the training loop makes Tensors of the batches.

A data set has a length, yields a `Sample` for an index, and says its `classes` (names) and `channels` (1 or 3).
"""

from .chair_segments import ChairSegments
from .chairs import Chairs
from .folders import ImageFolder
from .idx import FashionMNIST, IDXImages, read_idx
from .images import read_image, read_mask, write_png
from .loader import Batch, Dataset, Loader, Subset, split
from .nuclei import Nuclei, NucleiKaggle
from .sample import IGNORE, Sample
from .transforms import (
    CenterCrop,
    ColorJitter,
    Compose,
    Elastic,
    Grey,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    RandomScale,
    Resize,
    Transform,
)

__all__ = [
    "IGNORE",
    "Batch",
    "CenterCrop",
    "ChairSegments",
    "Chairs",
    "ColorJitter",
    "Compose",
    "Dataset",
    "Elastic",
    "FashionMNIST",
    "Grey",
    "IDXImages",
    "ImageFolder",
    "Loader",
    "Nuclei",
    "NucleiKaggle",
    "RandomCrop",
    "RandomFlip",
    "RandomRotate",
    "RandomScale",
    "Resize",
    "Sample",
    "Subset",
    "Transform",
    "read_idx",
    "read_image",
    "read_mask",
    "split",
    "write_png",
]
