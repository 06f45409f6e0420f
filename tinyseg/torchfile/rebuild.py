"""What a PyTorch pickle may name: element types, storages, and the functions that make tensors of them."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from ..devices import to_device
from ..engine import Array, Tensor, Version
from .machine import Global, Part, Refused, as_key, shown

__all__ = ["DTYPES", "STORAGES", "Rebuilder", "Storage"]

STORAGES = {
    name: np.dtype(dtype)
    for name, dtype in {
        "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
        "BFloat16Storage": ml_dtypes.bfloat16, "LongStorage": np.int64, "IntStorage": np.int32,
        "ShortStorage": np.int16, "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
    }.items()
}  # fmt: skip
DTYPES = {dtype.name: dtype for dtype in (*STORAGES.values(), *map(np.dtype, (np.uint16, np.uint32, np.uint64)))}
UNTYPED = np.dtype(np.uint8)
SLACK = 2**30  # bytes that copies of strided tensors may take beyond the size of the file


@dataclass(eq=False)
class Storage:
    """The bytes of one block of memory, which several tensors may share, and what they take them for."""

    raw: Array
    key: str
    version: Version = field(default_factory=Version)
    dtype: np.dtype[Any] | None = None  # of the tensors on it, which must agree

    def typed(self, dtype: np.dtype[Any]) -> Array:
        """All of it as numbers of `dtype`."""
        if self.dtype not in (None, dtype):
            raise Refused(f"its storage {shown(self.key)} is used both as {self.dtype} and as {dtype}")
        self.dtype = dtype
        return self.raw.view(dtype)


@dataclass(eq=False)
class StorageOf(Part):
    """A Storage and the element type that its class in PyTorch has; None for UntypedStorage."""

    storage: Storage
    dtype: np.dtype[Any] | None


class Rebuilder:
    """Makes the Tensors of one file. Storages may be filled later: `finish` then sees to what depends on the numbers.

    `storage_of` gives the Storage for (key, bytes, view); `size` is that of the file, against which claims are held.
    """

    def __init__(self, storage_of: Callable[[str, int, Any, int], Storage], size: int) -> None:
        self.storage_of, self.budget = storage_of, size + SLACK
        self.storages: dict[str, Storage] = {}
        self.copies: list[tuple[Array, Array]] = []  # (contiguous, strided)
        self.tensors: list[Tensor] = []

    def persistent(self, pid: Any) -> StorageOf:
        """What stands for a persistent id: ("storage", type, key, location, number of elements, view of another)."""
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise Refused("it refers to something outside its pickle that is no storage")
        _, kind, key, _, count = pid[:5]
        if not (isinstance(kind, StorageOf) and isinstance(key, str) and _is_size(count)):
            raise Refused("its pickle describes a storage wrongly")
        itemsize = (kind.dtype or UNTYPED).itemsize
        return StorageOf(
            self.storage_of(key, count * itemsize, pid[5] if len(pid) == 6 else None, itemsize), kind.dtype
        )

    def finish(self, swap: bool, device: str | None) -> None:
        """Put the bytes in this machine's order, fill the copies, move everything to `device`."""
        for storage in self.storages.values():
            if storage.dtype == np.bool_:
                np.not_equal(storage.raw, 0, out=storage.raw.view(np.bool_))  # any byte but 0 is True
            elif swap and storage.dtype is not None and storage.dtype.itemsize > 1:
                storage.raw.view(f"u{storage.dtype.itemsize}").byteswap(inplace=True)
        for contiguous, strided in self.copies:
            contiguous[...] = strided
        for t in self.tensors if device is not None else ():
            t.data = to_device(t.data, device)

    # --- the names ---

    def find(self, name: str) -> Any:
        """What the pickle means by `name`. **Raises** Refused for all that rebuilds no tensor."""
        kind, _, last = name.rpartition(".")
        if kind == "torch" and last in STORAGES:
            return StorageOf(NOTHING, STORAGES[last])
        if name in ("torch.storage.UntypedStorage", "torch.UntypedStorage"):
            return StorageOf(NOTHING, None)
        if kind == "torch" and last in DTYPES:
            return DTYPES[last]
        if kind == "torch" and "complex" in last.lower():
            raise Refused(f"it holds complex numbers ({shown(name)}), which are not supported")
        if (call := self._functions().get(name)) is not None:
            return Global(name, call)
        if name.startswith("__torch__."):
            raise Refused(f"it is a TorchScript program ({shown(name)}); save model.state_dict() instead")
        raise Refused(f"its pickle asks for {shown(name)}, which rebuilds no tensor and might run code")

    def _functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "torch._utils._rebuild_tensor": self.tensor,
            "torch._utils._rebuild_tensor_v2": self.tensor,
            "torch._utils._rebuild_tensor_v3": self.untyped_tensor,
            "torch._utils._rebuild_parameter": self.parameter,
            "torch._utils._rebuild_parameter_with_state": self.parameter,
            "torch._tensor._rebuild_from_type_v2": _of_type,
            "torch.Tensor": _uncalled,
            "torch.nn.parameter.Parameter": _uncalled,
            "torch.Size": lambda sizes=(): tuple(sizes),
            "torch.device": lambda kind, index=None: str(kind) if index is None else f"{kind}:{index}",
            "collections.OrderedDict": lambda pairs=(): OrderedDict((as_key(k), v) for k, v in pairs),
            "collections.Counter": lambda counts=None: Counter({as_key(k): n for k, n in (counts or {}).items()}),
            "_codecs.encode": _bytes,
            **{f"{builtins}.set": lambda items=(): set(map(as_key, items)) for builtins in ("builtins", "__builtin__")},
            **{f"{builtins}.bytearray": _bytearray for builtins in ("builtins", "__builtin__")},
        }

    # --- the functions ---

    def tensor(
        self, of: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, *_: Any
    ) -> Tensor:
        """`torch._utils._rebuild_tensor_v2`."""
        if not (isinstance(of, StorageOf) and of.dtype is not None):
            raise Refused("its pickle makes a tensor of something that is no storage")
        return self._tensor(of.storage, of.dtype, offset, size, stride, requires_grad)

    def untyped_tensor(
        self, of: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, *_: Any
    ) -> Tensor:
        """`torch._utils._rebuild_tensor_v3`: of the newer element types, which have no storage class."""
        if not (isinstance(of, StorageOf) and isinstance(dtype, np.dtype)):
            raise Refused("its pickle makes a tensor of something that is no storage")
        return self._tensor(of.storage, dtype, offset, size, stride, requires_grad)

    def _tensor(self, storage: Storage, dtype: Any, offset: Any, size: Any, stride: Any, requires_grad: Any) -> Tensor:
        flat = storage.typed(dtype)
        data = self._array(flat, offset, size, stride)
        shared = np.may_share_memory(data, flat)
        tensor = Tensor._wrap(data, None, storage.version if shared else None).requires_grad_(requires_grad is True)
        self.tensors.append(tensor)
        return tensor

    def _array(self, flat: Array, offset: Any, size: Any, stride: Any) -> Array:
        """The elements flat[offset + i · stride] as a contiguous array: in place where they are one already."""
        if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= 64):
            raise Refused("its pickle gives a tensor's size and stride wrongly")
        if not all(map(_is_size, (offset, *size, *stride))):
            raise Refused("its pickle gives a tensor a size, stride or offset that is no count")
        count = math.prod(size)
        if count == 0:
            return np.empty(size, flat.dtype)
        end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
        if end > flat.size:
            raise Refused(f"its pickle has a tensor that ends at element {end} of a storage of {flat.size}")
        steps = tuple(step if n > 1 else 0 for n, step in zip(size, stride, strict=True))
        dense = tuple(math.prod(size[i + 1 :]) if n > 1 else 0 for i, n in enumerate(size))
        if steps == dense:
            return flat[offset : offset + count].reshape(size)
        self.budget -= count * flat.itemsize
        if self.budget < 0:
            raise Refused(f"its strided tensors would take {SLACK >> 30} GiB more than the file has")
        copy = np.empty(size, flat.dtype)
        strides = tuple(step * flat.itemsize for step in steps)
        self.copies.append((copy, np.lib.stride_tricks.as_strided(flat[offset:], size, strides)))
        return copy

    def parameter(self, data: Any, requires_grad: Any = True, *_: Any) -> Tensor:
        """`torch._utils._rebuild_parameter`."""
        from ..nn.module import Parameter

        if not isinstance(data, Tensor):
            raise Refused("its pickle makes a parameter of something that is no tensor")
        made = Parameter(data, requires_grad is True)
        made._version = data._version
        self.tensors.append(made)
        return made


def _is_size(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**62


def _of_type(function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes, which are left out; no subclass is known."""
    if not (isinstance(function, Global) and isinstance(kind, Global) and kind.call is _uncalled):
        raise Refused("its pickle makes a tensor of a class of its own")
    return function.call(*arguments)


def _uncalled(*_: Any) -> Any:
    raise Refused("its pickle calls a class of tensors instead of rebuilding one")


def _bytes(text: Any, encoding: Any = "latin1") -> bytes:
    if not (isinstance(text, str) and encoding in ("latin1", "latin-1")):
        raise Refused("its pickle encodes something other than bytes")
    return text.encode("latin-1")


def _bytearray(value: Any = b"", encoding: Any = "latin-1") -> bytearray:
    return bytearray(value if isinstance(value, bytes) else _bytes(value, encoding))  # never of a number: its zeros


NOTHING = Storage(np.empty(0, np.uint8), "")
