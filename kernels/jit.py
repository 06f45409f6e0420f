"""How numba kernels are compiled, cached and launched. Import it from the modules with kernels only: it imports numba.

* `serial` compiles a function that runs on the caller's thread and releases the GIL (loader workers may call it).
* `parallel` compiles a function with `prange`; its launches take turns.
* `set_num_threads` and `get_num_threads`, public as `ts.…`, say how many threads such a launch uses.

Of numba's thread pools we take OpenMP's: a launch costs 2 to 5 us where "workqueue" takes 110 to 180 to wake its
threads, and a small network launches two hundred kernels a step. GNU's OpenMP is told to let idle threads spin for a
fraction of a millisecond instead of several. Without a libgomp (`apt install libgomp1`) workqueue serves. Neither
outlives a fork.

The on-disk cache lives in a folder named after a hash of all kernel sources, because numba notices a change in the
function's own file only, not in the functions it calls.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import operator
import os
import pathlib
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba.core import event

from tinyseg.errors import ArgumentError, DTypeError
from tinyseg.kernels import cache
from tinyseg.kernels.memory import keep_freed_memory

__all__ = ["JIT", "cache_folder", "get_num_threads", "parallel", "prange", "serial", "set_num_threads"]

prange = numba.prange
_config: Any = numba.config  # numba's own annotations do not know what is in it

JIT = not _config.DISABLE_JIT  # False under NUMBA_DISABLE_JIT=1: kernels run as plain Python (coverage)

# "reassoc" lets sums vectorise; full fastmath would also assume that NaN never occurs and break isnan.
FASTMATH = {"contract", "reassoc", "nsz"}

# A division by zero gives what it gives in NumPy: with Python's exception it is a branch, and 1 in 8 of all the time
# that compiling takes. Nobody takes the address of a kernel.
OPTIONS: Any = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}

F = TypeVar("F", bound=Callable[..., Any])
_turn = threading.RLock()  # workqueue aborts the process when two threads enter it; OpenMP would start a second pool
_launched = False  # whether this process has a thread pool,
_orphaned = False  # or its parent had one when it was forked
_threads: int = _config.NUMBA_NUM_THREADS  # that a launch uses; at first all that the pool has

SPINS = "10000"  # of an idle OpenMP thread before it sleeps: about 0.3 ms, longer than the gap between two kernels


class _Told(threading.local):
    """What numba has been told on this Python thread: it keeps a number for each."""

    threads = 0


_told = _Told()


class _Announcement(event.Listener):
    """Says once, at the first kernel that is really compiled, why this takes a while."""

    said = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if module.startswith("tinyseg.") and not self.said:
            self.said = True
            print("tinyseg: compiling kernels, first run only", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        """Nothing more to say."""


def set_num_threads(n: int) -> None:
    """Let CPU kernels use `n` threads from now on, in the whole process: whichever Python thread starts them.

    At first it is one per core, or as many as the environment variable NUMBA_NUM_THREADS says when Python starts;
    n may be any number from 1 to that. How a sum is divided depends on the number of threads, and with it the last bits
    of a result; the same number gives the same bits. Use it in place of `numba.set_num_threads`, which speaks for one
    Python thread.
    **Raises** DTypeError if n is not an integer; ArgumentError if there are fewer threads than n, or n is below 1.
    """
    global _threads
    try:
        number = operator.index(n)
    except TypeError:
        number = None
    if number is None or isinstance(n, bool):
        raise DTypeError(f"set_num_threads: n must be a positive integer, got {n!r}")
    if number < 1:
        raise ArgumentError(f"set_num_threads: n must be a positive integer, got {number}")
    most = _config.NUMBA_NUM_THREADS
    if number > most:
        raise ArgumentError(
            f"set_num_threads: n must be 1 to {most}, the threads that this process has, got {number}; "
            f"for more start Python with NUMBA_NUM_THREADS={number} in the environment"
        )
    _threads = number


def get_num_threads() -> int:
    """The number of threads that CPU kernels use, in the whole process; see `set_num_threads`."""
    return _threads


def cache_folder() -> pathlib.Path:
    """The folder of the compiled kernels of exactly these sources: `$TINYSEG_CACHE` or `~/.cache/tinyseg`, by hash."""
    root = pathlib.Path(__file__).resolve().parent
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for source in sorted([*root.rglob("*.py"), *(root.parent / "tinyseg" / "data").rglob("*.py")]):
        if not source.name.startswith("cuda") and source.parent.name != "emulator":  # numba compiles nothing of these
            digest.update(source.read_bytes())
    return cache.folder("numba") / digest.hexdigest()[:16]


def _prepare_cache() -> None:
    if not JIT:
        return
    folder = cache_folder()
    event.register("numba:compile", _Announcement())  # triggered where the cache has no code for a call
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _config.CACHE_DIR = str(folder)
    except OSError as error:  # a read-only home: numba falls back to __pycache__ or its own choice
        print(f"tinyseg: compiled kernels are not kept: {error}", file=sys.stderr)


def _choose_pool() -> None:
    if _config.THREADING_LAYER != "default":
        return  # chosen by the user through NUMBA_THREADING_LAYER
    name = "GOMP_SPINCOUNT"
    ours = name not in os.environ and "OMP_WAIT_POLICY" not in os.environ
    if ours:
        os.environ[name] = SPINS  # libgomp reads it once, while it is loaded
    try:
        importlib.import_module("numba.np.ufunc.omppool")
        _config.THREADING_LAYER = "omp"
    except ImportError:
        _config.THREADING_LAYER = "workqueue"
    finally:
        if ours:
            del os.environ[name]


def _after_fork() -> None:
    global _orphaned
    _orphaned = _launched


os.register_at_fork(after_in_child=_after_fork)
_choose_pool()
_prepare_cache()
keep_freed_memory()


def serial(function: F) -> F:
    """Compile a kernel that runs on the calling thread without the GIL."""
    compiled: Any = numba.njit(cache=True, fastmath=FASTMATH, **OPTIONS)(function)
    return cast(F, compiled)


def parallel(function: F) -> F:
    """Compile a kernel whose `prange` loops run on numba's thread pool; launches take turns."""
    # No fastmath here: a parallel loop that is free to reassociate comes out of the compiler in one form when it is
    # compiled in the process and in another when it is loaded from the cache, and a resumed run must repeat every bit.
    kernel: Any = numba.njit(cache=True, parallel=True, **OPTIONS)(function)

    @functools.wraps(function)
    def launched(*args: Any) -> Any:
        global _launched
        if _orphaned:
            raise RuntimeError(
                "kernels: this process was forked from one that had run kernels, whose threads it does not have; "
                "use multiprocessing.get_context('spawn')"
            )
        _launched = True
        with _turn:
            if _told.threads != _threads:
                _tell_numba()
            return kernel(*args)

    return cast(F, launched)


def _tell_numba() -> None:
    number = _threads  # read once: another thread may be setting it
    numba.set_num_threads(number)
    _told.threads = number
