"""Loops written in LLVM's language, compiled once a process, and called by kernels through their names.

Numba compiles a function that a kernel calls into that kernel, each time again. For the large loops of `tiles.py`,
which a dozen kernels share, that was half of all the time spent on compiling; and left to the optimiser together with
the code around them they do not always come out as they were written. So they are modules of their own.

    @machine_code
    def copy(code, source, target, ...): ...     writes instructions through `code`; all arguments are integers

    call(copy, builder, dtype, source, ...)      inside an intrinsic

Import it only from modules with kernels.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir

from .jit import JIT

__all__ = ["BYTES", "INT", "REGISTERS", "Code", "call", "machine_code"]

_FEATURES: Any = binding.get_host_cpu_features() if JIT else {}
_AVX512, _AVX2 = (bool(_FEATURES.get(name)) for name in ("avx512f", "avx2"))
BYTES = 64 if _AVX512 else 32 if _AVX2 else 16  # of a register,
REGISTERS = 16 if _AVX2 and not _AVX512 else 32  # and how many there are

INT, _LANE = ir.IntType(64), ir.IntType(32)
_ELEMENTS = ir.FloatType(), ir.DoubleType()
_engines: list[Any] = []  # they own the code


class Code:
    """What a function is put together from: an LLVM builder that knows its element type."""

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder, self.element = builder, element
        self.size = 4 if element == _ELEMENTS[0] else 8
        self.count = BYTES // self.size
        self.kind = ir.VectorType(element, self.count)

    def pointer(self, address: Any, kind: Any = None) -> Any:
        """An address as a pointer to elements, or to another type."""
        return self.builder.inttoptr(address, (kind or self.element).as_pointer())

    def number(self, table: Any, index: Any) -> Any:
        """Element `index` of a table of integers."""
        return self.builder.load(self.builder.gep(table, [index]))

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
        kind = ir.FunctionType(self.kind, [self.kind] * 3)
        return self.builder.call(_declared(self.builder, f"llvm.fma.v{self.count}f{8 * self.size}", kind), [u, v, w])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.builder, name)


def _declared(builder: Any, name: str, kind: Any) -> Any:
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def _symbol(written: Callable[..., None], element: Any) -> str:
    return f"tinyseg{written.__name__}_{element}"


def _type(arguments: int) -> Any:
    return ir.FunctionType(ir.VoidType(), [INT] * arguments)


def machine_code(write: Callable[..., None]) -> Callable[..., None]:
    """Compile what `write(code, *arguments)` writes, for float and double."""
    if not JIT:
        return write
    module = ir.Module(write.__name__)
    module.triple = binding.get_process_triple()
    for element in _ELEMENTS:
        kind = _type(len(inspect.signature(write).parameters) - 1)
        function = ir.Function(module, kind, _symbol(write, element))
        code = Code(ir.IRBuilder(function.append_basic_block()), element)
        write(code, *function.args)
        code.ret_void()
    target = binding.Target.from_triple(module.triple).create_target_machine(
        cpu=binding.get_host_cpu_name(), features=_FEATURES.flatten(), opt=3, jit=True
    )
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(module)), target)
    engine.finalize_object()
    for element in _ELEMENTS:
        symbol = _symbol(write, element)
        binding.add_symbol(symbol, engine.get_function_address(symbol))
    _engines.append(engine)
    return write


def call(written: Callable[..., None], builder: Any, dtype: Any, *arguments: Any) -> None:
    """Call compiled code inside an intrinsic; kernels find it by its name, also those that come from the cache."""
    symbol = _symbol(written, _ELEMENTS[dtype.bitwidth == 64])
    builder.call(_declared(builder, symbol, _type(len(arguments))), arguments)
