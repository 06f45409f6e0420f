"""Checkpoints: the whole state of a run in one safetensors file, complete or not there at all.

A state is a tree of dicts, lists and values. Its Tensors and arrays become the file's tensors under dotted names such
as "model.inc.double_conv.0.weight"; the rest is JSON in the file's metadata; both have a checksum.

`Store` keeps two of them in a run's folder: "last" replaces the file before it only once it is on the disk, and that
one stays as "previous". Kill the program at any moment, or fill the disk: one good checkpoint is always there.
"""

from __future__ import annotations

import json
import os
import pathlib
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import weights
from ..engine import Tensor
from ..errors import CheckpointError

__all__ = ["Store", "load_checkpoint", "save_checkpoint"]

State = dict[str, Any]
FORMAT = "tinyseg checkpoint 1"


# --- One file ---


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state; the file appears, or replaces the one before, in one step.

    **Raises** CheckpointError if it cannot be written (disk full, no permission); an older file is then untouched.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_pack(dict(state), "", tensors))
    weights.save(tensors, path, {"format": FORMAT, "state": tree, "checksum": _checksum(tree, tensors)})


def load_checkpoint(path: str | os.PathLike[str]) -> State:
    """Read what `save_checkpoint` wrote, bit for bit.

    **Raises** CheckpointError naming the file and what to do: missing, half-written, damaged, or no checkpoint.
    """
    try:
        metadata, tensors = weights.load_metadata(path), weights.load(path)
    except CheckpointError as error:
        raise CheckpointError(_unusable(pathlib.Path(path), error)) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"checkpoint: {path} is no checkpoint of a run ({metadata.get('format', 'no format')!r}, "
            f"expected {FORMAT!r}): give a run's folder or its last.safetensors"
        )
    tree = metadata.get("state", "")
    if _checksum(tree, tensors) != metadata.get("checksum"):
        raise CheckpointError(f"checkpoint: {path} is damaged (its checksum differs): {_remedy(pathlib.Path(path))}")
    state: State = _unpack(json.loads(tree), tensors)
    return state


def _unusable(path: pathlib.Path, error: CheckpointError) -> str:
    if path.is_file():
        reason = str(error).removeprefix(f"load: {path} ").partition("; ")[0]
        return f"checkpoint: {path} {reason}: {_remedy(path)}"
    if path.is_dir():
        return f"checkpoint: {path} is a folder, expected a file such as {path / 'last.safetensors'}"
    what = "is not a regular file" if path.exists() else "does not exist"
    return f"checkpoint: {path} {what}: check the path"


def _remedy(path: pathlib.Path) -> str:
    """What else there is: a run keeps an older checkpoint."""
    previous = path.with_name("previous.safetensors")
    return f"use {previous}" if previous.is_file() and previous != path else "use another copy of it, or train again"


def _checksum(tree: str, tensors: Mapping[str, Tensor]) -> str:
    """Of the text, and of the tensors' names, types and shapes; `weights` has one for their numbers."""
    header = [(name, str(tensors[name].dtype), tensors[name].shape) for name in sorted(tensors)]
    return f"{zlib.crc32(f'{tree} {header}'.encode()):08x}"


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; arrays go to `tensors` and leave their name. What JSON lacks is marked: tuples, integer keys."""
    if isinstance(value, dict):
        packed = [(key, _pack(item, f"{name}.{key}" if name else str(key), tensors)) for key, item in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in value)
        return dict(packed) if plain else {"$dict": [list(pair) for pair in packed]}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if isinstance(value, Tensor):
        tensors[name] = value.detach()
        return {"$tensor": name}
    if isinstance(value, np.ndarray | np.generic):
        tensors[name] = Tensor(np.asarray(value))
        return {"$array": name}
    return value


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$dict" in value:
        return {key: _unpack(item, tensors) for key, item in value["$dict"]}
    if "$tuple" in value:
        return tuple(_unpack(item, tensors) for item in value["$tuple"])
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$array" in value:
        array: npt.NDArray[Any] = tensors[value["$array"]].numpy()
        return array[()]  # a NumPy number where there are no axes
    return {key: _unpack(item, tensors) for key, item in value.items()}


# --- A run's folder ---


class Store:
    """The checkpoints of a run: `last`, the `previous` one, and the `best` by its score."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = pathlib.Path(folder)
        self.last, self.previous, self.best = (
            self.folder / f"{name}.safetensors" for name in ("last", "previous", "best")
        )

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.last.exists() or self.previous.exists()

    def prepare(self) -> None:
        """Make the folder, and remove what a killed program left half-written there. **Raises** OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for pattern in (".*.partial", ".*.part"):
            for path in self.folder.glob(pattern):
                with suppress(OSError):
                    path.unlink()

    def clear(self) -> None:
        """Remove the checkpoints: the folder holds no run any more."""
        for path in (self.last, self.previous, self.best):
            with suppress(OSError):
                path.unlink()

    def save(self, state: Mapping[str, Any], is_best: bool = False) -> None:
        """Write `last`; the one before becomes `previous`. **Raises** CheckpointError, with both as they were."""
        kept = self.folder / f".{self.previous.name}.part"  # becomes `previous` once there is a newer `last`
        try:
            if self.last.exists():
                _link(self.last, kept)
            save_checkpoint(self.last, state)
            if kept.exists():
                _replace(kept, self.previous)
        finally:
            with suppress(OSError):
                kept.unlink()
        if is_best:
            self.mark_best()

    def mark_best(self) -> None:
        """Make `best` the checkpoint that is `last` now. Doing it again after a crash changes nothing."""
        _link(self.last, self.best)

    def load(self) -> tuple[State, str]:
        """The newest good checkpoint, and a notice if it is not the newest one.

        **Raises** CheckpointError if there is none.
        """
        if self.folder.is_file():
            raise CheckpointError(f"checkpoint: {self.folder} is a file: --resume takes the run's folder")
        if not self.exists():
            raise CheckpointError(f"checkpoint: {self.folder} holds no checkpoint (last.safetensors): check the path")
        try:
            return load_checkpoint(self.last), ""
        except CheckpointError:
            if not self.previous.exists():
                raise
            state = load_checkpoint(self.previous)
            return state, f"{self.last} is missing or damaged: going on from {self.previous}, one checkpoint earlier"

    def choose(self) -> pathlib.Path:
        """The checkpoint to use a trained model from: `best`, or `last` in a run that scored none."""
        return next((path for path in (self.best, self.last, self.previous) if path.exists()), self.last)


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Give a file a second name, in one step. The file's blocks are shared: no time, no space."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with suppress(FileNotFoundError):
            part.unlink()
        try:
            os.link(source, part)
        except OSError:  # file systems without hard links
            part.write_bytes(source.read_bytes())
        _replace(part, target)
    except OSError as error:
        raise _failed(target, error) from None
    finally:
        with suppress(OSError):
            part.unlink()


def _replace(source: pathlib.Path, target: pathlib.Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        raise _failed(target, error) from None


def _failed(path: pathlib.Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"checkpoint: {path}: {error.strerror}: free space or choose another folder")
