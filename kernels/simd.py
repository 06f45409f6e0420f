"""Registers inside numba kernels. Import it only from modules with kernels.

Numba knows scalars and arrays, and leaves it to LLVM whether a loop over them uses the wide registers. Mostly it does.
Where it does not (many streams at once, sums that have to stay where they are) a kernel says itself what goes into a
register:

    v = load(a, i)             the elements of a flat array from a[i] on, as many as fit
    store(a, i, v)             and back
    u + v, u - v, 2.5 * v      lane by lane

Without the JIT a vector is a small NumPy array, and the same kernels run as plain Python. `tiles.py` builds the two
inner loops of all products on it.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from .jit import JIT, serial

__all__ = ["BYTES", "REGISTERS", "Code", "lanes", "load", "store", "whole", "whole_registers"]

_FEATURES: Any = binding.get_host_cpu_features() if JIT else {}
_AVX512, _AVX2 = (bool(_FEATURES.get(name)) for name in ("avx512f", "avx2"))
BYTES = 64 if _AVX512 else 32 if _AVX2 else 16  # of a register,
REGISTERS = 16 if _AVX2 and not _AVX512 else 32  # and how many there are

_LANE = ir.IntType(32)


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


class Code:
    """What the code of an intrinsic is put together from."""

    def __init__(self, context: Any, builder: Any, element: Any) -> None:
        self.context, self.builder = context, builder
        self.kind = context.get_value_type(Vector(element))
        self.count, self.size = self.kind.count, element.bitwidth // 8

    def pointer(self, kind: Any, array: Any, start: Any) -> Any:
        """To element `start` of a flat array."""
        return self.builder.gep(self.context.make_array(kind)(self.context, self.builder, array).data, [start])

    def load(self, pointer: Any) -> Any:
        """The vector from there on, aligned or not."""
        value = self.builder.load(self.builder.bitcast(pointer, self.kind.as_pointer()))
        value.align = self.size
        return value

    def store(self, value: Any, pointer: Any) -> None:
        self.builder.store(value, self.builder.bitcast(pointer, self.kind.as_pointer())).align = self.size

    def splat(self, scalar: Any) -> Any:
        """The scalar in every lane."""
        one = self.builder.insert_element(ir.Constant(self.kind, ir.Undefined), scalar, _LANE(0))
        return self.shuffle(one, one, [0] * self.count)

    def shuffle(self, u: Any, v: Any, which: list[int]) -> Any:
        """Lanes of u (0, 1, ...) and v (count, count + 1, ...), chosen by number."""
        return self.builder.shuffle_vector(u, v, ir.Constant(ir.VectorType(_LANE, self.count), which))

    def fma(self, u: Any, v: Any, w: Any) -> Any:
        """u·v + w."""
        name = f"llvm.fma.v{self.count}f{8 * self.size}"
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [u, v, w])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.builder, name)


@intrinsic
def _load(typing: Any, a: Any, i: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, a.dtype)
        return code.load(code.pointer(a, *values))

    return Vector(a.dtype)(a, types.intp), generate


@intrinsic
def _store(typing: Any, a: Any, i: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        code = Code(context, builder, a.dtype)
        code.store(values[2], code.pointer(a, *values[:2]))
        return context.get_dummy_value()

    return types.void(a, types.intp, v), generate


@intrinsic
def _times(typing: Any, factor: Any, v: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        scalar = context.cast(builder, values[0], factor, v.dtype)
        return builder.fmul(Code(context, builder, v.dtype).splat(scalar), values[1], flags=["contract"])

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


load: Any = _load if JIT else _plain_load
store: Any = _store if JIT else _plain_store
