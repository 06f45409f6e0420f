"""Convolutions that are a product as they stand, and how products are cut into tiles and parts; against PyTorch."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import drawn, launched, names, same_in_every_order, wide
from tinyseg.kernels import emulator
from tinyseg.kernels.conv2d import ConvGeometry, cuda_columns, cuda_implicit, cuda_parts, cuda_product, cuda_tensor
from tinyseg.kernels.emulated import emulated, plain
from tinyseg.kernels.matmul.cuda import multiply

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)
ROUNDING = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
GEMM, GEMMS = "cublasGemmEx", "cublasGemmStridedBatchedEx"
sizes = st.sampled_from([1, 2, 3, 8, 13])


def results(x, w, bias, gy, shift, geometry):
    """(y, max(y + bias, 0), gx, gx with a bias, gw), and what launched each."""
    calls = [
        (cuda_columns.forward, (x, w, None, False, geometry)),
        (cuda_columns.forward, (x, w, bias, True, geometry)),
        (cuda_columns.grad_input, (gy, w, None, geometry, x.shape[2:])),
        (cuda_columns.grad_input, (gy, w, shift, geometry, x.shape[2:])),
        (cuda_columns.grad_weight, (x, gy, geometry, w.shape[2:])),
    ]
    return zip(*(launched(function, *args) for function, args in calls), strict=True)


def by_torch(x, w, bias, gy, shift, geometry):
    x, w, bias, gy, shift = map(wide, (x, w, bias, gy, shift))
    y = F.conv2d(x.requires_grad_(), w.requires_grad_(), None, geometry.stride, 0, geometry.dilation, geometry.groups)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    y = y.detach()
    ys = y, torch.relu(y + bias[:, None, None]), gx, gx + shift[:, None, None], gw.detach()
    return [t.numpy() for t in ys]


def arrays(whole, batch, channels, outputs, size, groups, dtype):
    """A window of one pixel, or with `whole` one as large as the image, which then may have any stride."""
    window, out = (size, (1, 1)) if whole else ((1, 1), size)
    geometry = ConvGeometry((2, 3) if whole else (1, 1), groups=groups)
    shapes = (
        (batch, channels * groups, *size),
        (outputs * groups, channels, *window),
        (outputs * groups,),
        (batch, outputs * groups, *out),
        (channels * groups,),
    )
    return *(drawn(shape, dtype, seed) for seed, shape in enumerate(shapes)), geometry


@DRAWN
@given(
    st.booleans(), st.integers(1, 5), sizes, sizes, st.tuples(sizes, sizes), st.sampled_from([1, 1, 2]),
    st.sampled_from([*ROUNDING]), st.integers(1, 3),
)  # fmt: skip
def test_it_is_the_same_convolution_and_nothing_is_copied(
    whole, batch, channels, outputs, size, groups, dtype, multiprocessors
):
    problem = arrays(whole, batch, channels, outputs, size, groups, dtype)
    with pytest.MonkeyPatch.context() as few:  # so that images are taken one, two or all at a time
        few.setattr(cuda_parts, "MULTIPROCESSORS", multiprocessors)
        ys, launches = results(*problem)
    for got, want in zip(ys, by_torch(*problem), strict=True):
        assert got.dtype == dtype
        bound = ROUNDING[dtype] * max(1.0, np.abs(want).max())
        np.testing.assert_allclose(got.astype(float), want, rtol=0, atol=bound)
    one = whole or size == (1, 1)
    product = GEMM if (one or batch == 1) and groups == 1 else GEMMS
    assert launches[0] == launches[2] == [product]
    assert launches[1] == launches[3] == [product, "sum_of_parts"]
    together = 1 if one else min(batch, -(-2 * multiprocessors // groups))
    calls = 1 if one else -(-batch // together)
    assert len(launches[4]) == calls + (together > 1 or (calls > 1 and dtype in (np.float16, ml_dtypes.bfloat16)))


def test_a_bias_is_added_in_place_and_halves_are_rounded_once():
    """1 + 2^-12 is no float16, but with 2^-11 in the bias the sum is halfway to the next one: twice rounded it is 1."""
    x = np.array([1, 2**-12], np.float16).reshape(1, 2, 1, 1)
    w, bias = np.ones((1, 2, 1, 1), np.float16), np.array([2**-11], np.float16)
    y, _ = launched(cuda_columns.forward, x, w, bias, False, ConvGeometry())
    assert y.item() == 1 + 2**-10
    x, w, bias = (drawn(shape) for shape in ((2, 3, 4, 5), (6, 3, 1, 1), (6,)))
    calls = []
    with pytest.MonkeyPatch.context() as noted:
        noted.setattr(cuda_parts, "add", lambda parts, y, *rest: calls.append(parts is y))
        cuda_product.forward(*map(emulated, (x, w, bias)), True, ConvGeometry())
    assert calls == [True]


@pytest.mark.parametrize("whole", [False, True])
def test_every_order_of_threads_gives_the_same_bits(whole):
    problem = arrays(whole, 3, 8, 5, (4, 3), 1, np.float32)
    same_in_every_order(lambda: tuple(emulated(np.ascontiguousarray(y)) for y in next(results(*problem))))


def test_what_is_not_finite_goes_where_it_goes_in_pytorch():
    problem = arrays(False, 2, 3, 4, (4, 5), 1, np.float32)
    problem[0][0, 1, 2, 3], problem[3][1, 2, 0, 0] = np.nan, np.inf
    ys, _ = results(*problem)
    for got, want in zip(ys, by_torch(*problem), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_array_equal(np.isinf(got), np.isinf(want))


def test_which_convolutions_are_products():
    plain, size = ConvGeometry(), (6, 7)
    assert cuda_product.applies(plain, (1, 1), size)
    assert cuda_product.applies(plain, size, size)
    assert cuda_product.applies(plain._replace(stride=(4, 5)), size, size)
    assert cuda_product.applies(plain._replace(dilation=(1, 2)), (6, 1), (6, 1))
    assert not cuda_product.applies(plain._replace(stride=(1, 2)), (1, 1), size)
    assert not cuda_product.applies(plain._replace(padding=((0, 1), (0, 0))), (1, 1), size)
    assert not cuda_product.applies(plain._replace(padding=((1, 0), (0, 0))), size, size)
    assert not cuda_product.applies(plain._replace(dilation=(1, 2)), (6, 4), size)
    assert not cuda_product.applies(plain, (6, 6), size)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ROUNDING)
def test_products_are_written_to_views_and_added(dtype, turned):
    a, b = drawn((3, 4, 6), dtype), drawn((3, 6, 5), dtype, 1)
    memory = emulated(np.zeros((3, 9, 8), np.float64 if dtype is np.float64 else np.float32))
    y = memory[:, 1:6, 2:6].swapaxes(1, 2) if turned else memory[:, 1:5, 2:7]
    multiply(emulated(a), emulated(b), y)
    multiply(emulated(a), emulated(b), y, add=True)
    expected = 2 * np.matmul(a.astype(float), b.astype(float))
    np.testing.assert_allclose(plain(y), expected, rtol=0, atol=1e-5)
    assert np.count_nonzero(plain(memory)) == y.size


# Sums in parts


def test_parts_are_added_side_by_side():
    parts, bias = drawn((5, 2, 6, 16, 16)), drawn(6, seed=1)
    y, turned = (emulated(np.zeros(shape, np.float32)) for shape in ((2, 6, 16, 16), (8, 40, 3, 3)))
    with emulator.profile() as costs:
        cuda_parts.add(emulated(parts), y, emulated(bias), True)
        cuda_parts.add_turned(emulated(drawn((4, 8, 9, 40))), turned)
    np.testing.assert_allclose(plain(y), np.maximum(parts.sum(0) + bias[:, None, None], 0), rtol=0, atol=1e-5)
    for row in costs.rows:
        if row.kernel == "sum_of_parts":
            assert row.transactions == row.ideal, row


@pytest.mark.parametrize("dtype", ROUNDING)
def test_turned_parts(dtype):
    parts = drawn((3, 5, 6, 8), np.float64 if dtype is np.float64 else np.float32)
    gw = emulated(np.zeros((5, 7, 2, 3), dtype))
    with emulator.using(mode="trace"), emulator.record() as launches:
        cuda_parts.add_turned(emulated(parts), gw)
    expected = parts.sum(0)[..., :7].swapaxes(1, 2).reshape(gw.shape)
    np.testing.assert_allclose(plain(gw).astype(float), expected, rtol=0, atol=ROUNDING[dtype] * 8)
    assert names(launches) == ["sum_of_turned_parts"]


PLAIN, TENSOR = cuda_implicit.TILES, cuda_tensor.TILES
WHOLE = [  # tiles, m, n, steps: enough of them for every multiprocessor; the tile that is taken, whole
    (PLAIN, 512, 8192, 576, 128),
    (PLAIN, 64, 524288, 72, 64),
    (PLAIN, 8, 524288, 72, 32),
    (TENSOR, 256, 32768, 72, 128),
    (TENSOR, 64, 524288, 18, 64),
]


@pytest.mark.parametrize(("tiles", "m", "n", "steps", "rows"), WHOLE)
def test_many_tiles_are_not_cut(tiles, m, n, steps, rows):
    tile, parts = cuda_parts.plan(tiles, m, n, 1, steps)
    assert (tile.m, parts) == (rows, 1)


@pytest.mark.parametrize(
    ("m", "n", "depth"),
    [(512, 512, 9 * 512), (1024, 64, 9 * 1024), (4096, 2, 49 * 512), (512, 98, 4096), (128, 1024, 9 * 128)],
)
@pytest.mark.parametrize("tiles", [PLAIN, TENSOR])
def test_few_tiles_with_long_sums_are_cut_until_nearly_all_multiprocessors_have_as_much_to_do(tiles, m, n, depth):
    steps = -(-depth // (8 if tiles is PLAIN else 32))
    tile, parts = cuda_parts.plan(tiles, m, n, 1, steps)
    blocks = cuda_parts.tiles_of(tile, m, n) * parts
    assert blocks >= 0.85 * cuda_parts.MULTIPROCESSORS
    assert blocks / (-(-blocks // cuda_parts.MULTIPROCESSORS) * cuda_parts.MULTIPROCESSORS) > 0.85
    assert steps // parts >= 4


@pytest.mark.parametrize("steps", [0, 1, 3, 40])
def test_little_work_is_not_cut_and_no_part_is_empty(steps):
    assert cuda_parts.plan(PLAIN, 7, 1173, 1, min(steps, 6))[1] == 1
    for tiles in (PLAIN, TENSOR):
        _, parts = cuda_parts.plan(tiles, 64, 64, 1, 1000 * steps)
        assert parts >= 1
        assert (parts - 1) * -(-1000 * steps // parts) < max(1, 1000 * steps)
