"""The two containers of PyTorch's pickles: a zip archive (since 1.6), and pickles one after another (before).

zip: `NAME/data.pkl`, the numbers of storage K as the stored record `NAME/data/K`, `NAME/byteorder`.
legacy: the pickles of a magic number, a version, facts of the machine, the object, a list of keys; then for each key
its number of elements (int64) and the numbers, little-endian.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..engine import Array
from ..errors import CheckpointError
from .machine import Machine, Refused, shown
from .rebuild import Rebuilder, Storage

__all__ = ["is_torch_file", "read"]

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
CHUNK = 2**24  # bytes read at once


def is_torch_file(head: bytes) -> bool:
    """Whether a file that starts like this is to be read here: a zip archive or a pickle, not safetensors."""
    return head[8:9] != b"{" and (head.startswith(b"PK\x03\x04") or head[:1] == b"\x80")


def read(path: str | os.PathLike[str], device: str | None = None) -> Any:
    """The object that was saved, its tensors as Tensors on the CPU or on `device`.

    **Raises** CheckpointError, in one line, for a file that is damaged or asks for more than tensors.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return (_read_zip if zipped else _read_legacy)(file, os.fstat(file.fileno()).st_size, device)
    except Refused as error:
        raise CheckpointError(f"load: {Path(path)} is refused: {error}") from None
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged file makes the parsers raise
        what = shown(f"{type(error).__name__}: {error}")
        raise CheckpointError(
            f"load: {Path(path)} is not a complete PyTorch file ({what}); "
            "it was cut short, damaged, or is of another format"
        ) from None


# --- the zip archive ---


def _read_zip(file: Any, size: int, device: str | None) -> Any:
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        root = next(iter(records), "").partition("/")[0]
        if f"{root}/data.pkl" not in records:
            raise Refused("it is a zip archive without data.pkl, not one of torch.save")

        def content(name: str) -> Array:
            if (info := records.get(f"{root}/{name}")) is None:
                raise Refused(f"its record {shown(name)} is missing")
            return _record(archive, info, size)

        def storage_of(key: str, count: int, view: Any, itemsize: int) -> Storage:
            if key not in rebuilder.storages:
                rebuilder.storages[key] = Storage(content(f"data/{key}"), key)
            if rebuilder.storages[key].raw.size != count or view is not None:
                raise Refused(f"its storage {shown(key)} has another size than its pickle says")
            return rebuilder.storages[key]

        rebuilder = Rebuilder(storage_of, size)
        order = content("byteorder").tobytes() if f"{root}/byteorder" in records else b"little"
        if order not in (b"little", b"big"):
            raise Refused(f"its byte order is {shown(order)}, expected little or big")
        pickle = io.BytesIO(content("data.pkl").tobytes())
        result = Machine(pickle, rebuilder.find, rebuilder.persistent).run()
        rebuilder.finish(order.decode() != sys.byteorder, device)
        return result


def _record(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> Array:
    """The bytes of a record, its checksum verified. Never more than the file has: a compressed record is refused."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise Refused(f"its record {shown(info.filename)} is compressed or encrypted; torch.save only stores")
    if info.file_size > size:
        raise Refused(f"its record {shown(info.filename)} claims {info.file_size} bytes in a file of {size}")
    if info.CRC == 0:
        del info.CRC  # torch.serialization.set_crc32_options(False) writes none
    raw = np.empty(info.file_size, np.uint8)
    with archive.open(info) as stream:
        _fill(raw, stream)
    return raw


def _fill(raw: Array, stream: Any) -> None:
    view, done = memoryview(raw), 0
    while done < raw.size:
        got = stream.readinto(view[done : done + CHUNK])
        if not got:
            raise EOFError(f"{raw.size - done} bytes are missing")
        done += got


# --- the pickles one after another ---


class _Bounded:
    """A file of which no more can be asked than it has: Python would first allocate what was asked for."""

    def __init__(self, file: Any, size: int) -> None:
        self.file, self.size = file, size
        self.readline, self.tell = file.readline, file.tell

    def read(self, count: int) -> bytes:
        return bytes(self.file.read(max(0, min(count, self.size - self.file.tell()))))


def _read_legacy(file: Any, size: int, device: str | None) -> Any:
    itemsizes: dict[str, int] = {}
    claimed = 0

    def storage_of(key: str, count: int, view: Any, itemsize: int) -> Storage:
        nonlocal claimed
        if key not in rebuilder.storages:
            claimed += count
            if claimed > size:
                raise Refused(f"its storages claim {claimed} bytes in a file of {size}")
            rebuilder.storages[key] = Storage(np.zeros(count, np.uint8), key)
            itemsizes[key] = itemsize
        root = rebuilder.storages[key]
        if root.raw.size != count or itemsizes[key] != itemsize:
            raise Refused(f"its storage {shown(key)} has two sizes")
        return root if view is None else _view_of(root, view, itemsize)

    rebuilder = Rebuilder(storage_of, size)
    machine = Machine(_Bounded(file, size), rebuilder.find, rebuilder.persistent)
    if machine.run() != MAGIC:
        raise Refused("it is a pickle, but not one of torch.save")
    if (version := machine.run()) != LEGACY_VERSION:
        raise Refused(f"its format has version {shown(version)}, expected {LEGACY_VERSION}")
    machine.run()  # facts of the machine that wrote it; the numbers are little-endian on all
    result = machine.run()
    keys = machine.run()
    if sorted(keys) != sorted(rebuilder.storages):
        raise Refused("its list of storages is not that of its tensors")
    for key in keys:
        raw = rebuilder.storages[key].raw
        if int.from_bytes(file.read(8), "little") * itemsizes[key] != raw.size:
            raise Refused(f"its storage {shown(key)} has another size than its pickle says")
        _fill(raw, file)
        if sys.byteorder != "little":
            raw.view(f"u{itemsizes[key]}").byteswap(inplace=True)
    rebuilder.finish(False, device)
    return result


def _view_of(root: Storage, view: Any, itemsize: int) -> Storage:
    """A part of another storage, as PyTorch before 0.4 wrote them: (key, first element, number of elements)."""
    if not (isinstance(view, tuple) and len(view) == 3 and all(isinstance(n, int) and n >= 0 for n in view[1:])):
        raise Refused("its pickle describes a view of a storage wrongly")
    _, first, count = view
    if (first + count) * itemsize > root.raw.size:
        raise Refused(f"its storage {shown(root.key)} is shorter than a view of it")
    return Storage(root.raw[first * itemsize : (first + count) * itemsize], root.key, root.version)
