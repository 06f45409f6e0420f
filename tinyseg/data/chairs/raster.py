"""The renderer, compiled: a ray through every subsample, hard visibility, shadow map, shading, 2 x 2 anti-aliasing.

1. `_visible` casts the rays of each solid's bounding rectangle at it and keeps the nearest hit (a z-buffer of rays).
2. `_first_hits` does the same along the light, from a grid on the floor: a shadow map.
3. `_shade` finds the colour of the surface seen; where no solid is, that of the room around.
4. `render` averages the 2 x 2 subsamples of each pixel and gives the pixel to a chair by majority.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tinyseg.data.chairs.intersect import gradient, hit
from tinyseg.data.chairs.solids import Solids
from tinyseg.data.chairs.texture import pattern_value
from tinyseg.data.chairs.view import OVAL, WINDOW, Camera, Light, Room
from tinyseg.kernels.jit import serial

__all__ = ["render"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vector = tuple[float, float, float]

SUB = 2  # subsamples per pixel and axis
NEAR = 0.05  # metres: nothing closer to the eye is drawn
GRID, REACH = 160, 2.4  # cells and half width in metres of the maps around the origin of the floor
FRAME, BORDER = 0.04, 0.09  # metres: the frames of pictures, the borders of rugs
TOP = 4.0  # metres: light rays start above everything


@serial
def _dot(a: Vector, x: float, y: float, z: float) -> float:
    return a[0] * x + a[1] * y + a[2] * z


@serial
def _unit(x: float, y: float, z: float) -> Vector:
    scale = 1 / math.sqrt(x * x + y * y + z * z + 1e-12)
    return x * scale, y * scale, z * scale


@serial
def _project(solids: Solids, s: int, camera: Camera, corner: int) -> Vector:
    """Image coordinates (right, up; unit: image plane at distance 1) and depth of one corner of the solid's box."""
    x, y, z = (
        solids.centre[s, 0] - camera.eye[0],
        solids.centre[s, 1] - camera.eye[1],
        solids.centre[s, 2] - camera.eye[2],
    )
    for k in range(3):
        sign = 1.0 if corner >> k & 1 else -1.0
        x += sign * solids.axes[s, k, 0]
        y += sign * solids.axes[s, k, 1]
        z += sign * solids.axes[s, k, 2]
    depth = _dot(camera.forward, x, y, z)
    scale = 1 / max(depth, NEAR)
    return _dot(camera.right, x, y, z) * scale, _dot(camera.up, x, y, z) * scale, depth


@serial
def _rectangle(solids: Solids, s: int, camera: Camera, unit: float, rows: int, cols: int) -> tuple[int, int, int, int]:
    """The subsamples top, bottom, left, right that the solid may cover; all when it touches the eye's plane."""
    low_x, high_x, low_y, high_y = math.inf, -math.inf, math.inf, -math.inf
    nearest, farthest = math.inf, -math.inf
    for corner in range(8):
        x, y, depth = _project(solids, s, camera, corner)
        low_x, high_x = min(low_x, x), max(high_x, x)
        low_y, high_y = min(low_y, y), max(high_y, y)
        nearest, farthest = min(nearest, depth), max(farthest, depth)
    if farthest < NEAR:
        return 0, 0, 0, 0
    if nearest < NEAR:
        return 0, rows, 0, cols
    top = min(rows, max(0, math.floor(rows / 2 - high_y * unit)))
    bottom = min(rows, max(0, math.ceil(rows / 2 - low_y * unit)))
    left = min(cols, max(0, math.floor(cols / 2 + low_x * unit)))
    right = min(cols, max(0, math.ceil(cols / 2 + high_x * unit)))
    return top, bottom, left, right


@serial
def _to_unit(solids: Solids, s: int, x: float, y: float, z: float) -> Vector:
    """A vector in the coordinates of the unit solid s."""
    m = solids.inverse
    return (
        m[s, 0, 0] * x + m[s, 0, 1] * y + m[s, 0, 2] * z,
        m[s, 1, 0] * x + m[s, 1, 1] * y + m[s, 1, 2] * z,
        m[s, 2, 0] * x + m[s, 2, 1] * y + m[s, 2, 2] * z,
    )


