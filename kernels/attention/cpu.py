"""Attention on the CPU: a block of rows at a time, with all their scores in the second cache.

Of a head, keys and values are copied into panels once; then every product is a run of tiles, and the softmax between
two products finds its rows in the cache. Nothing of size L x S is ever in memory, and the backward computes its shares
once more rather than read them.
"""

from __future__ import annotations

import numpy as np

from ..backend import native
from ..elementwise.exponential import exp
from ..jit import get_num_threads, parallel, prange, serial
from ..panels import add_panels, copy_panels
from ..simd import BYTES, whole, whole_registers
from ..softmax.cpu_loss import LANES, largest_of

__all__ = ["forward", "grad"]

SCORES = 1 << 17  # bytes of the scores of a block, of which the backward has two


def forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, causal: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the family's docstring."""
    q, k, v = native(q), native(k), native(v)
    y = np.empty((*q.shape[:2], v.shape[2]), q.dtype)
    top, total = (np.empty(q.shape[:2], q.dtype) for _ in range(2))
    _forward(q, k, v, y, top, total, q.dtype.type(scale), causal, _block(q, k), _pieces(q))
    return y, top, total


def grad(
    gy: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    top: np.ndarray,
    total: np.ndarray,
    scale: float,
    causal: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """See the family's docstring. Each piece of the rows has sums of its own for keys and values, added in order."""
    gy, q, k, v = native(gy), native(q), native(k), native(v)
    pieces = _pieces(q)
    gq, gk, gv = np.empty_like(q), *(np.empty((len(t), pieces, *t.shape[1:]), t.dtype) for t in (k, v))
    _grad(gy, q, k, v, top, total, gq, gk, gv, q.dtype.type(scale), causal, _block(q, k))
    return (gq, gk[:, 0], gv[:, 0]) if pieces == 1 else (gq, gk.sum(axis=1), gv.sum(axis=1))


def _block(q: np.ndarray, k: np.ndarray) -> int:
    """How many rows at a time, by fours: those of a tile."""
    rows = SCORES // (whole(k.shape[1], k.dtype) * k.itemsize) // 4 * 4
    return min(max(rows, 8), 128, q.shape[1])


def _pieces(q: np.ndarray) -> int:
    """Into how many runs of rows a head is cut, so that there is work for all threads."""
    threads = get_num_threads()
    return 1 if len(q) % threads == 0 or len(q) >= 4 * threads else min(threads, q.shape[1])


@parallel
def _forward(q, k, v, y, top, total, scale, causal, block, pieces):
    for task in prange(len(q) * pieces):
        n, piece, length = task // pieces, task % pieces, q.shape[1]
        _attend(q[n], k[n], v[n], y[n], top[n], total[n], piece * length // pieces, (piece + 1) * length // pieces,
                scale, causal, block)  # fmt: skip


@serial
def _attend(q, k, v, y, top, total, first, last, scale, causal, block):
    """Rows first..last-1 of one head."""
    size, (source, breadth) = q.shape[1], v.shape
    pitch, line = _pitch(source, y.itemsize), whole_registers(breadth, y.itemsize)
    keys, values = np.empty(size * pitch, y.dtype), np.empty(source * line, y.dtype)
    copy_panels(k.reshape(-1), 0, 1, size, size, source, keys)
    copy_panels(v.reshape(-1), 0, breadth, 1, source, breadth, values)
    rows, scores = np.empty(block * size, y.dtype), np.empty(block * pitch, y.dtype)
    sums, lanes = np.empty(block * line, y.dtype), np.empty(LANES, y.dtype)
    for start in range(first, last, block):
        high = min(block, last - start)
        seen = min(source, start + high) if causal else source
        _scaled(q, start, high, scale, rows)
        add_panels(rows, 0, size, 1, high, size, keys, size, source, scores, pitch, seen, 0)
        for i in range(high):
            here = min(seen, start + i + 1) if causal else seen
            top[start + i], total[start + i] = _exponentials(scores[i * pitch : i * pitch + seen], here, lanes)
        add_panels(scores, 0, pitch, 1, high, seen, values, source, breadth, sums, line, breadth, 0)
        for i in range(high):
            _put(sums[i * line : i * line + breadth], 1 / total[start + i], y[start + i])


@parallel
def _grad(gy, q, k, v, top, total, gq, gk, gv, scale, causal, block):
    pieces = gk.shape[1]
    for task in prange(len(q) * pieces):
        n, piece, length = task // pieces, task % pieces, q.shape[1]
        _attend_grad(gy[n], q[n], k[n], v[n], top[n], total[n], gq[n], gk[n, piece], gv[n, piece],
                     piece * length // pieces, (piece + 1) * length // pieces, scale, causal, block)  # fmt: skip


@serial
def _attend_grad(gy, q, k, v, top, total, gq, gk, gv, first, last, scale, causal, block):
    """Rows first..last-1 of one head: their gq, and what they add to gk and gv."""
    size, (source, breadth), kind = q.shape[1], v.shape, q.dtype
    pitch = _pitch(source, q.itemsize)
    line, wide = whole_registers(size, q.itemsize), whole_registers(breadth, q.itemsize)
    keys, turned_keys = np.empty(source * line, kind), np.empty(size * pitch, kind)
    turned_values = np.empty(breadth * pitch, kind)
    copy_panels(k.reshape(-1), 0, size, 1, source, size, keys)
    copy_panels(k.reshape(-1), 0, 1, size, size, source, turned_keys)
    copy_panels(v.reshape(-1), 0, 1, breadth, breadth, source, turned_values)
    rows, some = np.empty(block * size, kind), np.empty(block * max(line, wide), kind)
    shares, changes = np.empty(block * pitch, kind), np.empty(block * pitch, kind)
    for_keys, for_values = np.zeros(source * line, kind), np.zeros(source * wide, kind)
    for start in range(first, last, block):
        high = min(block, last - start)
        seen = min(source, start + high) if causal else source
        _scaled(q, start, high, scale, rows)
        add_panels(rows, 0, size, 1, high, size, turned_keys, size, source, shares, pitch, seen, 0)
        add_panels(gy.reshape(-1), start * breadth, breadth, 1, high, breadth, turned_values, breadth, source,
                   changes, pitch, seen, 0)  # fmt: skip
        for i in range(high):
            at, here = i * pitch, min(seen, start + i + 1) if causal else seen
            _softmax_grad(shares[at : at + seen], changes[at : at + seen], here, top[start + i], total[start + i])
        copy_panels(gy.reshape(-1), start * breadth, breadth, 1, high, breadth, some)
        add_panels(shares, 0, 1, pitch, seen, high, some, high, breadth, for_values, wide, breadth, 1)
        copy_panels(rows, 0, size, 1, high, size, some)
        add_panels(changes, 0, 1, pitch, seen, high, some, high, size, for_keys, line, size, 1)
        add_panels(changes, 0, pitch, 1, high, seen, keys, source, size, some, line, size, 0)
        for i in range(high):
            _put(some[i * line : i * line + size], scale, gq[start + i])
    one = kind.type(1)
    for j in range(source):
        _put(for_keys[j * line : j * line + size], one, gk[j])
        _put(for_values[j * wide : j * wide + breadth], one, gv[j])


@serial
def _pitch(source, itemsize):
    """From a row of scores to the next: no power of two, where a column of all rows would share one set of a cache."""
    return whole_registers(source, itemsize) + BYTES // itemsize


@serial
def _scaled(q, start, high, scale, rows):
    size = q.shape[1]
    for i in range(high):
        for e in range(size):
            rows[i * size + e] = scale * q[start + i, e]


@serial
def _put(source, factor, target):
    for j in range(target.size):
        target[j] = factor * source[j]


@serial
def _exponentials(row, seen, lanes):
    """row = e^(row − top), and 0 from `seen` on; returns top, the largest, and the total."""
    top, total = largest_of(row[:seen], lanes), row.dtype.type(0)
    for j in range(seen):
        row[j] = exp(row[j] - top)
        total += row[j]
    row[seen:] = 0
    return top, total


@serial
def _softmax_grad(shares, changes, seen, top, total):
    """shares = e^(scores − top) / total, changes = shares (changes − Σ shares changes); both 0 from `seen` on."""
    mean, factor = shares.dtype.type(0), 1 / total
    for j in range(seen):
        shares[j] = exp(shares[j] - top) * factor
        mean += shares[j] * changes[j]
    for j in range(seen):
        changes[j] = shares[j] * (changes[j] - mean)
    shares[seen:] = 0
    changes[seen:] = 0
