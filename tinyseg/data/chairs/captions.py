"""Words for what is seen: attributes for each visible chair, one sentence for the picture."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from tinyseg.data.chairs.compose import Composition, Seen

# The eight directions, from the front over the sitter's right.
VIEWS = (
    "the front",
    "the front right",
    "the right",
    "the back right",
    "behind",
    "the back left",
    "the left",
    "the front left",
)
WALLS = {
    "painted": "painted walls",
    "brick": "a brick wall",
    "papered": "wallpaper",
    "panelled": "wooden panelling",
    "tiled": "tiled walls",
}
FLOORS = {
    "wooden": "a wooden floor",
    "tiled": "a tiled floor",
    "carpeted": "a carpet",
    "concrete": "a concrete floor",
    "chequered": "a chequered floor",
}
NUMBERS = ("no", "one", "two", "three", "four")


def view_words(bearing: float) -> str:
    """The name of the direction that a chair is seen from; left and right are those of a person sitting on it."""
    return VIEWS[round(bearing / (math.pi / 4)) % 8]


def attributes(seen: Seen, box: tuple[float, float, float, float]) -> dict[str, Any]:
    """What is known of a chair, the caption's words among it; `box` is x0, y0, x1, y1 in pixels."""
    design = seen.design
    return {
        "kind": design.kind,
        "colour": design.colour,
        "material": design.material,
        "stature": design.stature,
        "arms": design.arms,
        "view": view_words(seen.bearing),
        "box": box,
    }


def article(words: str) -> str:
    """The words with "a" or "an" before them."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _noun(chair: dict[str, Any]) -> str:
    """Such as "tall red chair"; an armchair's arms and a bench's width are not worth a word."""
    return " ".join(word for word in (chair["stature"], chair["colour"], chair["kind"]) if word)


def _single(chair: dict[str, Any]) -> str:
    """A sentence about the only chair."""
    arms = " with arms" if chair["arms"] and chair["kind"] != "armchair" else ""
    return f"{article(_noun(chair))}{arms} seen from {chair['view']}"


def _list(nouns: list[str]) -> str:
    """Such as "two blue stools and a red chair"."""
    parts = []
    for noun, count in Counter(nouns).items():
        plural = noun + ("es" if noun.endswith("h") else "s")
        parts.append(article(noun) if count == 1 else f"{NUMBERS[count]} {plural}")
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def caption(chairs: list[dict[str, Any]], composition: Composition) -> str:
    """One sentence about the visible chairs, and about the room where there are several chairs or none."""
    if len(chairs) == 1:
        return _single(chairs[0])
    subject = _list([f"{c['colour']} {c['kind']}" for c in chairs]) if chairs else "no chair"
    return f"{subject} in a room with {WALLS[composition.wall]} and {FLOORS[composition.floor]}"
