"""Activations and dropout."""

from __future__ import annotations

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
    functional("elu", "alpha", apart(4, 5), alpha=0.7)
    functional("hardtanh", "bounds", apart(4, 5), min_val=-0.72, max_val=1.33)
    functional("softplus", "beta", normal(3, 4), beta=2.0, threshold=3.0)
    functional("gelu", "tanh", normal(3, 4), approximate="tanh")
    row("relu[at 0]", lambda m, x: m.nn.functional.relu(x), given([-0.0, 0.0, 1.0]), differentiable=())
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1, 2, -1):
            functional(name, f"axis {dim}", normal(2, 3, 4), dim=dim)
        functional(name, "one axis", normal(5), dim=0)
        functional(name, "images", normal(2, 3, 2, 2), dim=1)
        functional(name, "one class", normal(3, 1), dim=1)
        functional(name, "empty batch", normal(0, 3), dim=1)
        row(f"{name}[far]", lambda m, x, n=name: getattr(m.nn.functional, n)(x * 500, 1), apart(2, 4),
            differentiable=())  # fmt: skip


activation_rows()
