"""PyTorch's `torch.nn.functional`, name for name: argument order, defaults and return values are the same.

The functions live beside their ops in `tinyseg.ops`; this is the list of them.
"""

from ..ops.activation import (
    dropout,
    dropout2d,
    elu,
    gelu,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    relu,
    relu6,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from ..ops.conv import conv2d, conv_transpose2d
from ..ops.fold import fold, unfold
from ..ops.grid import affine_grid, grid_sample
from ..ops.linalg import linear
from ..ops.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    dice_loss,
    l1_loss,
    mse_loss,
    nll_loss,
)
from ..ops.norm import batch_norm
from ..ops.pad import pad
from ..ops.pool import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    avg_pool2d,
    local_response_norm,
    lp_pool2d,
    max_pool2d,
    max_pool2d_with_indices,
    max_unpool2d,
)
from ..ops.resize import interpolate, upsample, upsample_bilinear, upsample_nearest
from ..ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "affine_grid",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "channel_shuffle",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dice_loss",
    "dropout",
    "dropout2d",
    "elu",
    "fold",
    "gelu",
    "grid_sample",
    "hardtanh",
    "interpolate",
    "l1_loss",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool2d",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_unpool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "tanh",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]
