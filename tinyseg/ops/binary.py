"""The frame of every op of two operands that broadcast.

A binary op states its value and the two partial gradients; `Binary` sums each gradient over the axes that
broadcasting had stretched.
"""

from __future__ import annotations

from ..engine import Array, Op, Tensor
from .shape import sum_to


class Binary(Op):
    """y = f(a, b) with broadcasting: a subclass gives `f`, `ga` and `gb`."""

    def forward(self, a: Array, b: Array) -> Array:
        self.shapes = a.shape, b.shape
        return self.f(a, b)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, Tensor | None]:
        ga = sum_to(self.ga(gy), self.shapes[0]) if self.needs[0] else None
        gb = sum_to(self.gb(gy), self.shapes[1]) if self.needs[1] else None
        return ga, gb

    def f(self, a: Array, b: Array) -> Array:
        """The value."""
        raise AssertionError(f"{self.name} defines no f")

    def ga(self, gy: Tensor) -> Tensor:
        """The gradient for `a` before the sum over broadcast axes."""
        return gy

    def gb(self, gy: Tensor) -> Tensor:
        """The gradient for `b` before the sum over broadcast axes."""
        return gy
