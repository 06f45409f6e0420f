"""Matrix product on the CPU."""

from __future__ import annotations

import numpy as np

from tinyseg.kernels.backend import narrow, native
from tinyseg.kernels.jit import launch

__all__ = ["matmul"]


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """See the family's docstring."""
    with launch():
        return narrow(np.ascontiguousarray(np.matmul(native(a), native(b))), a)
