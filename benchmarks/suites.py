"""The suites, with the goal of each: PyTorch's time / ours, its geometric mean and its smallest row."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import convolutions, layers, models
from benchmarks.harness import Case
from benchmarks.report import Goal

__all__ = ["GOALS", "SLOW", "cases"]

GOALS = {
    convolutions.FORWARD: Goal(1.2, 0.8),
    convolutions.BOTH: Goal(1.1, 0.7),
    convolutions.OTHERS: Goal(1.0, 0.5),
    layers.LAYERS: Goal(1.0, 0.6),
    layers.PRODUCTS: Goal(1.0),
    models.MODELS: Goal(1.0, 1.0),
    models.MEMORY: Goal(None, 0.91),  # 1 / 1.1
    models.OVERHEAD: Goal(None, 0.5),
    convolutions.DIRECTIONS: Goal(),
}
SLOW = [models.MEMORY, convolutions.DIRECTIONS]  # left out by --quick


def cases() -> Iterator[Case]:
    """Every row that `python -m benchmarks` measures."""
    yield from convolutions.convolutions()
    yield from layers.layers()
    yield from layers.products()
    yield from models.models()
    yield from convolutions.directions()
