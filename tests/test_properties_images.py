"""Laws of the ops on images, drawn by hypothesis: adjoints, counts, sizes, shifts and flips, inverses, ramps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import assume, given
from hypothesis import strategies as st

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.test_properties import SEEDS, SMALL, adjoint_pair, pools, randn


@st.composite
def windows(draw):
    """((H, W), arguments) of an unfolding with at least one window."""
    sizes, arguments = [], {"kernel_size": [], "dilation": [], "padding": [], "stride": []}
    for _ in range(2):
        k, d, p = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
        for name, value in zip(arguments, (k, d, p, draw(SMALL)), strict=True):
            arguments[name].append(value)
        sizes.append(draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 8)))
    return tuple(sizes), {name: tuple(values) for name, values in arguments.items()}


@given(windows(), st.integers(1, 2), st.integers(1, 3), SEEDS)
def test_fold_is_the_adjoint_of_unfold_and_counts_windows(drawn, n, c, seed):
    size, arguments = drawn
    x = randn(seed, n, c, *size)
    columns = F.unfold(x, **arguments)
    np.testing.assert_array_equal(columns.data, TF.unfold(torch.tensor(x.data), **arguments).numpy())
    adjoint_pair(lambda t: F.unfold(t, **arguments), x, seed)
    adjoint_pair(lambda t: F.fold(t, size, **arguments), randn(seed + 3, *columns.shape), seed)
    counts = F.fold(F.unfold(ts.ones(1, 1, *size, dtype=ts.float64), **arguments), size, **arguments)
    np.testing.assert_allclose(F.fold(columns, size, **arguments).data, x.data * counts.data, atol=1e-13)
    back = F.fold(columns[0], size, **arguments)  # unbatched
    np.testing.assert_allclose(back.data, x.data[0] * counts.data[0], atol=1e-13)


@given(windows(), SEEDS)
def test_convolution_is_a_product_with_the_unfolded_image(drawn, seed):
    size, arguments = drawn
    x, w = randn(seed, 1, 2, *size), randn(seed + 1, 3, 2, *arguments["kernel_size"])
    kwargs = {name: arguments[name] for name in ("stride", "padding", "dilation")}
    y = w.reshape(3, -1) @ F.unfold(x, **arguments)
    np.testing.assert_allclose(y.data.reshape(-1), F.conv2d(x, w, **kwargs).data.reshape(-1), atol=1e-12)


@given(SMALL, SMALL, st.tuples(SMALL, SMALL), st.tuples(SMALL, SMALL), SEEDS)
def test_a_transposed_convolution_is_one_of_the_image_with_zeros_inserted(h, w, stride, window, seed):
    x, weight = randn(seed, 2, 3, h, w), randn(seed + 1, 3, 2, *window)
    spaced = F.zero_insert(x, stride)
    y = F.conv2d(spaced, weight.transpose(0, 1).flip((2, 3)), padding=tuple(k - 1 for k in window))
    np.testing.assert_allclose(y.data, F.conv_transpose2d(x, weight, stride=stride).data, atol=1e-12)
    adjoint_pair(lambda t: F.zero_insert(t, stride), x, seed)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 6), st.integers(0, 6), SEEDS)
def test_adaptive_pooling(h, w, oh, ow, seed):
    values = np.random.default_rng(seed).permutation(2 * h * w).reshape(1, 2, h, w).astype(np.float64)
    x, t = ts.tensor(values), torch.tensor(values)
    adjoint_pair(lambda a: F.adaptive_avg_pool2d(a, (oh, ow)), x, seed)
    mean = F.adaptive_avg_pool2d(x, (oh, ow)).data
    np.testing.assert_allclose(mean, TF.adaptive_avg_pool2d(t, (oh, ow)).numpy(), rtol=1e-13)
    y, indices = F.adaptive_max_pool2d(x, (oh, ow), return_indices=True)
    ty, places = TF.adaptive_max_pool2d(t, (oh, ow), return_indices=True)
    np.testing.assert_array_equal(y.data, ty.numpy())
    np.testing.assert_array_equal(indices.data, places.numpy())
    assert (mean <= y.data + 1e-9).all()
    if oh and ow:
        flipped = F.adaptive_avg_pool2d(x.flip(2, 3), (oh, ow)).data
        np.testing.assert_allclose(flipped, mean[:, :, ::-1, ::-1], rtol=1e-13)


@given(pools(), SEEDS)
def test_unpooling_puts_maxima_back(drawn, seed):
    shape, arguments = drawn
    assume(not arguments["ceil_mode"])
    arguments = {name: value for name, value in arguments.items() if name != "ceil_mode"}
    x = ts.tensor(np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) + 1.0)
    y, indices = F.max_pool2d(x, return_indices=True, **arguments)
    back = F.max_unpool2d(y, indices, output_size=shape, **arguments)
    chosen = back.data != 0
    np.testing.assert_array_equal(back.data[chosen], x.data[chosen])
    assert {*back.data[chosen]} == {*y.data.reshape(-1)}
    if len({*indices.data[0].reshape(-1)}) == indices.data[0].size and arguments["stride"] >= arguments["kernel_size"]:
        adjoint_pair(lambda t: F.max_unpool2d(t, indices, output_size=shape, **arguments), y, seed)


@given(pools(), SEEDS)
def test_average_pooling_commutes_with_flips_of_what_it_covers(drawn, seed):
    (n, c, *size), arguments = drawn
    k, s, p = (arguments[name] for name in ("kernel_size", "stride", "padding"))
    size = [i - (i + 2 * q - m) % t for i, m, t, q in zip(size, k, s, p, strict=True)]  # windows end at the edge
    assume(min(size) > 0)
    x = randn(seed, n, c, *size)
    y = F.avg_pool2d(x, k, s, p).data
    np.testing.assert_allclose(F.avg_pool2d(x.flip(2, 3), k, s, p).data, y[:, :, ::-1, ::-1], atol=1e-13)
    assert y.shape[2:] == tuple((i + 2 * q - m) // t + 1 for i, m, t, q in zip(size, k, s, p, strict=True))


MODES = {
    "nearest": {"mode": "nearest"},
    "exact": {"mode": "nearest-exact"},
    "area": {"mode": "area"},
    "bilinear": {"mode": "bilinear"},
    "corners": {"mode": "bilinear", "align_corners": True},
    "bicubic": {"mode": "bicubic"},
    "bicubic corners": {"mode": "bicubic", "align_corners": True},
}
SCALES = st.floats(0.2, 4.0) | st.sampled_from([0.5, 1.0, 2.0, 3.0, 1 / 3, 1.1, 0.7])


@pytest.mark.parametrize("mode", MODES)
@given(h=st.integers(1, 8), w=st.integers(1, 8), scale=st.tuples(SCALES, SCALES), recompute=st.booleans(), seed=SEEDS)
def test_resizing_by_scale(mode, h, w, scale, recompute, seed):
    """PyTorch's values with the scale as passed or worked out again; constants stay constant; the adjoint fits."""
    size = tuple(int(n * s) for n, s in zip((h, w), scale, strict=True))
    assume(min(size) > 0)
    kwargs = MODES[mode] | {"scale_factor": scale, "recompute_scale_factor": recompute}
    x = randn(seed, 1, 2, h, w)
    y = F.interpolate(x, **kwargs)
    assert y.shape == (1, 2, *size)
    np.testing.assert_allclose(y.data, TF.interpolate(torch.tensor(x.data), **kwargs).numpy(), atol=1e-11)
    flat = F.interpolate(ts.full((1, 1, h, w), 3.0, dtype=ts.float64), **kwargs)
    np.testing.assert_allclose(flat.data, 3.0, rtol=1e-13)
    adjoint_pair(lambda t: F.interpolate(t, **kwargs), x, seed)


