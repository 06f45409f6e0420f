"""Furniture is built from affine images of four unit solids: a box, a cylinder, a ball and a pillow.

A solid is the set {c + x a_x + y a_y + z a_z} of a unit solid's points (x, y, z). The three axes may be sheared: a
splayed leg is a box whose long axis leans while its cross-section stays level, so that it stands flat on the floor.
Because the map is affine, a ray stays a straight line with the same parameter t in the unit solid's own coordinates:
intersection is written once per unit solid and serves every leg, slat and cushion (intersect.py).

World axes: x to the right, y away from the viewer, z up, metres. A piece of furniture faces +y in its own frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinyseg.data.chairs.materials import Paint

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Point = tuple[float, float, float]

# Unit solids in [-1, 1]^3. Box and cylinder taper along z: cross-section 1 at z = -1, `taper` at z = +1.
BOX, CYLINDER, BALL, PILLOW = 0, 1, 2, 3


class Solids(NamedTuple):
    """All solids of a scene as arrays, the form that the renderer reads.

    **Shapes** shape, paint, owner (n,) integers; taper (n,); axes (n, 3, 3), row k is the k-th axis; centre (n, 3);
    inverse (n, 3, 3), world offset -> unit coordinates; size (n, 3), the axes' lengths in metres.
    """

    shape: Ints
    paint: Ints
    owner: Ints
    taper: Floats
    axes: Floats
    centre: Floats
    inverse: Floats
    size: Floats


class Model:
    """A piece of furniture under construction: a list of solids and of the paints they use."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []  # shape, taper, paint, a_x, a_y, a_z, centre: 15 numbers
        self.paints: list[Paint] = []

    def mix(self, paint: Paint) -> int:
        """Add a paint and return the number by which solids refer to it."""
        self.paints.append(paint)
        return len(self.paints) - 1

    def box(self, centre: Point, half: Point, paint: int, taper: float = 1.0) -> None:
        """An upright box with the given half extents; `taper` is the top's size over the bottom's."""
        self._upright(BOX, centre, half, paint, taper)

    def drum(self, centre: Point, half: Point, paint: int, taper: float = 1.0) -> None:
        """An upright elliptic cylinder, or a frustum of a cone."""
        self._upright(CYLINDER, centre, half, paint, taper)

    def ball(self, centre: Point, half: Point, paint: int) -> None:
        """An ellipsoid."""
        self._upright(BALL, centre, half, paint, 1.0)

    def pillow(self, centre: Point, half: Point, paint: int) -> None:
        """A rounded box x^4 + y^4 + z^4 <= 1, stretched: a cushion."""
        self._upright(PILLOW, centre, half, paint, 1.0)

    def _upright(self, shape: int, centre: Point, half: Point, paint: int, taper: float) -> None:
        self.rows.append((shape, taper, paint, half[0], 0, 0, 0, half[1], 0, 0, 0, half[2], *centre))

    def beam(
        self,
        start: Point,
        end: Point,
        thick: tuple[float, float],
        paint: int,
        shape: int = BOX,
        taper: float = 1.0,
    ) -> None:
        """A bar from start to end: `thick` is its half thickness sideways and in the third direction.

        A bar that mostly rises keeps a level cross-section (x, y); another one an upright cross-section (side, z).
        """
        ux, uy, uz = ((end[0] - start[0]) / 2, (end[1] - start[1]) / 2, (end[2] - start[2]) / 2)
        flat = math.hypot(ux, uy)
        if abs(uz) >= flat:
            side, other = (thick[0], 0.0, 0.0), (0.0, thick[1], 0.0)
        else:
            side, other = (-uy / flat * thick[0], ux / flat * thick[0], 0.0), (0.0, 0.0, thick[1])
        middle = (start[0] + ux, start[1] + uy, start[2] + uz)
        self.rows.append((shape, taper, paint, *side, *other, ux, uy, uz, *middle))

    def rod(self, start: Point, end: Point, radius: float, paint: int, taper: float = 1.0) -> None:
        """A round bar."""
        self.beam(start, end, (radius, radius), paint, CYLINDER, taper)

    def tube(self, points: Sequence[Point], radius: float, paint: int) -> None:
        """A bent round bar through the points, with a ball in each bend."""
        for start, end in pairwise(points):
            self.rod(start, end, radius, paint)
        for point in points[1:-1]:
            self.ball(point, (radius, radius, radius), paint)


class Placed(NamedTuple):
    """A model standing in the room: its solids (n, 15) in world coordinates, paints, bounding box, yaw and owner."""

    rows: Floats
    paints: list[Paint]
    low: Floats
    high: Floats
    yaw: float
    owner: int


def place(model: Model, x: float = 0.0, y: float = 0.0, yaw: float = 0.0, owner: int = 0) -> Placed:
    """Turn a model by `yaw` radians about the vertical, move it to (x, y); owner 0 is furniture, k >= 1 chair k."""
    rows = np.array(model.rows)
    c, s = math.cos(yaw), math.sin(yaw)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # row vectors: v @ turn
    vectors = rows[:, 3:].reshape(-1, 4, 3) @ turn
    vectors[:, 3, 0] += x
    vectors[:, 3, 1] += y
    reach = np.abs(vectors[:, :3]).sum(1)
    rows[:, 3:] = vectors.reshape(-1, 12)
    return Placed(rows, model.paints, (vectors[:, 3] - reach).min(0), (vectors[:, 3] + reach).max(0), yaw, owner)


def gather(pieces: Sequence[Placed], first_paint: int) -> tuple[Solids, list[Paint]]:
    """All pieces as one set of arrays, with their paints numbered from `first_paint`."""
    rows = np.concatenate([piece.rows for piece in pieces])
    paints: list[Paint] = []
    owner = np.empty(len(rows), np.int64)
    start = 0
    for piece in pieces:
        stop = start + len(piece.rows)
        rows[start:stop, 2] += first_paint + len(paints)
        owner[start:stop] = piece.owner
        paints += piece.paints
        start = stop
    numbers = rows[:, :3].astype(np.int64)
    axes = np.ascontiguousarray(rows[:, 3:12]).reshape(-1, 3, 3)
    inverse = np.linalg.inv(axes).transpose(0, 2, 1).copy()  # unit = inverse @ (point - centre)
    solids = Solids(
        shape=numbers[:, 0].copy(),
        paint=numbers[:, 2].copy(),
        owner=owner,
        taper=rows[:, 1].copy(),
        axes=axes,
        centre=rows[:, 12:].copy(),
        inverse=inverse,
        size=np.sqrt((axes * axes).sum(2)),
    )
    return solids, paints
