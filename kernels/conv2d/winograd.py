"""Winograd's F(m×m, 3×3) in blocks, for m = 2 and m = 4: what versions 5 and 6 share.

    Y  = Aᵀ [ Σ_c     (G w Gᵀ) ⊙ (Bᵀ X B) ] A       G w: values of a window, Bᵀ X: of a tile, Aᵀ: back to pixels
    gw = Gᵀ [ Σ_tiles (A gY Aᵀ) ⊙ (Bᵀ X B) ] G      the adjoint in w: the same values, every matrix transposed

A tile of (m+2)² elements of x gives m² pixels; the matrices of one axis stand in `winograd_axis`. ⊙ goes element by
element, so each sum is (m+2)² matrix products: (tiles, C)·(C, O), and (C, tiles)·(tiles, O).

A NaN or an infinity spreads over its whole tile, and large numbers overflow earlier: where a result is not finite there
is none. Inside a block the channels come last, so that every transform runs over whole registers whatever the size of
the image. Kernels know m by the lengths of two tuples when they are compiled: `like_pixels` has m, `like_values` m + 2.
"""

from __future__ import annotations

import numpy as np

from ..jit import get_num_threads, parallel, prange, serial
from ..simd import BYTES, by_length, load, load_at, load_many, store, store_at, store_many, whole, whole_registers
from ..tiles import add_products, evenly, narrow, widen
from . import ConvGeometry, Pair
from .rows import rectify
from .winograd_axis import from_pixels, from_tile, from_window, to_pixels, to_window

__all__ = ["applies", "correlate", "correlate_weight"]

LARGE = 2**14  # windows from which on threads share the channels, and do not each make a sum of their own

# ---------------------------------------------------------------- both axes, a register of channels at a time


@serial
def _tile_to_values(pixels, at, width, half, values, start, every, like_values):
    """values[start + (i, l)·every + c] = Bᵀ X B, where X[r, j] stands at pixels[at[r, j] + c], for all c < width."""
    lane, t = BYTES // pixels.itemsize, len(like_values)
    for c in range(0, width, lane):
        for j in range(t):
            store_many(half, j * lane, t * lane, from_tile(load_at(like_values, pixels, at, j, t, c)))
        for i in range(t):
            row = from_tile(load_many(like_values, half, t * i * lane, lane))
            store_many(values, start + t * i * every + c, every, row)


@serial
def _pixels_to_values(pixels, at, width, half, values, start, every, like_pixels, like_values):
    """values[start + (i, l)·every + o] = A Y Aᵀ, where Y[r, j] stands at pixels[at[r, j] + o], for all o < width."""
    lane, m, t = BYTES // pixels.itemsize, len(like_pixels), len(like_values)
    for o in range(0, width, lane):
        for j in range(m):
            store_many(half, j * lane, t * lane, from_pixels(load_at(like_pixels, pixels, at, j, m, o)))
        for i in range(t):
            row = from_pixels(load_many(like_pixels, half, t * i * lane, lane))
            store_many(values, start + t * i * every + o, every, row)


@serial
def _plus_2(y, b):
    return y[0] + b, y[1] + b


@serial
def _plus_4(y, b):
    return y[0] + b, y[1] + b, y[2] + b, y[3] + b


@serial
def _total_2(y):
    return y[0] + y[1]


@serial
def _total_4(y):
    return y[0] + y[1] + y[2] + y[3]


_plus, _total = by_length({2: _plus_2, 4: _plus_4}), by_length({2: _total_2, 4: _total_4})


@serial
def _values_to_pixels(values, start, every, width, half, bias, pixels, at, doubt, like_pixels, like_values):
    """pixels[at[r, j] + o] = bias[o] + Aᵀ M A for M at values[start + (i, l)·every + o]; doubt is NaN if any is."""
    lane, m, t = BYTES // pixels.itemsize, len(like_pixels), len(like_values)
    for o in range(0, width, lane):
        for j in range(t):
            column = to_pixels(load_many(like_values, values, start + j * every + o, t * every))
            store_many(half, j * lane, t * lane, column)
        b, nothing = load(bias, o), load(doubt, 0)
        for r in range(m):
            row = to_pixels(load_many(like_values, half, t * r * lane, lane))
            store_at(pixels, at, m * r, 1, o, _plus(row, b))
            total = _total(row)
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
def _read_tiles(
    x, c0, c1, first, last, down, across, top, left, strip, half, at, values, every, like_pixels, like_values
):
    """values[(i, l), tile, c] = Bᵀ X B for the channels c0 ≤ c < c1 of the rows of tiles first ≤ row < last."""
    channels, height, width = x.shape[1:]
    m, t = len(like_pixels), len(like_values)
    c_width = whole_registers(c1 - c0, x.itemsize)
    for row in range(first, last):
        n, above = row // down, row % down * m - top
        start, stop = max(0, above), min(height, above + t)
        widen(x.reshape(-1), ((n * channels + c0) * height + start) * width, height * width, c1 - c0,
              (stop - start) * width, strip, 0, c_width)  # fmt: skip
        for b in range(across):
            _places(above, m * b - left, height, width, t, t * width, c_width, at)
            tile = (row - first) * across + b
            _tile_to_values(strip, at, c_width, half, values, tile * c_width, every, like_values)


