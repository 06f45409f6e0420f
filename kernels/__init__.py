"""Hand-written kernels: arrays in, arrays out. No Tensor is known here.

Each family is a folder: `__init__.py` is the contract and the choice of backend, `reference.py` the definition
in plain loops, `cpu.py` the numba kernels.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tinyseg.errors import ArgumentError

__all__ = ["chosen", "full_accuracy", "use"]

_chosen: dict[str, str | None] = {"conv2d": None}  # the families with several versions
_full_accuracy = False


def chosen(family: str) -> str | None:
    """The version that `use` has named for a family; None: the rule decides, call by call."""
    return _chosen[family]


def full_accuracy() -> bool:
    """Whether `use` has asked for versions that round no more than a plain sum does."""
    return _full_accuracy


def use(*, full_accuracy: bool | None = None, **versions: str | None) -> AbstractContextManager[None]:
    """Name the version that a family's kernels use wherever it applies: `use(conv2d="im2col")`; None: the fastest.

    It holds from the call on, or, in a `with` statement, until its end. All versions give the same result, up to
    rounding: only "winograd4x4" rounds more than a plain sum does, some 2e-6 of the largest output against 0.5e-6.
    `use(full_accuracy=True)` has the rule do without it. `kernels.conv2d.algorithms` says which versions apply.
    **Raises** ArgumentError for a family or a version that does not exist.
    """
    global _full_accuracy
    for family, version in versions.items():
        if family not in _chosen:
            raise ArgumentError(f"use: no family {family!r} with several versions; there are {', '.join(_chosen)}")
        names = importlib.import_module(f"{__name__}.{family}.cpu").ALGORITHMS
        if version is not None and version not in names:
            raise ArgumentError(f"use: {family} must be one of {', '.join(names)} or None, got {version!r}")
    if full_accuracy not in (None, False, True):
        raise ArgumentError(f"use: full_accuracy must be True, False or None (as it is), got {full_accuracy!r}")
    before = {family: _chosen[family] for family in versions}, _full_accuracy
    _chosen.update(versions)
    _full_accuracy = _full_accuracy if full_accuracy is None else full_accuracy

    @contextmanager
    def until_the_end() -> Iterator[None]:
        global _full_accuracy
        try:
            yield
        finally:
            _chosen.update(before[0])
            _full_accuracy = before[1]

    return until_the_end()
