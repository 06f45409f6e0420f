"""Backs of chairs. Each draws a back between the two rear corners of the seat, leaning away from the sitter."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.parts import Paints, Plan
from tinyseg.data.chairs.solids import CYLINDER, Model, Point

Back = Callable[[Dice, Model, Plan, Paints], None]


def point(plan: Plan, x: float, up: float) -> Point:
    """The point of the leaning back at x across (-1 ... 1) and `up` along its height (0 ... 1)."""
    return (x * plan.width, -plan.depth + 0.02 - plan.lean * up, plan.seat + plan.back * up)


def posts(model: Model, plan: Plan, paint: int, thick: float = 0.02, shape: int = 0) -> None:
    """The two uprights that carry the back."""
    inset = 1 - thick / plan.width
    for side in (-inset, inset):
        model.beam(point(plan, side, -0.08), point(plan, side, 1.0), (thick, thick), paint, shape, 0.85)


def rail(model: Model, plan: Plan, up: float, height: float, paint: int, depth: float = 0.012) -> None:
    """A board across the back, `height` metres high."""
    model.beam(point(plan, -0.95, up), point(plan, 0.95, up), (depth, height / 2), paint)


def solid(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """One panel from the seat, or from a gap above it, to the top."""
    start = dice.weigh({0.0: 2, 0.25: 1, 0.45: 1})
    if start:
        posts(model, plan, paints.frame)
    model.beam(point(plan, 0, start), point(plan, 0, 1.0), (plan.width, dice.uniform(0.01, 0.022)), paints.seat)


def ladder(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """Two posts with two to five boards across."""
    posts(model, plan, paints.frame)
    count = int(dice.uniform(2, 6))
    for k in range(count):
        rail(model, plan, 0.95 - 0.8 * k / count, min(0.09, 0.45 * plan.back / count), paints.frame)


def slats(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """Upright boards between two rails."""
    posts(model, plan, paints.frame)
    rail(model, plan, 0.96, 0.06, paints.frame)
    rail(model, plan, 0.15, 0.04, paints.frame)
    count = max(2, round(plan.width / 0.045))
    wide = plan.width / count * dice.uniform(0.3, 0.6)
    for k in range(count):
        x = 2 * (k + 0.5) / count - 1
        model.beam(point(plan, 0.9 * x, 0.15), point(plan, 0.9 * x, 0.95), (wide, 0.008), paints.frame)


def spindles(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """A Windsor back: a bow with thin round bars up to it."""
    bow = [point(plan, math.cos(a), 1.0 * math.sin(a) ** 0.7) for a in (k * math.pi / 8 for k in range(9))]
    model.tube(bow, dice.uniform(0.014, 0.02), paints.frame)
    count = int(dice.uniform(4, 7))
    for k in range(count):
        x = (2 * (k + 0.5) / count - 1) * 0.8
        top = (1 - x * x) ** 0.35
        model.beam(point(plan, x * 0.9, 0.0), point(plan, x, top), (0.01, 0.01), paints.frame, CYLINDER)


def cross(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """Two posts, a top rail and an X between them."""
    posts(model, plan, paints.frame)
    rail(model, plan, 0.95, 0.07, paints.frame)
    thick = (dice.uniform(0.012, 0.02), 0.01)
    for side in (-0.9, 0.9):
        model.beam(point(plan, side, 0.05), point(plan, -side, 0.92), thick, paints.frame)


def pad(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """A cushion between two posts, or on its own down to the seat."""
    low = dice.weigh({0.0: 1, 0.35: 1})
    if low:
        posts(model, plan, paints.frame, 0.016)
    x, y, z = point(plan, 0, (1 + low) / 2)
    model.pillow(
        (x, y + 0.02, z),
        (plan.width * 1.05, dice.uniform(0.025, 0.045), plan.back * (1 - low) / 2 * 1.05),
        paints.seat,
    )


def curved(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """A bent panel that embraces the sitter, made of flat staves along an arc."""
    low, count, wrap = dice.uniform(0.0, 0.5), 6, dice.uniform(0.06, 0.14)
    stave = plan.width * math.pi / (2 * count)
    for k in range(count):
        angle = math.pi * ((k + 0.5) / count - 0.5)
        forward = wrap * (1 - math.cos(angle))
        bottom, top = (point(plan, math.sin(angle) * 0.97, up) for up in (low, 1.0))
        model.beam(
            (bottom[0], bottom[1] + forward, bottom[2]),
            (top[0], top[1] + forward, top[2]),
            (stave * max(0.45, math.cos(angle)) + 0.006, 0.012 + stave * abs(math.sin(angle)) * 0.7),
            paints.seat,
        )
    if low > 0.05:
        posts(model, plan, paints.frame, 0.016)


def oval(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """A medallion: an upholstered oval in a frame, on two short posts."""
    x, y, z = point(plan, 0, 0.58)
    half = (plan.width * dice.uniform(0.8, 0.98), 0.02, plan.back * 0.42)
    model.ball((x, y, z), half, paints.frame)
    model.ball((x, y + 0.008, z), (half[0] * 0.85, 0.03, half[2] * 0.85), paints.seat)
    for side in (-0.5, 0.5):
        model.beam(point(plan, side, -0.05), point(plan, side, 0.35), (0.016, 0.014), paints.frame)


BACKS: dict[Back, float] = {
    solid: 4,
    pad: 4,
    curved: 3,
    ladder: 1,
    slats: 0.8,
    oval: 0.8,
    spindles: 0.7,
    cross: 0.6,
}


def draw_back(dice: Dice, model: Model, plan: Plan, paints: Paints) -> None:
    """A back of any make."""
    dice.weigh(BACKS)(dice, model, plan, paints)
