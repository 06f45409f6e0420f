"""Norms and distances between vectors: normalize, cosine similarity, pairwise distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..casting import widened
from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, ShapeError
from .checks import axes, check_broadcast, floating, numbers, real, same_kind, tensor_arg, wide
from .choice import clamp, where
from .elementwise import abs_, sign, sqrt, square
from .halves import in_float32
from .linalg import matmul
from .pointwise_loss import reduced, refuse_old
from .reduce import amax, amin, sum
from .shape import broadcast_to, reshape, sum_to, unsqueeze


class PNorm(Op):
    """y = (Σ |x|^p)^(1/p) over axes,  dy/dx = sign x · (|x| / y)^(p-1); 0 where x or y is 0"""

    p: float
    axes: tuple[int, ...]
    keepdim: bool
    saves = {"x": "x", "y": "x"}

    def forward(self, x: Array) -> Array:
        powers = x * x if self.p == 2 else abs(x) ** self.p
        total = powers.sum(axis=self.axes, keepdims=self.keepdim)
        return array_module(x).sqrt(total) if self.p == 2 else total ** (1 / self.p)

    def backward(self, gy: Tensor) -> Tensor:
        x, y = self.saved
        kept = tuple(1 if i in self.axes else n for i, n in enumerate(x.shape))
        y = reshape(y, kept)
        nothing = Tensor(y.data == 0)
        share = where(nothing, 0.0, x / where(nothing, 1.0, y))
        if self.p != 2:
            zero = Tensor(share.data == 0)
            share = where(zero, 0.0, sign(share) * abs_(where(zero, 1.0, share)) ** (self.p - 1))
        return reshape(gy, kept) * share


@widened
@in_float32
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: None = None) -> Tensor:
    """x / max(‖x‖_p, eps) with the norm along axis `dim` (or over several).

    **Raises** ArgumentError, BoundsError, DTypeError.
    """
    if out is not None:
        raise ArgumentError("normalize: out is not supported; results are always new Tensors")
    x = floating("normalize", input)
    return x / clamp(p_norm("normalize", x, p, dim, keepdim=True), min=eps)


def p_norm(caller: str, input: Tensor, p: float, dim: Any, keepdim: bool) -> Tensor:
    """(Σ |x|^p)^(1/p) over axes; for p = ∞ and -∞ the largest and smallest |x|, for p = 0 how many are not 0.

    Where all x are 0 the gradient is 0, PyTorch's choice among the subgradients.
    """
    x = floating(caller, input)
    over = axes(caller, dim, x.ndim)
    numbers(caller, p=p)
    if p == 0:
        return sum(square(sign(x)), over, keepdim)
    if abs(p) == math.inf:
        return (amax if p > 0 else amin)(abs_(x), over, keepdim)
    if p == 1:
        return sum(abs_(x), over, keepdim)
    return PNorm(float(p), over, keepdim)(x)


@widened
def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: None = None, dtype: Any = None
) -> Tensor:
    """`p_norm` over all elements or the axes `dim`: p is a number, or 'fro' for 2.

    **Raises** ArgumentError for 'nuc', which needs singular values.
    """
    if out is not None:
        raise ArgumentError("norm: out is not supported; results are always new Tensors")
    return vector_norm_of("norm", input, 2.0 if p in ("fro", None) else p, dim, keepdim, dtype)


def vector_norm_of(caller: str, input: Tensor, p: Any, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    """`p_norm` in the type `dtype`, of half types computed in float32; integers are refused, as in PyTorch."""
    x = tensor_arg(caller, "input", input)
    x = x if dtype is None else x.to(dtype)
    real(caller, input=x)
    if not isinstance(p, int | float):
        raise ArgumentError(f"{caller}: the order must be a number, got {p!r}; singular values are not offered")
    over = None if isinstance(dim, Sequence) and len(dim) == 0 else dim
    if p < 0 or p == math.inf:
        empty = [i for i in axes(caller, over, x.ndim) if x.shape[i] == 0]
        if empty:
            raise ShapeError(f"{caller}: of order {p} there is no norm of nothing, got shape {x.shape}")
    return p_norm(caller, wide(x), p, over, keepdim).to(x.dtype)


@widened
@in_float32
def dist(input: Tensor, other: Tensor, p: float = 2.0) -> Tensor:
    """‖input - other‖_p over all elements of what they broadcast to."""
    same_kind("dist", input=input, other=other)
    check_broadcast("dist", input.shape, other.shape)
    return vector_norm_of("dist", input - other, p, None, False, None)


class Cdist(Op):
    """y[..., i, j] = ‖a_i - b_j‖, computed row by row;  ga_i = Σ_j gy_ij (a_i - b_j) / y_ij, 0 where y is 0"""

    saves = {"a": "a b", "b": "a b", "y": "a b"}

    def forward(self, a: Array, b: Array) -> Array:
        xp = array_module(a)
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        y = xp.empty((*lead, a.shape[-2], b.shape[-2]), a.dtype)
        for i in range(a.shape[-2]):
            apart = a[..., i : i + 1, :] - b
            y[..., i, :] = xp.sqrt((apart * apart).sum(-1))
        return y

    def backward(self, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b, y = self.saved
        zero = Tensor(y.data == 0)
        share = where(zero, 0.0, gy / where(zero, 1.0, y))
        ga = sum(share, -1, keepdim=True) * a - matmul(share, b) if self.needs[0] else None
        gb = sum(share, -2, keepdim=True).mT * b - matmul(share.mT, a) if self.needs[1] else None
        return (
            ga if ga is None else sum_to(ga, a.shape),
            gb if gb is None else sum_to(gb, b.shape),
        )


@widened
@in_float32
def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """The distances ‖x1_i - x2_j‖_p of all pairs of vectors; `compute_mode` is accepted, and always the exact one used.

    **Shapes** x1 (*, N, D), x2 (*, M, D), leading axes broadcast; y (*, N, M). **Raises** ShapeError, ArgumentError.
    """
    same_kind("cdist", x1=x1, x2=x2)
    real("cdist", x1=x1)
    for name, t in (("x1", x1), ("x2", x2)):
        if t.ndim < 2:
            raise ShapeError(f"cdist: {name} must have at least two axes, got shape {t.shape}")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: x1 {x1.shape} and x2 {x2.shape} differ in their last axis")
    check_broadcast("cdist", x1.shape[:-2], x2.shape[:-2])
    if not p >= 0:
        raise ArgumentError(f"cdist: p must not be negative, got {p}")
    if not x1.shape[-1]:
        return sum(x1, -1, keepdim=True) + sum(x2, -1, keepdim=True).mT
    if p == 2:
        return Cdist()(x1, x2)
    return p_norm("cdist", unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1, keepdim=False)


@widened
@in_float32
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 · x2 / (max(‖x1‖, eps) max(‖x2‖, eps)) along axis `dim`.

    The gradient passes through the bound `eps` unchanged, as in PyTorch.

    **Shapes** x1 and x2 broadcast. **Raises** ShapeError, BoundsError, DTypeError.
    """
    caller = "cosine_similarity"
    same_kind(caller, x1=tensor_arg(caller, "x1", x1), x2=tensor_arg(caller, "x2", x2))
    real(caller, x1=x1)
    shape = check_broadcast(caller, x1.shape, x2.shape)
    a, b = (x if x.shape == shape else broadcast_to(x, *shape) for x in (x1, x2))
    lengths = [p_norm(caller, x, 2, dim, keepdim=True) for x in (a, b)]
    na, nb = (where(Tensor(n.data < eps), n - n.detach() + eps, n) for n in lengths)
    return sum((a / na) * (b / nb), dim)


