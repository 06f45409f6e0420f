"""g++ makes a shared library of a kernel's source and keeps it: `$TINYSEG_CACHE` or `~/.cache/tinyseg`, by hash.

The machine that runs the kernels (runtime/) is a library of its own, which all others need.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tinyseg.errors import ArgumentError, DeviceError

from .. import cache
from .findings import KernelError

__all__ = ["MODES", "build_kernels", "build_runtime", "compiler", "guards"]

HERE = pathlib.Path(__file__).resolve().parent

_COMMON = ["-std=gnu++17", "-fPIC", "-shared", "-w", "-pipe"]
_KERNEL = [
    "-gdwarf-4",
    *("-nostdinc", "-nostdinc++"),  # NVRTC has no host headers: a kernel that wants one must not pass here
    *("-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing", "-fno-optimize-sibling-calls"),
    *("-fvisibility=hidden", "-fno-gnu-unique", "-Wl,-Bsymbolic"),  # modules with the same names must not meet
    *("-ffp-contract=fast", "-nodefaultlibs"),
]
_LIBRARIES = ["-lm", "-lc", "-lgcc"]  # and not those of the sanitizers: runtime/hooks.cpp takes their place
_UNDEFINED = "bounds,shift,integer-divide-by-zero,signed-integer-overflow"
_STOP = "-fno-sanitize-recover=all"
MODES = {
    "fast": ["-O2", "-march=native"],
    # Patterns in locals that nobody has written; what C++ leaves undefined ends the launch.
    "debug": ["-O1", "-march=native", "-ftrivial-auto-var-init=pattern", f"-fsanitize={_UNDEFINED},alignment", _STOP],
    # Every access to memory is announced (runtime/hooks.cpp), and a float4 stays one access.
    "trace": [
        *("-O1", "-fno-tree-sra", "-fno-ipa-icf", f"-fsanitize=thread,{_UNDEFINED}", _STOP),
        *("--param", "tsan-instrument-func-entry-exit=0"),
    ],
}


@functools.cache
def compiler() -> str:
    """The path of g++.

    **Raises** DeviceError, with what to install, where there is none or the system is not Linux.
    """
    if not sys.platform.startswith("linux"):
        raise DeviceError(f"emulator: CUDA kernels are emulated on Linux only, this is {sys.platform}")
    path = shutil.which("g++")
    if path is None:
        raise DeviceError(
            "emulator: no g++ on the PATH, which compiles the CUDA kernels for this processor; install it, e.g. "
            "`apt install g++`, `dnf install gcc-c++` or `conda install gxx binutils`"
        )
    return path


@functools.cache
def _machine() -> str:
    """What a compiled file depends on beside its source: the compiler, and the processor (-march=native)."""
    version = subprocess.run([compiler(), "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True)
    if version.returncode:
        raise DeviceError(f"emulator: {compiler()} does not run: {version.stderr.strip()}")
    try:
        about = pathlib.Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        about = []
    return version.stdout + "".join(line for line in about if line.startswith(("flags", "Features", "model name")))


def _key(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:20]


@functools.cache
def _headers() -> str:
    return "".join(path.read_text() for path in sorted((HERE / "include").iterdir()))


def build_runtime(*extra: str) -> pathlib.Path:
    """The compiled machine; `extra` are more options of g++."""
    sources = sorted((HERE / "runtime").iterdir())
    options = [*_COMMON, "-O2", "-pthread", *extra]
    key = _key(_machine(), _headers(), *(path.read_text() for path in sources), *options)
    name = f"runtime-{key}.so"
    together = "".join(f'#include "{path.name}"\n' for path in sources if path.suffix == ".cpp")  # half the time
    command = [*options, f"-Wl,-soname,{name}", f"-I{HERE / 'runtime'}", "-x", "c++", "-"]
    return _built(name, command, "the emulator's runtime", together)


def build_kernels(text: str, mode: str, defines: Sequence[str], runtime: pathlib.Path, name: str) -> pathlib.Path:
    """The library of a source that is ready for g++; `name` is what an error calls it.

    **Raises** KernelError with g++'s messages if it does not compile.
    """
    if mode not in MODES:
        raise ArgumentError(f"emulator: mode must be one of {', '.join(MODES)}, got {mode!r}")
    options = [*_COMMON, *_KERNEL, *MODES[mode], *defines]
    key = _key(_machine(), _headers(), runtime.name, text, *options)
    include = HERE / "include"
    source = [f"-I{include}", "-include", str(include / "shim.h"), "-x", "c++", "-", "-x", "none"]
    return _built(f"{mode}-{key}.so", [*options, *source, str(runtime), *_LIBRARIES], name, text)


def guards(library: pathlib.Path) -> list[int]:
    """Where g++ keeps flags among the __shared__ variables: it makes one for each that is of a class, like float16."""
    tool = shutil.which("nm")
    if tool is None:
        raise DeviceError(
            "emulator: no nm on the PATH, which trace mode needs; it comes with binutils: `apt install binutils`"
        )
    symbols = subprocess.run([tool, str(library)], capture_output=True, text=True).stdout.splitlines()
    return [int(line.split()[0], 16) for line in symbols if " _ZGV" in line]


def _built(name: str, options: Sequence[str], what: str, text: str = "") -> pathlib.Path:
    """The file `name` of the cache. It is written under another name and renamed, so nobody ever sees half of it."""
    path = cache.folder("emulator") / name
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix="building-", dir=path.parent)
    except OSError as error:
        raise DeviceError(
            f"emulator: cannot keep compiled kernels in {path.parent}: {error.strerror}; set TINYSEG_CACHE to a folder"
        ) from None
    try:
        made = os.path.join(folder, name)
        # The folder's name must not get into the places that the debug information gives.
        command = [compiler(), *options, f"-fdebug-prefix-map={folder}=.", "-o", made]
        language = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder, env=language)
        if done.returncode:
            raise KernelError(f"{what} does not compile:\n{done.stderr.strip()[:4000]}")
        os.replace(made, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path
