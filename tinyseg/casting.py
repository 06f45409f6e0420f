"""Mixed precision: inside `with ts.autocast("float16"):` products run in a half type, and what sums stays in float32.

A function says at its definition which of the two it is:

    lowered   its Tensors become the half type: convolutions, matrix products, attention. Tensor cores multiply these
              some 16 times as fast as float32, and half as many bytes are moved
    widened   its Tensors become float32: exponentials, powers, sums, norms, softmax, losses
    (others)  take what comes; where two types meet (a + b, cat) the wider wins

The casts are ops: gradients pass through them back to float32, so that weights and their gradients stay float32.
**Source** Micikevicius et al., Mixed Precision Training, 2018; the lists are PyTorch's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .devices import names_device
from .engine import Tensor, autocast_type, autocasting
from .errors import ArgumentError, DTypeError

__all__ = ["autocast", "beside", "is_autocast_enabled", "lowered", "widened"]

P = ParamSpec("P")
R = TypeVar("R")
HALVES = ("float16", "bfloat16")


class autocast:
    """Context, or decorator, in which products run in `dtype`, "float16" or "bfloat16": PyTorch's `torch.autocast`.

    `autocast("float16")`, or as PyTorch has it `autocast("cuda", dtype=ts.float16)`: the name of a device is accepted,
    and where the Tensors are decides. A device alone means float16 on a GPU and bfloat16 on the CPU, as in PyTorch.
    Blocks nest; `enabled=False` turns it off inside. A backward walk never casts: its Tensors have their types already.
    **Raises** DTypeError for any other type.
    """

    def __init__(
        self, device_type: Any = "cuda", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        name = getattr(device_type, "name", None) or str(device_type)
        if dtype is None and names_device(name):
            dtype = "bfloat16" if name.partition(":")[0] == "cpu" else "float16"
        elif dtype is None:
            dtype = device_type
        if cache_enabled not in (None, True):
            raise ArgumentError(f"autocast: cache_enabled={cache_enabled!r} is not supported: no cast is kept")
        self.dtype = _half(dtype) if enabled else None
        self._open: list[Any] = []

    def __enter__(self) -> autocast:
        self._open.append(autocasting(self.dtype))
        self._open[-1].__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.pop().__exit__(*error)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return run


def _half(dtype: Any) -> np.dtype[Any]:
    import ml_dtypes  # noqa: F401  so that NumPy knows the name bfloat16

    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in HALVES:
        raise DTypeError(f"autocast: dtype must be 'float16' or 'bfloat16', got {dtype!r}")
    return found


def is_autocast_enabled(device_type: Any = None) -> bool:
    """Whether `autocast` is in force on this thread."""
    return autocast_type() is not None


def lowered(function: Callable[P, R]) -> Callable[P, R]:
    """The function, inside `autocast` on Tensors of the half type."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        dtype = autocast_type()
        return function(*args, **kwargs) if dtype is None else _cast(function, dtype, args, kwargs)

    return run


def widened(function: Callable[P, R]) -> Callable[P, R]:
    """The function, inside `autocast` on Tensors of float32, where they are of a half type."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if autocast_type() is None:
            return function(*args, **kwargs)
        return _cast(function, np.dtype(np.float32), args, kwargs)

    return run


def beside(x: Tensor, *others: Tensor | None) -> tuple[Tensor | None, ...]:
    """Inside `autocast` the others, weights of a layer, in the type of x."""
    if autocast_type() is None:
        return others
    return tuple(t if t is None or t.dtype == x.dtype else t.to(x.dtype) for t in others)


def _cast(function: Any, dtype: np.dtype[Any], args: Any, kwargs: Any) -> Any:
    def cast(value: Any) -> Any:
        if not isinstance(value, Tensor) or not _is_narrow(value.dtype) or value.dtype == dtype:
            return value
        return value.to(dtype)

    with autocasting(None):  # what it is made of has no other type to choose
        return function(*map(cast, args), **{name: cast(value) for name, value in kwargs.items()})


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    """float32 and the half types: float64 was chosen by the user, and stays."""
    return dtype == np.float32 or dtype.name in HALVES
