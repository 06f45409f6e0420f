"""Shuffles between channels and pixels: reshape, permute, reshape. Nothing is computed, so each is its own inverse
or has one here.
"""

from __future__ import annotations

from typing import Any

from ..engine import Tensor
from ..errors import ArgumentError, ShapeError
from .checks import tensor_arg
from .shape import permute, reshape


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """r² channels become r x r pixels: y[c, r·i + p, r·j + q] = x[(c·r + p)·r + q, i, j].

    **Shapes** (*, C·r², H, W) to (*, C, r·H, r·W). **Source** Shi et al., Real-time single image and video
    super-resolution using an efficient sub-pixel convolutional neural network (2016).
    """
    x, r = _checked("pixel_shuffle", input, "upscale_factor", upscale_factor)
    *batch, channels, h, w = x.shape
    if channels % (r * r):
        raise ShapeError(
            f"pixel_shuffle: upscale_factor {r} needs a multiple of {r * r} channels, got {channels} (input {x.shape})"
        )
    n, c = len(batch), channels // (r * r)
    blocks = reshape(x, *batch, c, r, r, h, w)
    moved = permute(blocks, *range(n), n, n + 3, n + 1, n + 4, n + 2)  # (*, c, h, r, w, r)
    return reshape(moved, *batch, c, h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """The inverse of `pixel_shuffle`: r x r pixels become r² channels.

    **Shapes** (*, C, r·H, r·W) to (*, C·r², H, W).
    """
    x, r = _checked("pixel_unshuffle", input, "downscale_factor", downscale_factor)
    *batch, c, height, width = x.shape
    if height % r or width % r:
        raise ShapeError(
            f"pixel_unshuffle: downscale_factor {r} must divide height {height} and width {width} (input {x.shape})"
        )
    n, h, w = len(batch), height // r, width // r
    blocks = reshape(x, *batch, c, h, r, w, r)
    moved = permute(blocks, *range(n), n, n + 2, n + 4, n + 1, n + 3)  # (*, c, r, r, h, w)
    return reshape(moved, *batch, c * r * r, h, w)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of all groups interleaved, y[:, i·groups + g] = x[:, g·C/groups + i]: the next grouped convolution
    then sees every group. **Shapes** (N, C, *). **Source** Zhang et al., ShuffleNet (2018), section 3.1.
    """
    x, g = _checked("channel_shuffle", input, "groups", groups)
    n, channels, *rest = x.shape
    if channels % g:
        raise ShapeError(f"channel_shuffle: groups {g} must divide the {channels} channels of input {x.shape}")
    grouped = reshape(x, n, g, channels // g, *rest)
    return reshape(permute(grouped, 0, 2, 1, *range(3, grouped.ndim)), *x.shape)


def _checked(caller: str, input: Any, name: str, factor: Any) -> tuple[Tensor, int]:
    x = tensor_arg(caller, "input", input)
    if not isinstance(factor, int) or isinstance(factor, bool) or factor < 1:
        raise ArgumentError(f"{caller}: {name} must be a positive integer, got {factor!r}")
    if x.ndim < 3:
        raise ShapeError(f"{caller}: input must have at least three axes, got shape {x.shape}")
    return x, factor