@serial
def _visible(solids: Solids, camera: Camera, unit: float, depth: Floats, seen: Ints) -> None:
    """Fill `seen` with the number of the nearest solid (-1: none) and `depth` with its distance, per subsample."""
    rows, cols = depth.shape
    for s in range(len(solids.shape)):
        shape, taper = solids.shape[s], solids.taper[s]
        c = solids.centre[s]
        ox, oy, oz = _to_unit(solids, s, camera.eye[0] - c[0], camera.eye[1] - c[1], camera.eye[2] - c[2])
        fx, fy, fz = _to_unit(solids, s, camera.forward[0], camera.forward[1], camera.forward[2])
        rx, ry, rz = _to_unit(solids, s, camera.right[0], camera.right[1], camera.right[2])
        ux, uy, uz = _to_unit(solids, s, camera.up[0], camera.up[1], camera.up[2])
        top, bottom, left, right = _rectangle(solids, s, camera, unit, rows, cols)
        for i in range(top, bottom):
            up = (rows / 2 - i - 0.5) / unit
            for j in range(left, right):
                side = (j + 0.5 - cols / 2) / unit
                dx, dy, dz = fx + side * rx + up * ux, fy + side * ry + up * uy, fz + side * rz + up * uz
                t = hit(shape, taper, ox, oy, oz, dx, dy, dz)
                if NEAR < t < depth[i, j]:
                    depth[i, j] = t
                    seen[i, j] = s


@serial
def _footprint(solids: Solids, s: int, lx: float, ly: float) -> tuple[int, int, int, int]:
    """The cells of the floor grid that the solid may shade when the light comes from (lx, ly, 1)."""
    c, a = solids.centre[s], solids.axes[s]
    x, y = c[0] - lx * c[2], c[1] - ly * c[2]
    reach_x = reach_y = 0.0
    for k in range(3):
        reach_x += abs(a[k, 0] - lx * a[k, 2])
        reach_y += abs(a[k, 1] - ly * a[k, 2])
    scale = GRID / (2 * REACH)
    x0 = min(GRID, max(0, math.floor((x - reach_x + REACH) * scale)))
    x1 = min(GRID, max(0, math.ceil((x + reach_x + REACH) * scale)))
    y0 = min(GRID, max(0, math.floor((y - reach_y + REACH) * scale)))
    y1 = min(GRID, max(0, math.ceil((y + reach_y + REACH) * scale)))
    return x0, x1, y0, y1


@serial
def _first_hits(solids: Solids, lx: float, ly: float, start: float, sign: float) -> Floats:
    """Height of the first surface met from height `start`, going down (sign -1) or up (+1) along (lx, ly, 1).

    One ray through each cell of the floor grid; where it meets nothing the height is -1 (down) or TOP (up).
    """
    heights = np.full((GRID, GRID), -1.0 if sign < 0 else TOP)
    step = 2 * REACH / GRID
    for s in range(len(solids.shape)):
        c = solids.centre[s]
        dx, dy, dz = _to_unit(solids, s, sign * lx, sign * ly, sign)
        x0, x1, y0, y1 = _footprint(solids, s, lx, ly)
        for i in range(y0, y1):
            y = (i + 0.5) * step - REACH + ly * start - c[1]
            for j in range(x0, x1):
                x = (j + 0.5) * step - REACH + lx * start - c[0]
                ox, oy, oz = _to_unit(solids, s, x, y, start - c[2])
                height = start + sign * hit(solids.shape[s], solids.taper[s], ox, oy, oz, dx, dy, dz)
                if sign < 0:
                    heights[i, j] = max(heights[i, j], height)
                else:
                    heights[i, j] = min(heights[i, j], height)
    return heights


@serial
def _lit(heights: Floats, light: Light, x: float, y: float, z: float) -> float:
    """The share of the light that reaches a point: bilinear over 3 x 3 cells of the shadow map, a soft edge."""
    scale = GRID / (2 * REACH)
    gx = (x - light.toward[0] * z + REACH) * scale - 0.5
    gy = (y - light.toward[1] * z + REACH) * scale - 0.5
    j, i = math.floor(gx), math.floor(gy)
    if i < 1 or j < 1 or i > GRID - 3 or j > GRID - 3:
        return 1.0
    fx, fy = gx - j, gy - i
    limit = z + 0.03
    total = 0.0
    for k in range(-1, 3):
        row = 0.0
        if heights[i + k, j - 1] < limit:
            row += 1 - fx
        if heights[i + k, j] < limit:
            row += 1
        if heights[i + k, j + 1] < limit:
            row += 1
        if heights[i + k, j + 2] < limit:
            row += fx
        total += row * (1 - fy if k < 0 else fy if k > 1 else 1.0)
    return total / 9


