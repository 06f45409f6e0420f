"""The arguments of a launch: held against the kernel's parameters, and laid out in memory as the mode wants it."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseg.errors import ArgumentError, DTypeError

__all__ = ["Buffer", "GuardedMemory", "Parameter", "check"]

GUARD = 1 << 16  # bytes before and after the arrays that cannot be touched
ALIGN = 16  # the widest access of a kernel


class Parameter(ctypes.Structure):
    """The runtime's `Parameter` (include/runtime.h)."""

    _fields_ = [
        ("type", ctypes.c_char_p),
        ("is_pointer", ctypes.c_int),
        ("is_constant", ctypes.c_int),
        ("size", ctypes.c_uint),
    ]


class Buffer(ctypes.Structure):
    """The runtime's `Buffer` (runtime/machine.h): memory that a kernel may touch."""

    _fields_ = [("begin", ctypes.c_void_p), ("size", ctypes.c_size_t), ("argument", ctypes.c_int)]


def check(kernel: str, parameters: Sequence[Parameter], names: Sequence[str], args: Sequence[Any]) -> list[Any]:
    """The arguments, each an array, None (a null pointer) or a NumPy scalar of exactly its parameter's type.

    Python's int and float are taken where the parameter has 64 bits, because CuPy passes them so.
    **Raises** ArgumentError for a wrong number of arguments; DTypeError for one of another type.
    """
    if len(args) != len(parameters):
        raise ArgumentError(f"{kernel}: the kernel has {len(parameters)} parameters, got {len(args)} arguments")
    checked = []
    for number, (name, parameter, arg) in enumerate(zip(names, parameters, args, strict=True)):
        what = f"{kernel}: argument {number} ({name})"
        checked.append(_array(what, parameter, arg) if parameter.is_pointer else _scalar(what, parameter, arg))
    return checked


def _array(what: str, parameter: Parameter, arg: Any) -> np.ndarray | None:
    wanted = parameter.type.decode()
    if arg is None:
        return None
    if not isinstance(arg, np.ndarray):
        raise DTypeError(f"{what} must be {_an(wanted)} array, or None for a null pointer; got {_described(arg)}")
    if wanted and (arg.dtype.name != wanted or not arg.dtype.isnative):
        raise DTypeError(f"{what} must be {_an(wanted)} array, got {arg.dtype}")
    if not arg.flags.c_contiguous:
        raise ArgumentError(f"{what} must be C-contiguous, got shape {arg.shape} with strides {arg.strides}")
    if not arg.flags.writeable and not parameter.is_constant:
        raise ArgumentError(f"{what} is read-only, but the kernel may write to it: its parameter is not const")
    return arg


def _scalar(what: str, parameter: Parameter, arg: Any) -> np.generic:
    wanted = parameter.type.decode()
    if isinstance(arg, bool | int | float):
        try:
            passed: np.generic = np.float64(arg) if isinstance(arg, float) else np.int64(arg)
        except OverflowError:
            raise DTypeError(f"{what}: {arg} does not fit an int64") from None
        if passed.dtype.name == wanted:
            return passed
        kind = type(arg).__name__
        raise DTypeError(
            f"{what} is {wanted or 'a struct'}, got a Python {kind}, which CuPy passes as {passed.dtype}: "
            f"wrap it in {f'np.{wanted}' if wanted else 'a NumPy scalar of the struct'}"
        )
    if isinstance(arg, np.ndarray) and arg.shape == () and arg.dtype.kind == "V":
        arg = arg[()]  # as CuPy takes a struct
    if not isinstance(arg, np.generic):
        raise DTypeError(f"{what} must be a NumPy scalar, got {_described(arg)}")
    if not wanted and arg.dtype.kind == "V" and arg.dtype.itemsize == parameter.size:
        return arg
    if arg.dtype.name != wanted:
        expected = wanted or f"a structured scalar of {parameter.size} bytes"
        raise DTypeError(f"{what} must be {expected}, got {arg.dtype} of {arg.dtype.itemsize} bytes")
    return arg


def _an(name: str) -> str:
    return f"{'an' if name[:1] in 'iu' and not name.startswith('ui') else 'a'} {name}".rstrip()


def _described(arg: Any) -> str:
    return f"{type(arg).__name__} {arg!r:.40}"


@dataclass
class _Region:
    """Bytes of the process that arguments cover together: arrays that overlap stay together."""

    begin: int
    end: int
    root: int  # where the array that owns the memory begins: a GPU's allocations are aligned, views of them need not be
    constant: bool


class GuardedMemory:
    """Copies of a launch's arrays with untouchable pages around them; `copy_back` ends it.

    The end of each copy touches such a page but for the bytes (15 at most) that alignment leaves.
    """

    def __init__(self, arrays: Sequence[tuple[np.ndarray, bool]]) -> None:
        self._regions: list[tuple[_Region, int, mmap.mmap]] = [(r, *_guarded(r)) for r in _merged(arrays)]

    def address(self, array: np.ndarray) -> int:
        """Where the copy of this array is."""
        begin = array.ctypes.data
        for region, copy, _ in self._regions:
            if region.begin <= begin and begin + array.nbytes <= region.end:
                return copy + begin - region.begin
        raise AssertionError("an array that was not given to GuardedMemory")

    def copy_back(self) -> None:
        """Write what the kernel wrote to the arrays themselves."""
        for region, copy, _ in self._regions:
            if not region.constant:
                ctypes.memmove(region.begin, copy, region.end - region.begin)


def _merged(arrays: Sequence[tuple[np.ndarray, bool]]) -> list[_Region]:
    regions: list[_Region] = []
    for array, constant in sorted(arrays, key=lambda pair: pair[0].ctypes.data):
        begin, end = array.ctypes.data, array.ctypes.data + array.nbytes
        if regions and begin < regions[-1].end:
            last = regions[-1]
            last.end, last.constant = max(last.end, end), last.constant and constant
        else:
            regions.append(_Region(begin, end, _root(array), constant))
    return regions


def _root(array: np.ndarray) -> int:
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return owner.ctypes.data


_libc = ctypes.CDLL(None, use_errno=True)


def _guarded(region: _Region) -> tuple[int, mmap.mmap]:
    size = region.end - region.begin
    shift = (region.begin - region.root) % ALIGN
    body = -(-(size + ALIGN) // GUARD) * GUARD
    memory = mmap.mmap(-1, body + 2 * GUARD)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (base, base + GUARD + body):
        _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(GUARD), 0)
    end = base + GUARD + body
    copy = (end - size - shift) // ALIGN * ALIGN + shift
    ctypes.memset(base + GUARD, 0xFF, body)
    ctypes.memmove(copy, region.begin, size)
    return copy, memory
