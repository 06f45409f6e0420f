"""The parts that most chairs share: legs, stretchers, seats and arms. The sitter looks along +y; metres."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.solids import BOX, CYLINDER, Model, Point


class Plan(NamedTuple):
    """Proportions: half width, half depth, height of the seat's top, the back's height above it, the back's lean."""

    width: float
    depth: float
    seat: float
    back: float
    lean: float


class Paints(NamedTuple):
    """The numbers of a chair's two paints within its model."""

    frame: int
    seat: int


class Legs(NamedTuple):
    """Half thickness at the top, outward splay of the feet, taper towards them, round or square."""

    thick: float
    splay: float = 0.0
    taper: float = 1.0
    shape: int = BOX


CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1))  # back left, back right, front left, front right


def draw_legs(dice: Dice) -> Legs:
    """Wooden legs of any make."""
    return Legs(
        dice.uniform(0.022, 0.034),
        dice.weigh({0.0: 2, 0.03: 1, 0.07: 1}),
        dice.uniform(0.55, 1.0),
        dice.pick((BOX, BOX, CYLINDER)),
    )


def four_legs(model: Model, plan: Plan, legs: Legs, top: float, paint: int) -> None:
    """Four legs from `top` down to the floor, under the corners of the seat."""
    x, y = plan.width - legs.thick, plan.depth - legs.thick
    for sx, sy in CORNERS:
        foot = (sx * (x + legs.splay), sy * (y + legs.splay), 0.0)
        model.beam((sx * x, sy * y, top), foot, (legs.thick, legs.thick), paint, legs.shape, legs.taper)


def stretchers(dice: Dice, model: Model, plan: Plan, legs: Legs, paint: int) -> None:
    """Bars between the legs: on the sides, all around, or an H."""
    style = dice.weigh({"none": 2, "sides": 1, "around": 1, "H": 1})
    z = plan.seat * dice.uniform(0.25, 0.5)
    grow = legs.splay * (1 - z / plan.seat)
    x, y, thick = plan.width - legs.thick + grow, plan.depth - legs.thick + grow, (0.014, 0.016)
    if style == "none":
        return
    for side in (-x, x):
        model.beam((side, -y, z), (side, y, z), thick, paint)
    if style == "around":
        for end in (-y, y):
            model.beam((-x, end, z + 0.04), (x, end, z + 0.04), thick, paint)
    if style == "H":
        model.beam((-x, 0.0, z), (x, 0.0, z), thick, paint)


def apron(model: Model, plan: Plan, top: float, height: float, paint: int) -> None:
    """The frame of boards right under the seat."""
    model.box((0.0, 0.0, top - height / 2), (plan.width - 0.015, plan.depth - 0.015, height / 2), paint)


def seat(dice: Dice, model: Model, plan: Plan, paint: int) -> float:
    """A board, a cushion or a round seat; returns the height of its underside."""
    style = dice.weigh({"board": 3, "cushion": 3, "round": 1})
    if style == "cushion":
        thick = dice.uniform(0.03, 0.05)
        model.pillow((0.0, 0.0, plan.seat - thick + 0.01), (plan.width + 0.012, plan.depth + 0.012, thick), paint)
        return plan.seat - thick
    thick = dice.uniform(0.012, 0.025)
    half: Point = (plan.width + 0.01, plan.depth + 0.01, thick)
    centre: Point = (0.0, 0.0, plan.seat - thick)
    if style == "round":
        model.drum(centre, (half[0] + 0.02, half[1] + 0.02, thick), paint)
    else:
        model.box(centre, half, paint)
    return plan.seat - 2 * thick


def slatted_seat(dice: Dice, model: Model, plan: Plan, paint: int) -> float:
    """Boards side by side, as on a garden bench; returns the height of the underside."""
    count = int(dice.uniform(3, 6))
    pitch = 2 * plan.depth / count
    for k in range(count):
        y = -plan.depth + (k + 0.5) * pitch
        model.box((0.0, y, plan.seat - 0.012), (plan.width + 0.02, pitch * 0.4, 0.012), paint)
    return plan.seat - 0.024


def arms(dice: Dice, model: Model, plan: Plan, paints: Paints, thick: float = 0.018) -> None:
    """An armrest on each side with its post, fixed to the back."""
    height = plan.seat + dice.uniform(0.17, 0.23)
    rest = paints.seat if dice.chance(0.3) else paints.frame
    front = plan.depth * dice.uniform(0.55, 0.9)
    for side in (-1, 1):
        x = side * (plan.width + thick)
        model.beam((x, -plan.depth, height), (x, front, height), (thick * 1.4, 0.014), rest)
        model.beam(
            (x, front - 0.03, height),
            (side * plan.width, front - 0.03, plan.seat - 0.03),
            (thick, thick),
            paints.frame,
        )


def ring(model: Model, radius: float, z: float, thick: float, paint: int, sides: int = 8) -> None:
    """A round bar bent to a level circle: the footrest of a bar stool."""
    points = [
        (radius * math.cos(2 * math.pi * k / sides), radius * math.sin(2 * math.pi * k / sides), z)
        for k in range(sides + 1)
    ]
    for start, end in pairwise(points):
        model.rod(start, end, thick, paint)
