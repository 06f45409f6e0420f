"""Version 4, Winograd's F(4x4, 3x3): 36 multiplications where a 3x3 convolution of stride 1 has 144.

A 3x3 window over a 6x6 tile of x gives a 4x4 tile of y. Read window and pixels as polynomials, one axis after the
other: a product of polynomials is cheap once they are known by their values at six points, and so are the values:

    Y  = Aᵀ [ Σ_c     (G w Gᵀ) ⊙ (Bᵀ X B) ] A       G w: values of a window, Bᵀ X: of a tile, Aᵀ: back to pixels
    gw = Gᵀ [ Σ_tiles (A gY Aᵀ) ⊙ (Bᵀ X B) ] G      the adjoint in w: the same six values, every matrix transposed

⊙ goes element by element, so each sum is 36 matrix products: (tiles, C)·(C, O), and (C, tiles)·(tiles, O).

The points are 0, ±3/4, ±3/2 and infinity. The usual 0, ±1, ±2, ∞ have rounder constants and three times the error: here
it is some 2e-6 of the largest output in float32, where the plain sum has 0.5e-6 (64 channels). A NaN or an infinity
spreads over its whole tile, and large numbers overflow earlier: where a result is not finite there is none.

Inside a block the channels come last, so that every transform runs over whole registers whatever the size of the image.
**Source**: Lavin & Gray, Fast algorithms for convolutional neural networks, 2016.
"""

from __future__ import annotations

import numba
import numpy as np

from ..jit import parallel, prange, serial
from ..simd import BYTES, load, store, whole, whole_registers
from ..tiles import add_products, evenly, narrow, widen
from . import ConvGeometry, Pair

__all__ = ["applies", "correlate", "correlate_weight", "pays"]

LARGE = 2**14  # windows from which on threads share the channels, and do not each make a sum of their own
P, Q = 0.75, 1.5  # the points
PP, QQ, PPQQ, SUM = P * P, Q * Q, P * P * Q * Q, P * P + Q * Q
G_0, G_P, G_Q = 1 / PPQQ, 1 / (2 * PP * (PP - QQ)), 1 / (2 * QQ * (QQ - PP))

# ---------------------------------------------------------------- one axis: the matrices, even and odd powers apart


@serial
def _from_tile(x0, x1, x2, x3, x4, x5):
    """Bᵀ x."""
    even_p, odd_p = x4 - QQ * x2, P * x3 - (P * QQ) * x1
    even_q, odd_q = x4 - PP * x2, Q * x3 - (Q * PP) * x1
    first, last = PPQQ * x0 - SUM * x2 + x4, PPQQ * x1 - SUM * x3 + x5
    return first, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, last


@serial
def _from_window(w0, w1, w2):
    """G w."""
    even_p, odd_p = G_P * w0 + (G_P * PP) * w2, (G_P * P) * w1
    even_q, odd_q = G_Q * w0 + (G_Q * QQ) * w2, (G_Q * Q) * w1
    return G_0 * w0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, w2


@serial
def _to_window(m0, m1, m2, m3, m4, m5):
    """Gᵀ m."""
    even_p, odd_p, even_q, odd_q = G_P * (m1 + m2), (G_P * P) * (m1 - m2), G_Q * (m3 + m4), (G_Q * Q) * (m3 - m4)
    return G_0 * m0 + even_p + even_q, odd_p + odd_q, PP * even_p + QQ * even_q + m5


@serial
def _to_pixels(m0, m1, m2, m3, m4, m5):
    """Aᵀ m."""
    even_p, odd_p, even_q, odd_q = m1 + m2, P * (m1 - m2), m3 + m4, Q * (m3 - m4)
    return m0 + even_p + even_q, odd_p + odd_q, PP * even_p + QQ * even_q, PP * odd_p + QQ * odd_q + m5


@serial
def _from_pixels(y0, y1, y2, y3):
    """A y."""
    even_p, odd_p = y0 + PP * y2, P * y1 + (P * PP) * y3
    even_q, odd_q = y0 + QQ * y2, Q * y1 + (Q * QQ) * y3
    return y0, even_p + odd_p, even_p - odd_p, even_q + odd_q, even_q - odd_q, y3


