"""The Tensors in which optimisers remember."""

from __future__ import annotations

import numpy as np

from ..devices import array_module
from ..engine import Array, Tensor

__all__ = ["array_of", "count", "zeros_like"]


def count() -> Tensor:
    """The number of steps taken: 0, a float32 on the CPU, as PyTorch keeps it."""
    return Tensor(np.zeros((), np.float32))


def zeros_like(p: Array) -> Tensor:
    """Zeros beside the parameter."""
    return Tensor(array_module(p).zeros_like(p))


def array_of(state: dict[str, Tensor], name: str) -> Array | None:
    """The array of an entry, None where the settings do not need it."""
    return state[name].data if name in state else None
