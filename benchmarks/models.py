"""Whole models beside PyTorch's: `python -m benchmarks.models [--rounds N] [--only NAME]`.

Training steps, inference, attention and products; what one small op costs; the peak memory of a training step. First
the networks are compared in float64, values and gradients with equal weights; only then does a clock start.

Memory is that of the whole process, as the system counts it: each library trains in a process of its own, which first
runs a step of a tiny network. What is resident then (libraries, threads, compiled kernels) is taken off the highest
mark of the steps after it. Freed memory that a library keeps counts as its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numba
import numpy as np
import torch

import tinyseg as ts
from benchmarks.cases import Case
from benchmarks.denoiser import denoiser, time_features
from tests.torch_unet import TorchUNet
from tinyseg.models import UNet

__all__ = ["cases", "main", "rows"]

HEADER = ["| what | shape | ours | PyTorch | PyTorch's / ours |", "|---|---|---:|---:|---:|"]
CALLS = 200  # of a small op in one timing
STEPS = 4  # of the training whose memory is taken

UNET = 32, (4, 3, 128, 128)  # width, input
DENOISER = 64, (8, 3, 32, 32)


# ---------------------------------------------------------------- the models, in both libraries


def unet(library: Any, width: int) -> Any:
    return UNet(3, 2, width=width) if library is ts else TorchUNet(3, 2, width=width)


def twins(build: Callable[[Any], Any]) -> tuple[Any, Any]:
    """A model in tinyseg and in PyTorch, with the same weights."""
    torch.manual_seed(0)
    ours, theirs = build(ts), build(torch)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    return ours, theirs


def unet_loss(library: Any, shape: tuple[int, ...], dtype: Any = np.float32) -> Callable[[Any], Any]:
    """The loss of a U-Net: cross-entropy of every pixel."""
    rng = np.random.default_rng(0)
    x = library.tensor(rng.random(shape).astype(dtype))
    target = library.tensor(rng.integers(0, 2, (shape[0], *shape[2:])))
    return lambda model: library.nn.functional.cross_entropy(model(x), target)


def denoiser_loss(library: Any, shape: tuple[int, ...], width: int, dtype: Any = np.float32) -> Callable[[Any], Any]:
    """The loss of a denoiser: mean squared distance from the noise."""
    rng = np.random.default_rng(0)
    x, noise = (library.tensor(rng.standard_normal(shape).astype(dtype)) for _ in range(2))
    t = library.tensor(time_features(rng.integers(0, 1000, shape[0]), width).astype(dtype))
    return lambda model: library.nn.functional.mse_loss(model(x, t), noise)


def stepper(library: Any, model: Any, loss_of: Callable[[Any], Any]) -> Callable[[], Any]:
    """One step of training, which returns the loss."""
    optimiser = library.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> Any:
        optimiser.zero_grad()
        loss = loss_of(model)
        loss.backward()
        optimiser.step()
        return loss.detach().numpy()

    return step


def check_denoiser() -> None:
    """Both libraries give the same loss and the same gradients in float64."""
    width, shape = 32, (2, 3, 32, 32)
    ours, theirs = twins(lambda library: denoiser(library, width, shape[-1]))
    found = []
    for library, model in ((ts, ours.double()), (torch, theirs.double())):
        loss = denoiser_loss(library, shape, width, np.float64)(model)
        loss.backward()
        gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
        found.append({"loss": loss.detach().numpy(), **gradients})
    assert found[0].keys() == found[1].keys()
    largest = max(np.abs(g).max() for g in found[1].values())  # of a bias before a norm nothing but rounding is left
    for name, expected in found[1].items():
        error = np.abs(found[0][name] - expected).max() / largest
        assert error < 1e-10, f"denoiser: {name} differs from PyTorch by {error:.1e}"


# ---------------------------------------------------------------- what is timed


def networks() -> Iterator[Case]:
    width, shape = UNET
    sizes = "×".join(map(str, shape))
    ours, theirs = twins(partial(unet, width=width))
    losses = unet_loss(ts, shape), unet_loss(torch, shape)
    yield Case("U-Net step", f"width {width}, {sizes}", stepper(ts, ours, losses[0]), stepper(torch, theirs, losses[1]))

    ours, theirs = twins(partial(unet, width=width))
    x = np.random.default_rng(0).random(shape, np.float32)
    yield Case("U-Net inference", f"width {width}, {sizes}", predictor(ts, ours, x), predictor(torch, theirs, x))

    width, shape = DENOISER
    sizes = "×".join(map(str, shape))
    check_denoiser()
    ours, theirs = twins(lambda library: denoiser(library, width, shape[-1]))
    losses = denoiser_loss(ts, shape, width), denoiser_loss(torch, shape, width)
    yield Case("DDPM step", f"width {width}, {sizes}", stepper(ts, ours, losses[0]), stepper(torch, theirs, losses[1]))


def predictor(library: Any, model: Any, x: np.ndarray) -> Callable[[], Any]:
    """A forward pass in evaluation mode, without a graph."""
    model.eval()
    inputs = library.tensor(x)

    def predict() -> Any:
        with library.no_grad():
            return model(inputs).numpy()

    return predict


def trial(function: Callable[..., Any], *shapes: tuple[int, ...], calls: int = 1) -> tuple[Callable[[], Any], ...]:
    """`function(library, tensors)` forward and backward, in both libraries: the gradient of the first Tensor."""
    arrays = [np.random.default_rng(i).standard_normal(shape, np.float32) for i, shape in enumerate(shapes)]

    def runner(library: Any) -> Callable[[], Any]:
        tensors = [library.tensor(a).requires_grad_() for a in arrays]

        def run() -> Any:
            for _ in range(calls):
                for t in tensors:
                    t.grad = None
                function(library, *tensors).backward()
            return tensors[0].grad.numpy()

        return run

    return runner(ts), runner(torch)


def attentions() -> Iterator[Case]:
    def attend(library: Any, q: Any, k: Any, v: Any) -> Any:
        y = library.nn.functional.scaled_dot_product_attention(q, k, v)
        return (y * y).sum()

    for batch, tokens, size in ((8, 256, 32), (4, 512, 64), (2, 1024, 64)):
        shape = (batch, 8, tokens, size)
        work = 6 * batch * 8 * tokens * tokens * size
        yield Case("attention, forward + backward", "×".join(map(str, shape)), *trial(attend, shape, shape, shape), work)


def products() -> Iterator[Case]:
    def forward(library: Any, a: np.ndarray, b: np.ndarray) -> Callable[[], Any]:
        tensors = library.tensor(a), library.tensor(b)
        return lambda: (tensors[0] @ tensors[1]).numpy()

    for left, right in (
        ((1024, 1024), (1024, 1024)),
        ((256, 256), (256, 256)),
        ((4096, 64), (64, 64)),
        ((128, 784), (784, 500)),
        ((8, 2048), (2048, 1000)),
        ((64, 256, 32), (64, 32, 256)),
        ((64, 256, 256), (64, 256, 32)),
        ((333, 65), (65, 17)),
    ):
        a, b = (np.random.default_rng(len(s)).standard_normal(s, np.float32) for s in (left, right))
        shape = " · ".join("×".join(map(str, s)) for s in (left, right))
        yield Case("matmul", shape, forward(ts, a, b), forward(torch, a, b), a.size * right[-1])


SMALL_OPS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "(x * y).sum()": (lambda _, x, y: (x * y).sum(), ((8,), (8,))),
    "(x + y).sum()": (lambda _, x, y: (x + y).sum(), ((8,), (8,))),
    "x.relu().sum()": (lambda _, x: x.relu().sum(), ((8,),)),
    "x.exp().sum()": (lambda _, x: x.exp().sum(), ((8,),)),
    "(x * 2 + 1).sum()": (lambda _, x: (x * 2 + 1).sum(), ((8,),)),
    "linear(x, w, b).sum()": (
        lambda library, x, w, b: library.nn.functional.linear(x, w, b).sum(),
        ((1, 8), (8, 8), (8,)),
    ),
    "a chain of 50 x = x * y": (lambda _, x, y: chained(x, y), ((8,), (8,))),
}


def chained(x: Any, y: Any) -> Any:
    for _ in range(50):
        x = x * y
    return x.sum()


def small_ops() -> Iterator[Case]:
    for name, (function, shapes) in SMALL_OPS.items():
        calls = CALLS // 20 if "chain" in name else CALLS
        yield Case(f"overhead, {calls} calls", f"{name}.backward(), 8 numbers", *trial(function, *shapes, calls=calls))


def cases() -> Iterator[Case]:
    """Every case that is timed, one at a time."""
    for family in (networks, attentions, products, small_ops):
        yield from family()


# ---------------------------------------------------------------- memory


def status(key: str) -> float:
    """A figure of this process in MB: VmRSS is what is resident now, VmHWM the most there ever was."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def train_and_tell(name: str) -> None:
    """Print what the process holds with the library loaded, and the most that it held in training."""
    library = {"tinyseg": ts, "torch": torch}[name]
    stepper(library, unet(library, 2), unet_loss(library, (2, 3, 32, 32)))()
    loaded = status("VmRSS")
    width, shape = UNET
    step = stepper(library, unet(library, width), unet_loss(library, shape))
    for _ in range(STEPS):
        step()
    print(loaded, status("VmHWM"))


