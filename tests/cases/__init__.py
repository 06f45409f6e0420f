"""The table of ops: one row per op and geometry, a file per family. See `case.py` for what a row is."""

from . import (
    activations,
    arranging,
    attention,
    convolution,
    elementwise,
    folding,
    indexing,
    linalg,
    losses,
    names,
    normalisation,
    pooling,
    reductions,
    resizing,
    sampling,
    shapes,
)
from .case import CASES, DEVICES, Case, listed

__all__ = [
    "CASES",
    "DEVICES",
    "Case",
    "activations",
    "arranging",
    "attention",
    "convolution",
    "elementwise",
    "folding",
    "indexing",
    "linalg",
    "listed",
    "losses",
    "names",
    "normalisation",
    "pooling",
    "reductions",
    "resizing",
    "sampling",
    "shapes",
]