@widened
@in_float32
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x1 - x2 + eps‖_p along the last axis.

    **Shapes** x1 and x2 broadcast, (N, D) or (D,). **Raises** ShapeError, DTypeError.
    """
    same_kind("pairwise_distance", x1=x1, x2=x2)
    check_broadcast("pairwise_distance", x1.shape, x2.shape)
    return p_norm("pairwise_distance", x1 - x2 + eps, p, -1, keepdim)


@widened
@in_float32
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) for a target of 1, max(0, cos - margin) for -1.

    **Shapes** inputs (N, D) and target (N,), or (D,) and (). **Raises** ShapeError, DTypeError, ArgumentError.
    """
    caller = "cosine_embedding_loss"
    refuse_old(caller, size_average, reduce)
    same_kind(caller, input1=input1, input2=input2)
    target = tensor_arg(caller, "target", target)
    if target.ndim > 1 or {input1.ndim, input2.ndim} != {target.ndim + 1}:
        raise ShapeError(
            f"{caller}: inputs must be (N, D) with target (N,), or (D,) with target (), "
            f"got {input1.shape}, {input2.shape} and {target.shape}"
        )
    check_broadcast(caller, check_broadcast(caller, input1.shape, input2.shape)[:-1], target.shape)
    tiny = 1e-12  # PyTorch's, added to the squared lengths
    lengths = (sum(square(input1), -1) + tiny) * (sum(square(input2), -1) + tiny)
    cosine = sum(input1 * input2, -1) / sqrt(lengths)
    beyond = where(Tensor(cosine.data > margin), cosine - margin, 0.0)
    return reduced(caller, where(target == 1, 1.0 - cosine, where(target == -1, beyond, 0.0)), reduction)