def peak(name: str) -> tuple[float, float]:
    """(memory of the training, of the process before it) in MB, in a process that trains with one library."""
    command = [sys.executable, "-m", "benchmarks.models", "--memory", name]
    loaded, most = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    return most - loaded, loaded


def memory_rows() -> Iterator[str]:
    (ours, loaded), (theirs, loaded_theirs) = peak("tinyseg"), peak("torch")
    width, shape = UNET
    sizes = f"width {width}, {'×'.join(map(str, shape))}"
    yield f"| U-Net step, peak memory | {sizes} | {ours:.0f} MB | {theirs:.0f} MB | {theirs / ours:.2f} |"
    yield (
        f"| the same with the libraries | {sizes} | {ours + loaded:.0f} MB | {theirs + loaded_theirs:.0f} MB | "
        f"{(theirs + loaded_theirs) / (ours + loaded):.2f} |"
    )


# ---------------------------------------------------------------- the table


def check(case: Case) -> None:
    """Both give the same result at their first call, within float32's rounding."""
    ours, theirs = np.asarray(case.ours()), np.asarray(case.theirs())
    assert ours.shape == theirs.shape, (case.kernel, case.shape, ours.shape, theirs.shape)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error < 1e-4, f"{case.kernel} {case.shape}: differs from PyTorch by {error:.1e} of the largest value"


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def measure(case: Case, rounds: int) -> str:
    """The case's row: medians of `rounds` pairs."""
    check(case)
    pairs = [(milliseconds(case.ours), milliseconds(case.theirs)) for _ in range(rounds + 1)][1:]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return f"| {case.kernel} | {case.shape} | {ours:.2f} ms | {theirs:.2f} ms | {theirs / ours:.2f} |"


def rows(rounds: int, only: str = "") -> Iterator[str]:
    """The rows of the table, one after the other; `only` those whose name contains it."""
    for case in cases():
        if only in case.kernel:
            yield measure(case, rounds)
    if only in "memory":
        yield from memory_rows()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", metavar="NAME", help="only rows whose name contains NAME")
    parser.add_argument("--memory", choices=["tinyseg", "torch"], help="train with one library and tell its memory")
    options = parser.parse_args()
    torch.set_num_threads(numba.get_num_threads())
    if options.memory:
        train_and_tell(options.memory)
        return
    print("\n".join(HEADER))
    for row in rows(options.rounds, options.only):
        print(row, flush=True)


if __name__ == "__main__":
    main()
