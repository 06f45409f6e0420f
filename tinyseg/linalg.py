"""PyTorch's `torch.linalg`, as far as it needs no decomposition: norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from .engine import Tensor
from .errors import ArgumentError, ShapeError
from .ops.checks import axes, tensor_arg, wide
from .ops.distance import vector_norm_of
from .ops.reduce import amax, amin

__all__ = ["matrix_norm", "norm", "vector_norm"]


def vector_norm(x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over all elements or the axes `dim`; for ±∞ the extremes of |x|, for 0 how many are not 0."""
    return vector_norm_of("vector_norm", x, ord, dim, keepdim, dtype)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Of the matrices in two axes: 'fro' the root of the sum of squares, ±∞ the extreme row sum of |A|, ±1 column sum.

    **Raises** ArgumentError for 2, -2 and 'nuc', which need singular values.
    """
    return _matrix_norm("matrix_norm", A, ord, dim, keepdim, dtype)


def norm(A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """`matrix_norm` where `ord` is given and the axes are two, else `vector_norm`; without both, of all elements."""
    x = tensor_arg("norm", "A", A)
    if ord is None:
        return vector_norm_of("norm", x, 2, dim, keepdim, dtype)
    if dim is None and x.ndim not in (1, 2):
        raise ShapeError(f"norm: A must be a vector or a matrix where ord is given without dim, got shape {x.shape}")
    places = axes("norm", dim, x.ndim)
    if len(places) == 2:
        return _matrix_norm("norm", x, ord, tuple(range(2)) if dim is None else dim, keepdim, dtype)
    return vector_norm_of("norm", x, ord, dim, keepdim, dtype)


def _matrix_norm(caller: str, A: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    given = tensor_arg(caller, "A", A)
    given = given if dtype is None else given.to(dtype)
    x = wide(given)
    places = [i % x.ndim for i in dim] if len(axes(caller, dim, x.ndim)) == 2 else []
    if not places:
        raise ShapeError(f"{caller}: dim must name two axes of A, got {dim!r} of shape {x.shape}")
    if ord == "fro":
        return vector_norm_of(caller, given, 2, places, keepdim, None)
    if ord not in (1, -1, math.inf, -math.inf):
        raise ArgumentError(f"{caller}: ord must be 'fro', 1, -1, inf or -inf, got {ord!r}; it needs singular values")
    summed, chosen = places if abs(ord) == 1 else reversed(places)
    sums = vector_norm_of(caller, x, 1, summed, True, None)
    if ord > 0 and sums.shape[chosen] == 0:  # the largest of no sums is 0
        y = sums.sum(chosen, True)
    else:
        y = (amax if ord > 0 else amin)(sums, chosen, True)
    return (y if keepdim else y.squeeze(tuple(places))).to(given.dtype)
