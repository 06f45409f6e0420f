"""Kernels to call: the counterparts of CuPy's RawModule and RawKernel."""

from __future__ import annotations

import ctypes
import math
import pathlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tinyseg.errors import ArgumentError, DTypeError
from tinyseg.kernels.jit import get_num_threads

from ..source import Budget, Signature, read_source
from .arguments import Buffer, GuardedMemory, Parameter, check
from .build import MODES, build_kernels, build_runtime, guards
from .findings import Finding, KernelError, Place, places, reports
from .profile import LineCost, active_profiles
from .settings import ORDERS, LaunchRecord, Settings, current, note_launch

__all__ = ["Function", "Module"]

MOST_THREADS = 1024  # of a block
MOST_GRID, MOST_BLOCK = (2**31 - 1, 65535, 65535), (1024, 1024, 64)
OPT_IN, MOST_SHARED = 48 << 10, 227 << 10  # bytes of dynamic shared memory: without asking for more, and at all
WORTH_THREADS = 1 << 14  # CUDA threads below which starting CPU threads costs more than it gives
MOST_CPU_THREADS = 8

Size = Sequence[int]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(Parameter)),
        ("count", ctypes.c_int),
        ("max_threads", ctypes.c_int),
    ]


class _Launch(ctypes.Structure):
    """The runtime's `Launch` (runtime/machine.h)."""

    _fields_ = [
        ("kernel", ctypes.POINTER(_Kernel)),
        ("shared_anchor", ctypes.c_void_p),
        ("arguments", ctypes.POINTER(ctypes.c_void_p)),
        ("buffers", ctypes.POINTER(Buffer)),
        ("buffer_count", ctypes.c_int),
        ("guards", ctypes.POINTER(ctypes.c_uint64)),
        ("guard_count", ctypes.c_int),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("dynamic_size", ctypes.c_uint),
        ("order", ctypes.c_int),
        ("seed", ctypes.c_uint64),
        ("cpu_threads", ctypes.c_int),
        ("checked", ctypes.c_int),
        ("counted", ctypes.c_int),
        ("seconds", ctypes.c_double),
    ]


class _Library(NamedTuple):
    path: pathlib.Path
    runtime: ctypes.CDLL
    loaded: ctypes.CDLL
    kernels: dict[str, Any]  # pointers to _Kernel
    guards: Any  # array of uint64


_runtimes: dict[pathlib.Path, ctypes.CDLL] = {}
_one_launch = threading.RLock()  # the findings of a launch are read before the next one starts


def _runtime(path: pathlib.Path) -> ctypes.CDLL:
    if path not in _runtimes:
        library = ctypes.CDLL(str(path))
        library.emulator_findings.restype = ctypes.POINTER(Finding)
        library.emulator_costs.restype = ctypes.POINTER(LineCost)
        _runtimes[path] = library
    return _runtimes[path]


