"""Element-wise kernels on a GPU: one pass over memory each, 16 bytes a thread at a time (`pack.cuh`).

Two things are left to array expressions. `select` of operands that broadcast is NumPy's `where`, which CuPy computes in
one pass as well. The updates of arrays that are not contiguous, or of a type without a kernel, go through `arrays.py`,
because they write in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..launch import TYPES, empty, kernel
from . import arrays

__all__ = [
    "activate", "activate_grad", "adam", "glu", "glu_grad", "loss", "loss_grad", "loss_sum", "rmsprop", "scale",
    "select", "sgd",
]  # fmt: skip

THREADS = 256
PACK = 16  # bytes that a thread moves at once
MOST_BLOCKS = 1 << 14  # then each thread goes on with the next pack: 64 MB of each array are under way before that
SUMS = 1 << 10  # blocks that share a sum

ACTIVATIONS = ("relu", "sigmoid", "silu", "gelu", "gelu_tanh")  # in the order of activations.cu
CURVES = ("leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "elu", "softplus", "mish")  # of curves.cu
LOSSES = ("square", "absolute", "huber", "logistic")  # of losses.cu

Array = Any


def activate(kind: str, x: Array, *settings: float) -> Array:
    """See `kernels.elementwise.activate`."""
    if x.dtype.name not in TYPES:  # integers, which relu takes
        assert kind == "relu", (kind, x.dtype)
        return np.maximum(x, x.dtype.type(0))
    y = empty(x.shape, x)
    _activation("", kind, settings, x, y)
    return y


def activate_grad(kind: str, gy: Array, saved: Array, *settings: float) -> Array:
    """See `kernels.elementwise.activate_grad`."""
    gx = empty(gy.shape, gy)
    _activation("_grad", kind, settings, gy, saved, gx)
    return gx


def loss(kind: str, x: Array, t: Array, *settings: float) -> Array:
    """See `kernels.elementwise.loss`."""
    y = empty(x.shape, x)
    _launch("losses", "loss", x, x, t, y, np.int64(x.size), *_loss(kind, settings, x))
    return y


def loss_grad(kind: str, gy: Array, x: Array, t: Array, *settings: float) -> Array:
    """See `kernels.elementwise.loss_grad`."""
    gx = empty(x.shape, x)
    one = gy.shape != x.shape
    _launch("losses", "loss_grad", x, gy, x, t, gx, np.int64(x.size), one, *_loss(kind, settings, x))
    return gx


def loss_sum(kind: str, x: Array, t: Array, *settings: float) -> Array:
    """See `kernels.elementwise.loss_sum`; of half types in float32."""
    if x.size == 0:
        return np.zeros_like(empty((), x))
    blocks = min(SUMS, _blocks(x))
    sums, wide = empty((blocks,), x, _wide(x)), empty((), x, _wide(x))
    args = x, t, sums, np.int64(x.size), *_loss(kind, settings, x)
    kernel("elementwise/losses.cu", "loss_sums", x)((blocks,), (THREADS,), args)
    kernel("elementwise/losses.cu", "total", x)((1,), (THREADS,), (sums, wide, blocks))
    return wide


def glu(x: Array) -> Array:
    """See `kernels.elementwise.glu`."""
    outer, _, inner = x.shape
    y = empty((outer, inner), x)
    _launch("parts", "glu", y, x, y, np.int64(y.size), np.int64(inner))
    return y


def glu_grad(gy: Array, x: Array) -> Array:
    """See `kernels.elementwise.glu_grad`."""
    gx = empty(x.shape, x)
    _launch("parts", "glu_grad", gy, gy, x, gx, np.int64(gy.size), np.int64(x.shape[2]))
    return gx


def scale(x: Array, factors: Array) -> Array:
    """See `kernels.elementwise.scale`."""
    y = empty(x.shape, x)
    _launch("parts", "scale", x, x, factors, y, np.int64(x.size), np.int64(x.size // max(1, factors.size)))
    return y


def select(condition: Array, a: Array, b: Array) -> Array:
    """See `kernels.elementwise.select`: one pass where the operands have the result's shape or are single numbers."""
    shape = np.broadcast_shapes(condition.shape, a.shape, b.shape)
    fits = all(v.flags.c_contiguous and (v.shape == shape or v.size == 1) for v in (a, b))
    if not fits or condition.shape != shape or condition.dtype != np.bool_ or a.dtype != b.dtype:
        chosen: Array = np.where(condition, a, b)
        return chosen.astype(a.dtype, copy=False)  # CuPy's `where` has no bfloat16: it gives float32
    y, bits = empty(shape, a), f"u{a.itemsize}"
    if y.size:
        words = (v.reshape(-1).view(bits) for v in (a, b, y))
        args = condition.reshape(-1), *words, np.int64(y.size), a.shape != shape, b.shape != shape
        kernel("elementwise/select.cu", "select", condition, SIZE=a.itemsize)((_blocks(y),), (THREADS,), args)
    return y


def sgd(p: Array, g: Array, buffer: Array | None, *scalars: Any) -> None:
    """See `kernels.elementwise.sgd_update`."""
    _update("sgd", (p, g, buffer), scalars)


def adam(p: Array, g: Array, m: Array, v: Array, v_max: Array | None, *scalars: float) -> None:
    """See `kernels.elementwise.adam_update`."""
    _update("adam", (p, g, m, v, v_max), scalars)


def rmsprop(p: Array, g: Array, square: Array, buffer: Array | None, average: Array | None, *scalars: float) -> None:
    """See `kernels.elementwise.rmsprop_update`."""
    _update("rmsprop", (p, g, square, buffer, average), scalars)


def _update(name: str, given: tuple[Array | None, ...], scalars: tuple[Any, ...]) -> None:
    """Launch, the scalars rounded to the parameter's type as in `arrays.py`."""
    p = given[0]
    assert p is not None
    if p.dtype.name not in TYPES or any(a is not None and not a.flags.c_contiguous for a in given):
        getattr(arrays, name)(*given, *scalars)
        return
    rounded = np.array(scalars, np.float64).astype(p.dtype).tolist()
    _launch("updates", name, p, *given, np.int64(p.size), _numbers(rounded, p))


def _activation(suffix: str, kind: str, settings: tuple[float, ...], *given: Array) -> None:
    x, size = given[0], np.int64(given[0].size)
    if kind in ACTIVATIONS:
        _launch("activations", f"activate{suffix}", x, *given, size, ACTIVATIONS.index(kind))
    else:
        three = _numbers((*settings, 0.0, 0.0, 0.0)[:3], x)
        _launch("curves", f"curve{suffix}", x, *given, size, CURVES.index(kind), three)


def _loss(kind: str, settings: tuple[float, ...], x: Array) -> tuple[int, tuple[Any, ...]]:
    return LOSSES.index(kind), _numbers((*settings, 0.0, 0.0)[:2], x)


def _numbers(values: Any, x: Array) -> tuple[Any, ...]:
    """A struct of scalars in the type that the kernels compute in."""
    return tuple(map(_wide(x), values))


def _wide(x: Array) -> Any:
    return np.float64 if x.dtype == np.float64 else np.float32


def _launch(source: str, name: str, pass_over: Array, *args: Any) -> None:
    if pass_over.size:
        kernel(f"elementwise/{source}.cu", name, pass_over)((_blocks(pass_over),), (THREADS,), args)


def _blocks(pass_over: Array) -> int:
    """As many as give each thread a pack."""
    return min(MOST_BLOCKS, -(-pass_over.nbytes // (PACK * THREADS)))
