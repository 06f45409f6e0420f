"""tinyseg: a tensor and autograd engine on NumPy and CuPy that one can read, and the networks built on it.

`import tinyseg as ts` gives PyTorch's names: `ts.tensor`, `ts.nn`, `ts.optim`, `ts.grad`, `ts.no_grad`, ...
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as _np

from . import errors, operators
from .anomaly import detect_anomaly
from .backward import grad
from .creation import (
    arange,
    empty,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    randint,
    randn,
    tensor,
    zeros,
    zeros_like,
)
from .device import cuda_available
from .engine import Tensor, enable_grad, is_grad_enabled, no_grad
from .exchange import as_tensor, from_dlpack, from_numpy
from .gradcheck import adjointcheck, gradcheck
from .ops.activation import dropout, log_softmax, relu, sigmoid, softmax, tanh
from .ops.comparison import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    ge,
    gt,
    isfinite,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .ops.elementwise import abs_ as abs
from .ops.elementwise import (
    add,
    clamp,
    cos,
    div,
    exp,
    floor_divide,
    log,
    masked_fill,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    remainder,
    rsqrt,
    sign,
    sin,
    sqrt,
    square,
    sub,
    where,
)
from .ops.linalg import matmul
from .ops.reduce import all, amax, amin, any, argmax, argmin, logsumexp, max, mean, min, std, sum, var
from .ops.shape import (
    broadcast_to,
    cat,
    chunk,
    flatten,
    flip,
    gather,
    index_select,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from .random import manual_seed
from .recompute import checkpoint

__version__ = "0.1.0"

float16, float32, float64 = _np.dtype(_np.float16), _np.dtype(_np.float32), _np.dtype(_np.float64)
uint8, int32, int64, bool = (
    _np.dtype(_np.uint8),
    _np.dtype(_np.int32),
    _np.dtype(_np.int64),
    _np.dtype(_np.bool_),
)

_LAZY = ("data", "kernels", "models", "nn", "optim", "train")


def __getattr__(name: str) -> Any:
    """Parts that are imported when they are first used, so that `import tinyseg` stays fast."""
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    if name == "bfloat16":
        import ml_dtypes

        return _np.dtype(ml_dtypes.bfloat16)
    if name in ("load", "save"):
        from . import weights

        return getattr(weights, name)
    raise AttributeError(f"module 'tinyseg' has no attribute {name!r}")
