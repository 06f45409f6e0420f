"""CuPy on a machine without a GPU: its arrays in host memory, and a RawModule whose kernels the emulator runs.

Everything between our launcher and the driver is CuPy's own or follows its rules: how arrays are made and reshaped, and
what becomes of each argument of a launch. What CuPy would compute by kernels of its own, NumPy computes; what it would
ask cuBLAS for goes to the emulator's.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import re

import cupy
import numpy as np
from cupy.cuda import memory

from tinyseg.kernels import emulator, launch
from tinyseg.kernels.emulator import cublas

BY_VALUE = "?bhilqBHILQefdFD"  # the scalars that CuPy takes by their own size


class HostDevice(contextlib.nullcontext):
    """A context, as CuPy's is."""

    id = 0


def allocate(size):
    """Host memory as CuPy's allocator would hand it out: of a GPU's alignment."""
    buffer = np.empty(size + 512, np.uint8)
    address = -(-buffer.ctypes.data // 512) * 512
    return memory.MemoryPointer(memory.UnownedMemory(address, size, buffer, device_id=0), 0)


def to_host_cupy(array):
    """A CuPy array with these values."""
    made = cupy.ndarray(array.shape, array.dtype, memptr=allocate(max(array.nbytes, 1)))
    ctypes.memmove(made.data.ptr, np.ascontiguousarray(array).ctypes.data, array.nbytes)
    return made


def as_numpy(array):
    """The same memory as NumPy's."""
    reach = sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)) if array.size else 0
    assert min(array.strides, default=0) >= 0, array.strides
    memory_ = (ctypes.c_char * (reach + array.itemsize)).from_address(array.data.ptr)
    return np.ndarray(array.shape, array.dtype, memory_, strides=array.strides)


def by_numpy(function):
    """`function` of NumPy's for these arrays."""

    def call(*args, **kwargs):
        result = function(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})
        return to_host_cupy(result) if isinstance(result, np.ndarray | np.generic) else result

    return call


def _plain(value):
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    return as_numpy(value) if isinstance(value, cupy.ndarray) else value


VIEWS = (np.empty_like, np.reshape, np.transpose, np.swapaxes, np.broadcast_to)  # which CuPy needs no kernel for
COMPUTED = (
    *(f"__{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "lt", "le", "gt", "ge", "and")),
    "__radd__", "__rsub__", "__rmul__", "astype", "copy", "fill", "sum",
)  # fmt: skip


def _computed_by_numpy(monkeypatch):
    array_function, getitem = cupy.ndarray.__array_function__, cupy.ndarray.__getitem__

    def __array_function__(self, function, types, args, kwargs):
        if function in VIEWS:
            return array_function(self, function, types, args, kwargs)
        return by_numpy(function)(*args, **kwargs)

    def __getitem__(self, index):
        return (by_numpy(np.ndarray.__getitem__) if isinstance(index, cupy.ndarray) else getitem)(self, index)

    monkeypatch.setattr(cupy.ndarray, "__array_function__", __array_function__)
    monkeypatch.setattr(cupy.ndarray, "__getitem__", __getitem__)
    for name in COMPUTED:
        monkeypatch.setattr(cupy.ndarray, name, by_numpy(getattr(np.ndarray, name)), raising=False)


class HostModule:
    """CuPy's RawModule: text and options in, functions out."""

    def __init__(self, *, code, options=()):
        assert isinstance(options, tuple)
        assert options[0] == "-std=c++17"
        defines = dict(re.fullmatch(r"-D(\w+)=(.*)", option).groups() for option in options[1:])
        self._module = emulator.Module(text=code, defines=defines)
        self._module.source = dataclasses.replace(self._module.source, text=code)  # built already, if emulated before

    def get_function(self, name):
        return HostFunction(self._module.get_function(name))


class HostFunction:
    """CuPy's Function: what it does with the arguments, and the attribute that a launch above 48 KB must set."""

    def __init__(self, function):
        self._function = function
        self.max_dynamic_shared_size_bytes = 48 << 10

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert all(type(n) is int for n in (*grid, *block, shared_mem)), (grid, block, shared_mem)
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        self._function.max_dynamic_shared_size_bytes = self.max_dynamic_shared_size_bytes
        self._function(grid, block, tuple(map(_argument, args)), shared_mem=shared_mem)


def _argument(x):
    """As `cupy.cuda.function` reads an argument."""
    assert x is not None, "CuPy leaves a parameter unset for None (its issue 9046)"
    if type(x) is np.uint64 and x == 0:
        return None  # a null pointer
    if isinstance(x, cupy.ndarray):
        return as_numpy(x)
    if isinstance(x, np.ndarray):
        assert x.size == 1, f"CuPy refuses a NumPy array of shape {x.shape}"
        return x if x.dtype.kind == "V" else x.reshape(())[()]
    if isinstance(x, np.generic):
        assert x.dtype.char in BY_VALUE, f"CuPy refuses a scalar of {x.dtype}"
        return x
    for kind, dtype in ((bool, np.bool_), (int, np.int64), (float, np.float64)):
        if isinstance(x, kind):
            return dtype(x)
    raise TypeError(f"Unsupported type {type(x)}")


@contextlib.contextmanager
def cupy_on_host(monkeypatch):
    """Inside, CuPy's arrays are on the host, and `kernels/launch.py` finds a RawModule that works."""
    monkeypatch.setattr(cupy, "RawModule", HostModule)
    monkeypatch.setattr(cupy, "asarray", lambda a: a if isinstance(a, cupy.ndarray) else to_host_cupy(np.asarray(a)))
    monkeypatch.setattr(launch, "_capability", lambda device: 90)
    monkeypatch.setattr(cupy.ndarray, "device", HostDevice(), raising=False)
    monkeypatch.setattr(cupy.cuda, "Device", lambda number: HostDevice())
    monkeypatch.setitem(cupy.cuda.__dict__, "cublas", cublas)  # looked up, CuPy would load the library
    monkeypatch.setattr(cupy.cuda.device, "get_cublas_handle", lambda: 0)
    _computed_by_numpy(monkeypatch)
    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(allocate)
    for cached in (launch._function, launch._module):
        cached.cache_clear()
    try:
        yield
    finally:
        cupy.cuda.set_allocator(before)
        for cached in (launch._function, launch._module):
            cached.cache_clear()
