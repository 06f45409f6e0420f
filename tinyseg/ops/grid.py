"""Sampling an image at given positions, and the positions of an affine map: spatial transformers.

Both are compositions. A sample is a few pixels, gathered, times weights that depend on the position; so the gradient
for the image is a scatter, the one for the grid comes from the weights, and every higher derivative follows.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..devices import array_module
from ..engine import Array, Tensor
from ..errors import ArgumentError, ShapeError
from ..kernels.resize import CUBIC
from .checks import as_tensor, real, same_kind, tensor_arg
from .choice import where
from .linalg import matmul
from .pool import PoolGather
from .shape import broadcast_to, permute, reshape, stack

MODES = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The image's values at the positions (x, y) of `grid`, where -1 and 1 are its edges.

    With `align_corners` the edges are the centres of the corner pixels, without it (the default) their outer borders.
    **Modes** 'nearest' (half-way positions go to the even pixel), 'bilinear', 'bicubic'. **Paddings** 'zeros' beyond
    the image, 'border' its nearest pixel, 'reflection' at the edges; they move the position, for 'bicubic' each of the
    4x4 pixels. The grid gets no gradient where its position is held at an edge, nor in mode 'nearest'.
    **Shapes** input (N, C, H, W), grid (N, OH, OW, 2), output (N, C, OH, OW). **Raises** ShapeError, ArgumentError,
    DTypeError, DeviceError. **Source** Jaderberg et al., Spatial transformer networks (2015), equations 3 and 5.
    """
    _check(input, grid, mode, padding_mode)
    if align_corners is None:
        _warn_of_default("grid_sample")
    corners, sizes = bool(align_corners), (input.shape[3], input.shape[2])
    if input.dtype.itemsize < 4:  # half types are too coarse for positions
        wide = grid_sample(input.to(np.float32), grid.to(np.float32), mode, padding_mode, corners)
        return wide.to(input.dtype)
    axes_ = []  # per axis, x first: the pixels that a sample mixes, and their weights
    for place, n in enumerate(sizes):
        position = _unnormalized(grid[..., place], n, corners)
        if mode != "bicubic":
            position = _padded(position, n, padding_mode, corners)
        axes_.append(_pixels(position, n, mode, padding_mode, corners))
    y: Any = None
    for row, row_weight in axes_[1]:
        for column, column_weight in axes_[0]:
            weight = reshape(row_weight * column_weight, grid.shape[0], 1, *grid.shape[1:3])
            term = _gathered(input, row, column) * weight
            y = term if y is None else y + term
    return y


def _check(input: Any, grid: Any, mode: str, padding_mode: str) -> None:
    caller = "grid_sample"
    if mode not in MODES:
        raise ArgumentError(f"{caller}: mode must be 'bilinear', 'nearest' or 'bicubic', got {mode!r}")
    if padding_mode not in PADDINGS:
        raise ArgumentError(f"{caller}: padding_mode must be 'zeros', 'border' or 'reflection', got {padding_mode!r}")
    same_kind(caller, input=input, grid=grid)
    if input.ndim != 4 or 0 in input.shape[2:]:
        raise ShapeError(f"{caller}: input must be (N, C, H, W) with pixels, got shape {input.shape}")
    if grid.ndim != 4 or grid.shape[3] != 2 or grid.shape[0] != input.shape[0]:
        raise ShapeError(
            f"{caller}: grid must be ({input.shape[0]}, OH, OW, 2) for input {input.shape}, got {grid.shape}"
        )
    real(caller, input=input)


def _warn_of_default(caller: str) -> None:
    warnings.warn(f"{caller}: align_corners is False by default; pass it to say so", UserWarning, stacklevel=3)


def _unnormalized(t: Tensor, n: int, corners: bool) -> Tensor:
    """-1..1 in pixels: 0..n - 1 with `corners`, else -½..n - ½."""
    return (t + 1.0) * ((n - 1) / 2) if corners else ((t + 1.0) * float(n) - 1.0) / 2.0


def _padded(position: Tensor, n: int, padding_mode: str, corners: bool) -> Tensor:
    """The position inside the image; where it is held at an edge no gradient passes."""
    if padding_mode == "zeros":
        return position
    xp = array_module(position.data)
    if padding_mode == "reflection":
        position = _reflected(position, n, corners)
    inside = (position.data > 0) & (position.data < n - 1)
    edge = xp.clip(xp.nan_to_num(position.data, nan=0.0), 0, n - 1)
    return where(Tensor(inside), position, Tensor(edge))


