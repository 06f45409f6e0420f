"""`tinyseg info`: what a report of a problem should say about the machine."""

from __future__ import annotations

import os
import pathlib
import platform
from collections.abc import Iterator

from . import options as o

LIBRARIES = ("numpy", "scipy", "numba", "safetensors", "pillow", "rich", "typer", "matplotlib", "ml_dtypes")


def info() -> None:
    """Show versions, libraries for linear algebra, threads, GPU and caches."""
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts():
        table.add_row(name, value)
    o.console().print(table)


def _facts() -> Iterator[tuple[str, str]]:
    from .. import __version__
    from ..train.recipes import physical_memory

    yield "tinyseg", f"{__version__}, {pathlib.Path(__file__).resolve().parents[1]}"
    yield "Python", f"{platform.python_version()}, {platform.platform()}"
    yield "libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    yield "processor", f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    yield "memory", f"{physical_memory() / 2**30:.1f} GiB"
    for library in _blas():
        yield "BLAS", library
    yield "threads", _threads()
    yield "GPU", _gpu()
    yield "kernel cache", _cache()


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _blas() -> list[str]:
    import numpy.linalg  # noqa: F401  loads the library that is then listed
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return [
        f"{pool['internal_api']} {pool['version']} ({pool.get('architecture', '?')}), {pool['num_threads']} threads"
        for pool in pools
    ]


def _threads() -> str:
    import numba

    from ..kernels import jit

    return f"{jit.get_num_threads()} for kernels ({getattr(numba.config, 'THREADING_LAYER', '?')})"


def _gpu() -> str:
    import numpy as np

    from ..devices import array_module, cuda_available, to_device

    if not cuda_available():
        return "none (CuPy is not installed, or sees no GPU)"
    cupy = array_module(to_device(np.zeros(1), "cuda"))
    properties = cupy.cuda.runtime.getDeviceProperties(0)
    return f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB, CuPy {cupy.__version__}"


def _cache() -> str:
    from ..kernels.jit import cache_folder

    folder = cache_folder()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    return f"{folder}, {len(sizes)} files, {sum(sizes) / 2**20:.1f} MiB"
