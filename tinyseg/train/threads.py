"""How many threads compute. The order of sums, and with it the last bits of a result, depends on their number."""

from __future__ import annotations

from ..errors import ArgumentError

__all__ = ["use_threads"]


def use_threads(count: int = 0) -> int:
    """Let kernels started from this thread run on `count` threads (0: one per core), and return how many that are.

    **Raises** ArgumentError for more than this machine (or NUMBA_NUM_THREADS) has.
    """
    import numba

    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 0 <= count <= most:
        raise ArgumentError(f"threads: count is {count}, expected 0 (all) to {most}, the cores of this machine")
    numba.set_num_threads(count or most)
    return count or most
