"""Bad arguments: one line that names the function, the argument, what came and what was expected."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.errors import ArgumentError, BoundsError, DTypeError, ShapeError, TinysegError

IMAGE, WEIGHT, FILTER = ts.zeros(1, 2, 5, 5), ts.zeros(3, 4, 3, 3), ts.zeros(3, 2, 3, 3)
LOGITS, TARGET = ts.zeros(2, 3, 4, 4), ts.zeros(2, 4, 4, dtype=ts.int64)

MISTAKES = {  # what is called, the class of error, what the message says
    "channels": (
        lambda: F.conv2d(IMAGE, WEIGHT),
        ShapeError,
        "conv2d: weight expects 4 channels per group but input has 2 channels / 1 group "
        "(input (1, 2, 5, 5), weight (3, 4, 3, 3))",
    ),
    "groups": (lambda: F.conv2d(IMAGE, FILTER, groups=2), ShapeError, "2 channels / 2 groups"),
    "groups 0": (
        lambda: F.conv2d(IMAGE, FILTER, groups=0),
        ArgumentError,
        "conv2d: groups must be a positive integer, got 0",
    ),
    "bias": (lambda: F.conv2d(IMAGE, FILTER, ts.zeros(2)), ShapeError, "conv2d: bias must have shape (3,), got (2,)"),
    "window": (
        lambda: F.conv2d(IMAGE, FILTER, dilation=3),
        ShapeError,
        "conv2d: the window (7, 7) (dilation included) is larger than the padded input (5, 5)",
    ),
    "stride 0": (lambda: F.conv2d(IMAGE, FILTER, stride=0), ArgumentError, "conv2d: stride must be at least 1, got 0"),
    "padding -1": (
        lambda: F.conv2d(IMAGE, FILTER, padding=-1),
        ArgumentError,
        "conv2d: padding must be at least 0, got -1",
    ),
    "padding name": (lambda: F.conv2d(IMAGE, FILTER, padding="full"), ArgumentError, "'valid' or 'same', got 'full'"),
    "same, stride": (
        lambda: F.conv2d(IMAGE, FILTER, padding="same", stride=2),
        ArgumentError,
        "conv2d: padding='same' needs stride 1, got (2, 2)",
    ),
    "rank": (
        lambda: F.conv2d(ts.zeros(5, 5), FILTER),
        ShapeError,
        "conv2d: input must be (N, C, H, W) or (C, H, W), got shape (5, 5)",
    ),
    "not a tensor": (
        lambda: F.conv2d(np.zeros((1, 2, 5, 5)), FILTER),
        DTypeError,
        "conv2d: input must be a Tensor, got ndarray",
    ),
    "types": (lambda: F.conv2d(IMAGE.double(), FILTER), DTypeError, "conv2d: input is float64 but weight is float32"),
    "integers": (
        lambda: F.conv2d(IMAGE.long(), FILTER.long()),
        DTypeError,
        "conv2d: input must be of a floating-point type, got int64",
    ),
    "integers, transposed": (
        lambda: F.conv_transpose2d(IMAGE.int(), FILTER.int()),
        DTypeError,
        "conv_transpose2d: input must be of a floating-point type, got int32",
    ),
    "divided by an integer 0": (lambda: ts.tensor([1, 2]) // 0, ArgumentError, "floor_divide: other is an integer 0"),
    "remainder by an integer 0": (
        lambda: ts.tensor([1, 2]) % ts.tensor([1, 0]),
        ArgumentError,
        "remainder: other is an integer 0",
    ),
    "a Tensor of a list": (lambda: ts.Tensor([1, 2]), DTypeError, "Tensor: data must be an array, got list"),
    "output_padding": (
        lambda: F.conv_transpose2d(IMAGE, ts.zeros(2, 3, 3, 3), stride=2, output_padding=2),
        ArgumentError,
        "conv_transpose2d: output_padding (2, 2) must be below the larger of stride (2, 2) and dilation (1, 1)",
    ),
    "transposed channels": (
        lambda: F.conv_transpose2d(IMAGE, WEIGHT),
        ShapeError,
        "conv_transpose2d: weight expects 3 channels in 1 group but input has 2 channels",
    ),
    "transposed to nothing": (
        lambda: F.conv_transpose2d(IMAGE, ts.zeros(2, 3, 1, 1), padding=3),
        ShapeError,
        "would have size (-1, -1)",
    ),
    "pool padding": (
        lambda: F.max_pool2d(IMAGE, 2, padding=2),
        ArgumentError,
        "max_pool2d: padding (2, 2) must be at most half of kernel_size (2, 2)",
    ),
    "pool window": (lambda: F.avg_pool2d(IMAGE, 7), ShapeError, "avg_pool2d: the output would have size (0, 0)"),
    "pool triple": (
        lambda: F.max_pool2d(IMAGE, (2, 2, 2)),
        ArgumentError,
        "max_pool2d: kernel_size must be an integer or a pair",
    ),
    "divisor": (
        lambda: F.avg_pool2d(IMAGE, 2, divisor_override=0),
        ArgumentError,
        "divisor_override must be an integer other than 0",
    ),
    "interpolate nothing": (
        lambda: F.interpolate(IMAGE),
        ArgumentError,
        "interpolate: give size or scale_factor, one of them",
    ),
    "interpolate both": (lambda: F.interpolate(IMAGE, 3, 2.0), ArgumentError, "one of them; got 3 and 2.0"),
    "interpolate mode": (
        lambda: F.interpolate(IMAGE, 3, mode="cubic"),
        ArgumentError,
        "mode must be one of 'nearest', 'nearest-exact', 'bilinear', 'bicubic', 'area', got 'cubic'",
    ),
    "interpolate antialias": (
        lambda: F.interpolate(IMAGE, 3, antialias=True),
        ArgumentError,
        "antialias=True is not supported",
    ),
    "interpolate corners": (
        lambda: F.interpolate(IMAGE, 3, align_corners=True),
        ArgumentError,
        "align_corners is for modes 'bilinear' and 'bicubic'",
    ),
    "interpolate to nothing": (lambda: F.interpolate(IMAGE, scale_factor=0.1), ShapeError, "would have size (0, 0)"),
    "pad odd": (
        lambda: F.pad(IMAGE, (1, 2, 3)),
        ArgumentError,
        "pad: expected (before, after) pairs for at most 4 axes, got pad (1, 2, 3)",
    ),
    "pad reflect": (
        lambda: F.pad(IMAGE, (5, 0), "reflect"),
        ShapeError,
        "mode 'reflect' needs widths below the axis size 5, got (5, 0)",
    ),
    "pad mode": (lambda: F.pad(IMAGE, (1, 0), "mirror"), ArgumentError, "got 'mirror'"),
    "pad away": (lambda: F.pad(IMAGE, (-3, -3)), ShapeError, "leave nothing of axis 3 of size 5"),
    "class": (
        lambda: F.cross_entropy(LOGITS, TARGET + 3),
        BoundsError,
        "cross_entropy: target holds class 3, input has classes 0 to 2",
    ),
    "class -1": (lambda: F.nll_loss(LOGITS, TARGET - 1), BoundsError, "nll_loss: target holds class -1"),
    "target shape": (
        lambda: F.cross_entropy(LOGITS, TARGET[0]),
        ShapeError,
        "target must have shape (2, 4, 4) for this input, got (4, 4)",
    ),
    "target type": (
        lambda: F.cross_entropy(LOGITS, TARGET > 0),
        DTypeError,
        "cross_entropy: target must be integer classes, got bool",
    ),
    "integer logits": (lambda: F.cross_entropy(LOGITS.long(), TARGET), DTypeError, "cross_entropy: input must be of a"),
    "integer logits'": (lambda: F.nll_loss(LOGITS.long(), TARGET), DTypeError, "nll_loss: input must be of a floating"),
    "probabilities": (
        lambda: F.cross_entropy(LOGITS, TARGET.float()),
        ShapeError,
        "need input's shape (2, 3, 4, 4), got (2, 4, 4)",
    ),
    "class weights": (
        lambda: F.cross_entropy(LOGITS, TARGET, ts.ones(4)),
        ShapeError,
        "weight must have one number for each of",
    ),
    "nll weights": (
        lambda: F.nll_loss(LOGITS, TARGET, ts.ones(4)),
        ShapeError,
        "nll_loss: weight must have one number for each of 3 classes of input (2, 3, 4, 4)",
    ),
    "reduction": (
        lambda: F.cross_entropy(LOGITS, TARGET, reduction="avg"),
        ArgumentError,
        "reduction must be 'mean', 'sum' or 'none', got 'avg'",
    ),
    "old reduction": (
        lambda: F.mse_loss(X2, X2, size_average=True),
        ArgumentError,
        "size_average and reduce are not supported",
    ),
    "smoothing": (lambda: F.cross_entropy(LOGITS, TARGET, label_smoothing=2), ArgumentError, "between 0 and 1, got 2"),
    "bce shapes": (
        lambda: F.binary_cross_entropy_with_logits(X2, ts.zeros(2, 1)),
        ShapeError,
        "target must have input's shape (2, 3), got (2, 1)",
    ),
    "mse shapes": (
        lambda: F.mse_loss(X2, ts.zeros(3)),
        ShapeError,
        "mse_loss: target must have input's shape (2, 3), got (3,)",
    ),
    "dice rank": (
        lambda: F.dice_loss(ts.zeros(3), TARGET),
        ShapeError,
        "dice_loss: input must be (N, C, ...), got shape (3,)",
    ),
    "norm one value": (
        lambda: F.batch_norm(ts.zeros(1, 3), None, None, training=True),
        ShapeError,
        "more than one value per channel",
    ),
    "norm weight": (
        lambda: F.batch_norm(X2, None, None, ts.ones(2), training=True),
        ShapeError,
        "batch_norm: weight must have shape (3,), got (2,) (input (2, 3))",
    ),
    "norm statistics": (
        lambda: F.batch_norm(X2, None, None),
        ArgumentError,
        "training=False needs running_mean and running_var",
    ),
    "softmax axis": (lambda: F.softmax(X2, 2), BoundsError, "softmax: dim 2 is out of range for a Tensor with 2 axes"),
    "softmax without dim": (lambda: F.softmax(X2), ArgumentError, "softmax: dim must be given: 1 for the channels of"),
    "log_softmax without dim": (lambda: F.log_softmax(X2, None), ArgumentError, "log_softmax: dim must be given"),
    "Softmin without dim": (lambda: ts.nn.Softmin()(X2), ArgumentError, "softmin: dim must be given"),
    "softmax integers": (
        lambda: F.softmax(TARGET, 0),
        TinysegError,
        "softmax: input must be of a floating-point type, got int64",
    ),
    "matmul": (lambda: X2 @ X2, ShapeError, "matmul: shapes (2, 3) and (2, 3) do not multiply"),
    "matmul 0-d": (lambda: X2 @ ts.tensor(1.0), ShapeError, "matmul: both Tensors need at least one axis"),
    "linear": (lambda: F.linear(X2, ts.zeros(4, 2)), ShapeError, "linear: input (2, 3)"),
    "cat": (
        lambda: ts.cat([X2, ts.zeros(2, 4)]),
        ShapeError,
        "cat: tensors[1] has shape (2, 4), which differs from (2, 3) outside axis 0",
    ),
    "cat nothing": (lambda: ts.cat([]), ArgumentError, "cat: expected at least one Tensor"),
    "stack": (lambda: ts.stack([X2, ts.zeros(3)]), ShapeError, "stack: the Tensors differ in shape"),
    "split": (
        lambda: ts.split(X2, [1, 1], 1),
        ShapeError,
        "split: sections (1, 1) do not add up to 3, the size of axis 1",
    ),
    "reshape": (lambda: X2.reshape(4, -1), ShapeError, "reshape: 6 elements of shape (2, 3) do not fill shape (4, -1)"),
    "permute": (lambda: X2.permute(0, 0), ArgumentError, "permute: dims must name each of the 2 axes once, got (0, 0)"),
    "expand": (lambda: X2.expand(3, 3), ShapeError, "broadcast_to: shape (2, 3) does not stretch to (3, 3)"),
    "axis twice": (lambda: X2.sum((0, -2)), ArgumentError, "sum: dim names an axis twice: (0, -2)"),
    "axis type": (lambda: X2.sum("rows"), DTypeError, "sum: dim must be an integer, got 'rows'"),
    "mean of integers": (lambda: TARGET.mean(), DTypeError, "mean: input must be of a floating-point type, got int64"),
    "largest of none": (lambda: ts.zeros(0).max(), ShapeError, "has no element to choose"),
    "gather": (
        lambda: X2.gather(0, ts.tensor([[2, 0, 0]])),
        BoundsError,
        "gather: index runs from 0 to 2, axis 0 has 2 elements",
    ),
    "index_select": (lambda: ts.index_select(X2, 1, ts.tensor([-1])), BoundsError, "index_select: index runs from -1"),
    "where": (lambda: ts.where(X2, X2, X2), DTypeError, "where: condition must be of type bool, got float32"),
    "clamp": (lambda: ts.clamp(X2), ArgumentError, "clamp: at least one of min and max"),
    "rounding": (
        lambda: ts.div(X2, 2, rounding_mode="up"),
        ArgumentError,
        "div: rounding_mode must be None, 'floor' or 'trunc', got 'up'",
    ),
    "integer power": (lambda: TARGET**-1, ArgumentError, "pow: integers to the negative power -1"),
    "item": (lambda: X2.item(), ShapeError, "item: expected a Tensor with one element, got shape (2, 3)"),
    "add text": (lambda: X2 + "a", DTypeError, "add: other must be a Tensor, got str"),
    "complex": (lambda: X2 * 1j, DTypeError, "mul: "),
    "gelu": (lambda: F.gelu(X2, "fast"), ArgumentError, "gelu: approximate must be 'none' or 'tanh', got 'fast'"),
    "hardtanh": (lambda: F.hardtanh(X2, 1.0, -1.0), ArgumentError, "hardtanh: min_val 1.0 is above max_val -1.0"),
    "shape": (
        lambda: X2 + ts.zeros(2),
        ShapeError,
        "add: shapes (2, 3) and (2,) do not broadcast: axis -1 has 3 and 2",
    ),
    "gt shapes": (lambda: X2.gt(ts.zeros(2)), ShapeError, "gt: shapes (2, 3) and (2,) do not broadcast"),
    "relu of an array": (
        lambda: F.relu(np.zeros(2)),
        DTypeError,
        "relu: input must be a Tensor, got ndarray; wrap it with ts.tensor(...)",
    ),
    "isnan of a number": (lambda: ts.isnan(1.0), DTypeError, "isnan: input must be a Tensor, got float"),
    "instance norm": (
        lambda: F.instance_norm(ts.zeros(2, 3, 1)),
        ShapeError,
        "instance_norm: input needs more than one value per channel and sample, got (2, 3, 1)",
    ),
    "instance norm, no statistics": (
        lambda: F.instance_norm(IMAGE, use_input_stats=False),
        ArgumentError,
        "instance_norm: use_input_stats=False needs running_mean and running_var, got None",
    ),
    "instance norm, weight": (
        lambda: F.instance_norm(IMAGE, weight=ts.ones(3)),
        ShapeError,
        "instance_norm: weight must have shape (2,), got (3,)",
    ),
    "groups of 2": (
        lambda: F.group_norm(LOGITS, 2),
        ShapeError,
        "group_norm: num_groups 2 does not divide the 3 channels of input",
    ),
    "0 groups": (lambda: F.group_norm(LOGITS, 0), ArgumentError, "group_norm: num_groups must be a positive integer"),
    "one value per group": (
        lambda: F.group_norm(ts.zeros(1, 3), 3),
        ShapeError,
        "group_norm: input needs more than one value per group, got (1, 3)",
    ),
    "group norm of a vector": (
        lambda: F.group_norm(ts.zeros(3), 1),
        ShapeError,
        "group_norm: input must be (N, C, ...), got shape (3,)",
    ),
    "group norm of integers": (
        lambda: F.group_norm(TARGET, 2),
        DTypeError,
        "group_norm: input must be of a floating-point type, got int64",
    ),
    "layer norm of integers": (
        lambda: F.layer_norm(TARGET, TARGET.shape[-1:]),
        DTypeError,
        "layer_norm: input must be of a floating-point type, got int64",
    ),
    "layer norm": (
        lambda: F.layer_norm(IMAGE, (4, 5)),
        ShapeError,
        "layer_norm: input must end in normalized_shape (4, 5), got shape (1, 2, 5, 5)",
    ),
    "layer norm over nothing": (
        lambda: F.layer_norm(IMAGE, ()),
        ArgumentError,
        "layer_norm: normalized_shape must be an integer or at least one of them, got ()",
    ),
    "layer norm, bias": (
        lambda: F.layer_norm(IMAGE, (5,), bias=ts.zeros(4)),
        ShapeError,
        "layer_norm: bias must have shape (5,), got (4,)",
    ),
    "rms norm": (lambda: F.rms_norm(IMAGE, (5, 5), ts.ones(5)), ShapeError, "rms_norm: weight must have shape (5, 5)"),
    "normalize into": (lambda: F.normalize(X2, out=X2), ArgumentError, "normalize: out is not supported"),
    "prelu": (
        lambda: F.prelu(IMAGE, ts.ones(3)),
        ShapeError,
        "prelu: weight must hold 1 number or 2, got (3,) (input (1, 2, 5, 5))",
    ),
    "glu": (lambda: F.glu(X2), ShapeError, "glu: input must have an even size along axis 1 to be halved, got shape"),
    "celu": (lambda: F.celu(X2, 0.0), ArgumentError, "celu: alpha must not be 0"),
    "softshrink": (lambda: F.softshrink(X2, -1.0), ArgumentError, "softshrink: lambd must be at least 0, got -1.0"),
    "dropout p": (lambda: F.dropout(X2, 1.5), ArgumentError, "dropout: p must be between 0 and 1, got 1.5"),
    "dropout1d": (lambda: F.dropout1d(IMAGE), ShapeError, "dropout1d: input must be (N, C, L) or (C, L), got shape"),
    "dropout2d": (lambda: F.dropout2d(ts.zeros(3)), ShapeError, "dropout2d: input must be (N, C, H, W), got shape"),
    "bce range": (
        lambda: F.binary_cross_entropy(X2 - 1.0, X2),
        ArgumentError,
        "binary_cross_entropy: input must be probabilities between 0 and 1, got -1.0 to -1.0",
    ),
    "bce shape": (
        lambda: F.binary_cross_entropy(X2, X2[0]),
        ShapeError,
        "binary_cross_entropy: target must have input's shape (2, 3), got (3,)",
    ),
    "smooth l1": (lambda: F.smooth_l1_loss(X2, X2, beta=-1), ArgumentError, "smooth_l1_loss: beta must be at least 0"),
    "huber": (lambda: F.huber_loss(X2, X2, delta=0), ArgumentError, "huber_loss: delta must be above 0, got 0"),
    "mse weight": (
        lambda: F.mse_loss(X2, X2, weight=ts.ones(3)),
        ShapeError,
        "mse_loss: weight must have input's shape (2, 3), got (3,)",
    ),
    "kl reduction": (
        lambda: F.kl_div(X2, X2, reduction="average"),
        ArgumentError,
        "kl_div: reduction must be 'mean', 'batchmean', 'sum' or 'none', got 'average'",
    ),
    "negative variance": (
        lambda: F.gaussian_nll_loss(X2, X2, X2 - 1.0),
        ArgumentError,
        "gaussian_nll_loss: var must not be negative, got -1.0",
    ),
    "variance shape": (
        lambda: F.gaussian_nll_loss(X2, X2, ts.ones(3)),
        ShapeError,
        "gaussian_nll_loss: var (3,) fits neither input (2, 3)",
    ),
    "poisson of integers": (
        lambda: F.poisson_nll_loss(TARGET, TARGET),
        ArgumentError,
        "poisson_nll_loss: input must be of a floating-point type, got int64",
    ),
    "focal gamma": (
        lambda: F.focal_loss(LOGITS, TARGET, gamma=-1),
        ArgumentError,
        "focal_loss: gamma must be at least",
    ),
    "focal logits": (
        lambda: F.focal_loss(LOGITS.long(), TARGET),
        DTypeError,
        "focal_loss: input must be of a",
    ),
    "focal alpha": (
        lambda: F.sigmoid_focal_loss(X2, X2, alpha=2.0),
        ArgumentError,
        "sigmoid_focal_loss: alpha must be at most 1 and gamma at least 0, got 2.0 and 2.0",
    ),
    "focal class": (lambda: F.focal_loss(LOGITS, TARGET + 3), BoundsError, "focal_loss: target holds class 3"),
    "cosine": (
        lambda: F.cosine_similarity(X2, ts.zeros(2, 2)),
        ShapeError,
        "cosine_similarity: shapes (2, 3) and (2, 2) do not broadcast",
    ),
    "cosine embedding": (
        lambda: F.cosine_embedding_loss(X2, X2, ts.ones(2, 3)),
        ShapeError,
        "cosine_embedding_loss: inputs must be (N, D) with target (N,), or (D,) with target ()",
    ),
    "pairwise": (
        lambda: F.pairwise_distance(X2, ts.zeros(2, 2)),
        ShapeError,
        "pairwise_distance: shapes (2, 3) and (2, 2) do not broadcast",
    ),
    "matmul of a list": (lambda: [1.0, 2.0] @ X2, DTypeError, "matmul: input must be a Tensor, got list"),
}
X2 = ts.zeros(2, 3)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    mistake, kind, expected = MISTAKES[name]
    with pytest.raises(TinysegError) as caught:
        mistake()
    message = str(caught.value)
    assert isinstance(caught.value, kind), repr(caught.value)
    assert expected in message
    assert "\n" not in message
    assert ": " in message
