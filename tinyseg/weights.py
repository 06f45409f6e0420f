"""Weights on disk, as safetensors: a header and raw numbers, no code, so that opening a stranger's file is safe.

PyTorch's .pt and .pth are read and written too, as safely: see `torchfile`.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  so that the reader knows the type named bfloat16
import numpy as np

from . import torchfile
from .devices import to_cpu, to_device
from .engine import Tensor
from .errors import ArgumentError, CheckpointError, DTypeError
from .ops.checks import is_float

__all__ = ["load", "load_metadata", "save"]

_CHECKSUM = "tinyseg.crc32"  # our entry in the metadata; files by others have none and are not verified


def save(tensors: Any, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write Tensors (or NumPy arrays) by name, such as `model.state_dict()`, with optional text about them.

    A `path` that ends in .pt or .pth gives a file for `torch.load`, which may also hold dicts in dicts, lists, tuples,
    texts and numbers; it takes no metadata. Tensors that share memory share it there too.

    Either the whole file appears or `path` stays as it was: it is written beside, flushed to the disk, and renamed.
    **Raises** CheckpointError (disk full, folder missing); ArgumentError, DTypeError for what such a file cannot hold.
    """
    _check_path("save", path)
    if Path(path).suffix.lower() in (".pt", ".pth"):
        if metadata is not None:
            raise ArgumentError("save: a .pt file has no metadata; put the texts into the dict that is saved")
        with _replacing(Path(path)) as partial:
            torchfile.write(tensors, partial)
        return
    from safetensors.numpy import save_file

    arrays = {_key(name): _array(name, value) for name, value in _items(tensors)}
    text = {**_text(metadata or {}), _CHECKSUM: _checksum(arrays)}
    with _replacing(Path(path)) as partial:
        save_file(arrays, partial, text)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; what was written there then takes its place, or nothing does."""
    from safetensors import SafetensorError

    partial = target.with_name(f".{target.name}.partial")  # one name: what a killed run left, the next save replaces
    try:
        yield partial
        os.chmod(partial, 0o666 & ~_umask())  # safetensors makes files that only their owner can read
        _flush(partial)
        os.replace(partial, target)
        _flush(target.parent)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"save: {target} could not be written ({error}); free space or use another path; the old file is intact"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()  # left only by a failure


def _umask() -> int:
    """The permissions that new files do not get; the system tells them only to whom sets them."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def load(
    path: str | os.PathLike[str],
    device: str | None = None,
    *,
    map_location: str | None = None,
    weights_only: bool = True,
) -> Any:
    """Read the Tensors of a safetensors file by name, or the object in a PyTorch file, onto `device`.

    The content decides, not the name. Of a PyTorch file, zipped or older, everything but Tensors in dicts, lists and
    tuples beside texts and numbers is refused and none of its code runs. Tensors on one storage share their memory and
    count of versions, unless strided (made contiguous) or moved; on the CPU unless `device` says otherwise, which
    scripts for PyTorch call `map_location`.
    **Raises** CheckpointError for a file that is missing, cut short, damaged, or refused; ArgumentError for
    `weights_only=False`.
    """
    device = _device(device, map_location)
    if not weights_only:
        raise ArgumentError("load: weights_only must be True, got False; the code in a file is never run here")
    _check_there(path)
    with open(path, "rb") as start:
        head = start.read(9)
    if torchfile.is_torch_file(head):
        return torchfile.read(path, device)
    with _opened(path) as file:
        arrays = {name: np.array(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118  not a dict
        written = (file.metadata() or {}).get(_CHECKSUM)
    if written not in (None, _checksum(arrays)):
        raise CheckpointError(f"load: {path} is damaged: its numbers do not match its checksum; use another copy")
    return {name: Tensor(to_device(array, device)) for name, array in arrays.items()}


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that was saved with the Tensors. **Raises** CheckpointError like `load`."""
    with _opened(path) as file:
        return {key: value for key, value in (file.metadata() or {}).items() if key != _CHECKSUM}


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    _check_there(path)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"load: {path} is not a complete safetensors file ({error}); it was cut short, or is of another format"
        ) from None


def _device(device: str | None, map_location: Any) -> str | None:
    if map_location is None:
        return device
    if device is not None or not isinstance(map_location, str):
        raise ArgumentError(
            f"load: map_location must be the name of a device, and device not given beside it, "
            f"got {map_location!r} and {device!r}"
        )
    return map_location


def _check_path(caller: str, path: Any) -> None:
    if not isinstance(path, str | os.PathLike):
        raise DTypeError(f"{caller}: path must be the path of a file, got {type(path).__name__}")


def _check_there(path: str | os.PathLike[str]) -> None:
    _check_path("load", path)
    if not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "is no file" if Path(path).exists() else "does not exist"
        raise CheckpointError(f"load: {path} {what}; expected a .safetensors or .pt file, such as ts.save writes")


def _items(tensors: Any) -> Any:
    if not isinstance(tensors, Mapping):
        raise DTypeError(f"save: expected a dict of Tensors, such as model.state_dict(), got {type(tensors).__name__}")
    return tensors.items()


def _key(name: Any) -> str:
    if not isinstance(name, str):
        raise ArgumentError(f"save: names must be strings, got {name!r}")
    return name


def _array(name: str, value: Any) -> np.ndarray[Any, Any]:
    if not isinstance(value, Tensor | np.ndarray):
        raise DTypeError(f"save: {name!r} must be a Tensor, got {type(value).__name__}")
    array = to_cpu(value.data) if isinstance(value, Tensor) else value
    if array.dtype.itemsize > 8 or (array.dtype.kind not in "biu" and not is_float(array.dtype)):
        raise DTypeError(f"save: {name!r} must hold numbers of at most 64 bits, got {array.dtype}")
    return np.asarray(array, order="C")


def _text(metadata: Mapping[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise ArgumentError(f"save: metadata must be strings, got {key!r}: {value!r}")
    return dict(metadata)


def _checksum(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """CRC-32 of all numbers, by name: safetensors itself notices a short file, but not a changed byte."""
    crc = 0
    for name in sorted(arrays):
        crc = zlib.crc32(arrays[name].reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def _flush(path: Path) -> None:
    """Wait until the file's (or folder's) content is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