def _reflected(position: Tensor, n: int, corners: bool) -> Tensor:
    """Mirrored at the edges as often as it takes: ±position + a constant, piece by piece."""
    xp, t = array_module(position.data), position.data
    low, span = (0.0, n - 1.0) if corners else (-0.5, float(n))
    if span == 0:
        return position * 0.0
    away = abs(t - low)
    flips, rest = xp.floor(away / span), xp.fmod(away, span)
    odd = flips % 2 == 1
    value = xp.where(odd, span - rest, rest) + low
    sign = xp.where(odd, -1.0, 1.0) * xp.where(t < low, -1.0, 1.0)
    sign, value = sign.astype(t.dtype), value.astype(t.dtype)
    return position * Tensor(sign) + Tensor(value - t * sign)


def _pixels(position: Tensor, n: int, mode: str, padding_mode: str, corners: bool) -> list[tuple[Array, Tensor]]:
    """(pixel or -1 for none, weight) for each pixel of one axis that a sample mixes."""
    xp = array_module(position.data)
    if mode == "nearest":
        no = Tensor(xp.zeros(position.shape, dtype=bool))
        return [(_inside(xp.rint(position.data), n), where(no, position, 1.0))]  # weight 1, whose gradient is 0
    lower = xp.floor(position.data)
    t = position - Tensor(lower)
    if mode == "bilinear":
        return [(_inside(lower, n), 1.0 - t), (_inside(lower + 1, n), t)]
    taps = zip(range(-1, 3), _cubic_weights(t), strict=True)
    return [(_inside(_padded(Tensor(lower + k), n, padding_mode, corners).data, n), w) for k, w in taps]


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Keys' weights of the pixels at -1, 0, 1, 2 for a position t in [0, 1): see `kernels.resize.cubic`."""
    a = CUBIC

    def inner(d: Tensor) -> Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1.0

    def outer(d: Tensor) -> Tensor:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    return [outer(t + 1.0), inner(t), inner(1.0 - t), outer(2.0 - t)]


def _inside(pixel: Array, n: int) -> Array:
    """The pixel as an integer, -1 where it is outside the image or NaN."""
    xp = array_module(pixel)
    ok = (pixel >= 0) & (pixel <= n - 1)
    return xp.where(ok, pixel, -1).astype(np.int64)


def _gathered(x: Tensor, row: Array, column: Array) -> Tensor:
    """x at pixels (row, column), each (N, OH, OW), in every channel; 0 where one is -1."""
    xp = array_module(row)
    place = xp.where((row >= 0) & (column >= 0), row * x.shape[3] + column, -1)
    places = xp.broadcast_to(place[:, None], (x.shape[0], x.shape[1], *place.shape[1:]))
    return PoolGather(xp.ascontiguousarray(places), (x.shape[2], x.shape[3]))(x)


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid for `grid_sample` that maps the output's positions by the affine maps `theta`: θ · (x, y, 1).

    **Shapes** theta (N, 2, 3), `size` = (N, C, H, W) of the output, grid (N, H, W, 2).
    **Source** Jaderberg et al., Spatial transformer networks (2015), equation 1.
    """
    caller = "affine_grid"
    maps, sizes = tensor_arg(caller, "theta", theta), tuple(size)
    real(caller, theta=maps)
    if len(sizes) != 4 or min(sizes) < 1:
        raise ArgumentError(f"{caller}: size must be (N, C, H, W), each at least 1, got {sizes}")
    if maps.shape != (sizes[0], 2, 3):
        raise ShapeError(f"{caller}: theta must have shape {(sizes[0], 2, 3)} for size {sizes}, got {maps.shape}")
    if align_corners is None:
        _warn_of_default(caller)
    n, _, h, w = sizes
    x, y = (as_tensor(_centres(m, bool(align_corners)), maps, maps.dtype) for m in (w, h))
    ones = as_tensor(np.ones((h, w)), maps, maps.dtype)
    base = stack([broadcast_to(x, h, w), broadcast_to(reshape(y, h, 1), h, w), ones], dim=-1)
    return reshape(matmul(reshape(base, 1, h * w, 3), permute(maps, 0, 2, 1)), n, h, w, 2)


def _centres(n: int, corners: bool) -> np.ndarray[Any, Any]:
    """The centres of n pixels in -1..1; a single one lies at 0."""
    if corners:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return (2 * np.arange(n) + 1) / n - 1
