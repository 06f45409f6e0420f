"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..device import array_module
from ..engine import Array, Tensor
from ..errors import AnomalyError, ArgumentError

__all__ = ["clip_grad_norm_"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place, and return the norm of them all together.

    `norm_type` is the p of the p-norm, `inf` included. As in PyTorch, a NaN norm makes all gradients NaN unless
    `error_if_nonfinite`. **Raises** AnomalyError, ArgumentError.
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    grads = [p.grad for p in params if p.grad is not None]
    if not grads:
        return Tensor(np.zeros((), np.float32))
    xp = array_module(grads[0].data)
    with np.errstate(all="ignore"):
        norms = [_norm(g.data, norm_type) for g in grads]
        total = norms[0] if len(norms) == 1 else _norm(xp.stack(norms), norm_type)
        scale = max_norm / (float(total) + 1e-6)
    if error_if_nonfinite and not np.isfinite(float(total)):
        raise AnomalyError(f"clip_grad_norm_: the norm of the gradients is {float(total)}")
    if not scale >= 1:  # NaN goes on into the gradients
        for g in grads:
            g.data *= scale
            g.bump()
    return Tensor(xp.asarray(total))


def _norm(g: Array, norm_type: float) -> Array:
    """The p-norm; half types add up in float32."""
    flat = g.reshape(-1)
    xp = array_module(flat)
    return xp.linalg.norm(flat.astype(np.float32) if flat.dtype.itemsize == 2 else flat, norm_type)
