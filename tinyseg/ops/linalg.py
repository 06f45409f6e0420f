"""Matrix products. One op with two transposition flags is closed under differentiation, to every order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine import Array, Op, Tensor
from ..errors import ShapeError
from ..kernels import matmul as kernel
from .checks import same_kind, tensor_arg
from .shape import reshape, sum_to


class MatMul(Op):
    """y = op(a) op(b) over the last two axes, where op transposes if its flag is set; leading axes broadcast"""

    ta: bool = False
    tb: bool = False
    saves = {"a": "b", "b": "a"}

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (np.broadcast_to(m, (*lead, *m.shape[-2:])) if m.shape[:-2] != lead else m for m in (a, b))
        return kernel.matmul(a.swapaxes(-1, -2) if self.ta else a, b.swapaxes(-1, -2) if self.tb else b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = self.saved
        ga = gb = None
        if self.needs[0]:
            ga = MatMul(self.tb, True)(b, gy) if self.ta else MatMul(False, not self.tb)(gy, b)
            ga = sum_to(ga, self.shapes[0])
        if self.needs[1]:
            gb = MatMul(True, self.ta)(gy, a) if self.tb else MatMul(not self.ta, False)(a, gy)
            gb = sum_to(gb, self.shapes[1])
        return ga, gb


def matmul(input: Any, other: Any) -> Tensor:
    """input @ other: vectors, matrices, or batches of matrices whose leading axes broadcast."""
    a = tensor_arg("matmul", "input", Tensor(input) if isinstance(input, np.ndarray) else input)
    b = tensor_arg("matmul", "other", Tensor(other) if isinstance(other, np.ndarray) else other)
    same_kind("matmul", input=a, other=b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: both Tensors need at least one axis, got shapes {a.shape} and {b.shape}")
    left = reshape(a, 1, a.shape[0]) if a.ndim == 1 else a
    right = reshape(b, b.shape[0], 1) if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2] or not _leads_broadcast(left.shape[:-2], right.shape[:-2]):
        raise ShapeError(f"matmul: shapes {a.shape} and {b.shape} do not multiply")
    y = MatMul()(left, right)
    if a.ndim == 1:
        y = reshape(y, *y.shape[:-2], y.shape[-1])
    return reshape(y, *y.shape[:-1]) if b.ndim == 1 else y


def _leads_broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = input weightᵀ + bias.

    **Shapes** input (*, in), weight (out, in) or (in,), bias (out,); y (*, out).
    """
    x = tensor_arg("linear", "input", input)
    same_kind("linear", input=x, weight=weight, bias=bias)
    if weight.ndim not in (1, 2) or x.ndim < 1 or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear: input {x.shape} has {x.shape[-1:]} features, weight {weight.shape} expects its last axis"
        )
    if weight.ndim == 1:
        y = matmul(x, weight)
        return y if bias is None else y + bias
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias must have shape {weight.shape[:1]}, got {bias.shape}")
    rows = reshape(x, x.data.size // max(x.shape[-1], 1) if x.shape[-1] else 0, x.shape[-1])
    y = reshape(MatMul(False, True)(rows, weight), *x.shape[:-1], weight.shape[0])
    return y if bias is None else y + bias