class Module:
    """CUDA C++ sources, compiled when a kernel of theirs is first called in a mode, and kept on disk.

    `defines` are macros: `{"TYPE": "float"}` is `-DTYPE=float`. Kernels are `extern "C"`, or templates that
    `name_expressions` instantiates. `mode` overrules the setting of `using`. With `declared` the macros must be among
    the combinations that the source's lines `// nvrtc:` list, those that NVRTC is given in the tests.
    **Raises** ArgumentError for a macro of one capital letter, the name of a template parameter in NVRTC's own headers;
    DataError for a source that is not there; DeviceError without g++; KernelError if it does not compile.
    """

    def __init__(
        self,
        *paths: str | pathlib.Path,
        defines: Mapping[str, object] | None = None,
        name_expressions: Sequence[str] = (),
        mode: str | None = None,
        text: str | None = None,
        name: str = "kernel.cu",
        runtime_options: Sequence[str] = (),
        declared: bool = False,
    ) -> None:
        if bool(paths) == (text is not None):
            raise ArgumentError("Module: give either the paths of sources or `text`")
        if mode is not None and mode not in MODES:
            raise ArgumentError(f"Module: mode must be one of {', '.join(MODES)}, got {mode!r}")
        for macro in defines or {}:
            if len(macro) == 1 and macro.isupper():
                raise ArgumentError(f"Module: NVRTC uses {macro} in its own headers; give the macro a longer name")
        self.source = read_source(*paths, text=text, name=name)
        self.name = ", ".join(pathlib.Path(path).name for path in paths) or name
        self.mode = mode
        self.defines = tuple(sorted((key, str(value)) for key, value in (defines or {}).items()))
        if declared and self.defines not in {variant.defines for variant in self.source.variants}:
            macros = " ".join("=".join(pair) for pair in self.defines)
            raise ArgumentError(f"{self.name}: it is launched with {macros or 'no macros'}, which no `// nvrtc:` lists")
        self._options = [f"-D{key}={value}" for key, value in self.defines]
        self._signatures = self._exported(name_expressions)
        self._runtime_options = tuple(runtime_options)
        self._libraries: dict[str, _Library] = {}

    def _exported(self, expressions: Sequence[str]) -> dict[str, Signature]:
        exported = {s.name: s for s in self.source.signatures if s.extern_c}
        by_name = {s.name: s for s in self.source.signatures}
        for expression in expressions:
            base = expression.partition("<")[0].strip()
            if base not in by_name:
                raise ArgumentError(f"Module: {expression!r} names no __global__ function of {self.name}")
            exported[expression] = replace(by_name[base], bound="") if "<" in expression else by_name[base]
        return exported

    def get_function(self, name: str) -> Function:
        """The kernel of this name.

        **Raises** ArgumentError if there is none.
        """
        if name not in self._signatures:
            have = ", ".join(self._signatures) or "none"
            raise ArgumentError(f'{self.name}: no extern "C" __global__ function {name!r}; there are: {have}')
        return Function(self, name)

    def parameter_names(self, name: str) -> tuple[str, ...]:
        """The names of a kernel's parameters, as its declaration gives them."""
        return self._signatures[name].parameters

    def budget(self, name: str) -> Budget | None:
        """What the comment above a kernel allows it."""
        return self._signatures[name].budget

    def library(self, mode: str) -> _Library:
        """The compiled module."""
        if mode not in self._libraries:
            runtime = build_runtime(*self._runtime_options)
            entries = "".join(
                f'EMULATOR_KERNEL("{name}", ({s.bound or MOST_THREADS}), ({name}))\n'
                for name, s in self._signatures.items()
            )
            head = 'extern "C" EMULATOR_EXPORT const emulator::Kernel emulator_kernels[]'
            table = f'#line 1 "the table of kernels"\n{head} = {{\n{entries}}};\n'
            path = build_kernels(self.source.for_gcc() + table, mode, self._options, runtime, self.name)
            machine = _runtime(runtime)  # first: the module finds it by its name
            loaded = ctypes.CDLL(str(path))
            array = (_Kernel * len(self._signatures)).in_dll(loaded, "emulator_kernels")
            kernels = {kernel.name.decode(): ctypes.pointer(kernel) for kernel in array}
            offsets = guards(path) if mode == "trace" else []
            self._libraries[mode] = _Library(path, machine, loaded, kernels, (ctypes.c_uint64 * len(offsets))(*offsets))
        return self._libraries[mode]


def _run(runtime: ctypes.CDLL, launch: _Launch) -> tuple[bool, list[Finding], list[LineCost]]:
    """Whether the launch came to its end, and what was found and counted."""
    found, counted = ctypes.c_int(), ctypes.c_int()
    with _one_launch:
        complete = runtime.emulator_launch(ctypes.byref(launch), ctypes.byref(found), ctypes.byref(counted))
        findings, costs = runtime.emulator_findings(), runtime.emulator_costs()
        copies = [Finding.from_buffer_copy(findings[i]) for i in range(found.value)]
        return bool(complete), copies, [LineCost.from_buffer_copy(costs[i]) for i in range(counted.value)]


