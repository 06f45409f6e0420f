"""NVRTC, NVIDIA's compiler, by ctypes: what a kernel costs on each architecture, on a machine without a GPU.

    python -m tinyseg.kernels.nvrtc softmax/softmax.cu      # registers, spills, shared memory, occupancy

Two comments of a source say what is compiled and what it may cost (`source.py` reads them):

    // nvrtc: TYPE=float,double,float16,bfloat16        above all kernels: each combination of macros; `; sm_80` at the
    //                                                  end of the line: from that architecture on
    // budget: 256 threads, 40 registers, 2048 bytes    above a kernel: the largest block, and the most it may take;
    //                                                  `512 + 4096 bytes`: 4096 of dynamic shared memory

NVRTC comes with CUDA, and as the wheel `nvidia-cuda-nvrtc`. The options are those of `launch.py` and CuPy's own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import pathlib
import re
import site
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyseg.errors import DeviceError

from . import cache
from .launch import options
from .source import KERNELS, Defines, Source, read_source

__all__ = ["ARCHITECTURES", "CUPY_OPTIONS", "Resources", "compile_source", "loaded", "occupancy"]

ARCHITECTURES = (75, 80, 86, 89, 90)  # Turing, Ampere (A100, then consumers' cards), Ada, Hopper
CUPY_OPTIONS = ("-ftz=true", "--device-as-default-execution-space")  # what CuPy's RawModule adds to ours


class Resources(NamedTuple):
    """What one kernel takes: 32-bit registers of a thread, bytes of shared memory that the source declares, and bytes
    of registers that had to be put into memory (`spills`; 0 in a good kernel)."""

    registers: int
    shared: int
    spills: int


class _Limits(NamedTuple):
    threads: int  # of a multiprocessor
    blocks: int
    shared: int  # bytes, of which each block takes `reserved` for itself
    reserved: int


_LIMITS = {  # CUDA C++ Programming Guide, table of compute capabilities; 65536 registers, given out by 256 a warp
    75: _Limits(1024, 16, 64 << 10, 0),
    80: _Limits(2048, 32, 164 << 10, 1 << 10),
    86: _Limits(1536, 16, 100 << 10, 1 << 10),
    89: _Limits(1536, 24, 100 << 10, 1 << 10),
    90: _Limits(2048, 32, 228 << 10, 1 << 10),
}
_REGISTERS, _REGISTERS_AT_ONCE, _WARPS_AT_ONCE, _SHARED_AT_ONCE = 65536, 256, 4, 128


def occupancy(architecture: int, threads: int, registers: int, shared: int = 0) -> float:
    """The share of a multiprocessor's warps that blocks of `threads` threads can fill: 1 is all of them.

    `registers` of each thread and `shared` bytes of each block, static and dynamic together, are what runs out.
    """
    limits = _LIMITS[architecture]
    warps = -(-threads // 32)
    each = -(-registers * 32 // _REGISTERS_AT_ONCE) * _REGISTERS_AT_ONCE
    by_registers = _REGISTERS // each // _WARPS_AT_ONCE * _WARPS_AT_ONCE // warps if registers else limits.blocks
    memory = -(-(shared + limits.reserved) // _SHARED_AT_ONCE) * _SHARED_AT_ONCE
    by_memory = limits.shared // memory if memory else limits.blocks
    blocks = min(limits.blocks, limits.threads // (warps * 32), by_registers, by_memory)
    return blocks * warps * 32 / limits.threads


def compile_source(source: Source, defines: Defines, architecture: int) -> tuple[bytes, dict[str, Resources]]:
    """The machine code (cubin) for sm_`architecture`, and what each kernel in it takes; kept on disk, by hash.

    **Raises** DeviceError without NVRTC, or with its messages when it refuses the source.
    """
    flags = *options(defines), *CUPY_OPTIONS, "--ptxas-options=-v", f"-arch=sm_{architecture}"
    key = hashlib.sha256("\0".join([source.text, *flags, _version()]).encode()).hexdigest()[:20]
    kept = cache.folder("nvrtc") / f"{key}.cubin"
    try:
        return kept.read_bytes(), _resources(kept.with_suffix(".log").read_text(encoding="utf-8"))
    except OSError:
        cubin, log = _compiled(source, flags, architecture)
    with contextlib.suppress(OSError):  # a read-only home: compiled again the next time
        kept.parent.mkdir(parents=True, exist_ok=True)
        for path, content in ((kept.with_suffix(".log"), log.encode()), (kept, cubin)):
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_bytes(content)
            part.replace(path)  # nobody ever sees half of it
    return cubin, _resources(log)


def _compiled(source: Source, flags: tuple[str, ...], architecture: int) -> tuple[bytes, str]:
    """The machine code, and what the compiler said."""
    nvrtc, program = loaded(), ctypes.c_void_p()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.text.encode(), b"kernel.cu", 0, None, None))
    try:
        array = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), array)
        log = _text(nvrtc, "ProgramLog", program).rstrip(b"\0").decode(errors="replace")
        if failed:
            raise DeviceError(f"nvrtc: sm_{architecture} with {' '.join(flags)} does not compile:\n{log[:4000]}")
        return _text(nvrtc, "CUBIN", program), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@functools.cache
def loaded() -> Any:
    """The library. **Raises** DeviceError where it is not installed."""
    folders = [pathlib.Path(p) / "nvidia" for p in (*site.getsitepackages(), *sys.path)]
    wheels = [path.parent for folder in folders for path in folder.glob("*/lib/libnvrtc.so.1[23]")]
    for folder in (*wheels, pathlib.Path("/usr/local/cuda/lib64")):
        for library in sorted(folder.glob("libnvrtc.so.1[23]")):
            for builtins in folder.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins))  # NVRTC asks for it by its bare name
            return ctypes.CDLL(str(library))
    raise DeviceError("nvrtc: not found; it comes with CUDA, or by `pip install 'nvidia-cuda-nvrtc==13.0.*'`")


def _version() -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(loaded().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def _check(code: int) -> None:
    assert code == 0, f"nvrtc: error {code}"


def _text(nvrtc: Any, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(getattr(nvrtc, f"nvrtcGet{what}")(program, buffer))
    return buffer.raw


def _resources(log: str) -> dict[str, Resources]:
    """By kernel, from what ptxas says with -v."""
    found = {}
    for part in log.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", part)
        stores, loads = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part).groups()  # type: ignore[union-attr]
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        assert name, part
        assert registers, part
        found[name[1]] = Resources(int(registers[1]), int(shared[1]) if shared else 0, int(stores) + int(loads))
    return found


def _table(path: str, architectures: Sequence[int]) -> None:
    source = read_source(KERNELS / path)
    budgets = {signature.name: signature.budget for signature in source.signatures}
    head = f"{'kernel':28}{'arch':>6}{'registers':>11}{'shared':>8}{'spills':>8}{'occupancy':>11}  macros"
    print(head)
    for variant in source.variants:
        for architecture in architectures:
            if architecture < variant.architecture:
                continue
            _, kernels = compile_source(source, variant.defines, architecture)
            for name, r in sorted(kernels.items()):
                budget = budgets.get(name)
                share = f"{occupancy(architecture, budget.threads, r.registers, budget.shared):.0%}" if budget else "?"
                macros = " ".join(f"{key}={value}" for key, value in variant.defines)
                print(f"{name:28}{architecture:6}{r.registers:11}{r.shared:8}{r.spills:8}{share:>11}  {macros}")


if __name__ == "__main__":
    for given in sys.argv[1:]:
        _table(given, ARCHITECTURES)
