"""The inner loops of every product and convolution: a tile of sums in registers, a dot product, and a transpose.

    add_products     c[i, j] += Σ_k a[i, k]·b[k, j], the operands laid out by tables of offsets
    dot              Σ a[i]·b[i]
    widen, narrow    channels to the last axis, in whole registers, and back

The tile and the transposes are written in LLVM's language (`machine.py`): a compiler that is given the loops in numba
moves the sums of a tile to and from memory, and then a core does a third of what it can. Import it only from modules
with kernels.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import JIT, serial
from .machine import BYTES, INT, REGISTERS, Code, call, machine_code
from .simd import address

__all__ = ["TILE_ROWS", "TILE_VECTORS", "add_products", "dot", "evenly", "narrow", "widen"]

# TILE_ROWS x TILE_VECTORS registers hold the sums of a tile; beside them stand a row of b and a column of a. With one
# register too few a tile is at half its speed.
TILE_ROWS = 4
TILE_VECTORS = (REGISTERS - TILE_ROWS) // (TILE_ROWS + 1)
TILE_HEIGHTS = (TILE_ROWS, 1)  # for the rows that are left


@serial
def evenly(count, every):
    """The table 0, every, 2·every, ..."""
    table = np.empty(count, np.int64)
    for i in range(count):
        table[i] = i * every
    return table


# ---------------------------------------------------------------- products


def _tile(code: Code, rows: int, vectors: int, a: Any, a_row: Any, a_at: Any, b: Any, b_at: Any, c: Any, c_row: Any,
          depth: Any, keep: Any) -> None:  # fmt: skip
    """The loop over k for one tile of `rows` x `vectors` sums, which live in registers from the first k to the last."""
    each = [(i, j) for i in range(rows) for j in range(vectors)]
    row = [code.gep(a, [code.number(a_row, INT(i))]) for i in range(rows)]
    line_of = [code.gep(c, [code.number(c_row, INT(i))]) for i in range(rows)]
    target = [code.gep(line_of[i], [INT(j * code.count)]) for i, j in each]
    before = code.block
    kept, start, loop, end = (code.append_basic_block(name) for name in ("kept", "start", "loop", "end"))
    code.cbranch(code.icmp_signed("!=", keep, INT(0)), kept, start)

    code.position_at_end(kept)
    held = [code.load(pointer) for pointer in target]
    code.branch(start)

    code.position_at_end(start)
    initial = [code.phi(code.kind) for _ in each]
    for phi, value in zip(initial, held, strict=True):
        phi.add_incoming(ir.Constant(code.kind, None), before)
        phi.add_incoming(value, kept)
    code.branch(loop)

    code.position_at_end(loop)
    k, sums = code.phi(INT), [code.phi(code.kind) for _ in each]
    b_k = code.gep(b, [code.number(b_at, k)])
    line = [code.load(code.gep(b_k, [INT(j * code.count)])) for j in range(vectors)]
    a_k = code.number(a_at, k)
    factor = [code.splat(code.builder.load(code.gep(pointer, [a_k]))) for pointer in row]
    grown = [code.fma(factor[i], line[j], sums[i * vectors + j]) for i, j in each]
    following = code.add(k, INT(1))
    for phi, first, later in zip([k, *sums], [INT(0), *initial], [following, *grown], strict=True):
        phi.add_incoming(first, start)
        phi.add_incoming(later, loop)
    code.cbranch(code.icmp_signed("<", following, depth), loop, end)

    code.position_at_end(end)
    for pointer, value in zip(target, grown, strict=True):
        code.store(value, pointer)


@machine_code
def _add_tile(code: Code, rows: Any, vectors: Any, a: Any, a_row: Any, a_at: Any, b: Any, b_at: Any, c: Any,
              c_row: Any, depth: Any, keep: Any) -> None:  # fmt: skip
    """A tile of `add_products`, of rows and vectors that are known only when it runs: all shapes, and a switch."""
    a, b, c = (code.pointer(address) for address in (a, b, c))
    a_row, a_at, b_at, c_row = (code.pointer(address, INT) for address in (a_row, a_at, b_at, c_row))
    done = code.append_basic_block("done")
    which = code.add(code.mul(rows, INT(TILE_VECTORS + 1)), vectors)
    switch = code.switch(which, done)
    for shape in [(i, j) for i in TILE_HEIGHTS for j in range(1, TILE_VECTORS + 1)]:
        block = code.append_basic_block(f"tile{shape[0]}x{shape[1]}")
        switch.add_case(INT(shape[0] * (TILE_VECTORS + 1) + shape[1]), block)
        code.position_at_end(block)
        _tile(code, *shape, a, a_row, a_at, b, b_at, c, c_row, depth, keep)
        code.branch(done)
    code.position_at_end(done)


@intrinsic
def _called_tile(typing: Any, rows: Any, vectors: Any, a: Any, a_start: Any, a_row: Any, first: Any, a_at: Any, b: Any,
                 b_start: Any, b_at: Any, c: Any, c_start: Any, c_row: Any, keep: Any) -> Any:  # fmt: skip
    """The same for kernels, with arrays."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        rows_, vectors_, a_, a_start_, a_row_, first_, a_at_, b_, b_start_, b_at_, c_, c_start_, c_row_, keep_ = values
        at = functools.partial(address, context, builder)
        zero, depth = INT(0), context.make_array(b_at)(context, builder, b_at_).nitems
        call(_add_tile, builder, c.dtype, rows_, vectors_, at(a, a_, a_start_), at(a_row, a_row_, first_),
             at(a_at, a_at_, zero), at(b, b_, b_start_), at(b_at, b_at_, zero), at(c, c_, c_start_),
             at(c_row, c_row_, first_), depth, keep_)  # fmt: skip
        return context.get_dummy_value()

    n = types.intp
    return types.void(n, n, a, n, a_row, n, a_at, b, n, b_at, c, n, c_row, n), generate