# ---------------------------------------------------------------- both axes, a register of channels at a time


@serial
def _load6(a, at, every):
    return (load(a, at), load(a, at + every), load(a, at + 2 * every), load(a, at + 3 * every),
            load(a, at + 4 * every), load(a, at + 5 * every))  # fmt: skip


@serial
def _store6(v, a, at, every):
    store(a, at, v[0])
    store(a, at + every, v[1])
    store(a, at + 2 * every, v[2])
    store(a, at + 3 * every, v[3])
    store(a, at + 4 * every, v[4])
    store(a, at + 5 * every, v[5])


@serial
def _tile_to_values(pixels, at, width, half, values, start, every):
    """values[start + (i, l)·every + c] = Bᵀ X B, where X[r, j] stands at pixels[at[6r + j] + c], for all c < width."""
    lane = BYTES // pixels.itemsize
    for c in range(0, width, lane):
        for j in range(6):
            column = _from_tile(load(pixels, at[j] + c), load(pixels, at[6 + j] + c), load(pixels, at[12 + j] + c),
                                load(pixels, at[18 + j] + c), load(pixels, at[24 + j] + c),
                                load(pixels, at[30 + j] + c))  # fmt: skip
            _store6(column, half, j * lane, 6 * lane)
        for i in range(6):
            row = _from_tile(*_load6(half, 6 * i * lane, lane))
            _store6(row, values, start + 6 * i * every + c, every)


@serial
def _pixels_to_values(pixels, at, width, half, values, start, every):
    """values[start + (i, l)·every + o] = A Y Aᵀ, where Y[r, j] stands at pixels[at[4r + j] + o], for all o < width."""
    lane = BYTES // pixels.itemsize
    for o in range(0, width, lane):
        for j in range(4):
            column = _from_pixels(load(pixels, at[j] + o), load(pixels, at[4 + j] + o), load(pixels, at[8 + j] + o),
                                  load(pixels, at[12 + j] + o))  # fmt: skip
            _store6(column, half, j * lane, 6 * lane)
        for i in range(6):
            h = 6 * i * lane
            row = _from_pixels(load(half, h), load(half, h + lane), load(half, h + 2 * lane), load(half, h + 3 * lane))
            _store6(row, values, start + 6 * i * every + o, every)


@serial
def _values_to_pixels(values, start, every, width, half, bias, pixels, at, doubt):
    """pixels[at[4r + j] + o] = bias[o] + Aᵀ M A for M at values[start + (i, l)·every + o]; doubt is NaN if any is."""
    lane = BYTES // pixels.itemsize
    for o in range(0, width, lane):
        for j in range(6):
            column = _to_pixels(*_load6(values, start + j * every + o, 6 * every))
            store(half, j * lane, column[0])
            store(half, (6 + j) * lane, column[1])
            store(half, (12 + j) * lane, column[2])
            store(half, (18 + j) * lane, column[3])
        b, nothing = load(bias, o), load(doubt, 0)
        for r in range(4):
            row = _to_pixels(*_load6(half, 6 * r * lane, lane))
            store(pixels, at[4 * r] + o, row[0] + b)
            store(pixels, at[4 * r + 1] + o, row[1] + b)
            store(pixels, at[4 * r + 2] + o, row[2] + b)
            store(pixels, at[4 * r + 3] + o, row[3] + b)
            total = row[0] + row[1] + row[2] + row[3]
            nothing = nothing + (total - total)  # 0, or NaN for good
        store(doubt, 0, nothing)


@serial
def _places(top, left, height, width, size, elsewhere, every, at):
    """at[size·r + j] = every · the number of pixel (top + r, left + j) from row max(top, 0) on; or `elsewhere`."""
    for r in range(size):
        for j in range(size):
            inside = 0 <= top + r < height and 0 <= left + j < width
            at[size * r + j] = every * ((top + r - max(top, 0)) * width + left + j if inside else elsewhere)


# ---------------------------------------------------------------- rows of tiles, those of all images in a row


