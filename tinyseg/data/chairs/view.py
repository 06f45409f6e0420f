"""Everything that a picture of a scene depends on, as plain arrays: the camera, the light, the room."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinyseg.data.chairs.solids import Solids

Floats = npt.NDArray[np.float64]

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

    eye: Floats
    right: Floats
    up: Floats
    forward: Floats
    focal: float


class Light(NamedTuple):
    """One distant light, scaled so that `toward` rises by 1, and an ambient light that is stronger from above.

    `sun` and `sky` are RGB intensities; `falloff` is the relative growth of the ambient light per metre along x, y, z.
    """

    toward: Floats
    sun: Floats
    sky: Floats
    falloff: Floats


class Room(NamedTuple):
    """A box seen from inside: bounds x0 x1 y0 y1 z0 z1, a paint for each of its FACES, and flat things on them.

    **Shapes** bounds (6,); faces (6,); decals (k, 8): face, u0, v0, u1, v1, style, paint, frame's paint; `skirting` is
    the height of the board along the floor and `skirting_paint` its paint.
    """

    bounds: Floats
    faces: npt.NDArray[np.int64]
    decals: Floats
    skirting: float
    skirting_paint: int


class Scene(NamedTuple):
    """What the renderer draws: solids, paints (n, 11), room, camera and light."""

    solids: Solids
    paints: Floats
    room: Room
    camera: Camera
    light: Light


def look_at(eye: Floats, target: Floats, focal: float) -> Camera:
    """A level camera at `eye` whose axis passes through `target`."""
    forward = target - eye
    forward /= np.sqrt(forward @ forward)
    right = np.array([forward[1], -forward[0], 0.0])
    right /= np.sqrt(right @ right)
    up = np.array(
        [right[1] * forward[2], -right[0] * forward[2], right[0] * forward[1] - right[1] * forward[0]]
    )  # right x forward, right being level
    return Camera(eye, right, up, forward, focal)