def _plain_tile(rows, vectors, a, a_start, a_row, first, a_at, b, b_start, b_at, c, c_start, c_row, keep):
    width = vectors * (BYTES // c.itemsize)
    for i in range(first, first + rows):
        line = c[c_start + c_row[i] : c_start + c_row[i] + width]
        total = line.copy() if keep else np.zeros_like(line)
        for k in range(len(b_at)):
            total += a[a_start + a_row[i] + a_at[k]] * b[b_start + b_at[k] : b_start + b_at[k] + width]
        line[:] = total


add_tile: Any = _called_tile if JIT else _plain_tile


@serial
def add_products(a, a_start, a_row, a_at, b, b_start, b_at, c, c_start, c_row, rows, vectors, keep):
    """c[i, j] = keep·c[i, j] + Σ_k a[i, k]·b[k, j], each operand in a flat array and laid out as its caller likes.

    c[i, j] stands at c_start + c_row[i] + j, a[i, k] at a_start + a_row[i] + a_at[k], b[k, j] at b_start + b_at[k] + j,
    for i < rows and j < vectors·lanes; there is at least one k. With tables for the offsets this is a product, a
    product by a transpose, or a convolution read in place.
    """
    lane = BYTES // c.itemsize
    panels = -(-vectors // TILE_VECTORS) if len(b_at) else 0
    for p in range(panels):
        first, last = p * vectors // panels, (p + 1) * vectors // panels
        j = first * lane
        i = 0
        for height in TILE_HEIGHTS:
            while i + height <= rows:
                add_tile(height, last - first, a, a_start, a_row, i, a_at, b, b_start + j, b_at,
                          c, c_start + j, c_row, keep)  # fmt: skip
                i += height


@serial
def dot(a, b):
    """Σ a[i]·b[i] over the elements of a: for one row of the result, where a tile would be mostly empty."""
    total = a.dtype.type(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


# ---------------------------------------------------------------- transposes


@machine_code
def _turn(code: Code, a: Any, a_row: Any, rows: Any, b: Any, b_row: Any, columns: Any) -> None:
    """b[j, i] = a[i, j] for a square of a register's width, of which `rows` are read and `columns` written."""
    source, target = code.pointer(a), code.pointer(b)
    zero = ir.Constant(code.kind, None)
    v = []
    for i in range(code.count):
        here = code.block
        with code.if_then(code.icmp_signed("<", INT(i), rows), likely=True):
            value, there = code.load(code.gep(source, [code.mul(a_row, INT(i))])), code.block
        v.append(code.phi(code.kind))
        v[-1].add_incoming(zero, here)
        v[-1].add_incoming(value, there)
    bit = 1
    while bit < code.count:  # rows i and i + bit trade the halves that belong to the other
        low = [e if not e & bit else code.count + e - bit for e in range(code.count)]
        high = [e + bit if not e & bit else code.count + e for e in range(code.count)]
        for i in range(code.count):
            if not i & bit:
                v[i], v[i + bit] = code.shuffle(v[i], v[i + bit], low), code.shuffle(v[i], v[i + bit], high)
        bit *= 2
    for i in range(code.count):
        with code.if_then(code.icmp_signed("<", INT(i), columns), likely=True):
            code.store(v[i], code.gep(target, [code.mul(b_row, INT(i))]))


@intrinsic
def _called_turn(
    typing: Any, a: Any, a_start: Any, a_row: Any, rows: Any, b: Any, b_start: Any, b_row: Any, columns: Any
) -> Any:
    """The same for kernels, with arrays."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        a_, a_start_, a_row_, rows_, b_, b_start_, b_row_, columns_ = values
        at = functools.partial(address, context, builder)
        call(_turn, builder, a.dtype, at(a, a_, a_start_), a_row_, rows_, at(b, b_, b_start_), b_row_, columns_)
        return context.get_dummy_value()

    n = types.intp
    return types.void(a, n, n, n, b, n, n, n), generate


def _plain_turn(a, a_start, a_row, rows, b, b_start, b_row, columns):
    for j in range(columns):
        for i in range(BYTES // a.itemsize):
            b[b_start + j * b_row + i] = a[a_start + i * a_row + j] if i < rows else 0


turn: Any = _called_turn if JIT else _plain_turn


@serial
def widen(a, a_start, a_row, rows, columns, b, b_start, b_row):
    """b[j, i] = a[i, j] for i < rows, j < columns, and 0 up to a whole number of vectors: channels go last.

    a stands at a_start + i·a_row + j, b at b_start + j·b_row + i. Past its last column a is read where a vector still
    fits into its array.
    """
    lane = BYTES // a.itemsize
    for i in range(0, rows, lane):
        height = min(lane, rows - i)
        for j in range(0, columns, lane):
            at = a_start + i * a_row + j
            if at + (height - 1) * a_row + lane <= len(a):
                turn(a, at, a_row, height, b, b_start + j * b_row + i, b_row, min(lane, columns - j))
            else:
                for c in range(min(lane, columns - j)):
                    for r in range(lane):
                        b[b_start + (j + c) * b_row + i + r] = a[at + r * a_row + c] if r < height else 0


@serial
def narrow(a, a_start, a_row, rows, columns, b, b_start, b_row):
    """b[j, i] = a[i, j] for i < rows, j < columns: channels go first again.

    The rows of a are whole vectors, whatever stands past the columns.
    """
    lane = BYTES // a.itemsize
    for i in range(0, rows, lane):
        # the last vectors of a row overlap those before, and what is written twice is the same
        first = i if i + lane <= rows or rows < lane else rows - lane
        for j in range(0, columns, lane):
            at = a_start + first * a_row + j
            if rows >= lane:
                turn(a, at, a_row, lane, b, b_start + j * b_row + first, b_row, min(lane, columns - j))
            else:
                for c in range(min(lane, columns - j)):
                    for r in range(rows):
                        b[b_start + (j + c) * b_row + r] = a[at + r * a_row + c]
