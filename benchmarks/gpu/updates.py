"""A step of each optimiser on one large parameter, in place: ours and PyTorch's, each on arrays of its own.

Parameters and what optimisers remember are float32, in mixed precision too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.arrays import Arrays, sized
from benchmarks.gpu.device import Device
from benchmarks.gpu.rows import ONLY, Work
from benchmarks.steps import times
from tinyseg.kernels import elementwise

__all__ = ["SUITE", "updates"]

SUITE = "optimisers"


def updates(device: Device, precision: str) -> Iterator[Work]:
    if precision == "float32":
        sgd, adam, rms = torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop
        our_sgd = functools.partial(elementwise.sgd_update, momentum=0.9)
        our_adam = functools.partial(elementwise.adam_update, step=1)
        yield update(device, "SGD, momentum", 1, our_sgd, sgd, momentum=0.9, fused=True)
        yield update(device, "Adam", 2, our_adam, adam, fused=True)
        yield update(device, "RMSprop", 1, elementwise.rmsprop_update, rms, foreach=True)  # it has no fused one


def update(
    device: Device,
    name: str,
    states: int,
    ours: Callable[..., None],
    theirs: Callable[..., Any],
    **settings: Any,
) -> Work:
    """`states` is how many arrays are kept beside the parameter; each is read and written, the gradient read."""
    shape = sized(device, (4096, 4096), (13, 7))
    arrays = Arrays(device, "float32", shape, shape)

    def stepper() -> Callable[[], Any]:
        parameter = torch.nn.Parameter(arrays.theirs[0].clone())
        parameter.grad = arrays.theirs[1].clone()
        optimiser = theirs([parameter], lr=1e-3, **settings)

        def run() -> Any:
            optimiser.step()
            return parameter

        return run

    @functools.cache
    def state() -> list[Any]:
        return [arrays[0].copy(), arrays[1], *(np.zeros_like(arrays[0]) for _ in range(states))]

    def step() -> Any:
        ours(*state(), lr=1e-3)
        return state()[0]

    stepped = functools.cache(stepper)
    traffic = (3 + 2 * states) * 4 * math.prod(shape)
    return Work(SUITE, f"{name}, a step", times(shape), "float32", {ONLY: step}, {"": lambda: stepped()()},
                lambda: stepper()(), traffic=traffic)  # fmt: skip
