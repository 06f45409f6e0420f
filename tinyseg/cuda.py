"""PyTorch's `torch.cuda`: whether there is a GPU, and waiting for it."""

from __future__ import annotations

from .devices import cuda_available as is_available
from .devices import cuda_count as device_count
from .devices import synchronize
from .random import Generator, manual_seed

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def manual_seed_all(seed: int) -> Generator:
    """`ts.manual_seed`: the numbers of all devices come from the program's one generator."""
    return manual_seed(seed)
