"""Registers inside numba kernels. Import it only from modules with kernels.

Numba knows scalars and arrays, and leaves it to LLVM whether a loop over them uses the wide registers. Mostly it does.
Where it does not (many streams at once, sums that have to stay where they are) a kernel says itself what goes into a
register:

    v = load(a, i)             the elements of a flat array from a[i] on, as many as fit
    store(a, i, v)             and back
    load_many(like, a, i, every), store_many(a, i, every, v)
                               a tuple of registers, as many as the tuple `like` has, from places so far apart
    load_at(like, a, at, first, every, i), store_at(a, at, first, every, i, v)
                               the same from the places at[first + k·every] + i
    u + v, u - v, 2.5 * v      lane by lane

Without the JIT a vector is a small NumPy array, and the same kernels run as plain Python.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from .jit import JIT, serial
from .machine import BYTES, INT, Code

__all__ = ["BYTES", "address", "by_length", "lanes", "load", "load_at", "load_many", "store", "store_at",
           "store_many", "whole", "whole_registers"]  # fmt: skip


def lanes(dtype: Any) -> int:
    """How many elements fit into a register."""
    return BYTES // np.dtype(dtype).itemsize


def _whole(count, itemsize):
    lane = BYTES // itemsize
    return -(-count // lane) * lane


whole_registers = serial(_whole)  # inside kernels, where an array says how large its elements are


def whole(count: int, dtype: Any) -> int:
    """`count` rounded up to whole vectors."""
    return int(_whole(count, np.dtype(dtype).itemsize))


# ---------------------------------------------------------------- the type, and what numba does with it


class Vector(types.Type):
    """Numba's type of a vector."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.count = dtype, 8 * BYTES // dtype.bitwidth
        super().__init__(name=f"vector({dtype} x {self.count})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(manager.lookup(kind.dtype).get_data_type(), kind.count))


def _code(context: Any, builder: Any, kind: Any) -> Code:
    return Code(builder, context.get_value_type(kind.dtype))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """To element `start` of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [start])


def address(context: Any, builder: Any, kind: Any, array: Any, start: Any) -> Any:
    """Where element `start` of a flat array stands, for `machine.call`."""
    return builder.ptrtoint(_pointer(context, builder, kind, array, start), INT)


@intrinsic
def _load(typing: Any, a: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _code(context, builder, a).load(_pointer(context, builder, a, *values))

    return Vector(a.dtype)(a, types.intp), generate


@intrinsic
def _store(typing: Any, a: Any, i: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _code(context, builder, a).store(values[2], _pointer(context, builder, a, *values[:2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, v), generate


@intrinsic
def _load_many(typing: Any, like: Any, a: Any, i: Any, every: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, a_, i_, every_ = values
        at = [builder.add(i_, builder.mul(every_, INT(k))) for k in range(len(like))]
        vectors = [_code(context, builder, a).load(_pointer(context, builder, a, a_, start)) for start in at]
        return context.make_tuple(builder, signature.return_type, vectors)

    n = types.intp
    return types.UniTuple(Vector(a.dtype), len(like))(like, a, n, n), generate


@intrinsic
def _store_many(typing: Any, a: Any, i: Any, every: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a_, i_, every_, v_ = values
        for k, vector in enumerate(cgutils.unpack_tuple(builder, v_, len(v))):
            start = builder.add(i_, builder.mul(every_, INT(k)))
            _code(context, builder, a).store(vector, _pointer(context, builder, a, a_, start))
        return context.get_dummy_value()

    n = types.intp
    return types.void(a, n, n, v), generate


@intrinsic
def _load_at(typing: Any, like: Any, a: Any, at: Any, first: Any, every: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, a_, at_, first_, every_, i_ = values
        starts = _places(context, builder, at, at_, len(like), first_, every_, i_)
        vectors = [_code(context, builder, a).load(_pointer(context, builder, a, a_, start)) for start in starts]
        return context.make_tuple(builder, signature.return_type, vectors)

    n = types.intp
    return types.UniTuple(Vector(a.dtype), len(like))(like, a, at, n, n, n), generate


@intrinsic
def _store_at(typing: Any, a: Any, at: Any, first: Any, every: Any, i: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a_, at_, first_, every_, i_, v_ = values
        starts = _places(context, builder, at, at_, len(v), first_, every_, i_)
        for start, vector in zip(starts, cgutils.unpack_tuple(builder, v_, len(v)), strict=True):
            _code(context, builder, a).store(vector, _pointer(context, builder, a, a_, start))
        return context.get_dummy_value()

    n = types.intp
    return types.void(a, at, n, n, n, v), generate


def _places(context: Any, builder: Any, kind: Any, table: Any, count: int, first: Any, every: Any, i: Any) -> list[Any]:
    """table[first + k·every] + i for k < count."""
    numbers = [builder.add(first, builder.mul(every, INT(k))) for k in range(count)]
    return [builder.add(builder.load(_pointer(context, builder, kind, table, number)), i) for number in numbers]


def by_length(versions: dict[int, Any]) -> Any:
    """A function of a tuple, written apart for each length; kernels are compiled with the one they need."""

    def chosen(*arguments: Any) -> Any:
        return versions[len(arguments[0])](*arguments)

    @overload(chosen, strict=False)
    def _overload_chosen(*arguments):
        version = versions[len(arguments[0])]
        return lambda *arguments: version(*arguments)

    return chosen


@intrinsic
def _times(typing: Any, factor: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        scalar = context.cast(builder, values[0], factor, v.dtype)
        return builder.fmul(_code(context, builder, v).splat(scalar), values[1], flags=["contract"])

    return v(factor, v), generate


_scale: Any = _times


def _lanewise(name: str) -> Any:
    @intrinsic
    def function(typing: Any, u: Any, v: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return getattr(builder, name)(*values, flags=["contract"])

        return u(u, u), generate

    return function


_add, _subtract = _lanewise("fadd"), _lanewise("fsub")


@overload(operator.add)
def _overload_add(u, v):
    return (lambda u, v: _add(u, v)) if isinstance(u, Vector) and u == v else None


@overload(operator.sub)
def _overload_sub(u, v):
    return (lambda u, v: _subtract(u, v)) if isinstance(u, Vector) and u == v else None


@overload(operator.mul)
def _overload_mul(u, v):
    return (lambda u, v: _scale(u, v)) if isinstance(u, types.Number) and isinstance(v, Vector) else None


def _plain_load(a, i):
    return a[i : i + BYTES // a.itemsize].copy()


def _plain_store(a, i, v):
    a[i : i + len(v)] = v


def _plain_load_many(like, a, i, every):
    return tuple(_plain_load(a, i + k * every) for k in range(len(like)))


def _plain_load_at(like, a, at, first, every, i):
    return tuple(_plain_load(a, at[first + k * every] + i) for k in range(len(like)))


def _plain_store_at(a, at, first, every, i, v):
    for k, vector in enumerate(v):
        _plain_store(a, at[first + k * every] + i, vector)


def _plain_store_many(a, i, every, v):
    for k, vector in enumerate(v):
        _plain_store(a, i + k * every, vector)


load: Any = _load if JIT else _plain_load
store: Any = _store if JIT else _plain_store
load_many: Any = _load_many if JIT else _plain_load_many
load_at: Any = _load_at if JIT else _plain_load_at
store_at: Any = _store_at if JIT else _plain_store_at
store_many: Any = _store_many if JIT else _plain_store_many
