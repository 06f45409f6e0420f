"""Gradient clipping, and all parameters as one vector: PyTorch's `torch.nn.utils`."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..devices import array_module
from ..engine import Array, Tensor
from ..errors import AnomalyError, ArgumentError, ShapeError
from ..ops.checks import same_kind, tensor_arg
from ..ops.shape import cat, reshape

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients by min(1, max_norm / (norm + 1e-6)), in place, and return the norm of them all together.

    `norm_type` is the p of the p-norm, `inf` included. As in PyTorch, a NaN norm makes all gradients NaN unless
    `error_if_nonfinite`. **Raises** AnomalyError, ArgumentError.
    """
    if not max_norm >= 0:
        raise ArgumentError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    grads = _gradients(parameters)
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


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clamp every element of every gradient to [-clip_value, clip_value], in place; NaN stays.

    **Raises** ArgumentError for a value below 0 or NaN.
    """
    bound = float(clip_value)
    if not bound >= 0:
        raise ArgumentError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for g in _gradients(parameters):
        array_module(g.data).clip(g.data, -bound, bound, out=g.data)
        g.bump()


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements of all parameters on one axis, with their graph. **Raises** ShapeError if there are none."""
    listed = [tensor_arg("parameters_to_vector", "parameters", p) for p in parameters]
    if not listed:
        raise ShapeError("parameters_to_vector: parameters is empty")
    same_kind("parameters_to_vector", **{f"parameters[{i}]": p for i, p in enumerate(listed)})
    return cat([reshape(p, -1) for p in listed])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of `vec` into the parameters, in order: the inverse of `parameters_to_vector`.

    **Raises** ShapeError unless `vec` is a vector of as many elements as the parameters have.
    """
    listed = [tensor_arg("vector_to_parameters", "parameters", p) for p in parameters]
    count = sum(math.prod(p.shape) for p in listed)
    if tensor_arg("vector_to_parameters", "vec", vec).shape != (count,):
        raise ShapeError(f"vector_to_parameters: vec must have shape {(count,)}, got {vec.shape}")
    start = 0
    for p in listed:
        end = start + math.prod(p.shape)
        p.assign_(Tensor(vec.data[start:end].reshape(p.shape)))
        start = end


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in params if p.grad is not None]


def _norm(g: Array, norm_type: float) -> Array:
    """The p-norm; half types add up in float32."""
    flat = g.reshape(-1)
    xp = array_module(flat)
    return xp.linalg.norm(flat.astype(np.float32) if flat.dtype.itemsize == 2 else flat, norm_type)
