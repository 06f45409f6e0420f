"""Handing arrays to other libraries and taking theirs, on the same memory wherever that is possible.

Who writes to memory that is shared with another library goes past the count of versions: after such a write call
`t.bump()`, or a backward that needs the old values will use the new ones unnoticed.
**Source** the DLPack protocol of the Python array API standard.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .devices import array_module, module_for, to_device
from .engine import Tensor
from .errors import ArgumentError, DTypeError, ExportError, TinysegError
from .ops.checks import element_type, is_float

__all__ = ["as_tensor", "dlpack", "dlpack_device", "from_dlpack", "from_numpy"]


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A Tensor on the array's own memory; copied if that is not C-contiguous or of a foreign byte order.

    **Raises** DTypeError for anything but a NumPy array of numbers or booleans.
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: expected a NumPy array, got {type(array).__name__}")
    return _on("from_numpy", array)


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """`data` as a Tensor without a copy where it can be: a Tensor is returned as it is, an array keeps its memory.

    Lists and numbers become what `ts.tensor` makes of them. A Tensor that must be converted keeps its graph.
    """
    from .creation import tensor

    wanted = None if dtype is None else element_type("as_tensor", dtype)
    if not (isinstance(data, Tensor) or _is_array(data)):
        return tensor(data, wanted, device)
    t = data if isinstance(data, Tensor) else _on("as_tensor", data)
    if wanted is not None and t.dtype != wanted:
        t = t.to(wanted)
    return t if device is None or to_device(t.data, device) is t.data else t.to(device)


def from_dlpack(ext_tensor: Any, *, device: str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor on the memory of another library's array, which has `__dlpack__` (NumPy, CuPy, PyTorch, JAX, ...).

    `copy=None` copies what is not C-contiguous or not on `device`; True always; False never, and raises instead.
    The Tensor counts its versions by itself, also beside one of ours on the same memory.
    **Raises** DTypeError, ExportError for what the protocol or we cannot represent; ArgumentError with `copy=False`.
    """
    if not (hasattr(ext_tensor, "__dlpack__") and hasattr(ext_tensor, "__dlpack_device__")):
        raise DTypeError(f"from_dlpack: expected an array with __dlpack__, got {type(ext_tensor).__name__}")
    try:
        given = module_for(ext_tensor.__dlpack_device__()).from_dlpack(ext_tensor)
    except TinysegError:
        raise
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ExportError(f"from_dlpack: {type(ext_tensor).__name__} cannot be taken over: {error}") from None
    t = _on("from_dlpack", given)
    moved = to_device(t.data, device)
    if copy is False and moved is not given:
        raise ArgumentError("from_dlpack: copy=False, but the array is strided or on another device")
    return Tensor(moved.copy() if copy and moved is given else moved)


def dlpack(
    self: Tensor,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[Any, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """A capsule on the Tensor's memory, for another library's `from_dlpack`.

    **Raises** ExportError if it requires grad, which the other library would not know, or is of type bfloat16.
    """
    if self.requires_grad:
        raise ExportError("__dlpack__: this Tensor requires grad and would lose its graph; use t.detach()")
    given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    try:
        return self.data.__dlpack__(**{name: value for name, value in given.items() if value is not None})
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise ExportError(
            f"__dlpack__: a Tensor of {self.dtype} on {self.device} cannot be handed over: {error}"
        ) from None


def dlpack_device(self: Tensor) -> tuple[int, int]:
    """The kind of device, 1 for the CPU and 2 for CUDA, and its number."""
    kind, number = self.data.__dlpack_device__()
    return int(kind), int(number)


def _is_array(data: Any) -> bool:
    return hasattr(data, "dtype") and isinstance(data, array_module(data).ndarray)


def _on(caller: str, array: Any) -> Tensor:
    """A Tensor on the array, or on a copy if it is strided or its bytes are in a foreign order."""
    if array.dtype.kind not in "biu" and not is_float(array.dtype):
        raise DTypeError(f"{caller}: expected numbers or booleans, got an array of type {array.dtype}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return Tensor(array if array.flags.c_contiguous else array.copy(order="C"))
