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
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tensor,
    zeros,
    zeros_like,
)
from .device import cuda_available
from .engine import Tensor, enable_grad, is_grad_enabled, no_grad
from .exchange import as_tensor, from_dlpack, from_numpy
from .gradcheck import adjointcheck, gradcheck
from .ops.activation import celu, dropout, hardshrink, log_softmax, prelu, relu, selu, sigmoid, softmax, tanh, threshold
from .ops.arrange import (
    broadcast_tensors,
    diag,
    diagonal,
    fliplr,
    flipud,
    hstack,
    meshgrid,
    movedim,
    ravel,
    repeat_interleave,
    roll,
    swapaxes,
    t,
    tensor_split,
    tile,
    trace,
    tril,
    triu,
    unflatten,
    vstack,
)
from .ops.choice import clamp, lerp, masked_fill, maximum, minimum, where
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
from .ops.conv import conv2d, conv_transpose2d
from .ops.distance import cosine_similarity, pairwise_distance
from .ops.einsum import einsum
from .ops.elementwise import abs_ as abs
from .ops.elementwise import (
    add,
    cos,
    div,
    exp,
    floor_divide,
    log,
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
)
from .ops.functions import atan, ceil, erf, exp2, expm1, floor, log1p, log2, log10, round, tan, trunc
from .ops.indexing import (
    argwhere,
    gather,
    index_add,
    index_select,
    masked_select,
    narrow,
    nonzero,
    scatter,
    scatter_add,
    select,
    take_along_dim,
    unbind,
)
from .ops.linalg import addmm, baddbmm, bmm, dot, matmul, mm, mv, outer
from .ops.norm import rms_norm
from .ops.order import argsort, sort, topk
from .ops.pool import max_pool2d
from .ops.reduce import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    cumprod,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from .ops.sampling import (
    bernoulli,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from .ops.shape import (
    broadcast_to,
    cat,
    chunk,
    flatten,
    flip,
    permute,
    reshape,
    split,
    squeeze,
    stack,
    transpose,
    unsqueeze,
)
from .ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from .recompute import checkpoint

concat = concatenate = cat
moveaxis, swapdims = movedim, swapaxes

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
