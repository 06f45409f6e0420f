"""Whole models: training steps, inference, the peak memory of a training step; and what one small op costs.

The networks are compared in float64 first, loss and every gradient with equal weights.

Memory is that of the whole process, as the system counts it: each library trains in a process of its own, which first
runs a step of a tiny network. What is resident then (libraries, threads, compiled kernels) is taken off the highest
mark of the steps after it. Freed memory that a library keeps counts as its own.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

import tinyseg as ts
from benchmarks.denoiser import denoiser, time_features
from benchmarks.harness import Case, Differs, Pair, Run, milliseconds
from benchmarks.report import ROOT
from benchmarks.steps import Shape, times
from tests.torch_unet import TorchUNet
from tinyseg.models import UNet

__all__ = ["MEMORY", "MODELS", "OVERHEAD", "models"]

MODELS = "whole models"
MEMORY = "peak memory of a training step"
OVERHEAD = "one small op, forward and backward"

CALLS = 200  # of a small op in one timing
STEPS = 4  # of the training whose memory is taken


class Network(NamedTuple):
    """A model that both libraries have: `build(library)`, and its loss for inputs of a shape and type."""

    build: Callable[[Any], Any]
    loss: Callable[[Any, Any, Shape, Any], Any]  # library, model, shape, dtype


def segment(library: Any, model: Any, shape: Shape, dtype: Any) -> Callable[[], Any]:
    """The loss of a U-Net: cross-entropy of every pixel."""
    rng = np.random.default_rng(0)
    x = library.tensor(rng.random(shape).astype(dtype))
    target = library.tensor(rng.integers(0, 2, (shape[0], *shape[2:])))
    return lambda: library.nn.functional.cross_entropy(model(x), target)


def denoise(width: int, library: Any, model: Any, shape: Shape, dtype: Any) -> Callable[[], Any]:
    """The loss of a denoiser: mean squared distance from the noise."""
    rng = np.random.default_rng(0)
    x, noise = (library.tensor(rng.standard_normal(shape).astype(dtype)) for _ in range(2))
    t = library.tensor(time_features(rng.integers(0, 1000, shape[0]), width).astype(dtype))
    return lambda: library.nn.functional.mse_loss(model(x, t), noise)


def unet(width: int, channels: int = 3) -> Network:
    def build(library: Any) -> Any:
        return UNet(channels, 2, width=width) if library is ts else TorchUNet(channels, 2, width=width)

    return Network(build, segment)


def ddpm(width: int, size: int = 32) -> Network:
    return Network(lambda library: denoiser(library, width, size), partial(denoise, width))


def twins(network: Network) -> list[tuple[Any, Any]]:
    """(library, model) of ours and of PyTorch, with the same weights."""
    torch.manual_seed(0)
    ours, theirs = network.build(ts), network.build(torch)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return [(ts, ours), (torch, theirs)]


def agree_in_float64(network: Network, shape: Shape) -> None:
    """Both libraries find the same loss and the same gradients, relative to the largest of them."""
    found = []
    for library, model in twins(network):
        loss = network.loss(library, model.double(), shape, np.float64)()
        loss.backward()
        found.append({"loss": loss.detach(), **{name: p.grad for name, p in model.named_parameters()}})
    ours, theirs = ({name: value.numpy() for name, value in values.items()} for values in found)
    largest = max(np.abs(g).max() for g in theirs.values())  # a bias before a norm has nothing but rounding
    for name, expected in theirs.items():
        error = np.abs(ours[name] - expected).max() / largest
        if not error < 1e-10:
            raise Differs(f"{name} is off PyTorch's by {error:.1e} in float64")


def stepper(network: Network, library: Any, model: Any, shape: Shape) -> Run:
    """One step of training, which returns the loss."""
    optimiser = library.optim.Adam(model.parameters(), lr=1e-4)
    loss_now = network.loss(library, model, shape, np.float32)

    def step() -> Any:
        optimiser.zero_grad()
        loss = loss_now()
        loss.backward()
        optimiser.step()
        return loss

    return step


def predictor(library: Any, model: Any, shape: Shape) -> Run:
    """A forward pass in evaluation mode, without a graph."""
    model.eval()
    x = library.tensor(np.random.default_rng(0).random(shape, np.float32))

    def predict() -> Any:
        with library.no_grad():
            return model(x)

    return predict


def networks() -> Iterator[Case]:
    def training(network: Network, small: Network, shape: Shape) -> Pair:
        agree_in_float64(small, (2, shape[1], 32, 32))
        return Pair(*(stepper(network, *twin, shape) for twin in twins(network)))

    def inference(network: Network, shape: Shape) -> Pair:
        return Pair(*(predictor(*twin, shape) for twin in twins(network)))

    shape = (4, 3, 128, 128)
    yield Case(MODELS, "U-Net 32, step", times(shape), partial(training, unet(32), unet(8), shape))
    yield Case(MODELS, "U-Net 32, inference", times(shape), partial(inference, unet(32), shape))
    for shape in ((8, 1, 128, 128), (16, 3, 64, 64), (2, 3, 61, 61)):
        narrow, small = (unet(width, channels=shape[1]) for width in (16, 8))
        yield Case(MODELS, "U-Net 16, step", times(shape), partial(training, narrow, small, shape))
    shape = (8, 3, 32, 32)
    yield Case(MODELS, "DDPM 64, step", times(shape), partial(training, ddpm(64), ddpm(32), shape))


# ---------------------------------------------------------------- memory


def status(key: str) -> float:
    """A figure of this process in MB: VmRSS is what is resident now, VmHWM the most there ever was."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def train_and_tell(name: str) -> None:
    """Print what the process holds with the library loaded, and the most that it held in training."""
    library = {"tinyseg": ts, "torch": torch}[name]
    torch.set_num_threads(ts.get_num_threads())
    tiny, network = unet(2), unet(32)
    stepper(tiny, library, tiny.build(library), (2, 3, 32, 32))()
    loaded = status("VmRSS")
    step = stepper(network, library, network.build(library), (4, 3, 128, 128))
    for _ in range(STEPS):
        step()
    print(loaded, status("VmHWM"))


