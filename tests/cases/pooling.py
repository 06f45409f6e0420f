"""Pooling."""

from __future__ import annotations

from typing import Any

from .case import apart, functional


def pooling_rows() -> None:
    """Maximum and average pooling: windows, padding, dilation, ceil_mode, divisors."""
    shape = (2, 2, 7, 6)
    shared: dict[str, dict[str, Any]] = {
        "2": {"kernel_size": 2},
        "pair": {"kernel_size": (3, 2)},
        "stride": {"kernel_size": 3, "stride": 2},
        "stride pair": {"kernel_size": (2, 3), "stride": (1, 2)},
        "stride beyond": {"kernel_size": 2, "stride": 3},
        "padding": {"kernel_size": 3, "stride": 2, "padding": 1},
        "padding pair": {"kernel_size": (2, 4), "padding": (1, 2)},
        "ceil_mode": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        "ceil_mode, last window dropped": {"kernel_size": 2, "stride": 3, "padding": 1, "ceil_mode": True},
    }
    for name in ("max_pool2d", "avg_pool2d"):
        for label, kwargs in shared.items():
            functional(name, label, apart(*shape), **kwargs)
        functional(name, "unbatched", apart(2, 6, 6), kernel_size=2)
        functional(name, "empty batch", apart(0, 2, 6, 6), kernel_size=2)
        functional(name, "the whole plane", apart(2, 3, 4, 5), kernel_size=(4, 5))
    functional("max_pool2d", "dilation", apart(*shape), kernel_size=2, stride=1, dilation=(2, 3))
    functional("max_pool2d", "indices", apart(*shape), kernel_size=3, stride=2, padding=1, return_indices=True)
    functional("max_pool2d", "indices unbatched", apart(2, 6, 6), kernel_size=2, return_indices=True)
    functional(
        "max_pool2d",
        "everything",
        apart(*shape),
        kernel_size=(3, 2),
        stride=2,
        padding=1,
        dilation=2,
        ceil_mode=True,
        return_indices=True,
    )
    functional("avg_pool2d", "pad not counted", apart(*shape), kernel_size=3, padding=1, count_include_pad=False)
    functional("avg_pool2d", "divisor", apart(*shape), kernel_size=3, padding=1, divisor_override=5)
    functional(
        "avg_pool2d", "everything", apart(*shape), kernel_size=(3, 2), stride=(2, 3), padding=1, ceil_mode=True,
        count_include_pad=False,
    )  # fmt: skip


pooling_rows()