@serial
def _read_pixels(gy, first, last, down, across, strip, half, at, values, every, like_pixels, like_values):
    """values[(i, l), tile, o] = A gY Aᵀ for the rows of tiles first ≤ row < last."""
    outputs, height, width = gy.shape[1:]
    m = len(like_pixels)
    o_width = whole_registers(outputs, gy.itemsize)
    for row in range(first, last):
        n, above = row // down, row % down * m
        widen(gy.reshape(-1), (n * outputs * height + above) * width, height * width, outputs,
              min(m, height - above) * width, strip, 0, o_width)  # fmt: skip
        for b in range(across):
            _places(above, m * b, height, width, m, m * width, o_width, at)
            tile = (row - first) * across + b
            _pixels_to_values(strip, at, o_width, half, values, tile * o_width, every, like_pixels, like_values)


@serial
def _write_pixels(
    values, every, bias, relu, first, last, down, across, strip, half, at, doubt, y, like_pixels, like_values
):
    """y = bias + Aᵀ M A for the rows of tiles first ≤ row < last."""
    outputs, height, width = y.shape[1:]
    m = len(like_pixels)
    o_width = len(bias)
    for row in range(first, last):
        n, above = row // down, row % down * m
        for b in range(across):
            _places(above, m * b, height, width, m, m * width, o_width, at)
            tile = (row - first) * across + b
            _values_to_pixels(values, tile * o_width, every, o_width, half, bias, strip, at, doubt, like_pixels,
                              like_values)  # fmt: skip
        if relu:
            rectify(strip[: min(m, height - above) * width * o_width])
        narrow(strip, 0, o_width, min(m, height - above) * width, outputs, y.reshape(-1),
               (n * outputs * height + above) * width, height * width)  # fmt: skip