@functools.cache
def peak(name: str) -> tuple[float, float]:
    """(memory of the training, of the whole process) in MB, in a process that trains with one library."""
    command = [sys.executable, "-c", f"from benchmarks import models; models.train_and_tell({name!r})"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    loaded, most = map(float, done.stdout.split())
    return most - loaded, most


def memory() -> Iterator[Case]:
    def make(part: int) -> Pair:
        ours, theirs = (lambda name=name: peak(name)[part] for name in ("tinyseg", "torch"))
        return Pair(ours, theirs, check=lambda *_: None, gauge=lambda run: run(), unit="MB")

    for part, name in enumerate(("U-Net 32", "U-Net 32, libraries included")):
        yield Case(MEMORY, name, times((4, 3, 128, 128)), partial(make, part))


# ---------------------------------------------------------------- small ops


def chained(F: Any, x: Any, y: Any) -> Any:
    for _ in range(50):
        x = x * y
    return x.sum()


SMALL: dict[str, tuple[Callable[..., Any], tuple[Shape, ...]]] = {
    "(x * y).sum()": (lambda F, x, y: (x * y).sum(), ((8,), (8,))),
    "(x + y).sum()": (lambda F, x, y: (x + y).sum(), ((8,), (8,))),
    "relu(x).sum()": (lambda F, x: F.relu(x).sum(), ((8,),)),
    "x.exp().sum()": (lambda F, x: x.exp().sum(), ((8,),)),
    "(x * 2 + 1).sum()": (lambda F, x: (x * 2 + 1).sum(), ((8,),)),
    "linear(x, w, b).sum()": (lambda F, x, w, b: F.linear(x, w, b).sum(), ((1, 8), (8, 8), (8,))),
    "x = x * y, 50 times": (chained, ((8,), (8,))),
}


def small_ops() -> Iterator[Case]:
    def make(function: Callable[..., Any], shapes: tuple[Shape, ...], calls: int) -> Pair:
        values = [np.random.default_rng(i).standard_normal(shape, np.float32) for i, shape in enumerate(shapes)]
        runs = (repeated(library, function, values, calls) for library in (ts, torch))
        return Pair(*runs, gauge=lambda run: milliseconds(run) * 1e3 / calls, unit="µs")

    for name, (function, shapes) in SMALL.items():
        calls = CALLS // 20 if function is chained else CALLS
        yield Case(OVERHEAD, name, times(*shapes), partial(make, function, shapes, calls))


def repeated(library: Any, function: Callable[..., Any], values: list[np.ndarray], calls: int) -> Run:
    """Forward and backward, many times over: one call is too short for a clock."""
    tensors = [library.tensor(value, requires_grad=True) for value in values]
    functional = library.nn.functional

    def run() -> Any:
        for _ in range(calls):
            for t in tensors:
                t.grad = None
            y = function(functional, *tensors)
            y.backward()
        return [y, *(t.grad for t in tensors)]

    return run


def models() -> Iterator[Case]:
    """Every case of this file."""
    for family in (networks, memory, small_ops):
        yield from family()