@serial
def _contact(solids: Solids) -> Floats:
    """How much of the ambient light low things keep from the floor: 0 ... 1, spread over neighbouring cells."""
    shade = np.exp(_first_hits(solids, 0.0, 0.0, 0.0, 1.0) * -3.0)
    radius = 4
    for _ in range(2):  # a box blur along each axis: transpose between the two passes
        blurred = np.zeros((GRID, GRID))
        for i in range(radius, GRID - radius):
            for j in range(GRID):
                total = 0.0
                for k in range(-radius, radius + 1):
                    total += shade[i + k, j]
                blurred[j, i] = total / (2 * radius + 1)
        shade = blurred
    return shade


@serial
def _base(paints: Floats, p: int, u: float, v: float) -> Vector:
    """The own colour of paint p at (u, v) metres."""
    mix = pattern_value(int(paints[p, 6]), u * paints[p, 7], v * paints[p, 7])
    return (
        paints[p, 0] + mix * (paints[p, 3] - paints[p, 0]),
        paints[p, 1] + mix * (paints[p, 4] - paints[p, 1]),
        paints[p, 2] + mix * (paints[p, 5] - paints[p, 2]),
    )


@serial
def _gloss(paints: Floats, p: int) -> Vector:
    return paints[p, 8], paints[p, 9], paints[p, 10]


@serial
def _illuminate(
    gloss: Vector, base: Vector, normal: Vector, ray: Vector, light: Light, sun: float, sky: float
) -> Vector:
    """Ambient, diffuse and specular (Blinn-Phong) light; `sun` and `sky` are the shares that arrive.

    `gloss` is the paint's gloss, shine and mirror.
    """
    nx, ny, nz = normal
    lx, ly, lz = _unit(light.toward[0], light.toward[1], light.toward[2])
    facing = max(0.0, nx * lx + ny * ly + nz * lz) * sun
    away = nx * ray[0] + ny * ray[1] + nz * ray[2]
    # The ambient term is stronger from above, and a little from the eye, so that two faces never have one tone.
    ambient = sky * (0.72 + 0.2 * nz - 0.12 * away)
    red, green, blue = base
    mirror = gloss[2]
    if mirror > 0:
        upward = ray[2] - 2 * away * nz  # what a mirror shows: dark below, bright above, a sharp horizon
        tone = 0.25 + 0.7 / (1 + math.exp(-8 * upward))
        red, green, blue = (
            red + mirror * (tone - red),
            green + mirror * (tone - green),
            blue + mirror * (tone - blue),
        )
    shine = 0.0
    if gloss[0] > 0 and facing > 0:
        hx, hy, hz = _unit(lx - ray[0], ly - ray[1], lz - ray[2])
        shine = gloss[0] * sun * max(0.0, nx * hx + ny * hy + nz * hz) ** gloss[1]
    return (
        red * (light.sky[0] * ambient + light.sun[0] * facing) + shine * light.sun[0],
        green * (light.sky[1] * ambient + light.sun[1] * facing) + shine * light.sun[1],
        blue * (light.sky[2] * ambient + light.sun[2] * facing) + shine * light.sun[2],
    )


@serial
def _ambient_here(light: Light, x: float, y: float, z: float) -> float:
    """The ambient light's relative strength at a place."""
    return max(0.3, 1 + _dot(light.falloff, x, y, z))


