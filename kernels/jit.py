"""How numba kernels are compiled, cached and launched. Import it only from `cpu.py` modules: it imports numba.

* `serial` compiles a function that runs on the caller's thread and releases the GIL (loader workers may call it).
* `parallel` compiles a function with `prange`; its launches take turns and hold every BLAS at one thread.

Of numba's thread pools we take "workqueue": a launch costs 30-70 us where OpenMP's costs 2 to 10, but its idle threads
sleep. OpenMP's spin for milliseconds after every kernel (fifty launches 10 ms apart: 15 ms of CPU time against 420),
which on two cores is taken from the loader and from Python; it also needs a libgomp and dies when forked.

The on-disk cache lives in a folder named after a hash of all kernel sources, because numba notices a change in the
function's own file only, not in the functions it calls.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar, cast

import numba

from tinyseg.kernels.memory import keep_freed_memory

__all__ = ["JIT", "blas_pools", "cache_folder", "launch", "parallel", "prange", "serial"]

prange = numba.prange
_config: Any = numba.config  # numba's own annotations do not know what is in it

JIT = not _config.DISABLE_JIT  # False under NUMBA_DISABLE_JIT=1: kernels run as plain Python (coverage)

# "reassoc" lets sums vectorise; full fastmath would also assume that NaN never occurs and break isnan.
FASTMATH = {"contract", "reassoc", "nsz"}

F = TypeVar("F", bound=Callable[..., Any])
_turn = threading.RLock()  # numba's workqueue scheduler aborts the process when two threads enter it
_blas: Any = None
_held = 0  # how deep in `launch` the thread is that holds the turn


def cache_folder() -> pathlib.Path:
    """The folder of the compiled kernels of exactly these sources: `$TINYSEG_CACHE` or `~/.cache/tinyseg`, by hash."""
    root = pathlib.Path(__file__).resolve().parent
    digest = hashlib.sha256(f"{numba.__version__} {sys.version}".encode())
    for source in sorted([*root.rglob("*.py"), *(root.parent / "tinyseg" / "data").rglob("*.py")]):
        digest.update(source.read_bytes())
    base = os.environ.get("TINYSEG_CACHE") or pathlib.Path.home() / ".cache" / "tinyseg"
    return pathlib.Path(base) / "numba" / digest.hexdigest()[:16]


def _prepare_cache() -> None:
    if not JIT:
        return
    folder = cache_folder()
    if not folder.is_dir():
        print("tinyseg: compiling kernels, first run only", file=sys.stderr)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _config.CACHE_DIR = str(folder)
    except OSError as error:  # a read-only home: numba falls back to __pycache__ or its own choice
        print(f"tinyseg: compiled kernels are not kept: {error}", file=sys.stderr)


if _config.THREADING_LAYER == "default":  # not chosen by the user through NUMBA_THREADING_LAYER
    _config.THREADING_LAYER = "workqueue"
_prepare_cache()
keep_freed_memory()


def blas_pools() -> Any:
    """The controller of every BLAS in the process, found once: it sees only libraries that are loaded."""
    global _blas
    if _blas is None:
        import numpy.linalg  # noqa: F401
        import scipy.linalg  # noqa: F401
        from threadpoolctl import ThreadpoolController

        _blas = ThreadpoolController().select(user_api="blas")
    return _blas


@contextmanager
def launch() -> Iterator[None]:
    """Hold the launch lock, and every BLAS at one thread: the only pool that works meanwhile is numba's.

    NumPy's and SciPy's OpenBLAS have pools of their own whose idle threads spin and steal the cores. Nested launches
    are free: whoever starts many kernels in a row may hold one `launch()` around them all.
    """
    global _held
    with _turn, blas_pools().limit(limits=1) if _held == 0 else nullcontext():
        _held += 1
        try:
            yield
        finally:
            _held -= 1


def serial(function: F) -> F:
    """Compile a kernel that runs on the calling thread without the GIL."""
    compiled: Any = numba.njit(cache=True, nogil=True, fastmath=FASTMATH)(function)
    return cast(F, compiled)


def parallel(function: F) -> F:
    """Compile a kernel whose `prange` loops run on numba's thread pool; launches take turns (see `launch`)."""
    # No fastmath here: a parallel loop that is free to reassociate comes out of the compiler in one form when it is
    # compiled in the process and in another when it is loaded from the cache, and a resumed run must repeat every bit.
    kernel: Any = numba.njit(cache=True, nogil=True, parallel=True)(function)

    @functools.wraps(function)
    def launched(*args: Any) -> Any:
        with launch():
            return kernel(*args)

    return cast(F, launched)
