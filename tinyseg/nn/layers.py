"""Layers without parameters: resizing, padding, dropout, reshaping. Pooling and shuffles have files of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..engine import Tensor
from ..errors import ArgumentError
from ..ops.arrange import unflatten
from ..ops.checks import integer
from ..ops.shape import flatten, sizes_of
from . import functional as F
from .module import Module

__all__ = [
    "CircularPad2d", "ConstantPad2d", "Dropout", "Dropout1d", "Dropout2d", "Flatten", "Identity", "ReflectionPad2d",
    "ReplicationPad2d", "Unflatten", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad2d",
]  # fmt: skip


class Upsample(Module):
    """`functional.interpolate` to `size`, or by `scale_factor`."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        if isinstance(scale_factor, tuple | list):
            scale_factor = tuple(float(f) for f in scale_factor)
        elif scale_factor is not None:
            scale_factor = float(scale_factor)
        self.size, self.scale_factor, self.mode = size, scale_factor, mode
        self.align_corners, self.recompute_scale_factor = align_corners, recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, OH, OW)."""
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        target = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{target}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` in mode 'nearest'."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` in mode 'bilinear' with align_corners=True."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class _Pad2d(Module):
    mode: str

    def __init__(self, padding: Any) -> None:
        super().__init__()
        widths = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(widths) != 4:
            raise ArgumentError(
                f"{type(self).__name__}: padding must be a number or (left, right, top, bottom), got {padding!r}"
            )
        self.padding = widths

    def forward(self, input: Tensor) -> Tensor:
        """(..., H, W) to (..., top + H + bottom, left + W + right)."""
        return F.pad(input, self.padding, mode=self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad2d(_Pad2d):
    """The number `value` around the last two axes; negative widths crop."""

    mode = "constant"

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(..., H, W) to (..., top + H + bottom, left + W + right)."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(_Pad2d):
    """Zeros around the last two axes; negative widths crop."""

    mode = "constant"


class ReflectionPad2d(_Pad2d):
    """The planes mirrored at their edges, without repeating the edge."""

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The edges of the planes repeated."""

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """The planes repeated as on a torus."""

    mode = "circular"


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ArgumentError(f"{type(self).__name__}: p must be between 0 and 1, got {p}")
        self.p, self.inplace = p, inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """In training, zeroes each element with probability `p` and divides the others by 1 - p."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_Dropout):
    """In training, zeroes whole channels of (N, C, L) or (C, L) with probability `p`, divides the others by 1 - p."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """In training, zeroes whole channels with probability `p` and divides the others by 1 - p."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Flatten(Module):
    """Axes `start_dim` to `end_dim` joined into one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C·H·W) by default."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` as several axes of sizes `unflattened_size`, one of which may be -1: the inverse of Flatten."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = integer("Unflatten", "dim", dim)
        self.unflattened_size = tuple(sizes_of("Unflatten", "unflattened_size", [unflattened_size]))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C·H·W) to (N, C, H, W) with `dim=1, unflattened_size=(C, H, W)`."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """The input itself; takes and ignores any arguments, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input."""
        return input