@serial
def _shade_solid(
    solids: Solids, s: int, paints: Floats, light: Light, heights: Floats, eye: Vector, ray: Vector, t: float
) -> Vector:
    """Colour of solid s where the ray from the eye meets it at t."""
    wx, wy, wz = eye[0] + t * ray[0], eye[1] + t * ray[1], eye[2] + t * ray[2]
    c = solids.centre
    x, y, z = _to_unit(solids, s, wx - c[s, 0], wy - c[s, 1], wz - c[s, 2])
    gx, gy, gz = gradient(solids.shape[s], solids.taper[s], x, y, z)
    m = solids.inverse  # normals transform by the transposed inverse
    normal = _unit(
        m[s, 0, 0] * gx + m[s, 1, 0] * gy + m[s, 2, 0] * gz,
        m[s, 0, 1] * gx + m[s, 1, 1] * gy + m[s, 2, 1] * gz,
        m[s, 0, 2] * gx + m[s, 1, 2] * gy + m[s, 2, 2] * gz,
    )
    paint = solids.paint[s]
    along, deep, high = x * solids.size[s, 0], y * solids.size[s, 1], z * solids.size[s, 2]
    base = _base(paints, paint, along + 0.2 * deep + 0.37 * s, high + 0.6 * deep)  # no two parts are cut from one piece
    sun = _lit(heights, light, wx, wy, wz) if _dot(light.toward, normal[0], normal[1], normal[2]) > 0 else 0.0
    sky = _ambient_here(light, wx, wy, wz) * (0.75 + 0.25 * min(1.0, wz * 2))
    return _illuminate(_gloss(paints, paint), base, normal, _unit(ray[0], ray[1], ray[2]), light, sun, sky)


@serial
def _leave(room: Room, eye: Vector, ray: Vector) -> tuple[int, float]:
    """The face of the room that the ray from inside meets, and where."""
    face, t = 4, math.inf
    for axis in range(3):
        if abs(ray[axis]) > 1e-9:
            side = 2 * axis + (1 if ray[axis] > 0 else 0)
            reach = (room.bounds[side] - eye[axis]) / ray[axis]
            if reach < t:
                face, t = side, reach
    return face, t


@serial
def _corner_shadow(room: Room, face: int, x: float, y: float, z: float) -> float:
    """Ambient light near the edges of the room, where two faces shade each other: 0.7 in the edge, 1 far from it."""
    nearest = math.inf
    if face >> 1 != 0:
        nearest = min(nearest, x - room.bounds[0], room.bounds[1] - x)
    if face >> 1 != 1:
        nearest = min(nearest, y - room.bounds[2], room.bounds[3] - y)
    if face >> 1 != 2:
        nearest = min(nearest, z - room.bounds[4], room.bounds[5] - z)
    return 1 - 0.3 * math.exp(-5 * nearest)


@serial
def _window(u: float, v: float) -> Vector:
    """Daylight through a window of 2 x 2 panes, u and v from 0 to 1: sky above, something green below."""
    if abs(u - 0.5) < 0.03 or abs(v - 0.5) < 0.025:
        return 0.75, 0.75, 0.73
    wave = 0.3 + 0.08 * math.sin(7 * u) + 0.04 * math.sin(19 * u)
    if v < wave:
        return 0.45 + 0.2 * v, 0.58 + 0.3 * v, 0.38
    return 0.98 - 0.25 * v, 1.0 - 0.12 * v, 1.05


@serial
def _within(decals: Floats, k: int, u: float, v: float) -> Vector:
    """A point of the wall in the frame of decal k, (0, 0) to (1, 1); and its distance from the edge in metres."""
    u0, v0, u1, v1 = decals[k, 1], decals[k, 2], decals[k, 3], decals[k, 4]
    if decals[k, 5] == OVAL:
        x, y = (2 * u - u0 - u1) / (u1 - u0), (2 * v - v0 - v1) / (v1 - v0)
        edge = (1 - math.sqrt(x * x + y * y)) * min(u1 - u0, v1 - v0) / 2
    else:
        edge = min(min(u - u0, u1 - u), min(v - v0, v1 - v))
    return (u - u0) / (u1 - u0), (v - v0) / (v1 - v0), edge


@serial
def _surface(room: Room, face: int, u: float, v: float) -> tuple[int, float, float]:
    """The paint at (u, v) of a face; -1 in a window, with the place within the window instead."""
    decals = room.decals
    for k in range(len(decals) - 1, -1, -1):  # the last one hung is on top
        if decals[k, 0] == face:
            x, y, edge = _within(decals, k, u, v)
            if edge > 0:
                if edge < (FRAME if face < 4 else BORDER):
                    return int(decals[k, 7]), u, v
                return (-1, x, y) if decals[k, 5] == WINDOW else (int(decals[k, 6]), u, v)
    if face < 4 and v < room.skirting:
        return room.skirting_paint, u, v
    return room.faces[face], u, v


