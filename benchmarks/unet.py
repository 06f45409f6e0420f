"""Do a U-Net's gradients agree with PyTorch's in float32? `python -m benchmarks.unet`.

With ReLU and max pooling rounding is amplified (a value near a kink, a near tie in a window), so PyTorch's own float32
gradients are far from its float64 ones; our error stands beside that. `benchmarks/models.py` has the time of a step.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import tinyseg as ts
from tests.test_unet import smoothed
from tests.torch_unet import TorchUNet, smooth_torch
from tinyseg.models import UNet


def gradients(model, x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Outputs and all weight gradients of a cross-entropy step, on either library."""
    own = isinstance(model, ts.nn.Module)
    library, functional = (ts, ts.nn.functional) if own else (torch, torch.nn.functional)
    y = model(library.tensor(x))
    functional.cross_entropy(y, library.tensor(t)).backward()
    return y.detach().numpy(), {k: p.grad.numpy() for k, p in model.named_parameters()}


def error(found: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> float:
    """Largest difference, each gradient relative to its own largest element."""
    return max(float(np.abs(found[k] - r).max() / max(np.abs(r).max(), 1e-30)) for k, r in reference.items())


def agreement(width: int, size: int, smooth: bool) -> None:
    torch.manual_seed(0)
    theirs = TorchUNet(3, 2, width=width)
    ours = UNet(3, 2, width=width)
    if smooth:
        smooth_torch(theirs)
        smoothed(ours)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    exact = TorchUNet(3, 2, width=width)
    exact = (smooth_torch(exact) if smooth else exact).double()
    exact.load_state_dict({k: v.double() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((2, 3, size, size)), rng.integers(0, 2, (2, size, size))
    y, g = gradients(ours, x.astype(np.float32), t)
    ty, tg = gradients(theirs, x.astype(np.float32), t)
    _, eg = gradients(exact, x, t)
    name = "SiLU, average pooling" if smooth else "ReLU, max pooling"
    print(
        f"float32, width {width}, {name}: outputs differ by {np.abs(y - ty).max():.1e}, "
        f"gradients by {error(g, tg):.1e}; from PyTorch's float64 ours are {error(g, eg):.1e} away, "
        f"PyTorch's own float32 {error(tg, eg):.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unet", description=__doc__)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args()
    for smooth in (True, False):
        agreement(options.width, 64, smooth)


if __name__ == "__main__":
    main()
