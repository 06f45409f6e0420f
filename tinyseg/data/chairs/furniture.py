"""What else stands in a room: things that hide chairs, share their colours and legs, and are not chairs."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.materials import CHROME, COLOURS, WOODS, Paint, fabric, lacquer, metal, plastic, wood
from tinyseg.data.chairs.solids import CYLINDER, Model

Furniture = Callable[[Dice], Model]


def _any_wood(dice: Dice) -> Paint:
    if dice.chance(0.8):
        return wood(dice, dice.pick(list(WOODS.values())))
    return lacquer(dice, dice.pick(list(COLOURS.values())))


def table(dice: Dice) -> Model:
    """A dining table: a top at 0.72-0.78 m on four legs or on a pedestal."""
    model = Model()
    top, leg = model.mix(_any_wood(dice)), model.mix(_any_wood(dice))
    height, w, d = dice.uniform(0.72, 0.78), dice.uniform(0.4, 0.75), dice.uniform(0.35, 0.5)
    if dice.chance(0.3):
        model.drum((0, 0, height - 0.02), (d * 1.2, d * 1.2, 0.02), top)
        model.rod((0, 0, 0.04), (0, 0, height - 0.04), 0.05, leg)
        model.drum((0, 0, 0.025), (0.28, 0.28, 0.025), leg, 0.7)
        return model
    model.box((0, 0, height - 0.02), (w, d, 0.02), top)
    model.box((0, 0, height - 0.08), (w - 0.06, d - 0.06, 0.04), leg)
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (w - 0.07), sy * (d - 0.07)
            model.beam((x, y, height - 0.05), (x, y, 0), (0.032, 0.032), leg, taper=dice.uniform(0.6, 1.0))
    return model


def cabinet(dice: Dice) -> Model:
    """A chest of drawers."""
    model = Model()
    body = model.mix(_any_wood(dice))
    front = body if dice.chance(0.4) else model.mix(_any_wood(dice))
    knob = model.mix(metal(dice, CHROME))
    w, d, h = dice.uniform(0.3, 0.6), dice.uniform(0.2, 0.28), dice.uniform(0.5, 1.15)
    model.box((0, 0, h / 2 + 0.03), (w, d, h / 2 - 0.03), body)
    count = int(dice.uniform(2, 5))
    pitch = (h - 0.06) / count
    for k in range(count):
        z = 0.06 + pitch * (k + 0.5)
        model.box((0, d + 0.006, z), (w - 0.025, 0.012, pitch / 2 - 0.012), front)
        model.ball((0, d + 0.025, z), (0.025, 0.015, 0.015), knob)
    return model


def bookcase(dice: Dice) -> Model:
    """Shelves with books."""
    model = Model()
    body = model.mix(_any_wood(dice))
    books = [model.mix(fabric(dice, dice.pick(list(COLOURS.values())))) for _ in range(4)]
    w, d, h, count = dice.uniform(0.3, 0.5), 0.15, dice.uniform(1.2, 2.0), int(dice.uniform(3, 6))
    model.box((0, -d + 0.01, h / 2), (w, 0.01, h / 2), body)
    for side in (-1, 1):
        model.box((side * w, 0, h / 2), (0.015, d, h / 2), body)
    for k in range(count + 1):
        z = 0.06 + (h - 0.08) * k / count
        model.box((0, 0, z), (w, d, 0.012), body)
        x = -w + 0.03
        while k < count and x < w * dice.uniform(0.2, 1.0):
            wide, tall = dice.uniform(0.03, 0.08), dice.uniform(0.09, 0.13)
            model.box((x + wide, 0.02, z + 0.012 + tall), (wide, d * 0.7, tall), dice.pick(books))
            x += 2 * wide + 0.004
    return model


def plant(dice: Dice) -> Model:
    """Leaves on stems in a pot."""
    model = Model()
    pot = model.mix(plastic(dice, dice.pick(list(COLOURS.values()))))
    tone = dice.uniform(0.7, 1.3)
    leaf = model.mix(Paint((0.14 * tone, 0.40 * tone, 0.14), (0.30, 0.52 * tone, 0.18), 7, 30, 0.1))
    stem = model.mix(wood(dice, WOODS["brown"]))
    r, h, tall = dice.uniform(0.12, 0.2), dice.uniform(0.1, 0.17), dice.uniform(0.4, 1.2)
    model.drum((0, 0, h), (r * 0.75, r * 0.75, h), pot, 1.33)
    for k in range(int(dice.uniform(6, 13))):
        angle, up = 2.4 * k, dice.uniform(0.35, 1.0)
        out = dice.uniform(0.05, 0.32) * (1.2 - 0.6 * up) * (0.6 + tall / 2)
        x, y, z = out * math.cos(angle), out * math.sin(angle), 2 * h + up * tall
        model.rod((0, 0, 2 * h), (x, y, z), 0.008, stem)
        model.ball((x, y, z), (dice.uniform(0.05, 0.14), dice.uniform(0.05, 0.14), dice.uniform(0.06, 0.2)), leaf)
    return model


def lamp(dice: Dice) -> Model:
    """A floor lamp: foot, pole, shade."""
    model = Model()
    pole = model.mix(metal(dice, dice.pick((CHROME, COLOURS["black"], WOODS["orange"]))))
    rgb = dice.pick((COLOURS["white"], COLOURS["beige"], COLOURS["yellow"], COLOURS["red"]))
    shade = model.mix(fabric(dice, rgb))
    height, r = dice.uniform(1.25, 1.7), dice.uniform(0.14, 0.22)
    model.drum((0, 0, 0.015), (0.15, 0.15, 0.015), pole)
    model.rod((0, 0, 0), (0, 0, height), 0.015, pole)
    model.drum((0, 0, height), (r, r, dice.uniform(0.11, 0.17)), shade, dice.uniform(0.55, 1.0))
    return model


def boxes(dice: Dice) -> Model:
    """One to three cardboard or plastic boxes on top of each other."""
    model = Model()
    z = 0.0
    for _ in range(int(dice.uniform(1, 4))):
        rgb = (0.70, 0.54, 0.36) if dice.chance(0.6) else dice.pick(list(COLOURS.values()))
        paint = model.mix(lacquer(dice, rgb))
        half = (dice.uniform(0.13, 0.26), dice.uniform(0.13, 0.24), dice.uniform(0.08, 0.18))
        model.box((dice.uniform(-0.03, 0.03), dice.uniform(-0.03, 0.03), z + half[2]), half, paint)
        z += 2 * half[2]
    return model


def basket(dice: Dice) -> Model:
    """A waste-paper basket or a planter."""
    model = Model()
    paint = model.mix(dice.pick((plastic, metal, fabric))(dice, dice.pick(list(COLOURS.values()))))
    r, h = dice.uniform(0.12, 0.18), dice.uniform(0.13, 0.22)
    model.drum((0, 0, h), (r, r, h), paint, dice.uniform(1.0, 1.3))
    return model


def ball(dice: Dice) -> Model:
    """A ball, or a beanbag."""
    model = Model()
    paint = model.mix(dice.pick((plastic, fabric))(dice, dice.pick(list(COLOURS.values()))))
    r = dice.uniform(0.11, 0.3)
    squash = dice.pick((1.0, 1.0, 0.7))
    model.ball((0, 0, r * squash), (r, r, r * squash), paint)
    return model


def suitcase(dice: Dice) -> Model:
    """A trolley case with its handle."""
    model = Model()
    paint = model.mix(plastic(dice, dice.pick(list(COLOURS.values()))))
    steel = model.mix(metal(dice, CHROME))
    w, d, h = dice.uniform(0.18, 0.24), dice.uniform(0.1, 0.13), dice.uniform(0.26, 0.36)
    model.pillow((0, 0, h + 0.03), (w, d, h), paint)
    top = 2 * h + dice.uniform(0.05, 0.35)
    model.tube(((-w / 2, -d / 2, h), (-w / 2, -d / 2, top), (w / 2, -d / 2, top), (w / 2, -d / 2, h)), 0.012, steel)
    return model


def coat_stand(dice: Dice) -> Model:
    """A pole with hooks and a coat or two."""
    model = Model()
    paint = model.mix(_any_wood(dice))
    coat = model.mix(fabric(dice, dice.pick(list(COLOURS.values()))))
    for k in range(3):
        angle = 2 * math.pi * k / 3 + 0.5
        x, y = math.cos(angle), math.sin(angle)
        model.beam((0, 0, 0.25), (0.28 * x, 0.28 * y, 0.0), (0.018, 0.018), paint)
        model.beam((0, 0, 1.55), (0.16 * x, 0.16 * y, 1.7), (0.012, 0.012), paint)
    model.rod((0, 0, 0), (0, 0, 1.75), 0.022, paint)
    for k in range(int(dice.uniform(0, 3))):
        model.pillow((0.12 * (2 * k - 1), 0.02, 1.2), (0.14, 0.11, dice.uniform(0.3, 0.45)), coat)
    return model


def screen(dice: Dice) -> Model:
    """A television on a low board."""
    model = Model()
    board, black = model.mix(_any_wood(dice)), model.mix(plastic(dice, COLOURS["black"]))
    w, h = dice.uniform(0.5, 0.8), dice.uniform(0.3, 0.45)
    model.box((0, 0, h / 2), (w, 0.2, h / 2), board)
    model.box((0, 0, h + 0.32), (w * 0.8, 0.025, 0.27), black)
    model.box((0, 0, h + 0.03), (0.12, 0.08, 0.03), black)
    return model


def column(dice: Dice) -> Model:
    """A pillar up to the ceiling, or a heating pipe."""
    model = Model()
    paint = model.mix(plastic(dice, dice.pick((COLOURS["white"], COLOURS["grey"], COLOURS["beige"], COLOURS["red"]))))
    r = dice.pick((0.05, 0.12, 0.18))
    model.beam((0, 0, 0), (0, 0, 3.9), (r, r), paint, dice.pick((0, CYLINDER)))
    return model


# Things that may stand in front of a chair, and things that belong beside it or along a wall.
SMALL: dict[Furniture, float] = {boxes: 2, basket: 1, ball: 1, plant: 2, suitcase: 1, table: 2}
LARGE: dict[Furniture, float] = {
    table: 2,
    cabinet: 2,
    bookcase: 2,
    plant: 2,
    lamp: 2,
    boxes: 1,
    coat_stand: 1,
    screen: 1,
    column: 0.6,
    suitcase: 0.6,
    ball: 0.5,
}
