"""Pooling."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .case import apart, functional, given, normal, positive, row


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


def adaptive_rows() -> None:
    """Windows that share out the plane; response normalisation and p-norms, which are made of averages."""
    shape = (2, 2, 7, 6)
    for name in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
        for label, size in {
            "1": 1, "pair": (3, 4), "up": (9, 7), "rows kept": (None, 2), "columns kept": (3, None), "divides": (7, 3),
        }.items():  # fmt: skip
            functional(name, label, apart(*shape), args=(size,))
        # PyTorch has no gradient of no windows
        functional(name, "nothing", apart(*shape), args=((0, 2),), options={"differentiable": ()})
        functional(name, "unbatched", apart(2, 6, 5), args=((4, 2),))
        functional(name, "empty batch", apart(0, 2, 6, 5), args=(2,))
    functional("adaptive_max_pool2d", "indices", apart(*shape), args=((3, 4),), return_indices=True)
    functional("adaptive_max_pool2d", "indices unbatched", apart(2, 5, 6), args=(4,), return_indices=True)
    functional("local_response_norm", "five", normal(2, 7, 3, 2), args=(5,), alpha=0.7, k=2.0)
    functional("local_response_norm", "odd", normal(2, 5, 3, 2), args=(3,), alpha=0.7, beta=0.5, k=2.0)
    functional("local_response_norm", "even", normal(2, 5, 3, 2), args=(2,), alpha=0.7)
    functional("local_response_norm", "wide, three axes", normal(2, 3, 4), args=(9,), alpha=2.0)
    functional("local_response_norm", "defaults, five axes", normal(2, 3, 2, 2, 2), args=(3,))
    functional("lp_pool2d", "2", apart(*shape), args=(2, 3))
    functional("lp_pool2d", "4, stride", apart(*shape), args=(4, (3, 2)), stride=2)
    functional("lp_pool2d", "3, ceil_mode", positive(*shape), args=(3.0, 4), stride=3, ceil_mode=True)
    functional("lp_pool2d", "infinite", apart(*shape), args=(float("inf"), 2))
    functional("lp_pool2d", "zeros", given(np.zeros((1, 1, 4, 4))), args=(2, 2), options={"differentiable": ()})


def unpooling_rows() -> None:
    """Maxima back at their places, which the row finds by pooling."""

    def unpooled(pool: dict[str, Any], **kwargs: Any) -> Any:
        def function(m: ModuleType, x: Any, z: Any) -> Any:
            y, indices = m.nn.functional.max_pool2d(x, return_indices=True, **pool)
            return m.nn.functional.max_unpool2d(y * z, indices, **pool, **kwargs)

        return function

    for label, pool, size, kwargs in (
        ("2", {"kernel_size": 2}, (3, 3), {}),
        ("stride", {"kernel_size": (2, 1), "stride": (3, 2)}, (2, 3), {"output_size": (7, 6)}),
        ("padding", {"kernel_size": 3, "stride": 3, "padding": 1}, (3, 2), {"output_size": (2, 2, 7, 6)}),
        ("overlapping", {"kernel_size": 3, "stride": 1}, (5, 4), {}),
    ):
        values = normal(2, 2, *size) if label != "overlapping" else given(np.ones((2, 2, *size)))
        frozen = {} if label != "overlapping" else {"differentiable": ()}
        row(f"max_unpool2d[{label}]", unpooled(pool, **kwargs), apart(2, 2, 7, 6), values, **frozen)
    row("max_unpool2d[unbatched]", unpooled({"kernel_size": 2}), apart(2, 4, 6), normal(2, 2, 3))
    row("max_unpool2d[empty batch]", unpooled({"kernel_size": 2}), apart(0, 2, 4, 6), normal(0, 2, 2, 3))


pooling_rows()
adaptive_rows()
unpooling_rows()
