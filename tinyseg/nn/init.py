"""Initial values for weights, under PyTorch's names; each writes into a Tensor in place and returns it.

Random numbers come from the generator that `ts.manual_seed` seeds. For a weight (out, in, KH, KW) the fan-in is
in·KH·KW and the fan-out out·KH·KW; a transposed convolution stores (in, out, KH, KW), and PyTorch keeps calling the
second axis "in" there: so do we, since its default initialisation is defined that way.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import random
from ..engine import Tensor
from ..errors import ArgumentError, ShapeError

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

_UNIT_GAIN = (
    *("linear", "conv1d", "conv2d", "conv3d", "sigmoid"),
    *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """What a layer's weights are scaled by so that its activation keeps the variance.

    1 for linear and sigmoid, 5/3 for tanh, √2 for relu, √(2 / (1 + slope²)) for leaky_relu (`param`, default 0.01),
    3/4 for selu. **Source** He et al. 2015, section 2.2.
    """
    slope = 0.01 if param is None else param
    gains = dict.fromkeys(_UNIT_GAIN, 1.0) | {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    gains["leaky_relu"] = math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in gains:
        raise ArgumentError(f"calculate_gain: nonlinearity must be one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan-in, fan-out) of a weight: axis 1 and axis 0, each times the size of the filter."""
    if tensor.ndim < 2:
        raise ShapeError(f"init: fan-in and fan-out need a weight of at least two axes, got shape {tensor.shape}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _float(tensor: Tensor) -> Any:
    """The type to draw random numbers in: the Tensor's own if the generator has it."""
    return tensor.dtype if tensor.dtype in (np.float32, np.float64) else np.float32


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Uniform in [a, b)."""
    values = random.default_generator().random(tensor.shape, dtype=_float(tensor))
    return tensor.assign_(values * (b - a) + a)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with the given mean and standard deviation."""
    values = random.default_generator().standard_normal(tensor.shape, dtype=_float(tensor))
    return tensor.assign_(values * std + mean)


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Normal, restricted to [a, b] (values, not multiples of `std`), by inverting its distribution function."""
    from scipy.special import ndtr, ndtri

    if not a < b:
        raise ArgumentError(f"trunc_normal_: a must be below b, got {a} and {b}")
    low, high = ndtr((a - mean) / std), ndtr((b - mean) / std)
    values = ndtri(low + (high - low) * random.default_generator().random(tensor.shape))
    return tensor.assign_(np.clip(values * std + mean, a, b))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """`val` everywhere."""
    return tensor.assign_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return tensor.assign_(0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return tensor.assign_(1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Ones on the diagonal of a matrix of zeros."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: expected a matrix, got shape {tensor.shape}")
    return tensor.assign_(np.eye(*tensor.shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Uniform in ±gain √(6 / (fan-in + fan-out)). **Source** Glorot & Bengio 2010, eq. 16."""
    bound = gain * math.sqrt(6 / sum(fans(tensor)))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Normal with standard deviation gain √(2 / (fan-in + fan-out))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor))))


def _kaiming_std(caller: str, tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ArgumentError(f"{caller}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(tensor)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Uniform in ±gain √(3 / fan), with the gain of `nonlinearity` (`a`: slope of leaky_relu).

    **Source** He et al. 2015, eq. 10 and 14.
    """
    bound = math.sqrt(3) * _kaiming_std("kaiming_uniform_", tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normal with standard deviation gain / √fan. **Source** He et al. 2015, eq. 10 and 14."""
    return normal_(tensor, 0.0, _kaiming_std("kaiming_normal_", tensor, a, mode, nonlinearity))


def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Rows (or columns, if fewer) of axis 0 x the rest orthonormal, times `gain`, uniformly over such matrices.

    **Source** Saxe et al. 2013; Mezzadri 2007 for the signs that make Q uniform.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least two axes, got shape {tensor.shape}")
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    flat = random.default_generator().standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diag(r))
    return tensor.assign_(gain * (q if rows >= columns else q.T).reshape(tensor.shape))
