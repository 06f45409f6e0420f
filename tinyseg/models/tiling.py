"""Overlap-tile inference: images of any size through a network that sees one tile at a time.

Neighbouring tiles overlap by twice the margin and only their middles are kept, so that every output pixel has seen its
surroundings; beyond the border the image is mirrored. **Source** Ronneberger et al. 2015, figure 2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from ..engine import Tensor, no_grad
from ..errors import ArgumentError, ShapeError

__all__ = ["overlap_tile"]


def overlap_tile(
    model: Callable[[Tensor], Tensor], image: np.ndarray, tile: int, margin: int, align: int = 1
) -> np.ndarray:
    """Scores of `image` from square tiles of `tile` pixels, of which the outer `margin` pixels are context only.

    `model` maps (1, C, tile, tile) to scores of the same size, which are cropped, or already smaller by the margin.
    Tiles stand a multiple of `align` pixels apart. With align 16 and a margin that covers the receptive field, a net
    that pools four times gives exactly what it would give for the whole (mirrored) image: every tile is pooled on the
    same grid.

    **Shapes** image (C, H, W) float32 -> (K, H, W). **Raises** ArgumentError if nothing of a tile is left,
    ShapeError if the model's output is of neither size.
    """
    core = tile - 2 * margin
    step = core // align * align
    if margin < 0 or align < 1 or step < 1:
        raise ArgumentError(
            f"overlap_tile: a tile of {tile} pixels with margin {margin} leaves {core} in the middle, "
            f"expected at least {max(align, 1)}"
        )
    if image.ndim != 3 or 0 in image.shape:
        raise ShapeError(f"overlap_tile: image must be (C, H, W) and not empty, got shape {image.shape}")
    height, width = image.shape[1:]
    rows, columns = -(-height // step), -(-width // step)
    around = [(margin, n * step - size + tile - step - margin) for n, size in ((rows, height), (columns, width))]
    padded = np.pad(image, [(0, 0), *around], mode="reflect" if min(height, width) > 1 else "edge")
    scores: np.ndarray | None = None
    for top, left in product(range(0, rows * step, step), range(0, columns * step, step)):
        piece = _middle(model, padded[:, top : top + tile, left : left + tile], core, margin)
        if scores is None:
            scores = np.empty((piece.shape[0], rows * step, columns * step), piece.dtype)
        scores[:, top : top + step, left : left + step] = piece[:, :step, :step]
    assert scores is not None
    return np.ascontiguousarray(scores[:, :height, :width])


def _middle(model: Callable[[Tensor], Tensor], piece: np.ndarray, core: int, margin: int) -> np.ndarray:
    with no_grad():
        y = model(Tensor(np.ascontiguousarray(piece[None]))).numpy()[0]
    if y.shape[1:] == (core, core):
        return y
    if y.shape[1:] != piece.shape[1:]:
        raise ShapeError(
            f"overlap_tile: for a tile {piece.shape[1:]} the model gave {y.shape[1:]}, expected {(core, core)}"
        )
    return y[:, margin : margin + core, margin : margin + core]