@serial
def _shade_room(
    room: Room, paints: Floats, light: Light, heights: Floats, contact: Floats, eye: Vector, ray: Vector
) -> Vector:
    """Colour of the wall, floor or ceiling that the ray meets."""
    face, t = _leave(room, eye, ray)
    x, y, z = eye[0] + t * ray[0], eye[1] + t * ray[1], eye[2] + t * ray[2]
    inward = 1.0 if face & 1 == 0 else -1.0
    axis = face >> 1
    u, v = (y, z) if axis == 0 else (x, z) if axis == 1 else (x, y)
    number, u, v = _surface(room, face, u, v)
    if number < 0:
        return _window(u, v)
    sky = _corner_shadow(room, face, x, y, z) * _ambient_here(light, x, y, z)
    sun = 0.35  # walls get the scattered part of the light only: the room around them casts no shadow here
    if face == 4:
        sun = _lit(heights, light, x, y, 0.0)
        i, j = int((y + REACH) * GRID / (2 * REACH)), int((x + REACH) * GRID / (2 * REACH))
        if 0 <= i < GRID and 0 <= j < GRID:
            sky *= 1 - 0.65 * contact[i, j]
    normal = (inward if axis == 0 else 0.0, inward if axis == 1 else 0.0, inward if axis == 2 else 0.0)
    return _illuminate(
        _gloss(paints, number), _base(paints, number, u, v), normal, _unit(ray[0], ray[1], ray[2]), light, sun, sky
    )


@serial
def _majority(solids: Solids, seen: Ints, i: int, j: int) -> int:
    """The chair that owns pixel (i, j): the one with most subsamples, if chairs have at least half of them; else 0."""
    best, best_count, chairs = 0, 0, 0
    for a in range(SUB * SUB):
        s = seen[i * SUB + a // SUB, j * SUB + a % SUB]
        owner = solids.owner[s] if s >= 0 else 0
        if owner == 0:
            continue
        chairs += 1
        count = 0
        for b in range(SUB * SUB):
            other = seen[i * SUB + b // SUB, j * SUB + b % SUB]
            if other >= 0 and solids.owner[other] == owner:
                count += 1
        if count > best_count:
            best, best_count = owner, count
    return best if 2 * chairs >= SUB * SUB else 0


@serial
def render(
    solids: Solids,
    paints: Floats,
    room: Room,
    camera: Camera,
    light: Light,
    image: npt.NDArray[np.float32],
    owner: Ints,
) -> None:
    """Draw into image (3, H, W), zeros on entry; the chair seen, 0 for none, goes into owner (H, W)."""
    rows, cols = owner.shape[0] * SUB, owner.shape[1] * SUB
    unit = camera.focal * min(rows, cols) / 2
    depth = np.full((rows, cols), np.inf)
    seen = np.full((rows, cols), -1)
    _visible(solids, camera, unit, depth, seen)
    heights = _first_hits(solids, light.toward[0], light.toward[1], TOP, -1.0)
    contact = _contact(solids)
    f, r, u = camera.forward, camera.right, camera.up
    for i in range(rows):
        up = (rows / 2 - i - 0.5) / unit
        for j in range(cols):
            side = (j + 0.5 - cols / 2) / unit
            ray = (
                f[0] + side * r[0] + up * u[0],
                f[1] + side * r[1] + up * u[1],
                f[2] + side * r[2] + up * u[2],
            )
            s = seen[i, j]
            if s >= 0:
                colour = _shade_solid(solids, s, paints, light, heights, camera.eye, ray, depth[i, j])
            else:
                colour = _shade_room(room, paints, light, heights, contact, camera.eye, ray)
            for channel in range(3):
                image[channel, i // SUB, j // SUB] += colour[channel] / (SUB * SUB)
    for i in range(owner.shape[0]):
        for j in range(owner.shape[1]):
            owner[i, j] = _majority(solids, seen, i, j)
