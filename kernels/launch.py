"""Launches CUDA kernels, through CuPy on a GPU and through the emulator for an emulated array.

    softmax = kernel("softmax/softmax.cu", "softmax", x)              # TYPE is x's element type
    softmax((rows,), (256,), (x, y, columns, eps), shared_mem=1024)   # an int goes as int32, a float as float32,
                                                                      # a tuple as a struct, None as a null pointer

Sources are compiled once per process and device, when a kernel of theirs is first launched.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tinyseg.errors import DTypeError

from .emulated import EmulatedArray, emulated
from .source import KERNELS, Defines, read_source

__all__ = [
    "capability", "device_number", "empty", "kernel", "on_device_of", "options", "scalar", "to_device", "to_device_of",
]  # fmt: skip

TYPES = {"float32": "float", "float64": "double", "float16": "float16", "bfloat16": "bfloat16"}

Launch = Callable[..., None]


def kernel(source: str, name: str, like: Any, **defines: int | str) -> Launch:
    """The kernel `name` of kernels/`source`, for arrays on the device and of the element type of `like`.

    It is called with grid, block, arguments and `shared_mem`, in bytes. `defines` are macros besides TYPE.
    **Raises** DTypeError if the kernel is for floating-point types, and `like` has another.
    """
    types = TYPES.get(like.dtype.name)
    if not types and "TYPE" not in defines and "TYPE" in _macros(source):
        raise DTypeError(f"{name}: this CUDA kernel is for {', '.join(TYPES)}, got {like.dtype}; use .to(dtype)")
    macros = {**defines, **({"TYPE": types} if types else {})}
    function = _function(source, name, device_number(like), tuple(sorted(macros.items())))
    null = None if isinstance(like, EmulatedArray) else np.uint64(0)  # of None CuPy makes no pointer (its issue 9046)

    def launch(grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        if shared_mem > function.max_dynamic_shared_size_bytes:
            function.max_dynamic_shared_size_bytes = shared_mem
        with on_device_of(like):
            given = tuple(null if arg is None else scalar(arg) for arg in args)
            function(tuple(grid), tuple(block), given, shared_mem=shared_mem)

    return launch


def on_device_of(like: Any) -> AbstractContextManager[Any]:
    """Context in which CuPy allocates and launches on the GPU of `like`, and not on the first."""
    return contextlib.nullcontext() if isinstance(like, EmulatedArray) else like.device


def capability(like: Any) -> int:
    """The compute capability of the GPU of `like`, 80 for sm_80; the emulator has every instruction that we use."""
    return 90 if isinstance(like, EmulatedArray) else _capability(int(like.device.id))


@functools.cache
def _capability(device: int) -> int:
    import cupy

    return int(cupy.cuda.Device(device).compute_capability)


def scalar(value: Any) -> Any:
    """A Python number as the C type that our kernels declare: CuPy would pass it with 64 bits.

    A tuple is a struct of its members, an array without axes: what CuPy passes by value.
    """
    if isinstance(value, tuple):
        members = [scalar(member) for member in value]
        layout = np.dtype([(f"m{i}", member.dtype) for i, member in enumerate(members)], align=True)
        return np.array(tuple(members), layout)
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int32(value)  # NumPy refuses what does not fit
    return np.float32(value) if type(value) is float else value  # a NumPy float64 is a float too, and stays one


def empty(shape: Sequence[int], like: Any, dtype: Any = None) -> Any:
    """A new array, not yet written to, on the device of `like`."""
    with on_device_of(like):  # to CuPy, and to it alone, the shape () means that of `like`
        made = np.empty_like(like, shape=tuple(shape) or (1,), dtype=dtype, order="C")
    return made if shape else made.reshape(())


def options(defines: Defines) -> tuple[str, ...]:
    """The options for NVRTC; CuPy adds the architecture and its own."""
    return ("-std=c++17", *(f"-D{key}={value}" for key, value in defines))


def to_device_of(array: np.ndarray, like: Any) -> Any:
    """A copy of a NumPy array on the device of `like`."""
    return to_device(array, device_number(like))


def to_device(array: np.ndarray, device: int | None) -> Any:
    """A copy of a NumPy array on the device of this number."""
    if device is None:
        return emulated(array)
    import cupy

    with cupy.cuda.Device(device):
        return cupy.asarray(array)


def device_number(x: Any) -> int | None:
    """The number of the GPU; None: emulated."""
    return None if isinstance(x, EmulatedArray) else int(x.device.id)


@functools.cache
def _macros(source: str) -> frozenset[str]:
    """The macros that a source is compiled with."""
    return frozenset(name for variant in read_source(KERNELS / source).variants for name, _ in variant.defines)


@functools.cache
def _function(source: str, name: str, device: int | None, defines: Defines) -> Any:
    return _module(source, device, defines).get_function(name)


@functools.cache
def _module(source: str, device: int | None, defines: Defines) -> Any:
    if device is None:
        from .emulator import Module

        return Module(KERNELS / source, defines=dict(defines), declared=True)
    import cupy

    # The text with our headers in it: CuPy's cache on disk does not look into included files.
    return cupy.RawModule(code=read_source(KERNELS / source).text, options=options(defines))
