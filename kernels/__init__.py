"""Hand-written kernels: arrays in, arrays out. No Tensor is known here.

Each family is a folder: `__init__.py` is the contract and the choice of backend, `reference.py` the definition
in plain loops, `cpu.py` the numba kernels, `cuda.py` launches those in the `.cu` files.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from tinyseg.errors import ArgumentError

__all__ = ["allow_tf32", "chosen", "full_accuracy", "use"]

_chosen: dict[str, str | None] = {"attention": None, "conv2d": None}  # the families with several versions
_full_accuracy = False
_allow_tf32 = False


def chosen(family: str) -> str | None:
    """The version that `use` has named for a family; None: the rule decides, call by call."""
    return _chosen[family]


def full_accuracy() -> bool:
    """Whether `use` has asked for versions that round no more than a plain sum does."""
    return _full_accuracy


def allow_tf32() -> bool:
    """Whether a GPU may multiply float32 in TF32: `use` has allowed it, and has not asked for full accuracy."""
    return _allow_tf32 and not _full_accuracy


def use(
    *, full_accuracy: bool | None = None, allow_tf32: bool | None = None, **versions: str | None
) -> AbstractContextManager[None]:
    """Name the version that a family's kernels use wherever it applies: `use(conv2d="im2col")`; None: the fastest.

    It holds from the call on, or, in a `with` statement, until its end. All versions give the same result, up to
    rounding: only "winograd4x4" rounds more than a plain sum does, some 2e-6 of the largest output against 0.5e-6.
    `use(full_accuracy=True)` has the rule do without it. `kernels.conv2d.algorithms` says which versions apply; a
    version that one of CPU and GPU lacks leaves that one to its rule.
    `use(allow_tf32=True)` lets a GPU's tensor cores multiply float32 in TF32: factors are rounded to ten bits of
    mantissa, some 5e-4 of each, and sums stay float32. It is off by default, whatever CUPY_TF32 is.
    **Raises** ArgumentError for a family or a version that does not exist.
    """
    global _full_accuracy, _allow_tf32
    for family, version in versions.items():
        if family not in _chosen:
            raise ArgumentError(f"use: no family {family!r} with several versions; there are {', '.join(_chosen)}")
        modules = (importlib.import_module(f"{__name__}.{family}.{backend}") for backend in ("cpu", "cuda"))
        names = dict.fromkeys(name for module in modules for name in getattr(module, "ALGORITHMS", ()))
        if version is not None and version not in names:
            raise ArgumentError(f"use: {family} must be one of {', '.join(names)} or None, got {version!r}")
    for name, flag in (("full_accuracy", full_accuracy), ("allow_tf32", allow_tf32)):
        if flag not in (None, False, True):
            raise ArgumentError(f"use: {name} must be True, False or None (as it is), got {flag!r}")
    before = {family: _chosen[family] for family in versions}, _full_accuracy, _allow_tf32
    _chosen.update(versions)
    _full_accuracy = _full_accuracy if full_accuracy is None else full_accuracy
    _allow_tf32 = _allow_tf32 if allow_tf32 is None else allow_tf32

    @contextmanager
    def until_the_end() -> Iterator[None]:
        global _full_accuracy, _allow_tf32
        try:
            yield
        finally:
            _chosen.update(before[0])
            _full_accuracy, _allow_tf32 = before[1:]

    return until_the_end()
