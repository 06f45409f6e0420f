"""tinyseg: a tensor and autograd engine on NumPy and CuPy that one can read, and the networks built on it.

`import tinyseg as ts` gives PyTorch's names: `ts.tensor`, `ts.nn`, `ts.optim`, `ts.grad`, `ts.no_grad`, ...
"""

from __future__ import annotations

import importlib
from math import e, inf, nan, pi
from typing import Any

from . import autograd, cuda, dtypes, errors, linalg, operators
from .anomaly import detect_anomaly
from .backward import grad
from .casting import autocast, is_autocast_enabled
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
from .devices import cuda_available, device
from .dtypes import (
    bool,
    double,
    dtype,
    finfo,
    float,
    float16,
    float32,
    float64,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    is_floating_point,
    is_tensor,
    long,
    short,
    uint8,
)
from .engine import Tensor, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .exchange import as_tensor, from_dlpack, from_numpy
from .gradcheck import adjointcheck, gradcheck
from .ops.activation import celu, dropout, hardshrink, log_softmax, prelu, relu, selu, sigmoid, softmax, tanh, threshold
from .ops.arrange import (
    broadcast_shapes,
    broadcast_tensors,
    cartesian_prod,
    column_stack,
    diag,
    diag_embed,
    diagonal,
    diff,
    dstack,
    fliplr,
    flipud,
    hstack,
    meshgrid,
    movedim,
    ravel,
    repeat_interleave,
    roll,
    rot90,
    swapaxes,
    swapdims,
    t,
    tensor_split,
    tile,
    trace,
    tril,
    tril_indices,
    triu,
    triu_indices,
    unflatten,
    vstack,
)
from .ops.choice import (
    clamp,
    clamp_max,
    clamp_min,
    lerp,
    masked_fill,
    maximum,
    minimum,
    nan_to_num,
    where,
)
from .ops.comparison import (
    allclose,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isin,
    isinf,
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
from .ops.distance import (
    cdist,
    cosine_similarity,
    dist,
    norm,
    pairwise_distance,
)
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
from .ops.functions import (
    acos,
    addcdiv,
    addcmul,
    asin,
    atan,
    atan2,
    ceil,
    cosh,
    erf,
    exp2,
    expm1,
    floor,
    fmod,
    frac,
    log1p,
    log2,
    log10,
    logaddexp,
    round,
    sinh,
    tan,
    trunc,
)
from .ops.indexing import (
    argwhere,
    gather,
    index_select,
    masked_select,
    narrow,
    nonzero,
    select,
    take_along_dim,
    unbind,
)
from .ops.linalg import (
    addmm,
    baddbmm,
    bmm,
    dot,
    inner,
    matmul,
    mm,
    mv,
    outer,
    tensordot,
)
from .ops.norm import rms_norm
from .ops.order import argsort, sort, topk
from .ops.pool import max_pool2d
from .ops.reduce import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    cummax,
    cummin,
    cumprod,
    cumsum,
    logcumsumexp,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    numel,
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
from .ops.statistics import (
    bincount,
    bucketize,
    histc,
    kthvalue,
    median,
    mode,
    quantile,
    searchsorted,
    unique,
)
from .ops.writing import index_add, index_copy, index_fill, masked_scatter, scatter, scatter_add
from .random import Generator, get_rng_state, initial_seed, manual_seed, seed, set_rng_state
from .recompute import checkpoint
from .spelling import numpys

Size: Any = tuple  # shapes are plain tuples: `isinstance(x.shape, ts.Size)`
concat = concatenate = cat
moveaxis = movedim
clip, true_divide, absolute, negative = clamp, div, abs, neg

__version__ = "0.1.0"

globals().update(numpys(globals(), "tinyseg.ops."))  # `axis=` and `keepdims=` too, as in PyTorch

_LAZY = ("amp", "backends", "data", "kernels", "models", "nn", "optim", "train", "utils")


def __getattr__(name: str) -> Any:
    """Parts that are imported when they are first used, so that `import tinyseg` stays fast."""
    if name == "emulator":
        return importlib.import_module(".kernels.emulator", __name__)
    if name in _LAZY:
        return importlib.import_module(f".{name}", __name__)
    if name == "bfloat16":
        return dtypes.bfloat16()
    if name in ("get_num_threads", "set_num_threads"):
        return getattr(importlib.import_module(".kernels.jit", __name__), name)
    if name in ("get_float32_matmul_precision", "set_float32_matmul_precision"):
        return getattr(importlib.import_module(".backends", __name__), name)
    if name in ("load", "save"):
        from . import weights

        return getattr(weights, name)
    raise AttributeError(f"module 'tinyseg' has no attribute {name!r}")
