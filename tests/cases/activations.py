"""Activations and dropout."""

from __future__ import annotations

import torch

from .case import apart, functional, given, normal, row


def activation_rows() -> None:
    """Activations away from their kinks, softmax over every axis."""
    for name in ("relu", "leaky_relu", "elu", "hardtanh", "relu6"):
        functional(name, "apart", apart(4, 5, scale=8.0 if name == "relu6" else 2.0))
    for name in ("sigmoid", "tanh", "softplus", "silu", "mish", "gelu", "logsigmoid"):
        functional(name, "normal", normal(3, 4))
        functional(name, "far", given([-30.0, -8.0, 8.0, 30.0]))
    row("relu[inplace]", lambda m, x: m.nn.functional.relu(x * 2.0, inplace=True), apart(4, 5))
    functional("leaky_relu", "slope", apart(4, 5), negative_slope=0.2)
    functional("leaky_relu", "negative slope", apart(4, 5), negative_slope=-0.3)
    for name in ("leaky_relu", "elu", "hardtanh", "hardswish", "softplus", "mish"):
        functional(name, "0-d", given(-0.75))
        functional(name, "empty", normal(0, 4))
        row(f"{name}[transposed]", lambda m, x, n=name: getattr(m.nn.functional, n)(x.mT), apart(4, 5))
    functional("elu", "alpha", apart(4, 5), alpha=0.7)
    functional("hardtanh", "bounds", apart(4, 5), min_val=-0.72, max_val=1.33)
    functional("softplus", "beta", normal(3, 4), beta=2.0, threshold=3.0)
    functional("gelu", "tanh", normal(3, 4), approximate="tanh")
    row("relu[at 0]", lambda m, x: m.nn.functional.relu(x), given([-0.0, 0.0, 1.0]), differentiable=())
    for name in ("celu", "selu", "hardshrink", "softshrink"):
        functional(name, "apart", apart(4, 5))
    for label, x in {"apart": apart(4, 5, scale=8.0), "right of 0": given(1.25)}.items():
        functional("hardswish", label, x)
        # written out: PyTorch's own has no second derivative, and a sixth in float32 for the first
        functional("hardsigmoid", label, x, options={"reference": lambda x: torch.clamp(x + 3, 0, 6) / 6})
    for name in ("softsign", "tanhshrink"):
        functional(name, "apart", apart(3, 4))
    functional("celu", "alpha", apart(4, 5), alpha=0.75)  # exact in binary: PyTorch rounds it to float32
    functional("hardshrink", "lambd", apart(4, 5), lambd=1.13)
    functional("softshrink", "lambd", apart(4, 5), lambd=1.13)
    functional("threshold", "value", apart(4, 5), threshold=0.32, value=-7.0)
    for label, shape, count in (
        ("one weight", (2, 3, 4), 1), ("channels", (2, 3, 4), 3), ("one axis", (5,), 1), ("rows", (4, 3), 3)
    ):  # fmt: skip
        functional("prelu", label, apart(*shape), normal(count))
    functional("glu", "last", normal(2, 3, 4))
    functional("glu", "channels", normal(2, 4, 3), dim=1)
    functional("glu", "negative", normal(2, 4, 3), dim=-2)
    functional("glu", "empty batch", normal(0, 4))
    functional("glu", "empty halves", normal(3, 0))
    functional("glu", "one axis", normal(6), dim=0)
    row("glu[transposed]", lambda m, x: m.nn.functional.glu(x.mT, 0), normal(3, 4))
    row("softmax[dtype]", lambda m, x: m.nn.functional.softmax(x, -1, dtype=m.float64), normal(2, 3), tolerance=1e-6,
        differentiable=())  # fmt: skip
    for name in ("dropout", "dropout1d", "dropout2d"):
        functional(name, "evaluation", normal(2, 3, 4), training=False, p=0.7, options={"is_view": True})
        functional(name, "p 0", normal(2, 3, 4), p=0.0, options={"is_view": True})
        functional(name, "p 1", normal(2, 3, 4), p=1.0)
    for name in ("softmax", "log_softmax", "softmin"):
        for dim in (0, 1, 2, -1):
            functional(name, f"axis {dim}", normal(2, 3, 4), dim=dim)
        functional(name, "one axis", normal(5), dim=0)
        functional(name, "images", normal(2, 3, 2, 2), dim=1)
        functional(name, "one class", normal(3, 1), dim=1)
        functional(name, "empty batch", normal(0, 3), dim=1)
        row(f"{name}[far]", lambda m, x, n=name: getattr(m.nn.functional, n)(x * 500, 1), apart(2, 4),
            differentiable=())  # fmt: skip


activation_rows()
