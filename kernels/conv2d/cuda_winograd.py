"""Versions 5 and 6, Winograd's F(m x m, 3x3) for m = 2 and m = 4: `winograd.cu` and `winograd_product.cu`.

    values_of_windows   w → windows ((m+2)², C, O)                 36 multiplications for 16 pixels
    values_of_tiles     x → values ((m+2)², C, tiles)              where the plain sum has 144, with m = 4
    product             sums[z] = windows[z]ᵀ values[z]            (m+2)² matrix products
    pixels_of_values    sums → y

The gradient of x is the same with w turned round. That of w multiplies the values of x and of gy, and sums over tiles.
Arrays are stored in their type and computed in float32. Points are those of the CPU (`winograd_axis.py`), and so are
the errors in float32: with m = 2 that of a plain sum, some 0.5e-6 of the largest output, with m = 4 some 2e-6.

A NaN or an infinity spreads over its whole tile: nobody looks whether there are any, as the CPU does, because the GPU
would have to be waited for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..launch import empty, kernel
from . import ConvGeometry, Pair, output_size
from .cuda_shape import BITS, MOST, Conv, whole

__all__ = ["Winograd"]

Array = Any

TRANSFORMS, PRODUCT = "conv2d/winograd.cu", "conv2d/winograd_product.cu"
LANES, DEPTH = 32, 8  # tiles of a block; channels of a slab
PLANES = 4  # planes that a block takes, with the places of its tiles found once
CACHE, MEMORY = 32 << 20, 512 << 20  # bytes of values and sums: as much as an H100's L2 keeps (50 MB), and at most
LEAST_WINDOWS = 1024
LEAST_TILES = 2048  # that fill a GPU
BLOCKS = 512  # of the weight's products that do so
LEAST_SHARE = 128  # tiles in each of their sums
SUMS = 64  # of a thread


class Tiles(NamedTuple):
    """Member for member the struct of `winograd.cu`."""

    planes: int
    height: int
    width: int
    top: int
    left: int
    down: int
    across: int
    first: int
    end: int
    rows: int
    pitch: int


class Winograd:
    """F(m x m, 3x3) for m = `pixels`, as a version of convolution (`cuda.py`)."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def applies(self, geometry: ConvGeometry, weight_shape: tuple[int, ...], dtype: Any) -> bool:
        """To windows of 3x3 with stride 1, in one group, in float32 or a half type."""
        plain = geometry.stride == geometry.dilation == (1, 1) and geometry.groups == 1
        known = np.dtype(dtype).name in ("float32", "float16", "bfloat16")
        return plain and known and tuple(weight_shape[2:]) == (3, 3)

    def fits(self, s: Conv) -> bool:
        """Tiles are counted with 32 bits, and a block may go beyond; blocks along y take 8 channels each."""
        planes = ((s.H, s.W), (s.OH, s.OW))
        tiles = s.N * max(_blocks(height, self.pixels) * _blocks(width, self.pixels) for height, width in planes)
        return 2 * tiles < BITS and max(s.C, s.O) <= DEPTH * MOST

    def pays(self, channels: int, outputs: int, windows: int) -> bool:
        """Whether it saves enough products: it writes and reads more numbers for each one of x and of y, and each of
        them costs as much time as some 36 products. Few windows do not fill the GPU.
        """
        values = (self.pixels + 2) ** 2 / self.pixels**2  # of a pixel: as many products, where the plain sum has 9
        saved, moved = (9 - values) * channels * outputs, 2 * values * (channels + outputs)
        return windows >= LEAST_WINDOWS and saved >= 36 * moved

    def forward(self, x: Array, w: Array, bias: Array | None, relu: bool, geometry: ConvGeometry) -> Array:
        """See `kernels.conv2d.forward`."""
        (top, _), (left, _) = geometry.padding
        return _correlate(x, w, bias, relu, (top, left), output_size(x.shape[2:], (3, 3), geometry), False, self.pixels)

    def grad_input(self, gy: Array, w: Array, bias: Array | None, geometry: ConvGeometry, input_size: Pair) -> Array:
        """See `kernels.conv2d.grad_input`."""
        (top, _), (left, _) = geometry.padding
        return _correlate(gy, w, bias, False, (2 - top, 2 - left), input_size, True, self.pixels)

    def grad_weight(self, x: Array, gy: Array, geometry: ConvGeometry, kernel_size: Pair) -> Array:
        """See `kernels.conv2d.grad_weight`."""
        assert tuple(kernel_size) == (3, 3), kernel_size
        (top, _), (left, _) = geometry.padding
        outputs, channels, matrices = gy.shape[1], x.shape[1], (self.pixels + 2) ** 2
        of_x = _tiles(x.shape, gy.shape[2:], (top, left), self.pixels)
        of_gy = _tiles(gy.shape, gy.shape[2:], (0, 0), self.pixels)
        gw = empty((outputs, channels, 3, 3), x)
        if of_x.end == 0 or gw.size == 0:
            return np.zeros_like(gw)
        rows, columns = _block(outputs, channels)
        m, n, each = whole(outputs, rows), whole(channels, columns), _at_once(of_x.end, outputs + channels, matrices)
        k = whole(each, LANES)
        shares = max(1, min(BLOCKS // (matrices * (m // rows) * (n // columns)), each // LEAST_SHARE))
        sums = empty((shares, matrices, m, n), x, np.float32)
        from_x, from_gy = (empty((matrices, size, k), sums) for size in (n, m))
        product = kernel(PRODUCT, "product_of_rows", sums, ROWS=rows, COLUMNS=columns)
        grid, threads = (n // columns, m // rows, shares * matrices), (rows * columns // SUMS,)
        for first in range(0, of_x.end, each):
            part = {"first": first, "end": min(first + each, of_x.end), "pitch": k}
            _read("values_of_tiles", x, from_x, of_x._replace(rows=n, **part), self.pixels)
            _read("values_of_pixels", gy, from_gy, of_gy._replace(rows=m, **part), self.pixels)
            product(grid, threads, (from_gy, from_x, sums, m, n, k, shares, first > 0))
        write = kernel(TRANSFORMS, "windows_of_values", x, PIXELS=self.pixels)
        blocks = _blocks(channels, LANES), _blocks(outputs, DEPTH)
        write(blocks, (LANES * DEPTH,), (sums, gw, outputs, channels, shares, m, n))
        return gw


def _correlate(
    x: Array, w: Array, bias: Array | None, relu: bool, corner: Pair, size: Pair, adjoint: bool, pixels: int
) -> Array:
    """y (N, O, *size), where the window over y[..., 0, 0] begins `corner` above and left of x[..., 0, 0]."""
    outputs, channels = w.shape[1::-1] if adjoint else w.shape[:2]
    matrices = (pixels + 2) ** 2
    y = empty((len(x), outputs, *size), x)
    if y.size == 0:
        return y
    of_x, of_y = _tiles(x.shape, size, corner, pixels), _tiles(y.shape, size, (0, 0), pixels)
    each = _at_once(of_x.end, channels + outputs, matrices)
    rows, columns = _block(outputs, each)
    m, n, k = whole(outputs, rows), whole(each, columns), whole(channels, DEPTH)
    windows = empty((matrices, k, m), x, np.float32)
    read = kernel(TRANSFORMS, "values_of_windows", x, PIXELS=pixels)
    read((_blocks(outputs, LANES), k // DEPTH), (LANES * DEPTH,), (w, windows, *w.shape[:2], adjoint, k, m))
    values, sums = (empty((matrices, size, n), windows) for size in (k, m))
    product = kernel(PRODUCT, "product", windows, ROWS=rows, COLUMNS=columns)
    write = kernel(TRANSFORMS, "pixels_of_values", x, PIXELS=pixels)
    for first in range(0, of_x.end, each):
        part = {"first": first, "end": min(first + each, of_x.end), "pitch": n}
        _read("values_of_tiles", x, values, of_x._replace(rows=k, **part), pixels)
        product((n // columns, m // rows, matrices), (rows * columns // SUMS,), (windows, values, sums, m, n, k))
        tiles = of_y._replace(rows=m, **part)
        write(_grid(tiles), (LANES * (pixels + 2),), (sums, bias, y, tiles, relu))
    return y


def _tiles(shape: tuple[int, ...], size: Pair, corner: Pair, pixels: int) -> Tiles:
    """All the tiles over images of `shape` that give `size` pixels each."""
    batch, planes, height, width = shape
    down, across = _blocks(size[0], pixels), _blocks(size[1], pixels)
    return Tiles(planes, height, width, *corner, down, across, 0, batch * down * across, 0, 0)


def _read(name: str, x: Array, values: Array, tiles: Tiles, pixels: int) -> None:
    kernel(TRANSFORMS, name, x, PIXELS=pixels)(_grid(tiles), (LANES * (pixels + 2),), (x, values, tiles))


def _grid(tiles: Tiles) -> Pair:
    return tiles.pitch // LANES, min(_blocks(tiles.planes, PLANES), 65535)


def _at_once(tiles: int, planes: int, matrices: int) -> int:
    """How many tiles the launches take: so few that values and sums stay in the cache, but enough to fill the GPU."""
    each = 4 * matrices * planes
    most = max(CACHE // each, min(LEAST_TILES, MEMORY // each), LANES) // LANES * LANES
    return whole(_blocks(tiles, _blocks(tiles, most)), LANES)


def _block(m: int, n: int) -> Pair:
    """Rows and columns of a product that a block makes: 128 where that adds little padding to that of 64."""
    tall, wide = (8 * whole(size, 128) <= 9 * whole(size, 64) for size in (m, n))
    return 128 if tall and wide else 64, 128 if wide else 64


def _blocks(size: int, each: int) -> int:
    return -(-size // each)
