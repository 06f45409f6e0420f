"""Checking gradients against differences, to any order, and linear ops against their adjoints.

A directional check needs two evaluations, however many inputs there are: for random directions v and u,

    ⟨u, (f(x + hv) - f(x - hv)) / 2h⟩  =  ⟨∇⟨u, f(x)⟩, v⟩

Order 2 checks the function x, u -> ∇⟨u, f(x)⟩ in the same way, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backward import grad
from .devices import to_device
from .engine import Tensor
from .errors import ArgumentError, GraphError

__all__ = ["adjointcheck", "gradcheck"]


def gradcheck(
    function: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    order: int = 1,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    seed: int = 0,
    raise_exception: bool = True,
) -> bool:
    """Whether the derivatives of `function` at `inputs` agree with central differences, up to `order`.

    Inputs that require grad are varied and should be float64; they should lie away from kinks.
    **Raises** GraphError with both numbers where they differ, unless `raise_exception` is False.
    """
    if order < 1:
        raise ArgumentError(f"gradcheck: order must be at least 1, got {order}")
    arguments = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    rng = np.random.default_rng(seed)
    message = _check(function, arguments, order, eps, (atol, rtol), rng)
    if message and raise_exception:
        raise GraphError(f"gradcheck: {message}")
    return not message


def _check(
    f: Callable[..., Any],
    arguments: list[Any],
    order: int,
    eps: float,
    tolerance: tuple[float, float],
    rng: Any,
) -> str:
    varied = [i for i, a in enumerate(arguments) if isinstance(a, Tensor) and a.requires_grad]
    if not varied:
        return "no input requires grad"
    directions = {i: _direction(arguments[i], rng) for i in varied}
    leaves = _replaced(arguments, {i: Tensor(arguments[i].data.copy(), requires_grad=True) for i in varied})
    ys = [y for y in _outputs(f(*leaves)) if y.requires_grad]
    if not ys:
        return "no output depends on the inputs"
    weights = [Tensor(_direction(y, rng)) for y in ys]

    def moved(step: float) -> float:
        shifted = {i: Tensor(arguments[i].data + step * v, requires_grad=True) for i, v in directions.items()}
        outs = [y for y in _outputs(f(*_replaced(arguments, shifted))) if y.requires_grad]
        return float(sum(np.vdot(u.data, y.data) for u, y in zip(weights, outs, strict=True)))

    gs = grad(ys, [leaves[i] for i in varied], weights, materialize_grads=True)
    analytic = float(sum(np.vdot(g.data, directions[i]) for i, g in zip(varied, gs, strict=True)))
    numeric = (moved(eps) - moved(-eps)) / (2 * eps)
    atol, rtol = tolerance
    if not abs(analytic - numeric) <= atol + rtol * abs(numeric):
        return f"the directional derivative is {analytic:.10g} by backward but {numeric:.10g} by differences"
    if order == 1:
        return ""

    def gradient(*given: Any) -> tuple[Tensor, ...]:
        xs, us = list(given[: len(arguments)]), given[len(arguments) :]
        outs = [y for y in _outputs(f(*xs)) if y.requires_grad]
        return grad(outs, [xs[i] for i in varied], us, create_graph=True, materialize_grads=True)

    extended = [*arguments, *(Tensor(u.data, requires_grad=True) for u in weights)]
    message = _check(gradient, extended, order - 1, eps, tolerance, rng)
    return f"of the gradient: {message}" if message else ""


def _outputs(y: Any) -> list[Tensor]:
    return [y] if isinstance(y, Tensor) else [t for t in y if isinstance(t, Tensor)]


def _direction(x: Tensor, rng: Any) -> Any:
    """A random array like x, on its device."""
    return to_device(np.asarray(rng.standard_normal(x.shape), dtype=x.dtype), x.device)


def _replaced(arguments: list[Any], new: dict[int, Tensor]) -> list[Any]:
    return [new.get(i, a) for i, a in enumerate(arguments)]


def adjointcheck(
    forward: Callable[[Tensor], Tensor],
    adjoint: Callable[[Tensor], Tensor],
    x: Tensor,
    rtol: float = 1e-10,
    seed: int = 0,
) -> bool:
    """Whether ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for a random y: the one-line test of a linear op and its adjoint.

    **Raises** GraphError with both numbers where they differ.
    """
    ax = forward(x)
    y = Tensor(_direction(ax, np.random.default_rng(seed)))
    left, right = float(np.vdot(ax.data, y.data)), float(np.vdot(x.data, adjoint(y).data))
    scale = float(np.linalg.norm(ax.data) * np.linalg.norm(y.data)) or 1.0
    if not abs(left - right) <= rtol * scale:
        raise GraphError(f"adjointcheck: <Ax, y> is {left:.12g} but <x, A'y> is {right:.12g}")
    return True
