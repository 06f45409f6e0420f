"""Arrays of the emulated device."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["EmulatedArray"]


class EmulatedArray(np.ndarray):
    """An array on the emulated device: NumPy's in every way, but its type says that CUDA kernels serve it.

    `array.view(EmulatedArray)` puts it there without a copy, `np.asarray(array)` takes it back. As with CuPy, a
    function of such arrays returns one, also where NumPy would return a scalar or drop the subclass.
    """

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array.view(EmulatedArray)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _emulated(super().__array_function__(function, types, args, kwargs))

    def __getitem__(self, index: Any) -> Any:
        return _emulated(super().__getitem__(index))


def _emulated(result: Any) -> Any:
    """NumPy's result with its arrays, and scalars that stand for arrays of no axes, on the emulated device."""
    if isinstance(result, np.ndarray):
        return result.view(EmulatedArray)
    if isinstance(result, np.generic):
        return np.asarray(result).view(EmulatedArray)
    if type(result) in (list, tuple):
        return type(result)(map(_emulated, result))
    return result
