"""The kinds of chairs: how each is put together from parts, in which proportions and materials."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from tinyseg.data.chairs import backs
from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.materials import finish
from tinyseg.data.chairs.parts import (
    Legs,
    Paints,
    Plan,
    apron,
    arms,
    draw_legs,
    four_legs,
    ring,
    seat,
    slatted_seat,
    stretchers,
)
from tinyseg.data.chairs.solids import CYLINDER, Model

Range = tuple[float, float]
Builder = Callable[[Dice, Model, Plan, Paints], bool]  # returns whether the chair has arms


class Design(NamedTuple):
    """A chair ready to be placed, with the words that describe it."""

    model: Model
    kind: str
    colour: str
    material: str
    stature: str  # "tall", "short", "wide", "narrow" or ""
    arms: bool


def dining(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """Four legs, a seat, any back, arms now and then."""
    legs = draw_legs(dice)
    under = seat(dice, model, plan, paints.seat)
    if dice.chance(0.6):
        apron(model, plan, under, dice.uniform(0.03, 0.06), paints.frame)
    four_legs(model, plan, legs, under, paints.frame)
    stretchers(dice, model, plan, legs, paints.frame)
    backs.draw_back(dice, model, plan, paints)
    has_arms = dice.chance(0.25)
    if has_arms:
        arms(dice, model, plan, paints)
    return has_arms


def armchair(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """Upholstered: a block, two thick arms, a seat cushion and a back."""
    w, d, arm = plan.width, plan.depth, dice.uniform(0.06, 0.09)
    foot, lift = dice.uniform(0.03, 0.14), plan.seat + dice.uniform(0.12, 0.2)
    four_legs(model, plan, Legs(0.022, 0.0, 0.7, CYLINDER), foot + 0.01, paints.frame)
    model.box((0, 0, (foot + plan.seat - 0.1) / 2), (w, d, (plan.seat - 0.1 - foot) / 2), paints.seat)
    model.pillow((0, 0.04, plan.seat - 0.06), (w - 1.6 * arm, d - 0.02, 0.085), paints.seat)
    solid = model.pillow if dice.chance(0.6) else model.box
    for side in (-1, 1):
        solid((side * (w - arm), 0.02, (foot + lift) / 2), (arm, d, (lift - foot) / 2), paints.seat)
        if dice.chance(0.4):
            model.beam(
                (side * (w - arm), -d, lift),
                (side * (w - arm), d + 0.02, lift),
                (arm * 1.15, arm),
                paints.seat,
                CYLINDER,
            )
    top = plan.seat + plan.back
    model.beam((0, -d + 0.1, foot), (0, -d + 0.06 - plan.lean, top), (w * 0.98, 0.07), paints.seat)
    model.pillow(
        (0, -d + 0.16 - plan.lean / 2, (plan.seat + top) / 2),
        (w - 1.7 * arm, 0.08, plan.back / 2),
        paints.seat,
    )
    return True


def stool(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """A seat without a back on three or four legs; round ones are turned, square ones joined."""
    thick = dice.uniform(0.015, 0.04)
    under, x = plan.seat - 2 * thick, plan.width
    if dice.chance(0.6):
        model.drum((0, 0, plan.seat - thick), (x, x, thick), paints.seat)
        count, leg, splay = dice.pick((3, 4)), dice.uniform(0.018, 0.028), dice.uniform(0.0, 0.08)
        for k in range(count):
            cx, cy = math.cos(2 * math.pi * k / count + 0.8), math.sin(2 * math.pi * k / count + 0.8)
            model.rod(
                (0.75 * x * cx, 0.75 * x * cy, under),
                ((x + splay) * cx, (x + splay) * cy, 0),
                leg,
                paints.frame,
                0.8,
            )
        if dice.chance(0.5):
            ring(model, 0.88 * x + splay / 2, plan.seat * 0.4, 0.011, paints.frame)
        return False
    legs = draw_legs(dice)
    top = model.pillow if dice.chance(0.4) else model.box
    top((0, 0, plan.seat - thick), (x, plan.depth, thick), paints.seat)
    four_legs(model, plan, legs, under, paints.frame)
    stretchers(dice, model, plan, legs, paints.frame)
    return False


def bar_stool(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """High: on a column with a disc foot, or on four splayed legs with a footrest; sometimes with a low back."""
    x = plan.width
    if dice.chance(0.5):
        model.drum((0, 0, 0.012), (0.21, 0.21, 0.012), paints.frame)
        model.rod((0, 0, 0.02), (0, 0, plan.seat - 0.04), 0.028, paints.frame)
        ring(model, 0.15, plan.seat * 0.38, 0.012, paints.frame)
        model.rod((-0.15, 0, plan.seat * 0.38), (0.15, 0, plan.seat * 0.38), 0.01, paints.frame)
    else:
        legs = Legs(dice.uniform(0.016, 0.024), 0.07, 0.9, dice.pick((0, CYLINDER)))
        four_legs(model, plan._replace(width=x * 0.85, depth=x * 0.85), legs, plan.seat - 0.03, paints.frame)
        for sx, sy, tx, ty in ((-1, -1, 1, -1), (1, -1, 1, 1), (1, 1, -1, 1), (-1, 1, -1, -1)):
            r, z = x * 0.85 + 0.03, plan.seat * 0.35
            model.rod((sx * r, sy * r, z), (tx * r, ty * r, z), 0.012, paints.frame)
    top = dice.pick((model.drum, model.pillow, model.box))
    top((0, 0, plan.seat - 0.03), (x, x, 0.035), paints.seat)
    if dice.chance(0.35):
        low = plan._replace(back=plan.back * 0.55, depth=x)
        dice.pick((backs.pad, backs.curved, backs.solid))(dice, model, low, paints)
    return False


def office(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """A five-armed base on castors, a gas column, a padded seat and back, arms more often than not."""
    reach, turn = dice.uniform(0.27, 0.33), dice.uniform(0, 1.2)
    for k in range(5):
        x, y = reach * math.cos(turn + 0.4 * math.pi * k), reach * math.sin(turn + 0.4 * math.pi * k)
        model.beam((0, 0, 0.12), (x, y, 0.075), (0.024, 0.018), paints.frame, taper=0.7)
        model.ball((x, y, 0.032), (0.03, 0.03, 0.032), paints.frame)
    model.rod((0, 0, 0.08), (0, 0, plan.seat - 0.05), 0.027, paints.frame)
    model.box((0, 0, plan.seat - 0.075), (0.14, 0.14, 0.02), paints.frame)
    model.pillow((0, 0, plan.seat - 0.04), (plan.width, plan.depth, 0.05), paints.seat)
    gap, back_y = dice.uniform(0.02, 0.14), -plan.depth - 0.01
    model.beam(
        (0, -plan.depth * 0.4, plan.seat - 0.08),
        (0, back_y - 0.05, plan.seat - 0.06),
        (0.03, 0.012),
        paints.frame,
    )
    model.beam(
        (0, back_y - 0.05, plan.seat - 0.07),
        (0, back_y - 0.04, plan.seat + gap + 0.2),
        (0.03, 0.012),
        paints.frame,
    )
    half = (plan.back - gap) / 2
    back = dice.pick((model.pillow, model.pillow, model.box))
    back((0, back_y, plan.seat + gap + half), (plan.width * dice.uniform(0.8, 0.98), 0.038, half), paints.seat)
    has_arms = dice.chance(0.65)
    if has_arms:
        for side in (-1, 1):
            x = side * (plan.width + 0.03)
            model.tube(
                ((side * 0.1, 0, plan.seat - 0.07), (x, 0, plan.seat - 0.05), (x, 0, plan.seat + 0.2)),
                0.016,
                paints.frame,
            )
            model.pillow((x, 0.02, plan.seat + 0.21), (0.04, 0.14, 0.018), paints.frame)
    return has_arms


def bench(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """A wide seat for several people with a back of boards, mostly slatted."""
    legs = Legs(dice.uniform(0.025, 0.035))
    build = slatted_seat if dice.chance(0.6) else seat
    under = build(dice, model, plan, paints.seat)
    apron(model, plan, under, 0.05, paints.frame)
    four_legs(model, plan, legs, under, paints.frame)
    dice.pick((backs.ladder, backs.slats, backs.solid, backs.ladder))(dice, model, plan, paints)
    has_arms = dice.chance(0.6)
    if has_arms:
        arms(dice, model, plan, paints, 0.024)
    return has_arms


def shell(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """A moulded bucket on dowel legs that meet under it."""
    w, d = plan.width, plan.depth
    model.pillow((0, 0, plan.seat - 0.02), (w, d, 0.028), paints.seat)
    backs.curved(dice, model, plan._replace(width=w * 0.95, lean=0.1), paints)
    model.pillow((0, -d + 0.02, plan.seat + 0.06), (w * 0.92, 0.05, 0.09), paints.seat)
    for sx, sy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        model.rod((sx * 0.09, sy * 0.09, plan.seat - 0.04), (sx * w, sy * (d + 0.02), 0), 0.022, paints.frame, 0.7)
    model.box((0, 0, plan.seat - 0.05), (0.11, 0.11, 0.012), paints.frame)
    has_arms = dice.chance(0.4)
    if has_arms:
        for side in (-1, 1):
            model.beam(
                (side * w, -d, plan.seat + 0.2),
                (side * (w + 0.02), d * 0.6, plan.seat + 0.12),
                (0.022, 0.03),
                paints.seat,
            )
            model.beam(
                (side * w * 0.96, -d * 0.2, plan.seat + 0.15),
                (side * w * 0.9, 0, plan.seat - 0.02),
                (0.015, 0.12),
                paints.seat,
            )
    return has_arms


def folding(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """Two crossing frames: the long one runs from the front feet to the top of the back."""
    d, thick = plan.depth, (0.018, 0.020)
    top, back_y = plan.seat + plan.back, -d - plan.lean
    for side in (-1, 1):
        x = side * plan.width
        model.beam((x, d + 0.04, 0), (x, back_y, top), thick, paints.frame)
        model.beam((x * 0.9, -d - 0.06, 0), (x * 0.9, d * 0.8, plan.seat - 0.02), thick, paints.frame)
    model.rod((-plan.width, -d - 0.04, 0.12), (plan.width, -d - 0.04, 0.12), 0.012, paints.frame)
    build = slatted_seat if dice.chance(0.5) else seat
    build(dice, model, plan._replace(width=plan.width * 0.92, depth=d * 0.95), paints.seat)
    for k in range(int(dice.uniform(1, 4))):
        z = top - 0.06 - 0.1 * k
        y = back_y + (top - z) / top * (d + 0.04 - back_y)
        model.beam((-plan.width, y, z), (plan.width, y, z), (0.01, 0.04), paints.seat)
    return False


def cantilever(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """One bent steel tube: runners on the floor, up in front, back under the seat and up the back; no rear legs."""
    r, w, d = dice.uniform(0.017, 0.021), plan.width, plan.depth
    for side in (-1, 1):
        x = side * w
        path = ((x, -d, r), (x, d, r), (x, d, plan.seat - 0.03), (x, -d, plan.seat - 0.03))
        model.tube((*path, (x, -d - plan.lean, plan.seat + plan.back)), r, paints.frame)
    model.rod((-w, -d, r), (w, -d, r), r, paints.frame)
    model.box((0, 0, plan.seat - 0.015), (w, d * 0.97, 0.018), paints.seat)
    low = dice.uniform(0.15, 0.5)
    up, end = (backs.point(plan._replace(depth=d + 0.02), 0, t) for t in (low, 0.97))
    model.beam(up, end, (w, 0.016), paints.seat)
    has_arms = dice.chance(0.4)
    if has_arms:
        arms(dice, model, plan, paints, r)
    return has_arms


def rocking(dice: Dice, model: Model, plan: Plan, paints: Paints) -> bool:
    """A chair with arms on two curved runners."""
    reach = plan.depth + dice.uniform(0.12, 0.2)
    for side in (-1, 1):
        x = side * (plan.width - 0.02)
        for a, b in ((-1.0, -0.5), (-0.5, 0.0), (0.0, 0.5), (0.5, 1.0)):
            model.beam(
                (x, a * reach, 0.02 + 0.09 * a * a),
                (x, b * reach, 0.02 + 0.09 * b * b),
                (0.018, 0.02),
                paints.frame,
            )
    legs = Legs(0.02)
    under = seat(dice, model, plan, paints.seat)
    four_legs(model, plan, legs, under, paints.frame)
    dice.pick((backs.ladder, backs.slats, backs.spindles))(dice, model, plan, paints)
    arms(dice, model, plan, paints)
    return True


class Kind(NamedTuple):
    """How often a kind occurs, its materials, and the ranges of its proportions in metres (see Plan)."""

    build: Builder
    weight: float
    materials: dict[str, float]
    width: Range
    depth: Range
    seat: Range
    back: Range
    lean: Range = (0.03, 0.10)


HARD = {"wood": 3.0, "metal": 0.5, "plastic": 0.7, "fabric": 1.0, "leather": 0.4}
SOFT = {"fabric": 3.0, "leather": 1.5}
KINDS: dict[str, Kind] = {
    "chair": Kind(dining, 5, HARD, (0.19, 0.24), (0.19, 0.23), (0.43, 0.48), (0.40, 0.58)),
    "armchair": Kind(armchair, 3.4, SOFT, (0.34, 0.42), (0.33, 0.40), (0.40, 0.46), (0.38, 0.60), (0.04, 0.14)),
    "stool": Kind(stool, 1.6, HARD, (0.16, 0.21), (0.15, 0.20), (0.40, 0.50), (0.3, 0.3)),
    "bar stool": Kind(bar_stool, 1.2, HARD, (0.16, 0.20), (0.16, 0.20), (0.64, 0.76), (0.40, 0.50)),
    "office chair": Kind(
        office,
        1.8,
        {"fabric": 3, "leather": 2, "plastic": 1},
        (0.23, 0.27),
        (0.22, 0.25),
        (0.44, 0.52),
        (0.45, 0.66),
    ),
    "bench": Kind(bench, 1.2, {"wood": 4, "metal": 1}, (0.50, 0.68), (0.19, 0.23), (0.42, 0.46), (0.35, 0.48)),
    "shell chair": Kind(
        shell, 1.4, {"plastic": 3, "fabric": 1}, (0.21, 0.26), (0.20, 0.24), (0.42, 0.47), (0.34, 0.44)
    ),
    "folding chair": Kind(
        folding,
        0.7,
        {"wood": 2, "metal": 1, "plastic": 1},
        (0.20, 0.23),
        (0.18, 0.22),
        (0.43, 0.47),
        (0.34, 0.44),
        (0.06, 0.12),
    ),
    "cantilever chair": Kind(
        cantilever,
        1,
        {"leather": 2, "fabric": 2, "plastic": 1},
        (0.22, 0.25),
        (0.21, 0.25),
        (0.43, 0.47),
        (0.38, 0.50),
    ),
    "rocking chair": Kind(
        rocking, 0.8, {"wood": 1}, (0.22, 0.26), (0.21, 0.24), (0.40, 0.45), (0.50, 0.66), (0.10, 0.18)
    ),
}
WEIGHTS = {name: kind.weight for name, kind in KINDS.items()}


def _stature(tall: float, broad: float) -> str:
    """The word for scales that differ enough from 1, the greater difference first."""
    if abs(tall - 1) >= abs(broad - 1):
        return "tall" if tall > 1.09 else "short" if tall < 0.92 else ""
    return "wide" if broad > 1.09 else "narrow" if broad < 0.92 else ""


def draw_chair(dice: Dice, name: str | None = None) -> Design:
    """A chair of the named kind, or of any kind."""
    name = dice.weigh(WEIGHTS) if name is None else name
    kind = KINDS[name]
    tall, broad = dice.uniform(0.84, 1.17), dice.uniform(0.84, 1.17)
    plan = Plan(
        dice.uniform(*kind.width) * broad,
        dice.uniform(*kind.depth),
        dice.uniform(*kind.seat) * (1 + tall) / 2,
        dice.uniform(*kind.back) * tall,
        dice.uniform(*kind.lean),
    )
    look = finish(dice, dice.weigh(kind.materials))
    model = Model()
    paints = Paints(model.mix(look.frame), model.mix(look.seat))
    has_arms = kind.build(dice, model, plan, paints)
    return Design(model, name, look.colour, look.material, _stature(tall, broad), has_arms)
