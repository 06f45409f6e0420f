"""Rows of a table by number: embedding, and one_hot, the table that is the identity."""

from __future__ import annotations

import numpy as np

from ..devices import array_module
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, BoundsError, DTypeError, ShapeError
from .checks import integer, is_float, tensor_arg
from .indexing import IndexAdd
from .shape import reshape


class Embedding(Op):
    """y[i] = w[index[i]]; row i of the gradient counts `share[i]` times (None: once)"""

    index: Array
    share: Array | None

    def forward(self, w: Array) -> Array:
        self.rows = w.shape[0]
        return w.take(self.index, axis=0)

    def backward(self, gy: Tensor) -> Tensor:
        counted = gy if self.share is None else gy * Tensor(self.share.astype(gy.dtype)[:, None])
        return IndexAdd(self.index, 0, self.rows)(counted)


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: a row of the table for each number. The gradient sums the rows of equal numbers, in their order.

    Row `padding_idx` gets no gradient. `max_norm` first shortens, in place, the rows that are used and whose
    norm of order `norm_type` is larger; `scale_grad_by_freq` divides a row's gradient by how often it is used.

    **Shapes** input (*), integers; weight (V, D); y (*, D).
    **Raises** ShapeError, DTypeError, BoundsError for a number outside [0, V), ArgumentError for `sparse`.
    """
    numbers, table = tensor_arg("embedding", "input", input), tensor_arg("embedding", "weight", weight)
    if table.ndim != 2:
        raise ShapeError(f"embedding: weight must be (V, D), got shape {table.shape}")
    if sparse:
        raise ArgumentError("embedding: sparse=True is not supported; gradients are dense")
    index = _numbers("embedding", numbers, table.shape[0]).reshape(-1)
    if padding_idx is not None and not -table.shape[0] <= padding_idx < table.shape[0]:
        raise BoundsError(f"embedding: padding_idx {padding_idx} is outside a weight of {table.shape[0]} rows")
    if max_norm is not None:
        _shorten(table, index, max_norm, norm_type)
    share = None
    xp = array_module(index)
    if scale_grad_by_freq:
        share = 1.0 / xp.maximum(xp.bincount(index, minlength=table.shape[0]), 1)[index]
    if padding_idx is not None:
        kept = index != padding_idx % table.shape[0]
        share = kept if share is None else share * kept
    return reshape(Embedding(index, share)(table), *numbers.shape, table.shape[1])


def _numbers(caller: str, input: Tensor, count: int) -> Array:
    """Row numbers, checked, as an array of their own: the caller may refill the Tensor before backward."""
    if input.dtype.kind not in "iu":
        raise DTypeError(f"{caller}: input must be integers, got {input.dtype}")
    values = input.data.astype(np.int64)
    if values.size and not (int(values.min()) >= 0 and int(values.max()) < count):
        raise BoundsError(f"{caller}: input runs from {values.min()} to {values.max()}, weight has {count} rows")
    return values


def _shorten(table: Tensor, index: Array, max_norm: float, norm_type: float) -> None:
    """Scale the rows at `index` whose norm is above `max_norm` down to it, outside the graph."""
    xp = array_module(table.data)
    used = xp.unique(index)
    rows = table.data[used]
    norms = xp.linalg.norm(rows if is_float(rows.dtype) else rows.astype(np.float32), norm_type, axis=1, keepdims=True)
    values = table.data.copy()
    values[used] = xp.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)  # 1e-7 is PyTorch's
    table.detach().assign_(values)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """1 at each class's place and 0 elsewhere, along a new last axis of `num_classes` (-1: the largest class + 1).

    **Shapes** tensor (*), int64; y (*, num_classes), int64. **Raises** DTypeError, BoundsError, ShapeError.
    """
    t = tensor_arg("one_hot", "tensor", tensor)
    if t.dtype != np.int64:
        raise DTypeError(f"one_hot: tensor must be int64 classes, got {t.dtype}")
    num_classes = integer("one_hot", "num_classes", num_classes)
    if t.data.size == 0 and num_classes <= 0:
        raise ShapeError(f"one_hot: num_classes must be given where tensor is empty, got shape {t.shape}")
    count = int(t.data.max()) + 1 if num_classes == -1 else num_classes
    if t.data.size and not (int(t.data.min()) >= 0 and int(t.data.max()) < count):
        raise BoundsError(
            f"one_hot: tensor holds classes {t.data.min()} to {t.data.max()}, num_classes is {num_classes}"
        )
    return Tensor((t.data[..., None] == array_module(t.data).arange(count)).astype(np.int64))
