"""The room around the furniture: what its floor and walls are made of, its windows, doors, pictures and rugs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinyseg.data.chairs import materials as m
from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.materials import COLOURS, RGB, WOODS, Paint, jitter, shade
from tinyseg.data.chairs.view import OVAL, PICTURE, WINDOW, Bounds, Room

FLOOR_FACE, CEILING_FACE = 4, 5
PALE: tuple[RGB, ...] = (
    (0.88, 0.86, 0.80),
    (0.80, 0.84, 0.86),
    (0.86, 0.80, 0.78),
    (0.78, 0.84, 0.76),
    (0.92, 0.91, 0.90),
)


class Interior(NamedTuple):
    """A room with its paints and the words for its walls and floor."""

    room: Room
    paints: list[Paint]
    wall: str
    floor: str


def _muted(dice: Dice) -> RGB:
    """A colour for walls, floors and rugs: quieter than what stands in the room."""
    red, green, blue = dice.pick(list(COLOURS.values()))
    return jitter(dice, (0.5 * red + 0.3, 0.5 * green + 0.3, 0.5 * blue + 0.3))


def _wall_colour(dice: Dice) -> RGB:
    return jitter(dice, dice.pick(PALE)) if dice.chance(0.85) else _muted(dice)


def painted_wall(dice: Dice) -> Paint:
    """Plaster with a faint unevenness."""
    tone = _wall_colour(dice)
    return Paint(tone, shade(tone, dice.uniform(0.88, 0.97)), m.CLOUDS, dice.uniform(1, 3))


def brick_wall(dice: Dice) -> Paint:
    """Red, yellow, grey or whitewashed bricks."""
    brick = jitter(dice, dice.pick(((0.58, 0.27, 0.20), (0.66, 0.50, 0.34), (0.45, 0.43, 0.42), (0.85, 0.83, 0.80))))
    return Paint(brick, jitter(dice, (0.70, 0.67, 0.62)), m.BRICKS, dice.uniform(9, 14))


def wallpaper(dice: Dice) -> Paint:
    """Stripes, dots, a lattice or chevrons in two tones."""
    tone = _wall_colour(dice)
    second = _muted(dice) if dice.chance(0.3) else shade(tone, dice.uniform(0.72, 0.9))
    return Paint(tone, second, dice.pick((m.STRIPES, m.DOTS, m.LATTICE, m.CHEVRON)), dice.uniform(3, 9))


def panelled_wall(dice: Dice) -> Paint:
    """Upright boards."""
    tone = jitter(dice, dice.pick(list(WOODS.values()) + list(PALE)))
    return Paint(tone, shade(tone, 0.6), m.PLANKS, dice.uniform(6, 11), 0.1)


def tiled(dice: Dice) -> Paint:
    """Square tiles, glossy."""
    tone = _wall_colour(dice)
    return Paint(tone, jitter(dice, (0.7, 0.7, 0.68), 0.15), m.TILES, dice.uniform(2.5, 7), 0.25, 30)


def wooden_floor(dice: Dice) -> Paint:
    """Boards, more or less varnished."""
    tone = jitter(dice, dice.pick(list(WOODS.values())))
    return Paint(tone, shade(tone, dice.uniform(0.45, 0.7)), m.PLANKS, dice.uniform(6, 12), dice.uniform(0, 0.25), 20)


def carpet(dice: Dice) -> Paint:
    """Wall-to-wall pile."""
    tone = _muted(dice) if dice.chance(0.2) else jitter(dice, (0.62, 0.58, 0.52), 0.1)
    return Paint(tone, shade(tone, dice.uniform(0.65, 0.85)), m.SPECKLE, dice.uniform(30, 70))


def concrete(dice: Dice) -> Paint:
    """Grey and blotched."""
    tone = jitter(dice, (0.58, 0.57, 0.55), 0.08)
    return Paint(tone, shade(tone, 0.75), m.CLOUDS, dice.uniform(1, 4), 0.1)


def chequered(dice: Dice) -> Paint:
    """Tiles of two colours in turn."""
    tone = _wall_colour(dice)
    return Paint(tone, shade(tone, 0.4) if dice.chance(0.6) else _muted(dice), m.CHECKS, dice.uniform(2, 4), 0.2, 30)


WALLS = {"painted": 6.0, "brick": 1.3, "papered": 1.5, "panelled": 1.5, "tiled": 1.0}
WALL_PAINTS = {
    "painted": painted_wall,
    "brick": brick_wall,
    "papered": wallpaper,
    "panelled": panelled_wall,
    "tiled": tiled,
}
FLOORS = {"wooden": 4.0, "tiled": 2.0, "carpeted": 2.5, "concrete": 1.0, "chequered": 1.0}
FLOOR_PAINTS = {
    "wooden": wooden_floor,
    "tiled": tiled,
    "carpeted": carpet,
    "concrete": concrete,
    "chequered": chequered,
}


def _picture(dice: Dice) -> Paint:
    """What hangs in a frame: a loose pattern of two colours."""
    return Paint(
        _muted(dice),
        _muted(dice),
        dice.pick((m.CLOUDS, m.CHEVRON, m.LATTICE, m.STRIPES, m.DOTS)),
        dice.uniform(2, 9),
    )


def _hang(dice: Dice, face: int, low: float, high: float, paints: list[Paint]) -> list[float]:
    """A window, door, picture or round mirror somewhere on a wall that runs from low to high."""
    style = dice.weigh({"picture": 3, "window": 2, "door": 1, "mirror": 0.6})
    frame = len(paints)
    paints.append(m.wood(dice, dice.pick(list(WOODS.values()))) if dice.chance(0.5) else m.lacquer(dice, _muted(dice)))
    half, bottom, top, kind = 0.42, 0.0, 2.05, PICTURE
    if style == "window":
        half, bottom, top, kind = (
            dice.uniform(0.4, 0.8),
            dice.uniform(0.75, 1.0),
            dice.uniform(1.9, 2.2),
            WINDOW,
        )
    elif style != "door":
        half, bottom = dice.uniform(0.18, 0.5), dice.uniform(0.9, 1.5)
        top = bottom + half * dice.uniform(0.9, 2.2)
    paint = frame
    if style != "door":
        paint = len(paints)
        paints.append(
            Paint((0.75, 0.8, 0.82), (0.55, 0.6, 0.62), m.CLOUDS, 1.0) if style == "mirror" else _picture(dice)
        )
    middle = dice.uniform(low + half, max(low + half, high - half))
    return [
        face,
        middle - half,
        bottom,
        middle + half,
        top,
        OVAL if style == "mirror" else kind,
        paint,
        frame,
    ]


def _rug(dice: Dice, paints: list[Paint]) -> list[float]:
    """A rug near the middle of the scene, oval or rectangular."""
    x, y, w, d = (
        dice.uniform(-0.6, 0.6),
        dice.uniform(-0.6, 0.6),
        dice.uniform(0.5, 1.2),
        dice.uniform(0.5, 1.0),
    )
    paints += [m.fabric(dice, _muted(dice)), m.fabric(dice, _muted(dice))]
    style = OVAL if dice.chance(0.35) else PICTURE
    return [FLOOR_FACE, x - w, y - d, x + w, y + d, style, len(paints) - 2, len(paints) - 1]


def furnish(dice: Dice, bounds: Bounds) -> Interior:
    """Paint a room of the given bounds and hang and lay things in it."""
    wall, floor = dice.weigh(WALLS), dice.weigh(FLOORS)
    ceiling, board = jitter(dice, PALE[4], 0.04), jitter(dice, dice.pick(PALE + tuple(WOODS.values())))
    paints = [
        WALL_PAINTS[wall](dice),
        FLOOR_PAINTS[floor](dice),
        Paint(ceiling, ceiling),
        Paint(board, board),
    ]
    faces = [0, 0, 0, 0, 1, 2]
    if dice.chance(0.3):  # one wall of another kind
        faces[int(dice.uniform(0, 4))] = len(paints)
        paints.append(WALL_PAINTS[dice.weigh(WALLS)](dice))
    decals: list[list[float]] = []
    if dice.chance(0.25):
        decals.append(_rug(dice, paints))
    for face, axis, most in ((3, 0, 4), (0, 2, 2), (1, 2, 2)):
        for _ in range(int(dice.uniform(0, most))):
            decals.append(_hang(dice, face, bounds[axis], bounds[axis + 1], paints))
    skirting = dice.pick((0.0, 0.06, 0.09, 0.13))
    left, right, front, back, floor_face, ceiling_face = faces
    room = Room(
        bounds,
        (left, right, front, back, floor_face, ceiling_face),
        skirting,
        3,
        np.array(decals, np.float64).reshape(-1, 8),
    )
    return Interior(room, paints, wall, floor)
