"""Sorting: the order is found on the arrays, and the values are gathered by it, which gives their gradient."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..devices import array_module
from ..engine import Array, Tensor
from ..errors import ArgumentError
from .checks import axis, integer, tensor_arg
from .indexing import Gather
from .shape import reshape


class Sorted(NamedTuple):
    """What `sort` and `topk` return."""

    values: Tensor
    indices: Tensor


def _order(x: Array, place: int, descending: bool) -> Array:
    """Places of the elements in order, equal ones as they stood; NaN counts as the largest."""
    xp = array_module(x)
    if not descending:
        return xp.argsort(x, axis=place, kind="stable").astype(np.int64, copy=False)
    backward = xp.argsort(xp.flip(x, place), axis=place, kind="stable")  # of equal ones the last comes first
    return (x.shape[place] - 1 - xp.flip(backward, place)).astype(np.int64, copy=False)


def _picked(x: Tensor, indices: Array, place: int) -> Sorted:
    if x.ndim == 0:
        return Sorted(reshape(x, ()).clone(), Tensor(indices.reshape(())))
    indices = array_module(indices).ascontiguousarray(indices)
    return Sorted(Gather(indices, place)(x), Tensor(indices))


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False) -> Sorted:
    """The elements in order along axis `dim`, as (values, indices); equal elements always keep their order."""
    x = tensor_arg("sort", "input", input)
    place = axis("sort", dim, x.ndim)
    return _picked(x, _order(x.data.reshape(x.shape or (1,)), place, descending), place)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False) -> Tensor:
    """The places of the elements in order along axis `dim`; equal elements always keep their order."""
    x = tensor_arg("argsort", "input", input)
    place = axis("argsort", dim, x.ndim)
    return Tensor(_order(x.data.reshape(x.shape or (1,)), place, descending).reshape(x.shape))


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The `k` largest (or smallest) elements along axis `dim`, as (values, indices), in order in any case."""
    x = tensor_arg("topk", "input", input)
    place = axis("topk", dim, x.ndim)
    n = x.shape[place] if x.ndim else 1
    k = integer("topk", "k", k)
    if not 0 <= k <= n:
        raise ArgumentError(f"topk: k must be between 0 and {n}, the size of axis {place}, got {k}")
    order = _order(x.data.reshape(x.shape or (1,)), place, largest)
    kept = slice(0, k if x.ndim else 1)  # what has no axis to cut is its own top, as in PyTorch
    return _picked(x, order[(*(slice(None),) * place, kept)], place)
