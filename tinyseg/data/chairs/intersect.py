"""Where a ray meets a unit solid, compiled. Rays are o + t d in the solid's own coordinates.

Sources: the slab method of Kay & Kajiya 1986 for boxes, here with leaning planes; the quadratic formula for round
solids; Newton's method for the pillow, whose x^4 + y^4 + z^4 along a ray is convex in t.
"""

from __future__ import annotations

import math

from tinyseg.data.chairs.solids import BALL, BOX, CYLINDER, PILLOW
from tinyseg.kernels.jit import serial

__all__ = ["gradient", "hit"]

MISS = math.inf


@serial
def _clip(near: float, far: float, distance: float, speed: float) -> tuple[float, float]:
    """Cut the interval [near, far] of t down to the half-space distance + t speed >= 0."""
    if speed > 1e-12:
        near = max(near, -distance / speed)
    elif speed < -1e-12:
        far = min(far, -distance / speed)
    elif distance < 0:
        far = -MISS
    return near, far


@serial
def _slab(o: float, d: float) -> tuple[float, float]:
    near, far = _clip(-1e9, 1e9, 1 + o, d)
    return _clip(near, far, 1 - o, -d)


@serial
def _box(taper: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """|z| <= 1 and |x|, |y| <= a + b z, where a + b z is 1 at the bottom and `taper` at the top."""
    a, b = (1 + taper) / 2, (taper - 1) / 2
    near, far = _slab(oz, dz)
    reach, growth = a + b * oz, b * dz
    near, far = _clip(near, far, reach + ox, growth + dx)
    near, far = _clip(near, far, reach - ox, growth - dx)
    near, far = _clip(near, far, reach + oy, growth + dy)
    near, far = _clip(near, far, reach - oy, growth - dy)
    return near if near < far else MISS


@serial
def _cylinder(taper: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """|z| <= 1 and x^2 + y^2 <= (a + b z)^2."""
    a, b = (1 + taper) / 2, (taper - 1) / 2
    near, far = _slab(oz, dz)
    reach, growth = a + b * oz, b * dz
    qa = dx * dx + dy * dy - growth * growth
    qb = ox * dx + oy * dy - reach * growth
    qc = ox * ox + oy * oy - reach * reach
    if qa < 1e-9:  # along the axis only the end disc can be met
        x, y, r = ox + near * dx, oy + near * dy, reach + near * growth
        return near if near < far and x * x + y * y <= r * r else MISS
    root = qb * qb - qa * qc
    if root < 0:
        return MISS
    root = math.sqrt(root)
    near, far = max(near, (-qb - root) / qa), min(far, (-qb + root) / qa)
    return near if near < far else MISS


@serial
def _ball(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    qa = dx * dx + dy * dy + dz * dz
    qb = ox * dx + oy * dy + oz * dz
    root = qb * qb - qa * (ox * ox + oy * oy + oz * oz - 1)
    return (-qb - math.sqrt(root)) / qa if root > 0 else MISS


@serial
def _pillow(ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """Newton from the bounding box: f(t) = x^4 + y^4 + z^4 - 1 is convex, so the steps never pass the first root."""
    t = _box(1.0, ox, oy, oz, dx, dy, dz)
    if t == MISS:
        return MISS
    for _ in range(8):
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        x3, y3, z3 = x * x * x, y * y * y, z * z * z
        value = x * x3 + y * y3 + z * z3 - 1
        if value < 1e-3:
            return t
        slope = 4 * (x3 * dx + y3 * dy + z3 * dz)
        if slope >= -1e-9:
            return MISS
        t -= value / slope
    return t if value < 0.05 else MISS


@serial
def hit(shape: int, taper: float, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float) -> float:
    """The smallest t at which the ray enters the unit solid, infinity where it passes by."""
    if shape == BOX:
        return _box(taper, ox, oy, oz, dx, dy, dz)
    if shape == CYLINDER:
        return _cylinder(taper, ox, oy, oz, dx, dy, dz)
    if shape == BALL:
        return _ball(ox, oy, oz, dx, dy, dz)
    return _pillow(ox, oy, oz, dx, dy, dz)


@serial
def gradient(shape: int, taper: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The outward direction at a surface point, in the solid's coordinates and of any length."""
    if shape == BALL:
        return x, y, z
    if shape == PILLOW:
        return x * x * x, y * y * y, z * z * z
    b = (taper - 1) / 2
    reach = (1 + taper) / 2 + b * z
    if shape == CYLINDER:
        side = math.sqrt(x * x + y * y)
        if abs(z) - 1 > side / reach - 1:
            return 0.0, 0.0, z
        return x / side, y / side, -b
    side = max(abs(x), abs(y))
    if abs(z) - 1 > side / reach - 1:
        return 0.0, 0.0, z
    if abs(x) > abs(y):
        return math.copysign(1.0, x), 0.0, -b
    return 0.0, math.copysign(1.0, y), -b