@serial
def _read_tiles(x, c0, c1, first, last, down, across, top, left, strip, half, at, values, every):
    """values[(i, l), tile, c] = Bᵀ X B for the channels c0 ≤ c < c1 of the rows of tiles first ≤ row < last."""
    channels, height, width = x.shape[1:]
    c_width = whole_registers(c1 - c0, x.itemsize)
    for row in range(first, last):
        n, above = row // down, row % down * 4 - top
        start, stop = max(0, above), min(height, above + 6)
        widen(x.reshape(-1), ((n * channels + c0) * height + start) * width, height * width, c1 - c0,
              (stop - start) * width, strip, 0, c_width)  # fmt: skip
        for b in range(across):
            _places(above, 4 * b - left, height, width, 6, 6 * width, c_width, at)
            tile = (row - first) * across + b
            _tile_to_values(strip, at, c_width, half, values, tile * c_width, every)


@serial
def _read_pixels(gy, first, last, down, across, strip, half, at, values, every):
    """values[(i, l), tile, o] = A gY Aᵀ for the rows of tiles first ≤ row < last."""
    outputs, height, width = gy.shape[1:]
    o_width = whole_registers(outputs, gy.itemsize)
    for row in range(first, last):
        n, above = row // down, row % down * 4
        widen(gy.reshape(-1), (n * outputs * height + above) * width, height * width, outputs,
              min(4, height - above) * width, strip, 0, o_width)  # fmt: skip
        for b in range(across):
            _places(above, 4 * b, height, width, 4, 4 * width, o_width, at)
            tile = (row - first) * across + b
            _pixels_to_values(strip, at, o_width, half, values, tile * o_width, every)


@serial
def _write_pixels(values, every, bias, first, last, down, across, strip, half, at, doubt, y):
    """y = bias + Aᵀ M A for the rows of tiles first ≤ row < last."""
    outputs, height, width = y.shape[1:]
    o_width = len(bias)
    for row in range(first, last):
        n, above = row // down, row % down * 4
        for b in range(across):
            _places(above, 4 * b, height, width, 4, 4 * width, o_width, at)
            tile = (row - first) * across + b
            _values_to_pixels(values, tile * o_width, every, o_width, half, bias, strip, at, doubt)
        narrow(strip, 0, o_width, min(4, height - above) * width, outputs, y.reshape(-1),
               (n * outputs * height + above) * width, height * width)  # fmt: skip


