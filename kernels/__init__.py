"""Hand-written kernels: arrays in, arrays out. No Tensor is known here.

Each family is a folder: `__init__.py` is the contract and the choice of backend, `reference.py` the definition
in plain loops, `cpu.py` the numba kernels.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tinyseg.errors import ArgumentError

__all__ = ["chosen", "use"]

_chosen: dict[str, str | None] = {"conv2d": None}  # the families with several versions


def chosen(family: str) -> str | None:
    """The version that `use` has named for a family; None: the rule decides, call by call."""
    return _chosen[family]


def use(**versions: str | None) -> AbstractContextManager[None]:
    """Name the version that a family's kernels use wherever it applies: `use(conv2d="im2col")`; None: the fastest.

    It holds from the call on, or, in a `with` statement, until its end. All versions give the same result, up to
    rounding: only "winograd" rounds more than a plain sum does. `kernels.conv2d.algorithms` says which ones apply.
    **Raises** ArgumentError for a family or a version that does not exist.
    """
    for family, version in versions.items():
        if family not in _chosen:
            raise ArgumentError(f"use: no family {family!r} with several versions; there are {', '.join(_chosen)}")
        names = importlib.import_module(f"{__name__}.{family}.cpu").ALGORITHMS
        if version is not None and version not in names:
            raise ArgumentError(f"use: {family} must be one of {', '.join(names)} or None, got {version!r}")
    before = {family: _chosen[family] for family in versions}
    _chosen.update(versions)

    @contextmanager
    def until_the_end() -> Iterator[None]:
        try:
            yield
        finally:
            _chosen.update(before)

    return until_the_end()
