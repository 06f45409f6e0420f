"""Names of devices, and which one an array lives on: its type decides. The only `import cupy` outside kernels/.

cpu        NumPy's arrays, kernels by numba
cuda:N     CuPy's arrays, kernels in CUDA C++
emulated   NumPy's memory under a type of its own: the CUDA kernels, run on the processor (kernels/emulator)
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from .errors import DeviceError
from .kernels.emulated import EMULATED_NUMPY, EmulatedArray, emulated

__all__ = [
    "array_module", "cuda_available", "cuda_count", "device", "device_of", "is_on", "module_for", "names_device",
    "shares_memory", "special", "synchronize", "to_cpu", "to_device",
]  # fmt: skip

Array = Any
KINDS = ("cpu", "cuda", "emulated")


class device(str):
    """The name of a device: `device("cuda:0")`, `device("cuda", 0)`, `device(0)`; equal to the same text.

    **Raises** DeviceError for a name that is not 'cpu', 'cuda', 'emulated' or one of them with a number: 'cuda:N'.
    """

    type: str
    index: int | None  # type: ignore[assignment]  # PyTorch's name hides a method of texts

    def __new__(cls, type: Any, index: int | None = None) -> device:
        if isinstance(type, int) and not isinstance(type, bool) and index is None:
            type, index = "cuda", type
        kind, colon, number = str(type).partition(":")
        if colon and index is not None:
            raise DeviceError(f"device: index {index!r} was given beside type {type!r}, which has one")
        number = number if colon or index is None else str(index)
        numbered = bool(colon) or index is not None
        wrong = (numbered and not (number.isascii() and number.isdigit())) or (
            kind != "cuda" and number.strip("0") != ""
        )
        if kind not in KINDS or wrong:
            raise DeviceError(f"device: expected 'cpu', 'cuda', 'cuda:N' or 'emulated', got {_shown(type, index)}")
        made = super().__new__(cls, f"{kind}:{int(number)}" if number else kind)
        made.type, made.index = kind, int(number) if number else None
        return made

    def __repr__(self) -> str:
        return f"device(type={self.type!r}" + (")" if self.index is None else f", index={self.index})")


def _shown(type: Any, index: Any) -> str:
    return repr(type) if index is None else f"{type!r} with index {index!r}"


@functools.cache
def _named(name: str) -> device:
    return device(name)


def names_device(argument: Any) -> bool:
    """Whether an argument of `.to(...)` is meant as a device: its name, even a wrong one, or its number."""
    if isinstance(argument, int):
        return not isinstance(argument, bool)
    return isinstance(argument, str) and argument.partition(":")[0] in KINDS


def _is_cupy(array: Array) -> bool:
    cupy = sys.modules.get("cupy")  # no array can be CuPy's before CuPy is imported
    return cupy is not None and isinstance(array, cupy.ndarray)


def array_module(array: Array) -> Any:
    """NumPy, CuPy or the emulated NumPy: the module whose functions work on `array`."""
    if type(array) is EmulatedArray:
        return EMULATED_NUMPY
    return sys.modules["cupy"] if _is_cupy(array) else np


def module_for(dlpack_device: tuple[Any, int]) -> Any:
    """The module that takes over memory of a DLPack device: CuPy for CUDA's (2, managed 13), NumPy for the rest."""
    return _cupy() if int(dlpack_device[0]) in (2, 13) else np


def special(array: Array) -> Any:
    """`scipy.special` or its CuPy twin: error function and the like for `array`."""
    if _is_cupy(array):
        import cupyx.scipy.special as module
    else:
        import scipy.special as module  # of ufuncs: they ask emulated arrays themselves
    return module


def device_of(array: Array) -> device:
    """'cpu', 'cuda:N' for a CuPy array, 'emulated'."""
    if type(array) is EmulatedArray:
        return _named("emulated")
    return _named(f"cuda:{array.device.id}" if _is_cupy(array) else "cpu")


def shares_memory(a: Array, b: Array) -> bool:
    """Whether the two arrays' memory ranges overlap (a bounds check, cheap and on the safe side)."""
    return bool(array_module(a).may_share_memory(a, b))


def to_cpu(array: Array) -> np.ndarray[Any, Any]:
    """The array as NumPy's: itself, or a copy from the GPU or the emulated device."""
    if type(array) is EmulatedArray:
        return np.array(array, subok=False)
    return sys.modules["cupy"].asnumpy(array) if _is_cupy(array) else array


def is_on(array: Array, place: Any) -> bool:
    """Whether the array is on the device `place` already (None: anywhere); 'cuda' means 'cuda:0'."""
    here = device_of(array)
    if place is None or place == here:
        return True
    wanted = device(place)
    return wanted.type == here.type and (wanted.index or 0) == (here.index or 0)


def to_device(array: Array, place: Any) -> Array:
    """The array on the device `place` (None: where it is); itself if it is there already.

    A copy to a GPU goes through pinned memory, on the current stream, and the host does not wait for it (CuPy's
    `asarray`; PyTorch's `pin_memory` with `non_blocking`): it queues up behind the kernels. A copy from a GPU waits.
    **Raises** DeviceError for a device that does not exist here.
    """
    if is_on(array, place):
        return array
    wanted = device(place)
    if wanted.type == "cpu":
        return to_cpu(array)
    if wanted.type == "emulated":
        return emulated(to_cpu(array))
    with _gpu(wanted):
        return sys.modules["cupy"].asarray(array)


def _gpu(wanted: device) -> Any:
    """CuPy's device, a context. **Raises** DeviceError for a number that no GPU here has."""
    cupy = _cupy()
    if (wanted.index or 0) >= cuda_count():
        raise DeviceError(f"device: {str(wanted)!r} does not exist, this machine has {cuda_count()} GPUs")
    return cupy.cuda.Device(wanted.index or 0)


def synchronize(place: Any = None) -> None:
    """Wait until a GPU has done all that it was asked to do. **Raises** DeviceError if it is none."""
    wanted = device("cuda" if place is None else place)
    if wanted.type != "cuda":
        raise DeviceError(f"synchronize: device must be a GPU, got {str(wanted)!r}")
    _gpu(wanted).synchronize()


def cuda_available() -> bool:
    """Whether CuPy is installed and sees a GPU."""
    try:
        _cupy()
    except DeviceError:
        return False
    return True


def cuda_count() -> int:
    """How many GPUs CuPy sees; 0 without CuPy."""
    return int(_cupy().cuda.runtime.getDeviceCount()) if cuda_available() else 0


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise DeviceError("device: 'cuda' needs CuPy; install tinyseg[cuda12] or tinyseg[cuda13]") from error
    if not cupy.cuda.is_available():
        raise DeviceError("device: 'cuda' was asked for, but CuPy sees no GPU on this machine")
    return cupy
