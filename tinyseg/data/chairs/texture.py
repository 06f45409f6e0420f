"""Procedural patterns, compiled: how much of a paint's second colour shows at (u, v), metres along the surface.

Imported by raster.py only, since it imports numba.
"""

from __future__ import annotations

import math

from tinyseg.data.chairs.materials import (
    BRICKS,
    CHECKS,
    CHEVRON,
    CLOUDS,
    DOTS,
    GRAIN,
    LATTICE,
    PLANKS,
    SPECKLE,
    STRIPES,
    TILES,
)
from tinyseg.kernels.jit import serial

__all__ = ["pattern_value"]


@serial
def _hash(i: int, j: int) -> float:
    """A number in [0, 1) that looks random and depends on two integers alone."""
    h = (i * 374761393 + j * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@serial
def _noise(u: float, v: float) -> float:
    """Value noise in [0, 1): random numbers on the integer lattice, smoothly interpolated (Perlin's 3t^2 - 2t^3)."""
    i, j = math.floor(u), math.floor(v)
    fu, fv = u - i, v - j
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    low = _hash(i, j) * (1 - fu) + _hash(i + 1, j) * fu
    high = _hash(i, j + 1) * (1 - fu) + _hash(i + 1, j + 1) * fu
    return low * (1 - fv) + high * fv


@serial
def _planks(u: float, v: float) -> float:
    """Floorboards along v, 8 widths long: a tone for each board, grain in it, a dark seam."""
    board = math.floor(u)
    along = v / 8 + _hash(board, 7)
    piece = math.floor(along)
    across, end = u - board, along - piece
    if across < 0.04 or end < 0.006:
        return 1.0
    return 0.55 * _hash(board, piece) + 0.3 * _noise(u * 7, v * 0.5 + 31 * board)


@serial
def _tiles(u: float, v: float) -> float:
    """Square tiles with light joints and a slight tone for each."""
    i, j = math.floor(u), math.floor(v)
    if u - i < 0.06 or v - j < 0.06:
        return 1.0
    return 0.25 * _hash(i, j)


@serial
def _bricks(u: float, v: float) -> float:
    """Bricks three times as long as high in running bond, with mortar."""
    course = math.floor(v)
    shifted = u / 3 + 0.5 * (course & 1)
    brick = math.floor(shifted)
    if shifted - brick < 0.05 or v - course < 0.15:
        return 1.0
    return 0.45 * _hash(brick, course) + 0.1 * _noise(u * 4, v * 4)


@serial
def pattern_value(pattern: int, u: float, v: float) -> float:
    """The share of the second colour, in [0, 1]; u and v in pattern periods."""
    if pattern == GRAIN:
        return 0.75 * _noise(u, v * 0.12) + 0.25 * _noise(u * 2.7, v * 0.3)
    if pattern == SPECKLE:
        return _noise(u, v)
    if pattern == PLANKS:
        return _planks(u, v)
    if pattern == TILES:
        return _tiles(u, v)
    if pattern == BRICKS:
        return _bricks(u, v)
    if pattern == CLOUDS:
        return 0.65 * _noise(u, v) + 0.35 * _noise(u * 3.1, v * 3.1)
    if pattern == CHECKS:
        return float((math.floor(u) + math.floor(v)) & 1)
    if pattern == STRIPES:
        return float(math.floor(u) & 1)
    if pattern == DOTS:
        du, dv = u - math.floor(u) - 0.5, v - math.floor(v) - 0.5
        return 1.0 if du * du + dv * dv < 0.08 else 0.0
    if pattern == LATTICE:
        return 0.5 + 0.5 * math.sin(math.pi * (u + v)) * math.sin(math.pi * (u - v))
    if pattern == CHEVRON:
        return float(math.floor(v + 2 * abs(u - math.floor(u) - 0.5)) & 1)
    return 0.0
