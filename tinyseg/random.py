"""Random numbers: one seeded generator for the program, and stateless ones for samples.

`manual_seed` sets the generator behind dropout and initialisation. `generator(seed, epoch, index)` is a function of its
arguments alone, so that a data sample is the same whichever worker makes it and wherever a run resumes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["default_generator", "generator", "get_state", "manual_seed", "set_state"]

_default = np.random.Generator(np.random.PCG64(0))


def manual_seed(seed: int) -> np.random.Generator:
    """Seed the program's generator (initialisation, dropout) and return it."""
    _default.bit_generator.state = np.random.PCG64(seed).state
    return _default


def default_generator() -> np.random.Generator:
    """The program's generator, which `manual_seed` seeds."""
    return _default


def generator(*key: int) -> np.random.Generator:
    """A new generator that depends on `key` alone, such as (seed, epoch, index); all non-negative integers."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def get_state() -> dict[str, Any]:
    """The state of the program's generator, for a checkpoint."""
    return dict(_default.bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put back what `get_state` returned."""
    _default.bit_generator.state = state
