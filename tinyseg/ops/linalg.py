"""Matrix products. One op with two transposition flags is closed under differentiation, to every order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..casting import lowered
from ..engine import Array, Op, Tensor
from ..errors import ArgumentError, DTypeError, ShapeError
from ..kernels import matmul as kernel
from .checks import axis, check_broadcast, is_float, same_kind, tensor_arg
from .halves import in_float32
from .shape import SumTo, permute, reshape, sum_to


class MatMul(Op):
    """y = op(a) op(b) over the last two axes, where op transposes if its flag is set; leading axes broadcast"""

    ta: bool = False
    tb: bool = False
    saves = {"a": "b", "b": "a"}

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        if a.shape[:-2] != b.shape[:-2]:
            lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            a, b = (np.broadcast_to(m, (*lead, *m.shape[-2:])) for m in (a, b))
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


class Linear(Op):
    """y = x wᵀ + b for rows x; half types are multiplied and added in float32, and rounded once"""

    saves = {"x": "w", "w": "x"}

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        y = kernel.matmul(x, w.swapaxes(0, 1), wide=True)
        y += b
        return y.astype(x.dtype, copy=False)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.saved
        gx = MatMul()(gy, w) if self.needs[0] else None
        gw = MatMul(ta=True)(gy, x) if self.needs[1] else None
        return gx, gw, SumTo(gy.shape[1:])(gy) if self.needs[2] else None


@lowered
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


@lowered
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
    rows = x if x.ndim == 2 else reshape(x, math.prod(x.shape[:-1]), x.shape[-1])
    y = MatMul(tb=True)(rows, weight) if bias is None else Linear()(rows, weight, bias)
    return y if x.ndim == 2 else reshape(y, *x.shape[:-1], weight.shape[0])


def _shaped(caller: str, **expected: tuple[Any, int]) -> list[Tensor]:
    """The Tensors, checked for their type, device and number of axes."""
    same_kind(caller, **{name: tensor_arg(caller, name, t) for name, (t, _) in expected.items()})
    for name, (t, ndim) in expected.items():
        if t.ndim != ndim:
            raise ShapeError(f"{caller}: {name} must have {ndim} axes, got shape {t.shape}")
    return [t for t, _ in expected.values()]


def _product(caller: str, name: str, a: Tensor, b: Tensor) -> Tensor:
    """a @ b, checked so that the message has the caller's name."""
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0] or a.shape[:-2] != b.shape[:-2]:
        raise ShapeError(f"{caller}: shapes {a.shape} and {b.shape} ({name}) do not multiply")
    return matmul(a, b)


@lowered
def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """The product of two matrices, (N, K) and (K, M)."""
    return _product("mm", "mat2", *_shaped("mm", input=(input, 2), mat2=(mat2, 2)))


@lowered
def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """The products of two batches of matrices, (B, N, K) and (B, K, M)."""
    return _product("bmm", "mat2", *_shaped("bmm", input=(input, 3), mat2=(mat2, 3)))


@lowered
def mv(input: Tensor, vec: Tensor) -> Tensor:
    """The product of a matrix (N, K) and a vector (K,)."""
    return _product("mv", "vec", *_shaped("mv", input=(input, 2), vec=(vec, 1)))


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """The sum of the products of two vectors of one size."""
    return _product("dot", "tensor", *_shaped("dot", input=(input, 1), tensor=(tensor, 1)))


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y[i, j] = input[i] · vec2[j]."""
    a, b = tensor_arg("outer", "input", input), tensor_arg("outer", "vec2", vec2)
    for name, t in (("input", a), ("vec2", b)):
        if t.ndim != 1:
            raise ShapeError(f"outer: {name} must be a vector, got shape {t.shape}")
    return reshape(a, -1, 1) * b


@in_float32
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """The sum of products over pairs of axes: the last `dims` of a with the first of b, or ([of a], [of b])."""
    caller = "tensordot"
    same_kind(caller, a=a, b=b)
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ArgumentError(f"{caller}: dims must be between 0 and {min(a.ndim, b.ndim)}, got {dims}")
        dims = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    pairs = dims.tolist() if isinstance(dims, Tensor) else dims
    left, right = ([axis(caller, d, t.ndim) for d in ds] for ds, t in zip(pairs, (a, b), strict=True))
    if len(left) != len(right) or len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ShapeError(f"{caller}: axes {left} of {a.shape} and {right} of {b.shape} (dims) do not pair up")
    for i, j in zip(left, right, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise ShapeError(f"{caller}: axis {i} of {a.shape} and {j} of {b.shape} (dims) differ in size")
        if a.shape[i] != b.shape[j]:  # a size of 1 is stretched
            a, b = sum_to(a, _shrunk(a, i, b.shape[j])), sum_to(b, _shrunk(b, j, a.shape[i]))
    rows, columns = ([i for i in range(t.ndim) if i not in used] for t, used in ((a, left), (b, right)))
    count = math.prod(a.shape[i] for i in left)
    outer_shape = [a.shape[i] for i in rows], [b.shape[i] for i in columns]
    first = reshape(permute(a, rows + left), math.prod(outer_shape[0]), count)
    second = reshape(permute(b, right + columns), count, math.prod(outer_shape[1]))
    return reshape(matmul(first, second), (*outer_shape[0], *outer_shape[1]))


def _shrunk(t: Tensor, place: int, size: int) -> tuple[int, ...]:
    """The shape of t with an axis of 1 where its partner has one."""
    return tuple(min(n, size) if i == place else n for i, n in enumerate(t.shape))


@in_float32
def inner(input: Tensor, other: Tensor) -> Tensor:
    """The sum of products over the last axis of both: y[i, j] = Σ_k input[i, k] · other[j, k]; a number multiplies."""
    same_kind("inner", input=input, other=other)
    if not input.ndim or not other.ndim:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(f"inner: input {input.shape} and other {other.shape} differ in their last axis")
    return tensordot(input, other, ([-1], [-1]))


@lowered
@in_float32
def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta · input + alpha · mat1 @ mat2; input broadcasts to the product, and with beta 0 is not looked at."""
    a, b = _shaped("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return _added("addmm", input, _product("addmm", "mat1, mat2", a, b), beta, alpha)


@lowered
@in_float32
def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta · input + alpha · batch1 @ batch2; input broadcasts to the products, and with beta 0 is not looked at."""
    a, b = _shaped("baddbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    return _added("baddbmm", input, _product("baddbmm", "batch1, batch2", a, b), beta, alpha)


def _added(caller: str, input: Any, product: Tensor, beta: float, alpha: float) -> Tensor:
    x = tensor_arg(caller, "input", input)
    same_kind(caller, input=x, product=product)
    if check_broadcast(caller, x.shape, product.shape) != product.shape:
        raise ShapeError(f"{caller}: input {x.shape} does not stretch to the product's shape {product.shape}")
    if not is_float(x.dtype) and any(isinstance(n, float) for n in (beta, alpha)):
        raise DTypeError(f"{caller}: beta and alpha must be integers for an input of type {x.dtype}")
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product
