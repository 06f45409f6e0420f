"""Arrays of the emulated device, and a NumPy for them.

They behave as CuPy's arrays do, so that a program which runs on them runs on a GPU: a function of theirs returns such
an array, also where NumPy would return a scalar; nothing mixes them with NumPy's arrays unasked.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

__all__ = ["EMULATED_NUMPY", "EmulatedArray", "emulated", "plain"]


class EmulatedArray(np.ndarray):
    """An array on the emulated device: NumPy's in memory, but its type says that CUDA kernels serve it.

    `emulated(array)` copies an array there, `plain(array)` is the same memory as NumPy's.
    **Raises** TypeError, as CuPy does, where NumPy's arrays meet one of these in an expression.
    """

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any) -> Any:
        if any(type(x) is np.ndarray for x in (*inputs, *(out or ()))):
            raise TypeError(f"{ufunc.__name__}: a NumPy array beside an emulated one; move it with .to('emulated')")
        if method in ("accumulate", "reduceat") and ufunc not in (np.add, np.multiply):
            raise TypeError(f"{ufunc.__name__}.{method}: CuPy has none")
        written = {} if out is None else {"out": tuple(map(plain, out))}
        result = getattr(ufunc, method)(*map(plain, inputs), **{k: plain(v) for k, v in options.items()}, **written)
        if out is not None:
            return out[0] if len(out) == 1 else out
        return _viewed(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if kwargs.get("shape") in ((), 0):
            raise TypeError(f"{function.__name__}: CuPy takes shape={kwargs['shape']} for that of the array itself")
        return _viewed(super().__array_function__(function, types, args, kwargs))

    def __getitem__(self, index: Any) -> Any:
        return _viewed(super().__getitem__(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if type(value) is np.ndarray:
            raise TypeError("a NumPy array is assigned to an emulated one; move it with .to('emulated')")
        super().__setitem__(index, value)

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()


def _method(name: str) -> Any:
    return lambda self, *args, **kwargs: _viewed(getattr(super(EmulatedArray, self), name)(*args, **kwargs))


for _name in ("all", "any", "argmax", "argmin", "dot", "mean", "prod", "searchsorted", "std", "sum", "trace", "var"):
    setattr(EmulatedArray, _name, _method(_name))  # of which NumPy makes scalars


def emulated(array: Any) -> EmulatedArray:
    """A copy on the emulated device, in C order."""
    return np.array(array, order="C", subok=False).view(EmulatedArray)


def plain(value: Any) -> Any:
    """An emulated array as NumPy's, on the same memory; anything else as it is, tuples and lists member by member."""
    if isinstance(value, EmulatedArray):
        return value.view(np.ndarray)
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def _viewed(result: Any) -> Any:
    """NumPy's result with its arrays, and scalars that stand for arrays of no axes, on the emulated device."""
    if isinstance(result, np.ndarray):
        return result.view(EmulatedArray)
    if isinstance(result, np.generic):
        return np.asarray(result).view(EmulatedArray)
    if isinstance(result, tuple | list):  # a named tuple too: unique_all, eigh
        return type(result)(*map(_viewed, result)) if hasattr(result, "_fields") else type(result)(map(_viewed, result))
    return result


class _EmulatedNumPy:
    """NumPy's functions with arrays of the emulated device as their results: what `array_module` gives for these."""

    ndarray = EmulatedArray

    def __init__(self, module: Any = np) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if isinstance(value, type(np)):
            wrapped: Any = _EmulatedNumPy(value)
        elif isinstance(value, np.ufunc) or not callable(value) or isinstance(value, type):
            wrapped = value  # ufuncs ask the arrays themselves
        else:
            wrapped = _returning_emulated(value)
        setattr(self, name, wrapped)
        return wrapped


def _returning_emulated(function: Any) -> Any:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _viewed(function(*map(plain, args), **{name: plain(value) for name, value in kwargs.items()}))

    return call


EMULATED_NUMPY = _EmulatedNumPy()
