"""Composition: chairs around the origin, furniture beside, before and behind them, a room around all, camera, light."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.furniture import LARGE, SMALL
from tinyseg.data.chairs.kinds import Design, draw_chair
from tinyseg.data.chairs.room import furnish
from tinyseg.data.chairs.solids import Placed, gather, place
from tinyseg.data.chairs.view import Bounds, Camera, Floats, Light, Scene, look_at

COUNTS = {1: 7, 2: 2.2, 3: 0.6, 4: 0.2}


class Seen(NamedTuple):
    """A chair in the scene: its design and the direction it is seen from.

    `bearing` is the camera's direction in the chair's frame in radians: 0 in front, +pi/2 at the sitter's right.
    """

    design: Design
    bearing: float


class Composition(NamedTuple):
    """A scene with the words for what is in it: chairs in the order of their instance numbers, the room."""

    scene: Scene
    chairs: list[Seen]
    wall: str
    floor: str


class _Stage:
    """What has been placed so far; nothing may stand in another thing's footprint."""

    def __init__(self) -> None:
        self.pieces: list[Placed] = []

    def fits(self, piece: Placed, gap: float = 0.04) -> bool:
        """Whether the piece's footprint is free."""
        return not any(
            piece.low[0] < other.high[0] + gap
            and other.low[0] < piece.high[0] + gap
            and piece.low[1] < other.high[1] + gap
            and other.low[1] < piece.high[1] + gap
            for other in self.pieces
        )

    def add(self, piece: Placed) -> bool:
        """Place the piece unless something stands there; say whether it was placed."""
        free = self.fits(piece)
        if free:
            self.pieces.append(piece)
        return free

    def bounds(self) -> tuple[Floats, Floats]:
        """The box around everything."""
        low, high = self.pieces[0].low, self.pieces[0].high
        for piece in self.pieces[1:]:
            low, high = np.minimum(low, piece.low), np.maximum(high, piece.high)
        return low, high


def _chairs(dice: Dice, stage: _Stage) -> list[tuple[Design, Placed]]:
    """One to four chairs, the first at the origin; a set of equal ones or each its own design."""
    count, is_set = dice.weigh(COUNTS), dice.chance(0.4)
    chairs: list[tuple[Design, Placed]] = []
    for _ in range(count):
        design = chairs[0][0] if is_set and chairs else draw_chair(dice)
        for _try in range(4):
            x, y = (dice.uniform(-1.1, 1.1), dice.uniform(-0.8, 1.0)) if chairs else (0.0, 0.0)
            piece = place(design.model, x, y, dice.uniform(-math.pi, math.pi), owner=len(chairs) + 1)
            if stage.add(piece):
                chairs.append((design, piece))
                break
    return chairs


def _camera(dice: Dice, first: Placed, crowd: int) -> Camera:
    """A camera that shows the first chair over much of the picture's height, not always in its middle."""
    tall, wide = first.high[2], math.hypot(*(first.high - first.low)[:2])
    share = dice.uniform(0.85, 1.12) if crowd == 1 else dice.uniform(0.7, 0.95)
    half_angle = dice.uniform(0.30, 0.52)  # of the shorter side
    distance = max(tall, 0.85 * wide) / (2 * share * math.tan(half_angle)) + wide / 4
    tilt, pan = dice.uniform(0.05, 0.65), dice.uniform(-0.65, 0.65)
    span = distance * math.tan(half_angle)
    slack = 1.05 - 0.65 * share
    aim_x, aim_z = dice.uniform(-0.5, 0.5) * span * slack, dice.uniform(-0.3, 0.3) * span * slack
    target = (aim_x * math.cos(pan), aim_x * math.sin(pan), tall / 2 + aim_z)
    level = distance * math.cos(tilt)
    eye = (
        target[0] + level * math.sin(pan),
        target[1] - level * math.cos(pan),
        max(0.3, target[2] + distance * math.sin(tilt)),
    )
    return look_at(eye, target, 1 / math.tan(half_angle))