@parallel
def _windows_to_values(w, values, threads):
    """values[(i, l), c, o] = G w[o, c] Gᵀ for w (O, C, 3, 3), a view in any order; o in whole registers."""
    outputs, channels = w.shape[:2]
    width, lane = values.shape[2], BYTES // w.itemsize
    every = channels * width
    flat = values.reshape(-1)
    for t in prange(threads):
        line = np.zeros(9 * width, w.dtype)
        half = np.empty(18 * lane, w.dtype)
        for c in range(t * channels // threads, (t + 1) * channels // threads):
            for o in range(outputs):
                for p in range(3):
                    for q in range(3):
                        line[(3 * p + q) * width + o] = w[o, c, p, q]
            for o in range(0, width, lane):
                for q in range(3):
                    at = q * width + o
                    column = _from_window(load(line, at), load(line, at + 3 * width), load(line, at + 6 * width))
                    _store6(column, half, q * lane, 3 * lane)
                for i in range(6):
                    h = 3 * i * lane
                    row = _from_window(load(half, h), load(half, h + lane), load(half, h + 2 * lane))
                    _store6(row, flat, 6 * i * every + c * width + o, every)


@parallel
def _correlate(x, windows, bias, top, left, y, rows_per_block, threads):
    """y[n, o, i, j] = bias[o] + Σ w[o, c, p, q] · x[n, c, i + p − top, j + q − left]; returns whether all is finite.

    `windows` (36, C, O) are the values of w, with o and bias in whole registers. A thread takes a run of blocks, each
    some rows of tiles: values of the tiles, 36 products, pixels.
    """
    batch, channels, _, width = x.shape
    out_height, out_width = y.shape[2:]
    lane = BYTES // x.itemsize
    down, across = -(-out_height // 4), -(-out_width // 4)
    c_width, o_width = whole_registers(channels, x.itemsize), windows.shape[2]
    rows, tiles = batch * down, rows_per_block * across
    blocks = -(-rows // rows_per_block)
    flat = windows.reshape(-1)
    doubts = np.zeros((threads, lane), x.dtype)
    for t in prange(threads):
        six_rows = np.zeros((6 * width + 1) * c_width, x.dtype)  # and a pixel of zeros, for what is outside
        four_rows = np.empty((4 * out_width + 1) * o_width, x.dtype)  # and one that nobody wants
        values, sums = np.empty(36 * tiles * c_width, x.dtype), np.empty(36 * tiles * o_width, x.dtype)
        half, at = np.empty(36 * lane, x.dtype), np.empty(36, np.int64)
        each_tile, to_tile = evenly(tiles, c_width), evenly(tiles, o_width)
        each_c, each_window = evenly(channels, 1), evenly(channels, o_width)
        for block in range(t * blocks // threads, (t + 1) * blocks // threads):
            first, last = block * rows_per_block, min(rows, (block + 1) * rows_per_block)
            _read_tiles(x, 0, channels, first, last, down, across, top, left, six_rows, half, at, values,
                        tiles * c_width)  # fmt: skip
            for i in range(36):
                add_products(values, i * tiles * c_width, each_tile, each_c, flat, i * channels * o_width,
                             each_window, sums, i * tiles * o_width, to_tile, (last - first) * across,
                             o_width // lane, 0)  # fmt: skip
            _write_pixels(sums, tiles * o_width, bias, first, last, down, across, four_rows, half, at, doubts[t], y)
    return not np.isnan(doubts).any()


@parallel
def _sum_tiles(x, gy, top, left, rows_per_block, channel_shares, sums):
    """sums[s, (i, l), c, o] = Σ_tiles (Bᵀ X B)[i, l, c] · (A gY Aᵀ)[i, l, o] over the share s of the tiles.

    Thread t takes a share of the tiles and, where one sum alone is large, a share of the channels c.
    """
    batch, channels, _, width = x.shape
    out_height, out_width = gy.shape[2:]
    lane = BYTES // x.itemsize
    down, across = -(-out_height // 4), -(-out_width // 4)
    tile_shares, o_width = sums.shape[0], sums.shape[3]
    rows, tiles = batch * down, rows_per_block * across
    blocks = -(-rows // rows_per_block)
    flat = sums.reshape(-1)
    for t in prange(tile_shares * channel_shares):
        s, r = t // channel_shares, t % channel_shares
        c0, c1 = r * channels // channel_shares, (r + 1) * channels // channel_shares
        c_width = whole_registers(c1 - c0, x.itemsize)
        six_rows = np.zeros((6 * width + 1) * c_width, x.dtype)
        four_rows = np.zeros((4 * out_width + 1) * o_width, x.dtype)
        from_x, from_gy = np.empty(36 * tiles * c_width, x.dtype), np.empty(36 * tiles * o_width, x.dtype)
        half, at = np.empty(36 * lane, x.dtype), np.empty(36, np.int64)
        each_c, to_c = evenly(c1 - c0, 1), evenly(c1 - c0, o_width)
        each_tile, each_from_gy = evenly(tiles, c_width), evenly(tiles, o_width)
        for block in range(s * blocks // tile_shares, (s + 1) * blocks // tile_shares):
            first, last = block * rows_per_block, min(rows, (block + 1) * rows_per_block)
            _read_tiles(x, c0, c1, first, last, down, across, top, left, six_rows, half, at, from_x, tiles * c_width)
            _read_pixels(gy, first, last, down, across, four_rows, half, at, from_gy, tiles * o_width)
            count = (last - first) * across
            for i in range(36):
                add_products(from_x, i * tiles * c_width, each_c, each_tile[:count], from_gy, i * tiles * o_width,
                             each_from_gy[:count], flat, ((s * 36 + i) * channels + c0) * o_width, to_c, c1 - c0,
                             o_width // lane, 1)  # fmt: skip


@parallel
def _values_to_windows(sums, gw, threads):
    """gw[o, c] = Gᵀ [ Σ_s sums[s, :, c, o] ] G."""
    shares, _, channels, width = sums.shape
    lane = BYTES // sums.itemsize
    every = channels * width
    flat = sums.reshape(-1)
    for t in prange(threads):
        line, half = np.empty(9 * width, sums.dtype), np.empty(36 * lane, sums.dtype)
        for c in range(t * channels // threads, (t + 1) * channels // threads):
            for o in range(0, width, lane):
                for i in range(36):
                    at = i * every + c * width + o
                    total = load(flat, at)
                    for s in range(1, shares):
                        total = total + load(flat, at + s * 36 * every)
                    store(half, i * lane, total)
                for j in range(6):
                    column = _to_window(*_load6(half, j * lane, 6 * lane))
                    store(half, j * lane, column[0])
                    store(half, (6 + j) * lane, column[1])
                    store(half, (12 + j) * lane, column[2])
                for p in range(3):
                    row = _to_window(*_load6(half, 6 * p * lane, lane))
                    store(line, 3 * p * width + o, row[0])
                    store(line, (3 * p + 1) * width + o, row[1])
                    store(line, (3 * p + 2) * width + o, row[2])
            for o in range(len(gw)):
                for p in range(3):
                    for q in range(3):
                        gw[o, c, p, q] = line[(3 * p + q) * width + o]


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To windows of 3x3 with stride 1, in one group."""
    return tuple(weight_shape[2:]) == (3, 3) and geometry.stride == geometry.dilation == (1, 1) and geometry.groups == 1


def pays(batch: int, channels: int, size: Pair, weight: bool) -> bool:
    """Whether it is faster than a plain sum: tiles fill registers, and windows are not most of the work. Measured."""
    tiles = batch * -(-size[0] // 4) * -(-size[1] // 4)
    return channels >= 16 and tiles >= 32 if weight else channels >= 12 and tiles >= 16


def _rows_per_block(batch: int, size: Pair, channels: int, threads: int) -> int:
    """Rows of tiles in a block: so many tiles that the products are fast, and as many blocks for every thread."""
    rows, across = batch * -(-size[0] // 4), -(-size[1] // 4)
    blocks = max(1, round(rows * across / (32 if channels <= 128 else 64)))
    return max(1, -(-rows // max(1, min(rows, -(-blocks // threads) * threads))))


def correlate(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, geometry: ConvGeometry, size: Pair, adjoint: bool
) -> np.ndarray | None:
    """See `cpu`; None where the result is not finite."""
    threads = numba.get_num_threads()
    (top, _), (left, _) = geometry.padding
    if adjoint:  # reads the window backwards, from outputs to inputs
        w, top, left = w[:, :, ::-1, ::-1].swapaxes(0, 1), 2 - top, 2 - left
    outputs, channels = w.shape[:2]
    values = np.empty((36, channels, whole(outputs, x.dtype)), x.dtype)
    _windows_to_values(w, values, threads)
    b = np.zeros(values.shape[2], x.dtype)
    if bias is not None:
        b[:outputs] = bias
    y = np.empty((len(x), outputs, *size), x.dtype)
    rows = _rows_per_block(len(x), size, max(channels, outputs), threads)
    return y if _correlate(x, values, b, top, left, y, rows, threads) else None


def correlate_weight(x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair) -> np.ndarray | None:
    """See `cpu`; None where the result is not finite."""
    threads, outputs, channels = numba.get_num_threads(), gy.shape[1], x.shape[1]
    (top, _), (left, _) = geometry.padding
    channel_shares = threads if channels * outputs >= LARGE else 1
    sums = np.zeros((threads // channel_shares, 36, channels, whole(outputs, x.dtype)), x.dtype)
    rows = _rows_per_block(len(x), gy.shape[2:], max(channels, outputs), threads)
    _sum_tiles(x, gy, top, left, rows, channel_shares, sums)
    gw = np.empty((outputs, channels, 3, 3), x.dtype)
    _values_to_windows(sums, gw, threads)
    return gw if np.isfinite(gw).all() else None