class Function:
    """A kernel; called as CuPy's: `kernel(grid, block, args, shared_mem=bytes)`."""

    def __init__(self, module: Module, name: str) -> None:
        self.module = module
        self.name = name
        self.max_dynamic_shared_size_bytes = OPT_IN  # to be raised before a launch with more, as on a GPU

    def __call__(self, grid: Size, block: Size, args: Sequence[Any], *, shared_mem: int = 0) -> None:
        """Run the kernel to its end.

        **Raises** ArgumentError or DTypeError for a launch that a GPU would refuse or misread; KernelError for what the
        mode finds wrong in the kernel: the arrays are then as they were, except in mode "fast".
        """
        settings = current()
        counted = bool(active_profiles)
        mode = "trace" if counted else self.module.mode or settings.mode
        library = self.module.library(mode)
        kernel = library.kernels[self.name]
        grid3, block3 = self._sizes(grid, block, shared_mem, kernel.contents.max_threads)
        names = self.module.parameter_names(self.name)
        parameters = kernel.contents.parameters[: kernel.contents.count]
        values = check(self.name, parameters, names, args)
        note_launch(LaunchRecord(self.name, grid3, block3, shared_mem))
        layout = _Layout(parameters, values, guarded=mode != "fast")
        launch = self._filled(library, kernel, layout, grid3, block3, shared_mem, settings)
        launch.checked, launch.counted = mode == "trace", counted
        blocks = math.prod(grid3)
        if mode == "fast" and blocks * math.prod(block3) >= WORTH_THREADS:
            launch.cpu_threads = min(get_num_threads(), blocks, MOST_CPU_THREADS)
        complete, found, costs = _run(library.runtime, launch)
        for profile in active_profiles:
            profile.note(self.name, math.prod(block3), shared_mem, self.module.source, self.module.defines)
        self._judge(complete, found, costs, library.path, names)
        layout.copy_back()

    def _sizes(self, grid: Size, block: Size, shared: int, bound: int) -> tuple[Any, Any]:
        sizes = []
        for what, given, most in (("grid", grid, MOST_GRID), ("block", block, MOST_BLOCK)):
            size = (*given, 1, 1, 1)[:3] if isinstance(given, Sequence) else ()
            if not 1 <= len(given if size else ()) <= 3 or not all(isinstance(n, int | np.integer) for n in size):
                raise DTypeError(f"{self.name}: {what} must be a tuple of one to three integers, got {given!r}")
            if not all(1 <= n <= m for n, m in zip(size, most, strict=True)):
                raise ArgumentError(f"{self.name}: {what} must lie between (1, 1, 1) and {most}, got {size}")
            sizes.append(tuple(int(n) for n in size))
        threads = math.prod(sizes[1])
        if threads > min(bound, MOST_THREADS):
            limit = (
                f"its __launch_bounds__ allow {bound}"
                if bound < MOST_THREADS
                else f"a block has at most {MOST_THREADS}"
            )
            raise ArgumentError(f"{self.name}: block {sizes[1]} has {threads} threads; {limit}")
        budget = self.module.budget(self.name)
        if budget and (threads > budget.threads or shared > budget.dynamic):
            raise ArgumentError(
                f"{self.name}: {threads} threads and {shared} bytes of dynamic shared memory are over its budget, the "
                f"{budget.threads} threads and {budget.dynamic} bytes that stand above it"
            )
        if not 0 <= shared <= min(self.max_dynamic_shared_size_bytes, MOST_SHARED):
            raise ArgumentError(
                f"{self.name}: shared_mem must be 0 to {self.max_dynamic_shared_size_bytes} bytes, got {shared}; up to "
                f"{MOST_SHARED} (sm_90) after setting the kernel's max_dynamic_shared_size_bytes"
            )
        return sizes[0], sizes[1]

    def _filled(
        self, library: _Library, kernel: Any, layout: _Layout, grid: Any, block: Any, shared: int, settings: Settings
    ) -> _Launch:
        anchor = ctypes.cast(library.loaded.emulator_shared_anchor, ctypes.c_void_p)
        return _Launch(
            kernel=kernel,
            shared_anchor=anchor,
            arguments=layout.arguments,
            buffers=layout.buffers,
            buffer_count=len(layout.buffers),
            guards=library.guards,
            guard_count=len(library.guards),
            grid=grid,
            block=block,
            dynamic_size=shared,
            order=ORDERS.index(settings.order),
            seed=settings.seed,
            cpu_threads=1,
            seconds=settings.seconds,
        )

    def _judge(
        self, complete: bool, found: list[Finding], costs: list[LineCost], path: pathlib.Path, names: Sequence[str]
    ) -> None:
        if not found and not costs and complete:
            return
        offsets = [offset for f in found for offset in (f.place, f.other)]
        where: dict[int, Place] = places(path, [*offsets, *(cost.place for cost in costs)])
        wrong = reports(found, where, [f"argument {i} ({name})" for i, name in enumerate(names)])
        if wrong or not complete:
            raise KernelError.of(self.name, wrong)
        for profile in active_profiles:
            profile.add(self.name, costs, where)


class _Layout:
    """The arguments in memory: a pointer to each value, and the memory that array arguments stand for."""

    def __init__(self, parameters: Sequence[Parameter], values: Sequence[Any], *, guarded: bool) -> None:
        arrays = [(i, v) for i, v in enumerate(values) if parameters[i].is_pointer and v is not None]
        pairs = [(v, bool(parameters[i].is_constant)) for i, v in arrays]
        self._memory = GuardedMemory(pairs) if guarded else None
        addresses = {i: self._memory.address(v) if self._memory else v.ctypes.data for i, v in arrays}
        self.buffers = (Buffer * len(arrays))(*(Buffer(addresses[i], v.nbytes, i) for i, v in arrays))
        self._kept = []
        for i, (parameter, value) in enumerate(zip(parameters, values, strict=True)):
            plain = np.uint64(addresses.get(i, 0)) if parameter.is_pointer else value
            self._kept.append(ctypes.create_string_buffer(plain.tobytes(), plain.dtype.itemsize + 16))
        self.arguments = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, self._kept))

    def copy_back(self) -> None:
        """Give the caller's arrays what the kernel wrote."""
        if self._memory:
            self._memory.copy_back()