@pytest.mark.parametrize("mode", ["corners", "bicubic corners"])
@given(h=st.integers(2, 8), w=st.integers(2, 8), oh=st.integers(2, 12), ow=st.integers(2, 12), seed=SEEDS)
def test_linear_ramps_stay_ramps_between_the_corners(mode, h, w, oh, ow, seed):
    a, b, c = np.random.default_rng(seed).standard_normal(3)

    def ramp(m, n):
        return a + b * np.linspace(0, 1, m)[:, None] + c * np.linspace(0, 1, n)

    y = F.interpolate(ts.tensor(ramp(h, w)[None, None]), size=(oh, ow), **MODES[mode]).data[0, 0]
    if mode == "corners":
        np.testing.assert_allclose(y, ramp(oh, ow), atol=1e-12)
    else:  # Keys' cubic with a = -3/4 bends ramps, but keeps pixels where they fall on pixels
        np.testing.assert_allclose(y[:: oh - 1, :: ow - 1], ramp(2, 2), atol=1e-12)


@pytest.mark.parametrize("mode", ["exact", "area", "bilinear", "corners", "bicubic", "bicubic corners"])
@given(h=st.integers(1, 8), w=st.integers(1, 8), oh=st.integers(1, 9), ow=st.integers(1, 9), seed=SEEDS)
def test_resizing_commutes_with_flips(mode, h, w, oh, ow, seed):
    if mode == "exact":  # half-way centres go to the right, whichever way the image lies
        assume(all((2 * i + 1) * n % (2 * m) for n, m in ((h, oh), (w, ow)) for i in range(m)))
    if "corners" in mode:  # a single output is the first pixel
        assume(min(oh, ow) > 1)
    x = randn(seed, 1, 1, h, w)
    y = F.interpolate(x, size=(oh, ow), **MODES[mode]).data
    flipped = F.interpolate(x.flip(2, 3), size=(oh, ow), **MODES[mode]).data
    np.testing.assert_allclose(flipped, y[:, :, ::-1, ::-1], atol=1e-12)


