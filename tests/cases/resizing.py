"""Resizing."""

from __future__ import annotations

from typing import Any

import torch

from .case import functional, normal, row


def resize_rows() -> None:
    """Every mode, up and down, by size and by scale."""
    targets: dict[str, dict[str, Any]] = {
        "twice": {"scale_factor": 2},
        "up": {"size": (9, 7)},
        "down": {"size": (2, 3)},
        "one": {"size": 1},
        "same": {"size": (4, 5)},
        "mixed": {"scale_factor": (2.5, 0.6)},
        "fraction": {"scale_factor": 1.7},
        "cut off": {"scale_factor": (1.3, 0.7)},
        "the same size": {"scale_factor": 1.1},
        "fraction, recomputed": {"scale_factor": 1.7, "recompute_scale_factor": True},
    }
    modes: dict[str, dict[str, Any]] = {
        "nearest": {},
        "bilinear": {"mode": "bilinear"},
        "corners": {"mode": "bilinear", "align_corners": True},
        "exact": {"mode": "nearest-exact"},
        "bicubic": {"mode": "bicubic"},
        "bicubic corners": {"mode": "bicubic", "align_corners": True},
        "area": {"mode": "area"},
    }
    for mode, kwargs in modes.items():
        for label, target in targets.items():
            # there PyTorch's backward copies, although its bicubic forward does not
            options = {"differentiable": ()} if (mode, label) == ("bicubic", "the same size") else {}
            functional("interpolate", f"{mode}, {label}", normal(2, 2, 4, 5), options=options, **target, **kwargs)
        functional("interpolate", f"{mode}, empty batch", normal(0, 2, 4, 5), size=(8, 8), **kwargs)
        functional("interpolate", f"{mode}, from one pixel", normal(1, 2, 1, 1), size=(3, 2), **kwargs)
    functional("interpolate", "area, wide", normal(1, 1, 1, 30000), size=(1, 2), mode="area")
    functional("upsample", "bilinear", normal(1, 2, 4, 5), size=(6, 3), mode="bilinear", align_corners=True)
    functional("upsample_nearest", "scale", normal(1, 2, 4, 5), scale_factor=2)
    functional("upsample_nearest", "size", normal(2, 1, 4, 5), args=((3, 8),))
    functional("upsample_bilinear", "scale", normal(1, 2, 4, 5), scale_factor=(1.5, 2))
    functional("upsample_bilinear", "size", normal(2, 1, 4, 5), size=7)


def inserting_rows() -> None:
    """Zeros between pixels, for PyTorch a transposed convolution of each channel with a single 1."""

    def inserted(x: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
        one = torch.ones(x.shape[1], 1, 1, 1, dtype=x.dtype)
        return torch.nn.functional.conv_transpose2d(x, one, stride=stride, groups=x.shape[1])

    for label, shape, stride in (("twice", (2, 3, 4, 5), (2, 2)), ("pair", (1, 2, 3, 4), (3, 2)),
                                 ("rows", (2, 1, 5, 3), (4, 1)), ("one pixel", (1, 2, 1, 1), (5, 5)),
                                 ("empty batch", (0, 2, 3, 3), (2, 2))):  # fmt: skip
        row(f"zero_insert[{label}]", lambda m, x, s=stride: m.nn.functional.zero_insert(x, s), normal(*shape),
            reference=lambda x, s=stride: inserted(x, s))  # fmt: skip


resize_rows()
inserting_rows()
