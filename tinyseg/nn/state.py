"""Reading foreign state: what a checkpoint may hold, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine import Array, Tensor
from ..errors import DTypeError
from ..ops.checks import is_float

__all__ = ["as_array"]


def as_array(caller: str, key: str, value: Any) -> Array:
    """The array of a Tensor, a NumPy array, a number, or a PyTorch tensor (which is recognised by its methods).

    **Raises** DTypeError if `value` holds no numbers.
    """
    if isinstance(value, Tensor):
        return value.data
    if hasattr(value, "detach"):
        value = _detached(value)
    array = value if hasattr(value, "dtype") and hasattr(value, "astype") else np.asarray(value)
    if array.dtype.kind not in "biu" and not is_float(array.dtype):
        raise DTypeError(f"{caller}: {key!r} must hold numbers, got {type(value).__name__} of {array.dtype}")
    return array


def _detached(value: Any) -> Any:
    value = value.detach().cpu()
    try:
        return value.numpy()
    except TypeError:  # PyTorch hands NumPy no bfloat16; every one is a float32 exactly
        return value.float().numpy()
