"""Resizing."""

from __future__ import annotations

from typing import Any

from .case import functional, normal


def resize_rows() -> None:
    """Nearest and bilinear, up and down, by size and by scale."""
    targets: dict[str, dict[str, Any]] = {
        "twice": {"scale_factor": 2},
        "up": {"size": (9, 7)},
        "down": {"size": (2, 3)},
        "one": {"size": 1},
        "same": {"size": (4, 5)},
        "mixed": {"scale_factor": (2.5, 0.6)},
        "fraction": {"scale_factor": 1.7},
        "fraction, recomputed": {"scale_factor": 1.7, "recompute_scale_factor": True},
    }
    modes: dict[str, dict[str, Any]] = {
        "nearest": {},
        "bilinear": {"mode": "bilinear"},
        "corners": {"mode": "bilinear", "align_corners": True},
    }
    for mode, kwargs in modes.items():
        for label, target in targets.items():
            functional("interpolate", f"{mode}, {label}", normal(2, 2, 4, 5), **target, **kwargs)
        functional("interpolate", f"{mode}, empty batch", normal(0, 2, 4, 5), size=(8, 8), **kwargs)
        functional("interpolate", f"{mode}, from one pixel", normal(1, 2, 1, 1), size=(3, 2), **kwargs)


resize_rows()
