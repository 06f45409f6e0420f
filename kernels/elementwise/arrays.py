"""The optimisers' updates array by array: the definition of each, and what runs where no kernel does.

That is for arrays that are not C-contiguous (NumPy's ufuncs hand CuPy's to CuPy), and on the CPU for half types, which
round after every operation as PyTorch's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["adam", "rmsprop", "sgd"]

Array = Any


def sgd(
    p: Array, g: Array, buffer: Array | None, lr: float, momentum: float, undamped: float, decay: float, nesterov: bool
) -> None:
    """See `kernels.elementwise.sgd_update`; `undamped` is 1 − dampening."""
    d = _decayed(p, g, decay)
    if buffer is not None:
        buffer *= momentum
        buffer += undamped * d
        d = d + momentum * buffer if nesterov else buffer
    p -= lr * d


def adam(p: Array, g: Array, m: Array, v: Array, v_max: Array | None, *scalars: float) -> None:
    """See `kernels.elementwise.adam_update`."""
    step_size, rest1, beta2, rest2, correction, eps, decay, shrink = scalars
    if shrink != 1:
        p *= shrink
    d = _decayed(p, g, decay)
    m += rest1 * (d - m)
    v *= beta2
    v += rest2 * d * d
    if v_max is not None:
        v = np.maximum(v_max, v, out=v_max)
    p -= step_size * (m / (np.sqrt(v) / correction + eps))


def rmsprop(p: Array, g: Array, square: Array, buffer: Array | None, average: Array | None, *scalars: float) -> None:
    """See `kernels.elementwise.rmsprop_update`."""
    lr, alpha, rest, eps, decay, momentum = scalars
    d = _decayed(p, g, decay)
    v = square
    v *= alpha
    v += rest * d * d
    if average is not None:
        average += rest * (d - average)
        v = v - average * average
    d = d / (np.sqrt(v) + eps)
    if buffer is not None:
        buffer *= momentum
        buffer += d
        d = buffer
    p -= lr * d


def _decayed(p: Array, g: Array, decay: float) -> Array:
    return g + decay * p if decay else g
