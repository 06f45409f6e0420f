"""Convolution and transposed convolution."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import torch

from .case import functional, normal, row


def _rectified(m: ModuleType, *inputs: Any, **kwargs: Any) -> Any:
    """`conv2d` with the ReLU in the same op."""
    if m is torch:
        return torch.relu(torch.nn.functional.conv2d(*inputs, **kwargs))
    return m.nn.functional.conv2d(*inputs, **kwargs, relu=True)


def convolution_rows() -> None:
    """Both convolutions over stride, padding, dilation, groups and odd shapes."""
    x, w, b = (2, 3, 6, 5), (4, 3, 3, 2), (4,)
    functional("conv2d", "plain", normal(*x), normal(*w), normal(*b))
    functional("conv2d", "no bias", normal(*x), normal(*w))
    geometries: dict[str, dict[str, Any]] = {
        "stride": {"stride": 2},
        "stride pair": {"stride": (3, 1)},
        "padding": {"padding": 1},
        "padding pair": {"padding": (2, 0)},
        "padding above the window": {"padding": 4},
        "valid": {"padding": "valid"},
        "same": {"padding": "same"},
        "dilation": {"dilation": 2},
        "dilation pair": {"dilation": (1, 3)},
        "everything": {"stride": (2, 3), "padding": (2, 1), "dilation": (2, 1)},
    }
    for label, kwargs in geometries.items():
        functional("conv2d", label, normal(*x), normal(*w), normal(*b), **kwargs)
    functional("conv2d", "same, odd window", normal(2, 2, 5, 5), normal(2, 2, 3, 3), padding="same", dilation=2)
    functional("conv2d", "same, even window", normal(1, 2, 5, 5), normal(2, 2, 4, 2), padding="same")
    functional("conv2d", "1x1", normal(2, 3, 4, 4), normal(5, 3, 1, 1), normal(5))
    functional("conv2d", "1x1 strided", normal(2, 3, 5, 4), normal(2, 3, 1, 1), stride=2)
    functional("conv2d", "groups", normal(2, 4, 5, 5), normal(6, 2, 3, 3), normal(6), groups=2, padding=1)
    functional("conv2d", "depthwise", normal(2, 3, 5, 5), normal(3, 1, 3, 3), normal(3), groups=3, padding=1)
    functional("conv2d", "depthwise twice", normal(2, 3, 5, 5), normal(6, 1, 3, 3), groups=3, stride=2, dilation=2)
    functional("conv2d", "unbatched", normal(3, 6, 5), normal(*w), normal(*b), padding=1)
    functional("conv2d", "empty batch", normal(0, 3, 6, 5), normal(*w), normal(*b))
    functional("conv2d", "window is the input", normal(2, 3, 3, 2), normal(*w), normal(*b))
    functional("conv2d", "one pixel", normal(1, 1, 1, 1), normal(1, 1, 3, 3), padding=1)
    functional("conv2d", "frozen weight", normal(*x), normal(*w), options={"differentiable": (0,)})
    functional("conv2d", "frozen input", normal(*x), normal(*w), options={"differentiable": (1,)})
    for label, (groups, stride) in {"": (1, 1), ", groups": (3, 2)}.items():
        row(f"conv2d[relu{label}]", functools.partial(_rectified, groups=groups, stride=stride, padding=1),
            normal(2, 3, 6, 5), normal(6, 3 // groups, 3, 3), normal(6))  # fmt: skip
    row("conv2d[relu, bias only]", _rectified, normal(*x), normal(*w), normal(*b), differentiable=(2,))
    row("conv2d[relu, input only]", _rectified, normal(*x), normal(*w), differentiable=(0,))
    functional("conv2d", "weight 9x9", normal(1, 1, 10, 11), normal(1, 1, 9, 9))
    x, w, b = (2, 3, 4, 3), (3, 2, 3, 2), (2,)
    functional("conv_transpose2d", "plain", normal(*x), normal(*w), normal(*b))
    functional("conv_transpose2d", "no bias", normal(*x), normal(*w))
    geometries = {
        "stride": {"stride": 2},
        "stride pair": {"stride": (1, 3)},
        "padding": {"padding": 1},
        "dilation": {"dilation": (2, 3)},
        "output_padding": {"stride": 3, "output_padding": 1},
        "output_padding most": {"stride": (3, 2), "output_padding": (2, 1), "padding": 1},
        "output_padding of dilation": {"stride": 1, "dilation": 3, "output_padding": 2},
        "output_padding above stride": {"stride": (2, 1), "dilation": (4, 3), "output_padding": (3, 2), "padding": 1},
        "everything": {"stride": (2, 3), "padding": (1, 2), "dilation": (1, 2), "output_padding": (1, 2)},
    }
    for label, kwargs in geometries.items():
        functional("conv_transpose2d", label, normal(*x), normal(*w), normal(*b), **kwargs)
    functional("conv_transpose2d", "U-Net's 2x2", normal(2, 4, 3, 3), normal(4, 2, 2, 2), normal(2), stride=2)
    functional("conv_transpose2d", "groups", normal(2, 4, 3, 3), normal(4, 3, 3, 3), normal(6), groups=2, stride=2)
    functional("conv_transpose2d", "depthwise", normal(1, 3, 3, 3), normal(3, 1, 4, 4), groups=3, stride=2, padding=1)
    functional("conv_transpose2d", "unbatched", normal(3, 4, 3), normal(*w), normal(*b), stride=2)
    functional("conv_transpose2d", "empty batch", normal(0, 3, 4, 3), normal(*w), normal(*b))
    functional("conv_transpose2d", "1x1", normal(2, 3, 4, 3), normal(3, 2, 1, 1), normal(2), stride=2)


convolution_rows()
