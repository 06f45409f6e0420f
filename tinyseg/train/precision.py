"""In which type a training step computes: float32, TF32, float16 with a scaled loss, or bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from .. import kernels
from ..amp import GradScaler
from ..casting import autocast
from ..errors import ArgumentError

__all__ = ["PRECISIONS", "Precision"]

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


class Precision:
    """One of PRECISIONS. Weights, their gradients and the optimiser are float32 in each.

    `tf32` concerns a GPU's products only; `float16` brings a `scaler`, and a step whose gradients overflow is skipped.
    **Raises** ArgumentError for another name.
    """

    def __init__(self, name: str = "float32") -> None:
        if name not in PRECISIONS:
            raise ArgumentError(f"train: precision is {name!r}, expected one of {', '.join(PRECISIONS)}")
        self.name = name
        self.scaler = GradScaler(enabled=name == "float16")

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around a whole step: TF32 where it was asked for."""
        with kernels.use(allow_tf32=True if self.name == "tf32" else None):
            yield

    def forward(self) -> AbstractContextManager[object]:
        """Around the model and its loss: products in the half type."""
        half = self.name in ("float16", "bfloat16")
        return autocast(self.name if half else "float16", enabled=half)

    def may_skip(self) -> bool:
        """Whether gradients that are not finite only mean that the loss was scaled too much."""
        return self.scaler.is_enabled() and self.scaler.get_scale() >= 1
