"""Writing what `torch.load(weights_only=True)` reads: the zip archive of `reader.py`, with a pickle of protocol 2.

Python's own pickler would have to import PyTorch to name its functions; the dozen instructions that data needs are
written here one by one.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..devices import to_cpu
from ..engine import Array, Tensor
from ..errors import ArgumentError, DTypeError
from .rebuild import DTYPES, STORAGES

__all__ = ["write"]

TYPED = {dtype.name: name for name, dtype in STORAGES.items()}
ALIGNMENT = 64  # of every record, as in PyTorch's own files, so that they can be mapped into memory
LONGEST_HEADER = 30 + 20  # of a record without its name and padding, 20 of them for sizes above 4 GiB


def write(value: Any, path: str | os.PathLike[str]) -> None:
    """Write `value`: Tensors and arrays in dicts, lists and tuples, beside texts and numbers.

    **Raises** ArgumentError, DTypeError for what such a file cannot hold, before anything is written; OSError.
    """
    pickle = _Pickle()
    try:
        pickle.dump(value)
    except RecursionError:
        raise ArgumentError("save: the object is nested too deeply") from None
    digest = hashlib.sha1(pickle.code)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", bytes(pickle.code))
        _add(archive, ".format_version", b"1")
        _add(archive, ".storage_alignment", str(ALIGNMENT).encode())
        _add(archive, "byteorder", sys.byteorder.encode())
        for key, storage in enumerate(pickle.storages):
            _add(archive, f"data/{key}", storage.content())
        _add(archive, "version", b"3\n")
        _add(archive, ".data/serialization_id", f"{int(digest.hexdigest(), 16) % 10**40:040d}".encode())


def _add(archive: zipfile.ZipFile, name: str, content: Any) -> None:
    """One record, its first byte aligned by a field of zeros in its header; the same bytes at any time of day."""
    info = zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0))
    view = memoryview(content).cast("B") if len(content) else memoryview(b"")
    info.file_size, large = len(view), len(view) >= 2**31 - 1
    stream = archive.fp
    assert stream is not None
    start = stream.tell() + LONGEST_HEADER - (0 if large else 20) + len(info.filename) + 4
    padding = -start % ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    with archive.open(info, "w", force_zip64=large) as record:
        record.write(view)


# --- storages ---


@dataclass(eq=False)
class _Storage:
    """A block of memory, to be written once, with the arrays of one element type that lie in it."""

    start: int
    end: int
    arrays: list[Array]

    def content(self) -> Array:
        """Its bytes: those of the array that covers it, or put together from arrays that overlap."""
        cover = next((a for a in self.arrays if a.nbytes == self.end - self.start), None)
        if cover is not None:
            return cover.reshape(-1).view(np.uint8)
        whole = np.empty(self.end - self.start, np.uint8)
        for a in self.arrays:
            first = _address(a) - self.start
            whole[first : first + a.nbytes] = a.reshape(-1).view(np.uint8)
        return whole


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


def _storages(arrays: list[Array]) -> tuple[list[_Storage], dict[int, tuple[int, int]]]:
    """The blocks that the arrays lie in, and for the id of each array its block and first element there."""
    blocks: list[_Storage] = []
    where: dict[int, tuple[int, int]] = {}
    for a in sorted(arrays, key=lambda a: (a.dtype.name, _address(a), -a.nbytes)):
        start, end = _address(a), _address(a) + a.nbytes
        last = blocks[-1] if blocks else None
        joins = last is not None and a.nbytes > 0 and last.arrays[0].dtype == a.dtype and start < last.end
        if last is None or not joins or (start - last.start) % a.itemsize:
            blocks.append(_Storage(start, end, [a]))
        else:
            last.end = max(last.end, end)
            last.arrays.append(a)
        where[id(a)] = (len(blocks) - 1, (start - blocks[-1].start) // a.itemsize)
    return blocks, where


# --- the pickle ---


@dataclass(frozen=True)
class _Name:
    """A function or class, by its module and name."""

    module: str
    name: str


@dataclass(frozen=True)
class _Call:
    """function(*arguments)"""

    function: _Name
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class _Outside:
    """Something that stands beside the pickle: a storage."""

    id: tuple[Any, ...]


NO_HOOKS = _Call(_Name("collections", "OrderedDict"), ())


class _Pickle:
    """The instructions that rebuild a value; one object that is met twice is written once and fetched after."""

    def __init__(self) -> None:
        self.code = bytearray(b"\x80\x02")
        self.memo: dict[Any, int] = {}
        self.arrays: dict[int, Array] = {}  # for the id of each array that was given: contiguous and on the CPU
        self.alive: list[Any] = []  # so that no id is used twice
        self.storages: list[_Storage] = []

    def dump(self, value: Any) -> None:
        """Write `value` and the end."""
        self._collect(value, set())
        self.storages, self.where = _storages(list(self.arrays.values()))
        self._put(value)
        self.code += b"."

    def _collect(self, value: Any, seen: set[int]) -> None:
        """Find all arrays first: which of them share memory decides what the storages are."""
        if isinstance(value, Tensor | np.ndarray):
            data = value.data if isinstance(value, Tensor) else value
            if id(data) not in self.arrays:
                self.alive.append(data)
                self.arrays[id(data)] = _contiguous(data)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                self._collect(item, seen)

    def _put(self, value: Any) -> None:
        value = value.item() if isinstance(value, np.generic) else value
        writer = WRITERS.get(type(value))
        if writer is None and isinstance(value, Tensor | np.ndarray):
            writer = _Pickle._tensor
        if writer is None:
            raise DTypeError(
                f"save: a .pt file holds Tensors, texts, numbers, dicts, lists and tuples, got {type(value).__name__}"
            )
        key = value if isinstance(value, str) else id(value)
        if key in self.memo:
            self.code += b"j" + struct.pack("<I", self.memo[key])
        else:
            writer(self, value)

    def _remember(self, value: Any) -> None:
        """Let the machine keep what lies on its stack as `value`."""
        key = value if isinstance(value, str) else id(value)
        self.alive.append(value)
        self.memo[key] = len(self.memo)
        self.code += b"r" + struct.pack("<I", self.memo[key])

    def _constant(self, value: Any) -> None:
        self.code += {None: b"N", True: b"\x88", False: b"\x89"}[value]

    def _int(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self.code += b"J" + struct.pack("<i", value)
            return
        raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        if len(raw) > 255:
            raise ArgumentError(f"save: a number of {len(raw)} bytes is too long for a .pt file")
        self.code += b"\x8a" + bytes([len(raw)]) + raw

    def _float(self, value: float) -> None:
        self.code += b"G" + struct.pack(">d", value)

    def _str(self, value: str) -> None:
        raw = value.encode("utf-8", "surrogatepass")
        self.code += b"X" + struct.pack("<I", len(raw)) + raw
        self._remember(value)

    def _bytes(self, value: bytes) -> None:
        self._call(_Call(_Name("_codecs", "encode"), (value.decode("latin-1"), "latin1")))

    def _list(self, value: list[Any]) -> None:
        self.code += b"]"
        self._remember(value)
        self._marked(value, b"e")

    def _tuple(self, value: tuple[Any, ...]) -> None:
        self._marked(value, b"t")
        self._remember(value)

    def _dict(self, value: dict[Any, Any]) -> None:
        self.code += b"}"
        self._remember(value)
        self._marked([part for entry in value.items() for part in entry], b"u")

    def _ordered(self, value: OrderedDict[Any, Any]) -> None:
        self._call(NO_HOOKS)
        self._remember(value)
        self._marked([part for entry in value.items() for part in entry], b"u")
        if "_metadata" in vars(value):
            self._put({"_metadata": vars(value)["_metadata"]})
            self.code += b"b"

    def _marked(self, items: Any, end: bytes) -> None:
        self.code += b"("
        for item in items:
            self._put(item)
        self.code += end

    def _name(self, value: _Name) -> None:
        self.code += f"c{value.module}\n{value.name}\n".encode()

    def _call(self, value: _Call) -> None:
        self._name(value.function)
        self._marked(value.arguments, b"tR")

    def _outside(self, value: _Outside) -> None:
        self._marked(value.id, b"tQ")

    def _dtype(self, value: np.dtype[Any]) -> None:
        if value.name not in DTYPES:
            raise DTypeError(f"save: a .pt file has no element type {value}")
        self._name(_Name("torch", value.name))

    def _tensor(self, value: Any) -> None:
        """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks), within a Parameter if it is one."""
        from ..nn.module import Parameter

        array = self.arrays[id(value.data if isinstance(value, Tensor) else value)]
        trains = isinstance(value, Tensor) and value.requires_grad
        number, offset = self.where[id(array)]
        block, typed = self.storages[number], TYPED.get(array.dtype.name)
        kind = _Name("torch", typed) if typed else _Name("torch.storage", "UntypedStorage")
        count = (block.end - block.start) // (array.itemsize if typed else 1)
        storage = _Outside(("storage", kind, str(number), "cpu", count))
        stride = tuple(math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
        is_parameter = isinstance(value, Parameter)
        arguments = (storage, offset, array.shape, stride, trains and not is_parameter, NO_HOOKS)
        call = _Call(_Name("torch._utils", "_rebuild_tensor_v2"), arguments)
        if not typed:
            call = _Call(_Name("torch._utils", "_rebuild_tensor_v3"), (*arguments, array.dtype))
        if is_parameter:
            call = _Call(_Name("torch._utils", "_rebuild_parameter"), (call, trains, NO_HOOKS))
        self._call(call)
        self._remember(value)


def _contiguous(data: Array) -> Array:
    array = to_cpu(data)
    if array.dtype.name not in DTYPES:
        raise DTypeError(f"save: a .pt file has no element type {array.dtype}")
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


WRITERS: dict[type, Any] = {
    **dict.fromkeys((type(None), bool), _Pickle._constant),
    int: _Pickle._int,
    float: _Pickle._float,
    str: _Pickle._str,
    bytes: _Pickle._bytes,
    list: _Pickle._list,
    tuple: _Pickle._tuple,
    dict: _Pickle._dict,
    OrderedDict: _Pickle._ordered,
    **{type(dtype): _Pickle._dtype for dtype in DTYPES.values()},
    _Name: _Pickle._name,
    _Call: _Pickle._call,
    _Outside: _Pickle._outside,
}
