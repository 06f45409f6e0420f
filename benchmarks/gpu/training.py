"""A U-Net trained in each precision, and the time of a step beside PyTorch's."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any

import numpy as np
import torch

import tinyseg as ts
from benchmarks.gpu.device import Device
from tests.torch_unet import TorchUNet
from tinyseg.data import Chairs, Loader
from tinyseg.models import UNet
from tinyseg.nn import functional as F
from tinyseg.train.precision import Precision

__all__ = ["PRECISIONS", "trained"]

PRECISIONS = ("float32", "tf32", "float16")
STEPS = 200
DRAWN = 40  # batches of pictures: drawing one takes the processor half a second, so they are gone through five times
DRAWING = 12.0  # seconds, after which those that there are have to do


def trained(device: Device, precision: str, seconds: float) -> dict[str, Any]:
    """A row of the report, in about these seconds: training, then steps of PyTorch's and ours in turns."""
    row = train(device, precision, 0.7 * seconds)
    return {**row, "step": step_times(device, precision, min(2.0, 0.1 * seconds))}


def train(device: Device, precision: str, most: float) -> dict[str, Any]:
    """A U-Net on generated chairs: the loss at the start and the end, the IoU of chairs unseen, seconds of all steps.

    After `most` seconds the steps that were made are all.
    """
    timed = device.timed
    size, width, batch = (128, 32, 16) if timed else (16, 2, 2)
    steps = STEPS if timed else 2
    ts.manual_seed(0)
    model = UNet(n_channels=3, n_classes=2, width=width).to(device.name)
    adam = ts.optim.AdamW(model.parameters(), lr=2e-3)
    batches = _pictures(min(steps, DRAWN), size, batch, "train")
    mode, losses = Precision(precision), []
    began = time.perf_counter()
    for made in itertools.islice(itertools.cycle(batches), steps):
        adam.zero_grad()
        with mode.step():
            with mode.forward():
                scores = model(ts.tensor(made.images, device=device.name))
                masks = ts.tensor(made.masks, device=device.name)
                loss = F.cross_entropy(scores, masks) + F.dice_loss(scores, masks)
            mode.scaler.scale(loss).backward()
        mode.scaler.step(adam)
        mode.scaler.update()
        losses.append(loss.detach())
        if time.perf_counter() > began + most:
            break
    values = [float(loss.item()) for loss in losses]
    seconds = time.perf_counter() - began
    tenth = max(1, len(values) // 10)
    return {
        "precision": precision,
        "steps": len(values),
        "first loss": float(np.mean(values[:tenth])),
        "last loss": float(np.mean(values[-tenth:])),
        "IoU": _iou(model, device, size),
        "seconds": seconds if timed else float("nan"),
    }


@functools.cache
def _pictures(batches: int, size: int, batch: int, split: str) -> list[Any]:
    """Batches of generated chairs, as many as are soon drawn; the same for every precision."""
    made, end = [], time.perf_counter() + DRAWING
    for drawn in Loader(Chairs(length=batches * batch, size=size, split=split), batch_size=batch, seed=0):
        made.append(drawn)
        if time.perf_counter() > end:
            break
    return made


def _iou(model: Any, device: Device, size: int) -> float:
    """Of the class chair on pictures that were not trained on."""
    count = 64 if device.timed else 2
    model.eval()
    union = overlap = 0
    with ts.no_grad():
        for made in _pictures(max(1, count // 16), size, min(16, count), "val"):
            found = model(ts.tensor(made.images, device=device.name)).argmax(1).cpu().numpy() == 1
            overlap += int((found & (made.masks == 1)).sum())
            union += int((found | (made.masks == 1)).sum())
    return overlap / max(union, 1)


def step_times(device: Device, precision: str, seconds: float) -> dict[str, float]:
    """Milliseconds of a training step of ours and of PyTorch's U-Net (eager, cuDNN), with the same numbers."""
    if not device.timed:
        return {}
    ours, theirs = _our_step(precision), _their_step(precision)
    for run in (ours, theirs):
        for _ in range(5):
            run()
    device.synchronize()
    a, b = device.milliseconds([ours, theirs], seconds)
    return {"ours": a, "PyTorch": b}


SHAPE = (16, 3, 128, 128)


def _our_step(precision: str) -> Any:
    model = UNet(n_channels=3, n_classes=2, width=32).to("cuda")
    adam = ts.optim.Adam(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    x = ts.tensor(rng.standard_normal(SHAPE, np.float32), device="cuda")
    y = ts.tensor(rng.integers(0, 2, (SHAPE[0], *SHAPE[2:])), device="cuda")
    mode = Precision(precision)

    def step() -> None:
        adam.zero_grad()
        with mode.step():
            with mode.forward():
                loss = F.cross_entropy(model(x), y)
            mode.scaler.scale(loss).backward()
        mode.scaler.step(adam)
        mode.scaler.update()

    return step


def _their_step(precision: str) -> Any:
    model = TorchUNet(3, 2, width=32).cuda()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.standard_normal(SHAPE, np.float32), device="cuda")
    y = torch.tensor(rng.integers(0, 2, (SHAPE[0], *SHAPE[2:])), device="cuda")
    half = precision == "float16"
    scaler = torch.amp.GradScaler("cuda", enabled=half)

    def step() -> None:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        adam.zero_grad()
        with torch.autocast("cuda", dtype=torch.float16, enabled=half):
            loss = torch.nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(adam)
        scaler.update()

    return step
