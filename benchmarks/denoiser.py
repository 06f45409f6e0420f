"""The U-Net of DDPM in one text for two libraries: `denoiser(tinyseg, ...)` and `denoiser(torch, ...)`.

Residual blocks of group norm, SiLU and 3x3 convolutions, told the time by a sinusoidal embedding, self-attention at
16x16, halved by strided convolutions and doubled by nearest neighbours: the network for CIFAR-10, any width.

**Source** Ho, Jain & Abbeel, Denoising Diffusion Probabilistic Models, 2020, appendix B.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

__all__ = ["denoiser", "time_features"]

MULTIPLES = (1, 2, 2, 2)  # of the width, at 32, 16, 8 and 4 pixels
ATTENDS_AT = 16
GROUPS = 32


def time_features(t: np.ndarray, size: int) -> np.ndarray:
    """Sines and cosines of t at `size`/2 wavelengths from 2π to 20000π. **Shapes** t (N,); (N, size)."""
    rates = np.exp(np.arange(size // 2) * (-math.log(10000) / (size // 2)))
    angles = t[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], 1)


def denoiser(library: Any, width: int, size: int) -> Any:
    """The network in tinyseg or torch: (N, 3, size, size) and time features (N, width) -> noise (N, 3, size, size)."""
    return _classes(library)(width, size)


@functools.cache
def _classes(library: Any) -> Any:
    """The network's class, its layers from one of the libraries: they have the same names and arguments."""
    nn, F = library.nn, library.nn.functional

    class Residual(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, before: int, after: int, features: int) -> None:
            super().__init__()
            self.norm1, self.conv1 = nn.GroupNorm(GROUPS, before), nn.Conv2d(before, after, 3, padding=1)
            self.time = nn.Linear(features, after)
            self.norm2, self.conv2 = nn.GroupNorm(GROUPS, after), nn.Conv2d(after, after, 3, padding=1)
            self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

        def forward(self, x: Any, t: Any) -> Any:
            h = self.conv1(F.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
            return self.skip(x) + self.conv2(F.silu(self.norm2(h)))

    class Attention(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(GROUPS, channels)
            self.qkv, self.out = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)

        def forward(self, x: Any) -> Any:
            n, c, h, w = x.shape
            q, k, v = self.qkv(self.norm(x)).reshape(n, 3, c, h * w).transpose(2, 3).unbind(1)  # each (N, HW, C)
            y = F.scaled_dot_product_attention(q, k, v)
            return x + self.out(y.transpose(1, 2).reshape(n, c, h, w))

    class Stage(nn.Module):  # type: ignore[name-defined, misc]
        """A residual block, with attention where the picture has the size for it."""

        def __init__(self, before: int, after: int, features: int, size: int) -> None:
            super().__init__()
            self.block = Residual(before, after, features)
            self.attention = Attention(after) if size == ATTENDS_AT else nn.Identity()

        def forward(self, x: Any, t: Any) -> Any:
            return self.attention(self.block(x, t))

    class Denoiser(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self, width: int, size: int) -> None:
            super().__init__()
            features, channels, skips = 4 * width, width, [width]
            self.time = nn.Sequential(nn.Linear(width, features), nn.SiLU(), nn.Linear(features, features), nn.SiLU())
            self.first = nn.Conv2d(3, width, 3, padding=1)
            self.down, self.up = nn.ModuleList(), nn.ModuleList()
            for level, multiple in enumerate(MULTIPLES):
                for _ in range(2):
                    self.down.append(Stage(channels, multiple * width, features, size >> level))
                    channels = multiple * width
                    skips.append(channels)
                if level + 1 < len(MULTIPLES):
                    self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                    skips.append(channels)
            self.middle1, self.middle2 = Residual(channels, channels, features), Residual(channels, channels, features)
            self.attention = Attention(channels)
            for level, multiple in reversed(list(enumerate(MULTIPLES))):
                for _ in range(3):
                    self.up.append(Stage(channels + skips.pop(), multiple * width, features, size >> level))
                    channels = multiple * width
                if level:
                    self.up.append(nn.Conv2d(channels, channels, 3, padding=1))
            self.norm, self.last = nn.GroupNorm(GROUPS, channels), nn.Conv2d(channels, 3, 3, padding=1)

        def forward(self, x: Any, t: Any) -> Any:
            t, x = self.time(t), self.first(x)
            skips = [x]
            for layer in self.down:
                x = layer(x, t) if isinstance(layer, Stage) else layer(x)
                skips.append(x)
            x = self.middle2(self.attention(self.middle1(x, t)), t)
            for layer in self.up:
                if isinstance(layer, Stage):
                    x = layer(library.cat([x, skips.pop()], 1), t)
                else:
                    x = layer(F.interpolate(x, scale_factor=2, mode="nearest"))
            return self.last(F.silu(self.norm(x)))

    return Denoiser
