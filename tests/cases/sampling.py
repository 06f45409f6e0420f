"""Sampling at given positions, affine grids."""

from __future__ import annotations

import numpy as np

from .case import Draw, functional, given, normal


def positions(n: int, oh: int, ow: int, size: tuple[int, int], corners: bool) -> Draw:
    """A grid over and around an image of `size`, away from the kinks: middles and edges of pixels."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        grids = []
        for m in reversed(size):
            pixel = rng.integers(-m - 1, 2 * m + 1, (n, oh, ow)) + rng.choice([0.1, 0.2, 0.35, 0.6, 0.8], (n, oh, ow))
            grids.append(2 * pixel / (m - 1) - 1 if corners else (2 * pixel + 1) / m - 1)
        return np.stack(grids, -1)

    return draw


def grid_rows() -> None:
    """Three modes, three paddings, both meanings of the corners."""
    for corners in (False, True):
        for mode in ("bilinear", "nearest", "bicubic"):
            for padding in ("zeros", "border", "reflection"):
                functional(
                    "grid_sample", f"{mode}, {padding}, {'corners' if corners else 'borders'}",
                    normal(2, 2, 4, 3), positions(2, 3, 4, (4, 3), corners),
                    mode=mode, padding_mode=padding, align_corners=corners,
                )  # fmt: skip
    for label, x, grid in (("empty batch", (0, 2, 4, 3), (0, 2, 2, 2)), ("nothing", (1, 2, 4, 3), (1, 0, 2, 2))):
        functional("grid_sample", label, normal(*x), given(np.zeros(grid)), align_corners=False)
    functional("grid_sample", "far away", normal(1, 1, 3, 3), given(np.full((1, 1, 2, 2), 1e9)), align_corners=True)
    functional(
        "grid_sample", "frozen grid", normal(1, 2, 4, 3), positions(1, 2, 2, (4, 3), True), align_corners=True,
        options={"differentiable": (0,)},
    )  # fmt: skip
    functional(
        "grid_sample", "only the grid", normal(1, 2, 4, 3), positions(1, 2, 2, (4, 3), True), align_corners=True,
        mode="nearest", options={"differentiable": (1,)},
    )  # fmt: skip


def affine_rows() -> None:
    """Affine grids."""
    for corners in (False, True):
        label = "corners" if corners else "borders"
        functional("affine_grid", label, normal(2, 2, 3), args=((2, 3, 4, 5),), align_corners=corners)
    functional("affine_grid", "one pixel", normal(1, 2, 3), args=((1, 1, 1, 1),), align_corners=False)


grid_rows()
affine_rows()
