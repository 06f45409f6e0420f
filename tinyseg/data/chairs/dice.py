"""Random choices at the price of a list access: a scene draws some hundred numbers, and NumPy calls would be slow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def _stream(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(256).tolist()


class Dice:
    """Draws from a generator, one after the other; the same generator state gives the same draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._next = _stream(rng).__next__

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._next()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._next() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, each as likely as the others."""
        return items[int(self._next() * len(items))]

    def weigh(self, weights: Mapping[T, float]) -> T:
        """One of the keys, as likely as its weight says; the weights need not sum to one."""
        rest = self._next() * sum(weights.values())
        items = iter(weights.items())
        item, weight = next(items)
        while rest >= weight:
            rest -= weight
            item, weight = next(items, (item, math.inf))  # rounding may leave a rest past the last item
        return item
