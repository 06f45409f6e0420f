"""Launches CUDA kernels, through CuPy on a GPU and through the emulator for an emulated array.

    softmax = kernel("softmax/softmax.cu", "softmax", x)              # TYPE is x's element type
    softmax((rows,), (256,), (x, y, columns, eps), shared_mem=1024)   # an int goes as int32, a float as float32,
                                                                      # a tuple as a struct, None as a null pointer

Sources are compiled once per process and device, when a kernel of theirs is first launched.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .emulated import EmulatedArray
from .source import KERNELS, Defines, read_source

__all__ = ["empty", "kernel", "options", "scalar"]

TYPES = {"float32": "float", "float64": "double", "float16": "float16", "bfloat16": "bfloat16"}

Launch = Callable[..., None]


def kernel(source: str, name: str, like: Any, **defines: int | str) -> Launch:
    """The kernel `name` of kernels/`source`, for arrays on the device and of the element type of `like`.

    It is called with grid, block, arguments and `shared_mem`, in bytes. `defines` are macros besides TYPE.
    """
    types = TYPES.get(like.dtype.name)
    macros = {**defines, **({"TYPE": types} if types else {})}
    function = _function(source, name, _device(like), tuple(sorted(macros.items())))

    def launch(grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_mem: int = 0) -> None:
        if shared_mem > function.max_dynamic_shared_size_bytes:
            function.max_dynamic_shared_size_bytes = shared_mem
        function(tuple(grid), tuple(block), tuple(map(scalar, args)), shared_mem=shared_mem)

    return launch


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
    return np.float32(value) if isinstance(value, float) else value


def empty(shape: Sequence[int], like: Any, dtype: Any = None) -> Any:
    """A new array, not yet written to, on the device of `like`."""
    return np.empty_like(like, shape=tuple(shape), dtype=dtype, order="C")


def options(defines: Defines) -> tuple[str, ...]:
    """The options for NVRTC; CuPy adds the architecture and its own."""
    return ("-std=c++17", *(f"-D{key}={value}" for key, value in defines))


def _device(x: Any) -> int | None:
    """The number of the GPU; None: emulated."""
    return None if isinstance(x, EmulatedArray) else int(x.device.id)


@functools.cache
def _function(source: str, name: str, device: int | None, defines: Defines) -> Any:
    return _module(source, device, defines).get_function(name)


@functools.cache
def _module(source: str, device: int | None, defines: Defines) -> Any:
    if device is None:
        from .emulator import Module

        return Module(KERNELS / source, defines=dict(defines))
    import cupy

    # The text with our headers in it: CuPy's cache on disk does not look into included files.
    return cupy.RawModule(code=read_source(KERNELS / source).text, options=options(defines))