@given(st.integers(0, 2), SMALL, SMALL, SMALL, st.integers(1, 3), SEEDS)
def test_shuffles_are_undone(n, c, h, w, r, seed):
    x = randn(seed, n, c * r * r, h, w)
    big = F.pixel_shuffle(x, r)
    assert big.shape == (n, c, h * r, w * r)
    np.testing.assert_array_equal(F.pixel_unshuffle(big, r).data, x.data)
    y = randn(seed, n, c * r, h, w)
    np.testing.assert_array_equal(F.channel_shuffle(F.channel_shuffle(y, r), c).data, y.data)
    if n:
        adjoint_pair(lambda t: F.pixel_shuffle(t, r), x, seed)
        adjoint_pair(lambda t: F.channel_shuffle(t, r), y, seed)


@given(
    st.integers(1, 5), st.integers(1, 5), st.sampled_from(["bilinear", "nearest", "bicubic"]),
    st.sampled_from(["zeros", "border", "reflection"]), st.booleans(), SEEDS,
)  # fmt: skip
def test_sampling(h, w, mode, padding, corners, seed):
    """The identity's grid gives the image back; the image's gradient is the adjoint; the mirrored grid mirrors."""
    x = randn(seed, 1, 2, h, w)
    theta = ts.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]], dtype=ts.float64)
    assume(not corners or min(h, w) > 1)  # one pixel's corners coincide
    same = F.affine_grid(theta, (1, 1, h, w), align_corners=corners)
    np.testing.assert_allclose(F.grid_sample(x, same, mode, padding, corners).data, x.data, atol=1e-9)
    grid = ts.tensor(np.random.default_rng(seed + 1).uniform(-1.5, 1.5, (1, 3, 2, 2)))
    adjoint_pair(lambda t: F.grid_sample(t, grid, mode, padding, corners), x, seed)
    y = F.grid_sample(x, grid, mode, padding, corners).data
    expected = TF.grid_sample(torch.tensor(x.data), torch.tensor(grid.data), mode, padding, corners)
    np.testing.assert_allclose(y, expected.numpy(), atol=1e-9)
    mirrored = F.grid_sample(x.flip(2, 3), -grid, mode, padding, corners).data
    np.testing.assert_allclose(mirrored, y, atol=1e-9)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=4), SEEDS)
def test_sizes_and_inverse_of_padding(widths, seed):
    x = randn(seed, 1, 1, 5, 6)
    left, right, top, bottom = widths
    for mode in ("constant", "reflect", "replicate", "circular"):
        y = F.pad(x, widths, mode)
        assert y.shape == (1, 1, 5 + top + bottom, 6 + left + right)
        np.testing.assert_array_equal(F.pad(y, [-n for n in widths]).data, x.data)
