"""The table of ops: one row per op and geometry, a file per family. See `case.py` for what a row is."""

from . import (
    activations,
    attention,
    convolution,
    elementwise,
    linalg,
    losses,
    normalisation,
    pooling,
    reductions,
    resizing,
    shapes,
)
from .case import CASES, Case, listed

__all__ = [
    "CASES",
    "Case",
    "activations",
    "attention",
    "convolution",
    "elementwise",
    "linalg",
    "listed",
    "losses",
    "normalisation",
    "pooling",
    "reductions",
    "resizing",
    "shapes",
]
