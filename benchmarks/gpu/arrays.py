"""The arrays of a row, the same numbers for both libraries, and how a row is put together from them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import torch

from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import CHOSEN, ONLY, Work
from benchmarks.steps import times
from tinyseg import kernels

__all__ = ["PRECISIONS", "TYPES", "Arrays", "Shape", "by_version", "gradient", "sized", "work"]

TYPES = {"float32": np.float32, "tf32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
PRECISIONS = tuple(TYPES)
Shape = tuple[int, ...]


class Arrays:
    """Normal numbers for each shape; what a function gives is taken as it is. Each is made when first asked for."""

    def __init__(self, device: Device, precision: str, *given: Shape | Callable[[], np.ndarray]) -> None:
        self.device, self.precision, self.given = device, precision, given

    @functools.cached_property
    def ours(self) -> list[Any]:
        dtype = TYPES[self.precision]
        return [
            self.device.normal(given, dtype, seed) if isinstance(given, tuple) else self.device.ours(given())
            for seed, given in enumerate(self.given)
        ]

    @functools.cached_property
    def theirs(self) -> list[torch.Tensor]:
        return [self.device.theirs(a) for a in self.ours]

    @functools.cached_property
    def wide(self) -> list[torch.Tensor]:
        """The same in float32; not a copy where it is that."""
        return [t.float() if t.is_floating_point() else t for t in self.theirs]

    def like(self, *given: Shape | Callable[[], np.ndarray]) -> Arrays:
        """Others, on the same device and in the same precision."""
        return Arrays(self.device, self.precision, *given)

    def beside(self, gy: torch.Tensor) -> torch.Tensor:
        """The first one for PyTorch, in the type of a gradient."""
        return self.theirs[0] if self.theirs[0].dtype == gy.dtype else self.wide[0]

    def sample(self, *shape: int) -> Any:
        """A small array for ours, to be asked which versions apply to it."""
        return self.device.normal(shape, TYPES[self.precision])

    def __getitem__(self, index: int) -> Any:
        return self.ours[index]


def work(
    suite: str,
    name: str,
    arrays: Arrays,
    ours: Callable[..., Any] | Mapping[str, Callable[..., Any]],
    theirs: Callable[..., Any],
    *,
    shape: str = "",
    both: bool = False,
    **more: Any,
) -> Work:
    """`ours` is a function of our arrays, or several by version, `theirs` one of PyTorch's tensors.

    With `both`, PyTorch is timed on channels-last images too.
    """
    versions = ours if isinstance(ours, Mapping) else {ONLY: ours}
    layouts: dict[str, Any] = {"": lambda: arrays.theirs}
    if both:
        layouts = {"NCHW": layouts[""], "NHWC": functools.cache(lambda: [_channels_last(t) for t in arrays.theirs])}
    return Work(
        suite,
        name,
        shape or times(max((given for given in arrays.given if isinstance(given, tuple)), key=math.prod)),
        arrays.precision,
        {version: lambda f=f: f(*arrays.ours) for version, f in versions.items()},
        {layout: lambda tensors=tensors: theirs(*tensors()) for layout, tensors in layouts.items()},
        lambda: theirs(*arrays.wide),
        lambda: arrays.ours,
        **more,
    )


def _channels_last(t: torch.Tensor) -> torch.Tensor:
    return t.to(memory_format=torch.channels_last) if t.ndim == 4 else t


def by_version(family: str, versions: Sequence[str], function: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """`function` with each version of a family of kernels, and with the one that the library chooses."""

    def named(version: str | None, *arrays: Any) -> Any:
        with kernels.use(**{family: version}):
            return function(*arrays)

    return {version or CHOSEN: functools.partial(named, version) for version in (*versions, None)}


def gradient(function: Callable[..., torch.Tensor], inputs: int = 1) -> Callable[..., Any]:
    """PyTorch's backward alone, as a function of gy and the arguments of `function`, of which the first few want it.

    The graph is made by the first call for the same tensors, which is not timed.
    """
    graphs: dict[int, Any] = {}

    def run(gy: torch.Tensor, *given: torch.Tensor) -> Any:
        if id(given[0]) not in graphs:
            leaves = [t.detach().requires_grad_() for t in given[:inputs]]
            graphs[id(given[0])] = function(*leaves, *given[inputs:]), leaves, given
        y, leaves, _ = graphs[id(given[0])]
        found = torch.autograd.grad(y, leaves, gy, retain_graph=True)
        return found if inputs > 1 else found[0]

    return run


def sized(device: Device, big: Shape, small: Shape) -> Shape:
    """Small shapes where nothing is timed."""
    return big if device.timed else small
