"""Random numbers: seeded generators for the program, and stateless ones for samples.

`manual_seed` sets the generator behind `rand`, dropout and initialisation. All of them draw on the CPU, so a seed gives
the same numbers whatever device they are for. `generator(seed, epoch, index)` is a function of its arguments alone, so
that a data sample is the same whichever worker makes it and wherever a run resumes.
"""

from __future__ import annotations

import json
import operator
import secrets
from typing import Any

import numpy as np

from . import devices
from .errors import ArgumentError, DeviceError, DTypeError

__all__ = [
    "Generator",
    "default_generator",
    "generator",
    "get_rng_state",
    "get_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "set_state",
]


class Generator:
    """A source of random numbers with a state of its own: `ts.randn(3, generator=g)`; PyTorch's methods.

    A new one has seed 0. `device` is where the numbers will live and may be any; they are drawn on the CPU.
    `numbers` is the NumPy generator behind it.
    """

    def __init__(self, device: Any = "cpu") -> None:
        try:
            self.device = devices.device(device)
        except DeviceError:
            expected = "'cpu', 'cuda', 'cuda:N' or 'emulated'"
            raise DeviceError(f"Generator: device must be {expected}, got {device!r}") from None
        self.numbers = np.random.Generator(np.random.PCG64(0))
        self._seed = 0

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, an integer of up to 64 bits, and return the generator."""
        try:
            number = operator.index(seed)
        except TypeError:
            raise DTypeError(f"manual_seed: seed must be an integer, got {seed!r}") from None
        if not -(2**63) <= number < 2**64:
            raise ArgumentError(f"manual_seed: seed must lie between -2^63 and 2^64 - 1, got {number}")
        self._seed = number % 2**64  # as in PyTorch, -1 is 2^64 - 1
        self.numbers.bit_generator.state = np.random.PCG64(self._seed).state
        return self

    def seed(self) -> int:
        """Start again from a seed that nobody chose, and return it."""
        return self.manual_seed(secrets.randbits(64)).initial_seed()

    def initial_seed(self) -> int:
        """The seed that the generator started from."""
        return self._seed

    def get_state(self) -> Any:
        """The state, as a Tensor of bytes."""
        from .engine import Tensor

        text = json.dumps({"seed": self._seed, "state": self.numbers.bit_generator.state})
        return Tensor(np.frombuffer(text.encode(), np.uint8).copy())

    def set_state(self, new_state: Any) -> None:
        """Put back what `get_state` returned."""
        try:
            stored = json.loads(bytes(np.asarray(new_state, np.uint8)))
            self.numbers.bit_generator.state = stored["state"]
            self._seed = int(stored["seed"])
        except (ValueError, TypeError, KeyError):
            raise ArgumentError("set_state: new_state is not what get_state of a Generator returned") from None


_default = Generator()


def manual_seed(seed: int) -> Generator:
    """Seed the program's generator (`rand` and its kin, initialisation, dropout) and return it."""
    return _default.manual_seed(seed)


def seed() -> int:
    """Give the program's generator a seed that nobody chose, and return it."""
    return _default.seed()


def initial_seed() -> int:
    """The seed that the program's generator started from."""
    return _default.initial_seed()


def get_rng_state() -> Any:
    """The state of the program's generator, as a Tensor of bytes."""
    return _default.get_state()


def set_rng_state(new_state: Any) -> None:
    """Put back what `get_rng_state` returned."""
    _default.set_state(new_state)


def default_generator() -> np.random.Generator:
    """NumPy's side of the program's generator, which `manual_seed` seeds."""
    return _default.numbers


def generator(*key: int) -> np.random.Generator:
    """A new generator that depends on `key` alone, such as (seed, epoch, index); all non-negative integers."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def get_state() -> dict[str, Any]:
    """The state of the program's generator, for a checkpoint."""
    return dict(_default.numbers.bit_generator.state)


def set_state(state: dict[str, Any]) -> None:
    """Put back what `get_state` returned."""
    _default.numbers.bit_generator.state = state
