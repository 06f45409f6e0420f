"""Normalisation."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from .case import normal, positive, row


def norm_rows() -> None:
    """Batch normalisation; the running statistics are outputs, so that their update is checked as well."""

    def training(m: ModuleType, x: Any, w: Any = None, b: Any = None, **kwargs: Any) -> Any:
        mean, var = m.zeros(x.shape[1], dtype=x.dtype), m.ones(x.shape[1], dtype=x.dtype)
        y = m.nn.functional.batch_norm(x, mean, var, w, b, training=True, **kwargs)
        return y, mean, var

    def evaluating(m: ModuleType, x: Any, mean: Any, var: Any, w: Any = None, b: Any = None) -> Any:
        return m.nn.functional.batch_norm(x, mean, var, w, b, training=False, eps=1e-3)

    for label, shape in {"images": (3, 2, 4, 3), "vectors": (5, 3), "sequences": (2, 3, 4)}.items():
        c = shape[1]
        row(f"batch_norm[{label}]", training, normal(*shape), normal(c), normal(c), tolerance=1e-4)
        row(f"batch_norm[{label}, no affine]", training, normal(*shape), tolerance=1e-4)
        row(f"batch_norm[{label}, eval]", evaluating, normal(*shape), normal(c), positive(c), normal(c), normal(c),
            differentiable=(0, 3, 4))  # fmt: skip
    row("batch_norm[eval, no affine]", evaluating, normal(2, 3, 2, 2), normal(3), positive(3), differentiable=(0,))
    row("batch_norm[momentum and eps]", lambda m, x, w, b: training(m, x, w, b, momentum=0.3, eps=0.1),
        normal(2, 2, 3, 3), normal(2), normal(2), tolerance=1e-4)  # fmt: skip
    row("batch_norm[no running]", lambda m, x: m.nn.functional.batch_norm(x, None, None, training=True),
        normal(2, 2, 3, 3), tolerance=1e-4)  # fmt: skip
    for label, varied in {"input only": (0,), "weight only": (1,), "bias only": (2,)}.items():
        row(f"batch_norm[{label}]", training, normal(2, 2, 3, 3), normal(2), normal(2), differentiable=varied,
            tolerance=1e-4)  # fmt: skip
    row("batch_norm[offset]", lambda m, x: training(m, x + 100.0), normal(2, 2, 4, 4), tolerance=2e-3)


norm_rows()
