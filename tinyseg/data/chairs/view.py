"""Everything that a picture of a scene depends on: the camera, the light, the room.

Vectors are tuples: compiled code keeps them in registers, where an array would be counted at every call.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinyseg.data.chairs.solids import Solids

Floats = npt.NDArray[np.float64]
Vector = tuple[float, float, float]
Bounds = tuple[float, float, float, float, float, float]  # x0 x1 y0 y1 z0 z1

FACES = (
    "left wall",
    "right wall",
    "front wall",
    "back wall",
    "floor",
    "ceiling",
)  # low x, high x, low y, high y, z
PICTURE, WINDOW, OVAL = 0, 1, 2  # styles of a decal


class Camera(NamedTuple):
    """A pinhole camera: a pixel's ray is eye + t (forward + x right + y up), so that t is the depth.

    `focal` is the distance of the image plane in units of half the image's shorter side.
    """

    eye: Vector
    right: Vector
    up: Vector
    forward: Vector
    focal: float


class Light(NamedTuple):
    """One distant light, scaled so that `toward` rises by 1, and an ambient light that is stronger from above.

    `sun` and `sky` are RGB intensities; `falloff` is the relative growth of the ambient light per metre along
    x, y and z.
    """

    toward: Vector
    sun: Vector
    sky: Vector
    falloff: Vector


class Room(NamedTuple):
    """A box seen from inside: bounds x0 x1 y0 y1 z0 z1, a paint for each of its FACES, flat things on them.

    **Shapes** decals (k, 8): face, u0, v0, u1, v1, style, paint, frame's paint. `skirting` is the height of the
    board along the floor.
    """

    bounds: Bounds
    faces: tuple[int, int, int, int, int, int]
    skirting: float
    skirting_paint: int
    decals: Floats


class Scene(NamedTuple):
    """What the renderer draws: solids, paints (n, 11), room, camera and light."""

    solids: Solids
    paints: Floats
    room: Room
    camera: Camera
    light: Light


def look_at(eye: Vector, target: Vector, focal: float) -> Camera:
    """A level camera at `eye` whose axis passes through `target`."""
    x, y, z = (t - e for t, e in zip(target, eye, strict=True))
    flat, length = math.hypot(x, y), math.hypot(x, y, z)
    forward = (x / length, y / length, z / length)
    right = (y / flat, -x / flat, 0.0)
    up = (-x * z / (flat * length), -y * z / (flat * length), flat / length)
    return Camera(eye, right, up, forward, focal)
