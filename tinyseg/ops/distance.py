"""Norms and distances between vectors: normalize, cosine similarity, pairwise distance."""

from __future__ import annotations

import math
from typing import Any

from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from .checks import axes, check_broadcast, floating, numbers, real, same_kind, tensor_arg
from .elementwise import abs_, clamp, sign, sqrt, square, where
from .halves import in_float32
from .pointwise_loss import reduced, refuse_old
from .reduce import amax, amin, sum
from .shape import broadcast_to


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
    inside = x * x if p == 2 else _power_of_magnitude(x, p)
    total = sum(inside, over, keepdim)
    zero = Tensor(total.data == 0)
    root = where(zero, 1.0, total)
    return where(zero, 0.0, sqrt(root) if p == 2 else root ** (1 / p))


def _power_of_magnitude(x: Tensor, p: float) -> Tensor:
    """|x|^p whose derivative at 0 is 0, also where p is below 1."""
    zero = Tensor(x.data == 0)
    return where(zero, 0.0 if p > 0 else math.inf, abs_(where(zero, 1.0, x)) ** float(p))


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


@in_float32
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x1 - x2 + eps‖_p along the last axis.

    **Shapes** x1 and x2 broadcast, (N, D) or (D,). **Raises** ShapeError, DTypeError.
    """
    same_kind("pairwise_distance", x1=x1, x2=x2)
    check_broadcast("pairwise_distance", x1.shape, x2.shape)
    return p_norm("pairwise_distance", x1 - x2 + eps, p, -1, keepdim)


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
