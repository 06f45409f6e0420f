"""Interpolation on a GPU: `resize.cu`, or `pick.cu` where every output copies one number; with the tables of both."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from ..planes import THREADS, launches, narrow_tiles, tiling
from ..tables import divisor, on_device, remembered
from . import Rows

__all__ = ["pick", "product"]

Array = Any

ROOM = 24576  # bytes of shared memory that let eight blocks share a multiprocessor


def product(x: Array, a: Rows, b: Rows) -> Array:
    """y = A x Bᵀ for every plane of x: `resize` with the taps by output, its adjoint with the taps by input."""
    down, across = _places(a), _places(b)
    if down is not None and across is not None:
        return pick(x, down, across)
    if x.dtype.kind in "iu":
        return product(x.astype(np.float64), a, b).astype(x.dtype)
    y = empty((*x.shape[:-2], a.source.shape[1], b.source.shape[1]), x)
    if x.size == 0 or y.size == 0:
        return np.zeros_like(y)
    wide = np.float64 if x.dtype == np.float64 else np.float32
    most = ROOM // np.dtype(wide).itemsize
    unit = 2 if max(len(a.source), len(b.source)) <= 2 else 4
    a, b = _filled(a, unit), _filled(b, unit)
    plan = _plan(b, most)
    name, widest = ("resize", plan.widest) if plan.widest <= most else ("resize_wide", 0)
    matrices = [argument for m in (a, b) for argument in (on_device(_taps(m, wide), x), len(m.source))]
    hulls = (on_device(plan.hulls, x),) if widest else ()
    for xs, ys in launches(x, y):
        tiles, grid, rows = tiling(xs, ys, plan.log_columns, plan.widest, *((most // widest,) if widest else ()))
        shared = rows * widest * np.dtype(wide).itemsize
        kernel("resize/resize.cu", name, x)(grid, (THREADS,), (xs, ys, *matrices, *hulls, tiles), shared)
    return y


def pick(x: Array, down: np.ndarray, across: np.ndarray, fill: float = 0) -> Array:
    """y[i, j] = x[down[i], across[j]] for every plane of x, `fill` where one is -1. Tables: NumPy, int32."""
    y = empty((*x.shape[:-2], len(down), len(across)), x)
    bits = np.dtype(f"int{8 * x.dtype.itemsize}")
    value = np.array(fill).astype(x.dtype).view(bits)[()]
    tables = on_device(down, x), on_device(across, x)
    for xs, ys in launches(x.view(bits), y.view(bits)):
        tiles, grid, _ = tiling(xs, ys, narrow_tiles(len(across)))
        launch = kernel("resize/pick.cu", "pick", xs, TYPE=bits.name)
        launch(grid, (THREADS,), (xs, ys, *tables, value, tiles))
    return y


# --- tables ----------------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How rows of y are cut into tiles, and for each tile which columns of x it needs; how many the widest needs."""

    log_columns: int
    hulls: np.ndarray
    widest: int


@remembered
def _places(rows: Rows) -> np.ndarray | None:
    """The column that each row copies, -1 for none; None where a row does more than that."""
    source, weight = rows
    if len(source) > 1 or not np.isin(weight, (0, 1)).all():
        return None
    return np.where(weight[0] == 1, source[0].astype(np.int64), -1).astype(np.int32)


@remembered
def _filled(rows: Rows, unit: int) -> Rows:
    """With a multiple of `unit` taps, and under each weight 0 a column that the row, or one before it, reads anyway."""
    taps, count = rows.source.shape
    full = Rows(*(np.zeros((-(-taps // unit) * unit, count), t) for t in (np.int64, np.float64)))
    before = np.maximum.accumulate(np.where(rows.weight.any(0), np.arange(count), 0))
    full.source[:] = rows.source[0, before]
    full.source[:taps] = np.where(rows.weight != 0, rows.source, full.source[:taps])
    full.weight[:taps] = rows.weight
    return full


@remembered
def _taps(rows: Rows, wide: Any) -> np.ndarray:
    """The kernel's `Tap`s."""
    table = np.zeros(rows.source.shape, np.dtype([("source", np.int32), ("weight", wide)], align=True))
    table["source"], table["weight"] = rows
    return table


@remembered
def _plan(b: Rows, most: int) -> _Plan:
    """The widest tiles that waste little, narrower ones where fewer than four rows of what they need would fit."""
    log_columns = narrow_tiles(b.source.shape[1])
    hulls, widest = _hulls(b, log_columns)
    while log_columns > 0 and widest > most // 4:
        log_columns -= 1
        hulls, widest = _hulls(b, log_columns)
    return _Plan(log_columns, hulls, widest)


def _hulls(b: Rows, log_columns: int) -> tuple[np.ndarray, int]:
    """The kernel's `Hull`s, and the columns of the widest."""
    starts = np.arange(0, b.source.shape[1], 1 << log_columns)
    first = np.minimum.reduceat(b.source.min(0), starts)
    columns = np.maximum.reduceat(b.source.max(0), starts) - first + 1
    layout = [("first", np.int32), ("columns", np.int32), ("multiplier", np.uint32), ("shift", np.int32)]
    return np.array([(at, *divisor(int(n))) for at, n in zip(first, columns, strict=True)], layout), int(columns.max())