def _light(dice: Dice) -> Light:
    """Daylight or lamplight from above: warm or cold, hard or diffuse."""
    angle, slope = dice.uniform(-math.pi, math.pi), dice.uniform(0.25, 1.1)
    warm, level, share = dice.uniform(-0.12, 0.12), dice.uniform(0.9, 1.3), dice.uniform(0.25, 0.65)
    sun, sky = 1.1 * level * share, 1.15 * level * (1 - share)
    return Light(
        (slope * math.cos(angle), slope * math.sin(angle), 1.0),
        (sun * (1 + warm), sun, sun * (1 - warm)),
        (sky * (1 - 0.6 * warm), sky, sky * (1 + 0.6 * warm)),
        (dice.uniform(-0.12, 0.12), dice.uniform(-0.12, 0.12), dice.uniform(-0.05, 0.1)),
    )


def _before(dice: Dice, stage: _Stage, camera: Camera) -> None:
    """Now and then something between the camera and the chairs, off the axis, so that it hides a part."""
    if not dice.chance(0.22):
        return
    model = dice.weigh(SMALL)(dice)
    near, off = dice.uniform(0.3, 0.62), dice.uniform(0.05, 0.45) * dice.pick((-1, 1))
    x, y = camera.eye[0] * near + camera.right[0] * off, camera.eye[1] * near + camera.right[1] * off
    piece = place(model, x, y, dice.uniform(-math.pi, math.pi))
    if piece.high[2] < 0.85 and math.hypot(camera.eye[0] - x, camera.eye[1] - y) > 0.9:
        stage.add(piece)


def _beside(dice: Dice, stage: _Stage) -> None:
    """Furniture next to and behind the chairs, its front towards the camera."""
    for _ in range(int(dice.uniform(0, 2.4))):
        model = dice.weigh(LARGE)(dice)
        x, y = dice.pick((-1, 1)) * dice.uniform(0.2, 1.8), dice.uniform(-0.3, 1.9)
        stage.add(place(model, x, y, dice.uniform(-0.3, 0.3) + math.pi))


def _bounds(dice: Dice, stage: _Stage, camera: Camera) -> Bounds:
    """Walls around everything that stands there and around the camera."""
    low, high = stage.bounds()
    left = min(low[0] - dice.uniform(0.05, 2.0), camera.eye[0] - 0.4)
    right = max(high[0] + dice.uniform(0.05, 2.0), camera.eye[0] + 0.4)
    back = high[1] + dice.uniform(0.03, 1.8)
    front = min(low[1], camera.eye[1]) - 0.5
    height = max(dice.uniform(2.3, 3.2), camera.eye[2] + 0.3)
    return float(left), float(right), float(front), float(back), 0.0, height


def _along_walls(dice: Dice, stage: _Stage, bounds: Bounds) -> None:
    """Furniture with its back to the back wall."""
    for _ in range(int(dice.uniform(0, 2))):
        model = dice.weigh(LARGE)(dice)
        shape = place(model, 0, 0, math.pi)
        x = dice.uniform(max(bounds[0], -2.5) - shape.low[0], min(bounds[1], 2.5) - shape.high[0])
        stage.add(place(model, x, bounds[3] - shape.high[1] - 0.01, math.pi))


def _bearing(piece: Placed, camera: Camera) -> float:
    """Where the camera stands in the chair's own frame, as an angle from its front to the sitter's right."""
    middle = (piece.low + piece.high) / 2
    angle = math.atan2(camera.eye[0] - middle[0], camera.eye[1] - middle[1])  # from +y towards +x
    return math.remainder(angle + piece.yaw, 2 * math.pi)


def compose(dice: Dice) -> Composition:
    """Draw a whole scene."""
    stage = _Stage()
    chairs = _chairs(dice, stage)
    camera = _camera(dice, chairs[0][1], len(chairs))
    light = _light(dice)
    _before(dice, stage, camera)
    _beside(dice, stage)
    bounds = _bounds(dice, stage, camera)
    _along_walls(dice, stage, bounds)
    interior = furnish(dice, bounds)
    solids, paints = gather(stage.pieces, len(interior.paints))
    table = np.array([paint.numbers() for paint in interior.paints + paints])
    scene = Scene(solids, table, interior.room, camera, light)
    seen = [Seen(design, _bearing(piece, camera)) for design, piece in chairs]
    return Composition(scene, seen, interior.wall, interior.floor)
