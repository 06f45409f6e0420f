"""Bad arguments of the ops on images: one line that names the function and the argument."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.test_ops_errors import IMAGE, WEIGHT
from tinyseg import nn
from tinyseg.errors import ArgumentError, BoundsError, DTypeError, ShapeError, TinysegError

COUNTS, GRID = ts.zeros(1, 2, 5, 5, dtype=ts.int64), ts.zeros(1, 3, 3, 2)
COLUMNS, THETA = ts.zeros(1, 8, 16), ts.zeros(1, 2, 3)

MISTAKES = {
    "unfold rank": (lambda: F.unfold(ts.zeros(5, 5), 2), ShapeError, "unfold: input must be (N, C, H, W) or (C, H, W)"),
    "unfold window": (lambda: F.unfold(IMAGE, 6), ShapeError, "unfold: there would be (0, 0) windows"),
    "unfold stride": (lambda: F.unfold(IMAGE, 2, stride=0), ArgumentError, "unfold: stride must be at least 1, got 0"),
    "unfold padding": (lambda: F.unfold(IMAGE, 2, padding=-1), ArgumentError, "unfold: padding must be at least 0"),
    "unfold integers": (lambda: F.unfold(COUNTS, 2), DTypeError, "unfold: input must be of a floating-point type"),
    "fold rows": (lambda: F.fold(COLUMNS, 5, 3), ShapeError, "fold: the 8 rows of input (1, 8, 16) are no multiple of"),
    "fold columns": (
        lambda: F.fold(COLUMNS, (5, 6), 2),
        ShapeError,
        "fold: output_size (5, 6) with kernel_size (2, 2), dilation (1, 1), padding (0, 0), stride (1, 1) has 4·5 "
        "windows, but input (1, 8, 16) has 16 columns",
    ),
    "fold negative": (lambda: F.fold(COLUMNS, 1, 4), ShapeError, "fold: the 8 rows"),
    "fold smaller than the window": (lambda: F.fold(ts.zeros(8, 4), 1, 2, stride=1), ShapeError, "0·0 windows"),
    "fold size": (lambda: F.fold(COLUMNS, 0, 2), ArgumentError, "fold: output_size must be at least 1, got 0"),
    "fold rank": (lambda: F.fold(IMAGE, 5, 2), ShapeError, "fold: input must be (N, C·KH·KW, L)"),
    "adaptive size": (lambda: F.adaptive_avg_pool2d(IMAGE, -1), ArgumentError, "output_size must be a number or two"),
    "adaptive sizes": (lambda: F.adaptive_max_pool2d(IMAGE, (1, 2, 3)), ArgumentError, "got (1, 2, 3)"),
    "adaptive text": (lambda: F.adaptive_max_pool2d(IMAGE, "all"), ArgumentError, "got 'all'"),
    "adaptive rank": (lambda: F.adaptive_avg_pool2d(ts.zeros(5, 5), 2), ShapeError, "got shape (5, 5)"),
    "adaptive integers": (lambda: F.adaptive_avg_pool2d(COUNTS, 2), DTypeError, "adaptive_avg_pool2d: input must be"),
    "adaptive, no channels": (lambda: F.adaptive_max_pool2d(ts.zeros(1, 0, 5, 5), 2), ShapeError, "have channels"),
    "average of integers": (lambda: F.avg_pool2d(COUNTS, 2), DTypeError, "avg_pool2d: input must be of a floating"),
    "lp norm 0": (lambda: F.lp_pool2d(IMAGE, 0, 2), ArgumentError, "lp_pool2d: norm_type must not be 0"),
    "maximum of integers": (
        lambda: F.max_pool2d(COUNTS.to("emulated"), 2),
        DTypeError,
        "max_pool2d: input must be of a floating-point type on 'emulated', got int64; use .to(dtype), or .cpu()",
    ),
    "unpool integers": (lambda: F.max_unpool2d(COUNTS, COUNTS, 2), DTypeError, "max_unpool2d: input must be of a"),
    "unpool indices' type": (lambda: F.max_unpool2d(IMAGE, IMAGE, 2), DTypeError, "indices must be int64, got float32"),
    "unpool indices' shape": (lambda: F.max_unpool2d(IMAGE, COUNTS[0], 2), ShapeError, "indices must have input's"),
    "unpool rank": (lambda: F.max_unpool2d(IMAGE[0, 0], COUNTS[0, 0], 2), ShapeError, "input must be (N, C, H, W)"),
    "unpool index": (lambda: F.max_unpool2d(IMAGE, COUNTS + 100, 2), BoundsError, "indices run from 100 to 100"),
    "unpool index -1": (lambda: F.max_unpool2d(IMAGE, COUNTS - 1, 2), BoundsError, "indices run from -1 to -1"),
    "unpool size": (
        lambda: F.max_unpool2d(IMAGE, COUNTS, 2, output_size=(10, 12)),
        ArgumentError,
        "max_unpool2d: output_size (10, 12) must be less than stride (2, 2) away from (10, 10)",
    ),
    "unpool sizes": (lambda: F.max_unpool2d(IMAGE, COUNTS, 2, output_size=(10,)), ArgumentError, "2 or 4 numbers"),
    "response size": (lambda: F.local_response_norm(IMAGE, 0), ArgumentError, "size must be a positive integer, got 0"),
    "response rank": (lambda: F.local_response_norm(ts.zeros(2, 3), 2), ShapeError, "at least three axes, got shape"),
    "response setting": (lambda: F.local_response_norm(IMAGE, 2, k=None), DTypeError, "k must be a number, got None"),
    "zero_insert rank": (lambda: F.zero_insert(IMAGE[0], 2), ShapeError, "zero_insert: input must be (N, C, H, W)"),
    "zero_insert stride": (lambda: F.zero_insert(IMAGE, 0), ArgumentError, "zero_insert: stride must be at least 1"),
    "resize one size": (lambda: F.interpolate(IMAGE, (3,)), ArgumentError, "size must be one number or two, got (3,)"),
    "resize size 0": (lambda: F.interpolate(IMAGE, 0), ArgumentError, "interpolate: size must be at least 1, got 0"),
    "resize scale": (lambda: F.interpolate(IMAGE, scale_factor=-1.0), ArgumentError, "scale_factor must be a positive"),
    "resize area corners": (
        lambda: F.interpolate(IMAGE, 3, mode="area", align_corners=False), ArgumentError, "align_corners is for modes",
    ),
    "resize recompute": (
        lambda: F.interpolate(IMAGE, 3, recompute_scale_factor=True), ArgumentError, "recompute_scale_factor needs",
    ),
    "resize signals": (lambda: F.interpolate(IMAGE[0], 3), ShapeError, "interpolate: input must be (N, C, H, W)"),
    "resize linear": (lambda: F.interpolate(IMAGE, 3, mode="linear"), ArgumentError, "mode must be one of 'nearest'"),
    "resize integers": (lambda: F.interpolate(COUNTS, 3, mode="bilinear"), DTypeError, "floating-point type for mode"),
    "resize antialias": (
        lambda: F.interpolate(IMAGE, 3, mode="bicubic", antialias=True), ArgumentError, "antialias=True is not",
    ),
    "shuffle channels": (lambda: F.pixel_shuffle(IMAGE, 2), ShapeError, "needs a multiple of 4 channels, got 2"),
    "shuffle factor": (lambda: F.pixel_shuffle(IMAGE, 0), ArgumentError, "upscale_factor must be a positive integer"),
    "shuffle rank": (lambda: F.pixel_shuffle(ts.zeros(4, 4), 2), ShapeError, "input must have at least three axes"),
    "unshuffle": (lambda: F.pixel_unshuffle(IMAGE, 2), ShapeError, "downscale_factor 2 must divide height 5"),
    "channel groups": (lambda: F.channel_shuffle(IMAGE, 3), ShapeError, "groups 3 must divide the 2 channels"),
    "sample mode": (lambda: F.grid_sample(IMAGE, GRID, "cubic"), ArgumentError, "grid_sample: mode must be"),
    "sample padding": (lambda: F.grid_sample(IMAGE, GRID, "nearest", "zero"), ArgumentError, "padding_mode must be"),
    "sample grid": (lambda: F.grid_sample(IMAGE, GRID[..., :1]), ShapeError, "grid must be (1, OH, OW, 2)"),
    "sample batch": (lambda: F.grid_sample(IMAGE, ts.zeros(2, 3, 3, 2)), ShapeError, "got (2, 3, 3, 2)"),
    "sample rank": (lambda: F.grid_sample(IMAGE[0], GRID), ShapeError, "grid_sample: input must be (N, C, H, W)"),
    "sample types": (lambda: F.grid_sample(IMAGE, GRID.double()), DTypeError, "input is float32 but grid is float64"),
    "sample integers": (lambda: F.grid_sample(COUNTS, GRID.long()), DTypeError, "must be of a floating-point type"),
    "affine shape": (lambda: F.affine_grid(THETA, (2, 1, 3, 3)), ShapeError, "theta must have shape (2, 2, 3)"),
    "affine size": (lambda: F.affine_grid(THETA, (1, 3, 3)), ArgumentError, "size must be (N, C, H, W)"),
    "affine empty": (lambda: F.affine_grid(THETA, (1, 1, 0, 3)), ArgumentError, "each at least 1, got (1, 1, 0, 3)"),
    "affine integers": (lambda: F.affine_grid(THETA.long(), (1, 1, 3, 3)), DTypeError, "theta must be of a floating"),
    "pad type": (lambda: F.pad(IMAGE, 1), DTypeError, "pad: pad must be a sequence of integers, got 1"),
    "pad float": (lambda: F.pad(IMAGE, (1.5, 1)), DTypeError, "pad: pad must be a sequence of integers, got (1.5, 1)"),
    "pad value": (lambda: F.pad(IMAGE, (1, 1), "reflect", 1), ArgumentError, "pad: value is for mode 'constant'"),
    "pad circular": (lambda: F.pad(IMAGE, (6, 0), "circular"), ShapeError, "widths up to the axis size 5, got (6, 0)"),
    "pad an empty axis": (lambda: F.pad(IMAGE[:, :, :0], (0, 0, 1, 1), "reflect"), ShapeError, "leave nothing of axis"),
    "stride before channels": (lambda: F.conv2d(IMAGE, WEIGHT, stride=-1), ArgumentError, "stride must be at least 1"),
    "filters and groups": (
        lambda: F.conv2d(IMAGE, ts.zeros(3, 1, 3, 3), groups=2), ShapeError, "groups 2 must divide the 3 filters",
    ),
    "layer's padding": (lambda: nn.CircularPad2d((1, 2)), ArgumentError, "CircularPad2d: padding must be a number or"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    mistake, kind, expected = MISTAKES[name]
    with pytest.raises(TinysegError) as caught:
        mistake()
    assert isinstance(caught.value, kind), repr(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "call",
    [lambda **kw: F.grid_sample(IMAGE, GRID, **kw), lambda **kw: F.affine_grid(THETA, (1, 1, 2, 2), **kw)],
    ids=["grid_sample", "affine_grid"],
)
def test_the_default_of_align_corners_is_said_aloud(call):
    with pytest.warns(UserWarning, match="align_corners is False by default"):
        y = call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(y.data, call(align_corners=False).data)
