"""NumPy's names of arguments: as PyTorch's, our functions take `axis` for `dim` and `keepdims` for `keepdim`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .errors import ArgumentError

__all__ = ["numpys", "with_numpys_names"]

NAMES = {"axis": "dim", "keepdims": "keepdim"}


@functools.cache
def with_numpys_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, NumPy's names accepted beside its own where it has such arguments."""
    parameters = inspect.signature(function).parameters
    others = {numpys: ours for numpys, ours in NAMES.items() if ours in parameters and numpys not in parameters}
    if not others:
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for numpys in others.keys() & kwargs.keys():
            if others[numpys] in kwargs:
                raise ArgumentError(f"{function.__name__}: give {others[numpys]} or {numpys}, one of them")
            kwargs[others[numpys]] = kwargs.pop(numpys)
        return function(*args, **kwargs)

    return call


def numpys(names: Mapping[str, Any], module: str) -> dict[str, Any]:
    """Those among the names of a module that are functions of the package's ops, with NumPy's names accepted."""
    ours = {n: f for n, f in names.items() if inspect.isfunction(f) and f.__module__.startswith(module)}
    return {name: with_numpys_names(function) for name, function in ours.items()}
