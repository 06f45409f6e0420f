"""Compiles every kernel in all its variants on several cores, before anything waits for one: CuPy keeps them on disk.

python -m benchmarks.gpu.compiling 3 12    # the fourth of twelve parts
"""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.processes import Process, shortened
from tinyseg.kernels.launch import options
from tinyseg.kernels.source import KERNELS, Defines, Source, read_source

__all__ = ["compile_all", "compile_part"]


def compile_all(seconds: float) -> dict[str, Any]:
    """How long it took, and what went wrong; whoever launches what is not compiled in time compiles it then."""
    began, count = time.perf_counter(), min(12, os.cpu_count() or 1)
    command = [sys.executable, "-m", "benchmarks.gpu.compiling"]
    parts = [Process([*command, str(k), str(count)]) for k in range(count)]
    done = [part.done(seconds - (time.perf_counter() - began)) for part in parts]
    return {
        "processes": count,
        "late": sum(not part.ended for part in done),
        "errors": [shortened(part.output) for part in done if part.ended and part.code],
        "seconds": round(time.perf_counter() - began, 1),
    }


def compile_part(part: int, count: int, architecture: int) -> list[str]:
    """Every `count`-th variant that is for this architecture; what NVRTC said of those that do not compile."""
    import cupy

    errors = []
    for path, source, defines in list(variants(architecture))[part::count]:
        try:
            cupy.RawModule(code=source.text, options=options(defines)).compile()  # as kernels/launch.py has it
        except Exception as problem:
            errors.append(f"{path.parent.name}/{path.name} {dict(defines)}: {type(problem).__name__}: {problem}")
    return errors


def variants(architecture: int) -> Iterator[tuple[pathlib.Path, Source, Defines]]:
    for path in sorted(KERNELS.glob("*/*.cu")):
        source = read_source(path)
        for variant in source.variants:
            if variant.architecture <= architecture:
                yield path, source, variant.defines


if __name__ == "__main__":
    import cupy

    found = compile_part(int(sys.argv[1]), int(sys.argv[2]), int(cupy.cuda.Device().compute_capability))
    print(*found, sep="\n")
    sys.exit(1 if found else 0)
