"""Colours with names, and what surfaces are made of: two colours, a pattern that mixes them, and how they shine."""

from __future__ import annotations

from typing import NamedTuple

from tinyseg.data.chairs.dice import Dice

RGB = tuple[float, float, float]

# Patterns mix a paint's two colours; texture.py draws them.
PLAIN, GRAIN, PLANKS, TILES, CHECKS, BRICKS, STRIPES, SPECKLE, DOTS, LATTICE, CLOUDS, CHEVRON = range(12)

COLOURS: dict[str, RGB] = {
    "red": (0.75, 0.13, 0.12),
    "orange": (0.90, 0.47, 0.12),
    "yellow": (0.90, 0.76, 0.20),
    "green": (0.20, 0.50, 0.24),
    "teal": (0.12, 0.52, 0.53),
    "blue": (0.16, 0.30, 0.68),
    "purple": (0.43, 0.24, 0.56),
    "pink": (0.89, 0.55, 0.63),
    "white": (0.92, 0.91, 0.89),
    "grey": (0.50, 0.50, 0.52),
    "black": (0.10, 0.10, 0.11),
    "brown": (0.42, 0.26, 0.14),
    "beige": (0.80, 0.70, 0.54),
}
WOODS: dict[str, RGB] = {
    "beige": (0.82, 0.66, 0.44),
    "brown": (0.50, 0.31, 0.16),
    "dark brown": (0.27, 0.16, 0.09),
    "orange": (0.72, 0.42, 0.19),
    "grey": (0.52, 0.48, 0.43),
}


class Paint(NamedTuple):
    """A surface: colours `first` and `second` in [0, 1], the pattern between them, and its reflections.

    `scale` is in pattern periods per metre. `gloss` is the height and `shine` the exponent of the highlight, `mirror`
    the share of the surroundings that a metal reflects.
    """

    first: RGB
    second: RGB
    pattern: int = PLAIN
    scale: float = 1.0
    gloss: float = 0.0
    shine: float = 10.0
    mirror: float = 0.0

    def numbers(self) -> tuple[float, ...]:
        """The eleven numbers that the renderer reads."""
        return (*self.first, *self.second, self.pattern, self.scale, self.gloss, self.shine, self.mirror)


class Finish(NamedTuple):
    """The look of one chair: the paint of its frame and of its seat, and the words for them."""

    colour: str
    material: str
    frame: Paint
    seat: Paint


def shade(rgb: RGB, factor: float) -> RGB:
    """A lighter (factor > 1) or darker colour, kept within [0, 1]."""
    return (min(1.0, rgb[0] * factor), min(1.0, rgb[1] * factor), min(1.0, rgb[2] * factor))


def jitter(dice: Dice, rgb: RGB, amount: float = 0.06) -> RGB:
    """A colour near the given one."""
    red, green, blue = (min(1.0, max(0.02, c + dice.uniform(-amount, amount))) for c in rgb)
    return (red, green, blue)


def wood(dice: Dice, rgb: RGB) -> Paint:
    """Wood with grain along the part's long axis, dull to varnished."""
    tone = jitter(dice, rgb, 0.04)
    return Paint(
        tone,
        shade(tone, dice.uniform(0.6, 0.85)),
        GRAIN,
        dice.uniform(25, 60),
        dice.uniform(0, 0.3),
        dice.uniform(8, 40),
    )


def metal(dice: Dice, rgb: RGB) -> Paint:
    """Lacquered or chromed metal: a sharp highlight, and the room in it."""
    tone = jitter(dice, rgb, 0.03)
    return Paint(tone, tone, PLAIN, 1.0, dice.uniform(0.3, 0.8), dice.uniform(25, 60), dice.uniform(0.15, 0.6))


def plastic(dice: Dice, rgb: RGB) -> Paint:
    """One colour, a medium highlight."""
    tone = jitter(dice, rgb)
    return Paint(tone, tone, PLAIN, 1.0, dice.uniform(0.1, 0.5), dice.uniform(10, 40), 0.05)


def lacquer(dice: Dice, rgb: RGB) -> Paint:
    """Painted wood: the grain barely shows."""
    tone = jitter(dice, rgb)
    return Paint(tone, shade(tone, 0.9), GRAIN, dice.uniform(25, 50), dice.uniform(0, 0.3), dice.uniform(8, 30))


def fabric(dice: Dice, rgb: RGB) -> Paint:
    """Cloth: woven speckle, or stripes, checks and dots in a second colour."""
    tone = jitter(dice, rgb)
    pattern = dice.weigh({SPECKLE: 6, STRIPES: 1, CHECKS: 0.6, DOTS: 0.6, CHEVRON: 0.6})
    if pattern == SPECKLE:
        return Paint(tone, shade(tone, dice.uniform(0.7, 0.9)), SPECKLE, dice.uniform(60, 120))
    second = jitter(dice, dice.pick(list(COLOURS.values()))) if dice.chance(0.4) else shade(tone, 0.7)
    return Paint(tone, second, pattern, dice.uniform(8, 16))


def leather(dice: Dice, rgb: RGB) -> Paint:
    """Smooth hide with soft blotches and a broad highlight."""
    tone = jitter(dice, rgb, 0.04)
    return Paint(tone, shade(tone, 0.8), CLOUDS, dice.uniform(4, 9), dice.uniform(0.15, 0.4), dice.uniform(6, 16))


SOFT = {"fabric": fabric, "leather": leather}
CHROME: RGB = (0.62, 0.63, 0.66)


def _frame_under(dice: Dice, material: str, rgb: RGB) -> Paint:
    """A frame that goes with an upholstered or plastic seat."""
    if material == "plastic" and dice.chance(0.35):
        return plastic(dice, rgb)
    if dice.chance(0.5):
        return wood(dice, dice.pick(list(WOODS.values())))
    return metal(dice, dice.pick((CHROME, CHROME, COLOURS["black"], COLOURS["grey"])))


def finish(dice: Dice, material: str) -> Finish:
    """Choose colours for a chair mainly of the given material: wood, metal, plastic, fabric or leather."""
    if material == "wood":
        natural = dice.chance(0.4)
        colour = dice.pick(list(WOODS if natural else COLOURS))
        frame = wood(dice, WOODS[colour]) if natural else lacquer(dice, COLOURS[colour])
        seat = frame if dice.chance(0.7) else fabric(dice, dice.pick(list(COLOURS.values())))
        return Finish(colour, material, frame, seat)
    colour = dice.pick(list(COLOURS))
    rgb = COLOURS[colour]
    if material == "metal":
        frame = metal(dice, rgb)
        return Finish(colour, material, frame, frame if dice.chance(0.6) else plastic(dice, rgb))
    seat = SOFT[material](dice, rgb) if material in SOFT else plastic(dice, rgb)
    return Finish(colour, material, _frame_under(dice, material, rgb), seat)
