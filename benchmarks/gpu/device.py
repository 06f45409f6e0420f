"""Where a run takes place: a GPU, whose kernels are timed, or the emulator, which only shows that everything runs.

On a GPU our arrays and PyTorch's share memory (DLPack), and both libraries launch on the same stream. A row is timed
by CUDA events. Before each run a buffer larger than the second-level cache is written, so nothing is found there; then
the GPU waits while the launches of the run are queued, so that the events do not measure Python.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch

from tinyseg.kernels.emulated import emulated, plain

__all__ = ["Cuda", "Device", "Emulated", "tf32"]

Run = Callable[[], Any]
FEWEST, MOST = 5, 50  # rounds
FLUSH = 256 << 20  # bytes: five times the second-level cache of an H100
AHEAD = 2_000_000  # cycles for which the GPU then waits, 1 ms: writing the buffer alone takes it a tenth of that


class Device:
    """What rows need: arrays for both libraries, and the milliseconds of runs that take turns."""

    name: str
    timed: bool

    def ours(self, array: np.ndarray) -> Any:
        """A copy for our kernels."""
        raise NotImplementedError

    def normal(self, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
        """Normal numbers for our kernels, drawn on the device."""
        raise NotImplementedError

    def theirs(self, array: Any) -> torch.Tensor:
        """The same values for PyTorch, on the same memory where that is possible."""
        raise NotImplementedError

    def numpy(self, array: Any) -> np.ndarray:
        """An array of either library as NumPy's, half types as float32."""
        raise NotImplementedError

    def milliseconds(self, runs: Sequence[Run], seconds: float) -> list[float]:
        """The median of each run; NaN where nothing is timed."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait for everything that was launched."""


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether PyTorch may multiply float32 in TF32 inside; on a processor it never does."""
    backends = [torch.backends.cudnn, torch.backends.cuda.matmul] if torch.cuda.is_available() else []
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = allowed
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def as_float(tensor: torch.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor).numpy()


def to_torch(array: np.ndarray) -> torch.Tensor:
    """A tensor with the values of a NumPy array; PyTorch takes bfloat16 from its bits only."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


class Emulated(Device):
    """Our kernels under the emulator, PyTorch on the processor: everything is checked, nothing is timed."""

    name, timed = "emulated", False

    def ours(self, array: np.ndarray) -> Any:
        return emulated(array)

    def normal(self, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
        return emulated(np.random.default_rng(seed).standard_normal(shape, np.float32).astype(dtype))

    def theirs(self, array: Any) -> torch.Tensor:
        return to_torch(plain(array))

    def numpy(self, array: Any) -> np.ndarray:
        if isinstance(array, torch.Tensor):
            return as_float(array)
        array = plain(array)
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array

    def milliseconds(self, runs: Sequence[Run], seconds: float) -> list[float]:
        return [float("nan")] * len(runs)


class Cuda(Device):
    """The first GPU."""

    name, timed = "cuda", True

    def __init__(self) -> None:
        import cupy

        self.cupy = cupy
        torch.backends.cudnn.benchmark = True  # the fastest of its algorithms, found when a row is checked
        self._flushed = torch.empty(FLUSH // 4, dtype=torch.int32, device="cuda")

    def ours(self, array: np.ndarray) -> Any:
        return self.cupy.asarray(array)

    def normal(self, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
        drawn = self.cupy.random.default_rng(seed).standard_normal(shape, self.cupy.float32)
        return drawn.astype(dtype, copy=False)

    def theirs(self, array: Any) -> torch.Tensor:
        if array.dtype == ml_dtypes.bfloat16:  # DLPack between the two knows no bfloat16: its bits
            return torch.from_dlpack(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype == np.bool_:
            return torch.from_dlpack(array.view(np.uint8)).view(torch.bool)
        return torch.from_dlpack(array)

    def numpy(self, array: Any) -> np.ndarray:
        if isinstance(array, torch.Tensor):
            return as_float(array)
        return self.cupy.asnumpy(array.astype(np.float32) if array.dtype.itemsize == 2 else array)

    def milliseconds(self, runs: Sequence[Run], seconds: float) -> list[float]:
        rounds: list[list[float]] = []
        end = time.perf_counter() + seconds
        while len(rounds) < FEWEST or (len(rounds) < MOST and time.perf_counter() < end):
            rounds.append([self._once(run) for run in runs])
        return [statistics.median(column) for column in zip(*rounds, strict=True)]

    def _once(self, run: Run) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._flushed.zero_()
        torch.cuda._sleep(AHEAD)
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop)

    def synchronize(self) -> None:
        torch.cuda.synchronize()