@parallel
def _windows_to_values(w, at_o, at_c, at_tap, outputs, values, threads, like_values):
    """values[(i, l), c, o] = G w[o, c] Gᵀ; o in whole registers.

    In the flat w the tap (p, q) of window (o, c) stands at o·at_o + c·at_c + at_tap[3p + q].
    """
    channels, width = values.shape[1:]
    lane, side = BYTES // w.itemsize, len(like_values)
    every = channels * width
    flat = values.reshape(-1)
    for t in prange(threads):
        line = np.zeros(9 * width, w.dtype)
        half = np.empty(3 * side * lane, w.dtype)
        for c in range(t * channels // threads, (t + 1) * channels // threads):
            for o in range(outputs):
                for tap in range(9):
                    line[tap * width + o] = w[o * at_o + c * at_c + at_tap[tap]]
            for o in range(0, width, lane):
                for q in range(3):
                    window = load_many((0, 0, 0), line, q * width + o, 3 * width)
                    store_many(half, q * lane, 3 * lane, from_window(like_values, window))
                for i in range(side):
                    row = from_window(like_values, load_many((0, 0, 0), half, 3 * i * lane, lane))
                    store_many(flat, side * i * every + c * width + o, every, row)


@parallel
def _correlate(x, windows, bias, relu, top, left, y, rows_per_block, threads, like_pixels, like_values):
    """y[n, o, i, j] = bias[o] + Σ w[o, c, p, q] · x[n, c, i + p − top, j + q − left]; returns whether all is finite.

    `windows` ((m+2)², C, O) are the values of w, with o and bias in whole registers. A thread takes a run of blocks,
    each some rows of tiles: values of the tiles, (m+2)² products, pixels.
    """
    batch, channels, _, width = x.shape
    out_height, out_width = y.shape[2:]
    lane = BYTES // x.itemsize
    m, side = len(like_pixels), len(like_values)
    down, across = -(-out_height // m), -(-out_width // m)
    c_width, o_width = whole_registers(channels, x.itemsize), windows.shape[2]
    rows, tiles = batch * down, rows_per_block * across
    blocks = -(-rows // rows_per_block)
    flat = windows.reshape(-1)
    doubts = np.zeros((threads, lane), x.dtype)
    for t in prange(threads):
        of_x = np.zeros((side * width + 1) * c_width, x.dtype)  # and a pixel of zeros, for what is outside
        of_y = np.empty((m * out_width + 1) * o_width, x.dtype)  # and one that nobody wants
        values = np.empty(side * side * tiles * c_width, x.dtype)
        sums = np.empty(side * side * tiles * o_width, x.dtype)
        half, at = np.empty(side * side * lane, x.dtype), np.empty(side * side, np.int64)
        each_tile, to_tile = evenly(tiles, c_width), evenly(tiles, o_width)
        each_c, each_window = evenly(channels, 1), evenly(channels, o_width)
        for block in range(t * blocks // threads, (t + 1) * blocks // threads):
            first, last = block * rows_per_block, min(rows, (block + 1) * rows_per_block)
            _read_tiles(x, 0, channels, first, last, down, across, top, left, of_x, half, at, values,
                        tiles * c_width, like_pixels, like_values)  # fmt: skip
            for i in range(side * side):
                add_products(values, i * tiles * c_width, each_tile, each_c, flat, i * channels * o_width,
                             each_window, sums, i * tiles * o_width, to_tile, (last - first) * across,
                             o_width // lane, 0)  # fmt: skip
            _write_pixels(sums, tiles * o_width, bias, relu, first, last, down, across, of_y, half, at, doubts[t], y,
                          like_pixels, like_values)  # fmt: skip
    return not np.isnan(doubts).any()


@parallel
def _sum_tiles(x, gy, top, left, rows_per_block, channel_shares, sums, like_pixels, like_values):
    """sums[s, (i, l), c, o] = Σ_tiles (Bᵀ X B)[i, l, c] · (A gY Aᵀ)[i, l, o] over the share s of the tiles.

    Thread t takes a share of the tiles and, where one sum alone is large, a share of the channels c.
    """
    batch, channels, _, width = x.shape
    out_height, out_width = gy.shape[2:]
    lane = BYTES // x.itemsize
    m, side = len(like_pixels), len(like_values)
    down, across = -(-out_height // m), -(-out_width // m)
    tile_shares, o_width = sums.shape[0], sums.shape[3]
    rows, tiles = batch * down, rows_per_block * across
    blocks = -(-rows // rows_per_block)
    flat = sums.reshape(-1)
    for t in prange(tile_shares * channel_shares):
        s, r = t // channel_shares, t % channel_shares
        c0, c1 = r * channels // channel_shares, (r + 1) * channels // channel_shares
        c_width = whole_registers(c1 - c0, x.itemsize)
        of_x = np.zeros((side * width + 1) * c_width, x.dtype)
        of_gy = np.zeros((m * out_width + 1) * o_width, x.dtype)
        from_x = np.empty(side * side * tiles * c_width, x.dtype)
        from_gy = np.empty(side * side * tiles * o_width, x.dtype)
        half, at = np.empty(side * side * lane, x.dtype), np.empty(side * side, np.int64)
        each_c, to_c = evenly(c1 - c0, 1), evenly(c1 - c0, o_width)
        each_tile, each_from_gy = evenly(tiles, c_width), evenly(tiles, o_width)
        for block in range(s * blocks // tile_shares, (s + 1) * blocks // tile_shares):
            first, last = block * rows_per_block, min(rows, (block + 1) * rows_per_block)
            _read_tiles(x, c0, c1, first, last, down, across, top, left, of_x, half, at, from_x, tiles * c_width,
                        like_pixels, like_values)  # fmt: skip
            _read_pixels(
                gy, first, last, down, across, of_gy, half, at, from_gy, tiles * o_width, like_pixels, like_values
            )
            count = (last - first) * across
            for i in range(side * side):
                add_products(from_x, i * tiles * c_width, each_c, each_tile[:count], from_gy, i * tiles * o_width,
                             each_from_gy[:count], flat, ((s * side * side + i) * channels + c0) * o_width, to_c,
                             c1 - c0, o_width // lane, 1)  # fmt: skip


@parallel
def _values_to_windows(sums, gw, threads, like_values):
    """gw[o, c] = Gᵀ [ Σ_s sums[s, :, c, o] ] G."""
    shares, _, channels, width = sums.shape
    lane, side = BYTES // sums.itemsize, len(like_values)
    every = channels * width
    flat = sums.reshape(-1)
    for t in prange(threads):
        line, half = np.empty(9 * width, sums.dtype), np.empty(side * side * lane, sums.dtype)
        for c in range(t * channels // threads, (t + 1) * channels // threads):
            for o in range(0, width, lane):
                for i in range(side * side):
                    at = i * every + c * width + o
                    total = load(flat, at)
                    for s in range(1, shares):
                        total = total + load(flat, at + s * side * side * every)
                    store(half, i * lane, total)
                for j in range(side):
                    store_many(
                        half, j * lane, side * lane, to_window(load_many(like_values, half, j * lane, side * lane))
                    )
                for p in range(3):
                    row = to_window(load_many(like_values, half, side * p * lane, lane))
                    store_many(line, 3 * p * width + o, width, row)
            for o in range(len(gw)):
                for p in range(3):
                    for q in range(3):
                        gw[o, c, p, q] = line[(3 * p + q) * width + o]


def applies(geometry: ConvGeometry, weight_shape: tuple[int, ...]) -> bool:
    """To windows of 3x3 with stride 1, in one group."""
    return tuple(weight_shape[2:]) == (3, 3) and geometry.stride == geometry.dilation == (1, 1) and geometry.groups == 1


def _rows_per_block(m: int, batch: int, size: Pair, channels: int, threads: int) -> int:
    """Rows of tiles in a block: so many tiles that the products are fast, and as many blocks for every thread."""
    rows, across = batch * -(-size[0] // m), -(-size[1] // m)
    tiles = (1152 if channels <= 128 else 2304) // (m + 2) ** 2
    blocks = max(1, round(rows * across / tiles))
    return max(1, -(-rows // max(1, min(rows, -(-blocks // threads) * threads))))


def correlate(
    m: int,
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    relu: bool,
    geometry: ConvGeometry,
    size: Pair,
    adjoint: bool,
) -> np.ndarray | None:
    """See `cpu`; None where the result is not finite."""
    threads = get_num_threads()
    (top, _), (left, _) = geometry.padding
    (outputs, channels), (at_o, at_c), at_tap = w.shape[:2], (9 * w.shape[1], 9), np.arange(9)
    if adjoint:  # reads the window backwards, from outputs to inputs
        (channels, outputs), (at_c, at_o), at_tap = w.shape[:2], (9 * w.shape[1], 9), at_tap[::-1].copy()
        top, left = 2 - top, 2 - left
    like_pixels, like_values = (0,) * m, (0,) * (m + 2)
    values = np.empty(((m + 2) ** 2, channels, whole(outputs, x.dtype)), x.dtype)
    _windows_to_values(w.reshape(-1), at_o, at_c, at_tap, outputs, values, threads, like_values)
    b = np.zeros(values.shape[2], x.dtype)
    if bias is not None:
        b[:outputs] = bias
    y = np.empty((len(x), outputs, *size), x.dtype)
    rows = _rows_per_block(m, len(x), size, max(channels, outputs), threads)
    return y if _correlate(x, values, b, relu, top, left, y, rows, threads, like_pixels, like_values) else None


def correlate_weight(
    m: int, x: np.ndarray, gy: np.ndarray, geometry: ConvGeometry, kernel_size: Pair
) -> np.ndarray | None:
    """See `cpu`; None where the result is not finite."""
    threads, outputs, channels = get_num_threads(), gy.shape[1], x.shape[1]
    (top, _), (left, _) = geometry.padding
    like_pixels, like_values = (0,) * m, (0,) * (m + 2)
    channel_shares = threads if channels * outputs >= LARGE else 1
    sums = np.zeros((threads // channel_shares, (m + 2) ** 2, channels, whole(outputs, x.dtype)), x.dtype)
    rows = _rows_per_block(m, len(x), gy.shape[2:], max(channels, outputs), threads)
    _sum_tiles(x, gy, top, left, rows, channel_shares, sums, like_pixels, like_values)
    gw = np.empty((outputs, channels, 3, 3), x.dtype)
    _values_to_windows(sums, gw, threads, like_values)
    return gw if np.isfinite(gw).all() else None
