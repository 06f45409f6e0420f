"""Pooling kernels against plain loops, and the shape rules and ties against PyTorch."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.kernels import pool
from tinyseg.kernels.pool import PoolGeometry, reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)


@st.composite
def geometries(draw, dilated=True):
    """(input size, geometry) with at least one window, padding at most half the window as in PyTorch."""
    sizes, kernels, strides, paddings, dilations = [], [], [], [], []
    for _ in range(2):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3 if dilated else 1))
        padding = draw(st.integers(0, kernel // 2))
        extent = dilation * (kernel - 1) + 1
        sizes.append(draw(st.integers(max(1, extent - 2 * padding), 11)))
        kernels.append(kernel)
        strides.append(draw(st.integers(1, 4)))
        paddings.append(padding)
        dilations.append(dilation)
    pairs = [tuple(values) for values in (kernels, strides, paddings, dilations)]
    return tuple(sizes), PoolGeometry(*pairs, ceil_mode=draw(st.booleans()))


def images(size, seed, dtype=np.float64, planes=(2, 3)):
    """Few distinct values, so that windows hold ties."""
    rng = np.random.default_rng(seed)
    return rng.integers(-3, 4, (*planes, *size)).astype(dtype)


def inside(indices, x):
    return indices.min(initial=0) >= 0 and indices.max(initial=0) < x.shape[-2] * x.shape[-1]


@DRAWN
@given(geometries(), st.integers(0, 99), st.sampled_from([np.float32, np.float64]))
def test_max_equals_the_loops_and_pytorch(drawn, seed, dtype):
    size, geometry = drawn
    x = images(size, seed, dtype)
    y, indices = pool.max_forward(x, geometry)
    expected, places = reference.max_forward(x, geometry)
    assert np.array_equal(y, expected)
    assert np.array_equal(indices, places)
    assert y.dtype == dtype
    assert indices.dtype == np.int64
    ty, ti = F.max_pool2d(torch.from_numpy(x), *geometry, return_indices=True)
    assert y.shape == tuple(ty.shape)
    if inside(indices, x):  # PyTorch leaves the image where dilation makes a window without any pixel
        assert np.array_equal(y, ty.numpy())
        assert np.array_equal(indices, ti.numpy())


@pytest.mark.parametrize("special", [np.nan, -np.inf, np.inf])
def test_max_of_special_values_as_pytorch(special):
    rng = np.random.default_rng(1)
    x = np.where(rng.random((3, 9, 10)) < 0.5, special, rng.standard_normal((3, 9, 10)))
    x[0] = special
    geometry = PoolGeometry((3, 2), (2, 1), (1, 1))
    y, indices = pool.max_forward(x, geometry)
    ty, ti = F.max_pool2d(torch.from_numpy(x), *geometry, return_indices=True)
    assert np.array_equal(y, ty.numpy(), equal_nan=True)
    assert np.array_equal(indices, ti.numpy())


def test_a_window_without_pixels_is_skipped_by_gather_and_scatter():
    geometry = PoolGeometry((2, 1), (1, 1), (2, 0), (3, 1))  # windows of rows (-2, 1), (-1, 2), (0, 3)
    x = np.array([[[5.0], [7.0]]])
    y, indices = pool.max_forward(x, geometry)
    assert indices.ravel().tolist() == [1, -1, 0]
    assert y.ravel().tolist() == [7, -np.inf, 5]
    assert pool.gather(x, indices).ravel().tolist() == [7, 0, 5]
    assert pool.scatter(np.array([[[1.0], [2.0], [3.0]]]), indices, (2, 1)).ravel().tolist() == [3, 1]


@DRAWN
@given(geometries(), st.integers(0, 99))
def test_gather_and_scatter_are_adjoint(drawn, seed):
    size, geometry = drawn
    _, indices = reference.max_forward(images(size, seed), geometry)
    x, gy = images(size, seed + 1), images(indices.shape[-2:], seed + 2)
    y, gx = pool.gather(x, indices), pool.scatter(gy, indices, size)
    assert np.array_equal(y, reference.gather(x, indices))
    assert np.array_equal(gx, reference.scatter(gy, indices, size))
    assert np.array_equal(gx, pool.scatter(gy, indices, size, geometry))
    assert np.vdot(y, gy) == np.vdot(x, gx)  # small integers: exact


@DRAWN
@given(
    geometries(dilated=False),
    st.integers(0, 99),
    st.booleans(),
    st.sampled_from([None, 3]),
    st.sampled_from([np.float32, np.float64]),
)
def test_average_equals_the_loops_and_pytorch(drawn, seed, count_include_pad, divisor, dtype):
    size, geometry = drawn
    x = images(size, seed, dtype)
    y = pool.avg_forward(x, geometry, count_include_pad, divisor)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(y, reference.avg_forward(x, geometry, count_include_pad, divisor), tolerance, tolerance)
    kernel, stride, padding, _, ceil_mode = geometry
    tx = torch.from_numpy(x).requires_grad_()
    ty = F.avg_pool2d(tx, kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    np.testing.assert_allclose(y, ty.detach().numpy(), tolerance, tolerance)

    gy = images(y.shape[-2:], seed + 1, dtype)
    gx = pool.avg_adjoint(gy, geometry, size, count_include_pad, divisor)
    ty.backward(torch.from_numpy(gy))
    np.testing.assert_allclose(gx, tx.grad.numpy(), tolerance, tolerance)
    loops = reference.avg_adjoint(gy, geometry, size, count_include_pad, divisor)
    np.testing.assert_allclose(gx, loops, tolerance, tolerance)
    assert gx.dtype == y.dtype == dtype
    assert np.isclose(np.vdot(y, gy), np.vdot(x, gx), rtol=tolerance * 100, atol=tolerance * 100)


def test_a_large_window_keeps_float32_accurate():
    x = np.full((1, 600, 600), 0.1, np.float32)
    y = pool.avg_forward(x, PoolGeometry((600, 600), (1, 1)))
    assert y.item() == np.float32(0.1)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_stored_as_they_came(dtype):
    x = images((6, 6), 0, dtype)
    geometry = PoolGeometry((2, 2), (2, 2))
    y, indices = pool.max_forward(x, geometry)
    wide, places = reference.max_forward(x.astype(np.float64), geometry)
    assert y.dtype == x.dtype
    assert np.array_equal(y.astype(np.float64), wide)
    assert np.array_equal(indices, places)
    assert pool.scatter(y, indices, (6, 6)).dtype == x.dtype
    mean = pool.avg_forward(x, geometry)  # multiples of 1/4 below 4: exact in either type
    assert mean.dtype == x.dtype
    assert np.array_equal(mean.astype(np.float64), reference.avg_forward(x.astype(np.float64), geometry))


def test_empty_batches_and_strided_views():
    geometry = PoolGeometry((2, 2), (2, 2))
    y, indices = pool.max_forward(np.zeros((0, 3, 4, 6)), geometry)
    assert y.shape == indices.shape == (0, 3, 2, 3)
    assert pool.gather(np.zeros((0, 3, 4, 6)), indices).shape == (0, 3, 2, 3)
    assert pool.scatter(y, indices, (4, 6)).shape == (0, 3, 4, 6)
    assert pool.avg_forward(np.zeros((0, 3, 4, 6)), geometry).shape == (0, 3, 2, 3)
    assert pool.avg_adjoint(y, geometry, (4, 6)).shape == (0, 3, 4, 6)
    x = images((9, 8), 0).transpose(0, 1, 3, 2)
    before = x.copy()
    y, indices = pool.max_forward(x, geometry)
    assert np.array_equal(y, reference.max_forward(x, geometry)[0])
    assert y.flags.c_contiguous
    assert np.array_equal(x, before)


def test_the_same_bits_every_time():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 5, 33, 31)).astype(np.float32)
    geometry = PoolGeometry((3, 3), (2, 2), (1, 1))
    y, indices = pool.max_forward(x, geometry)
    first = pool.scatter(y, indices, (33, 31)), pool.avg_adjoint(y, geometry, (33, 31))
    for _ in range(5):
        again = pool.scatter(y, indices, (33, 31)), pool.avg_adjoint(y, geometry, (33, 31))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@DRAWN
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_adaptive_max_equals_the_loops_and_pytorch(h, w, oh, ow, seed):
    x = images((h, w), seed, np.float32)
    x[0, 0, h // 2, w // 2] = np.nan
    y, indices = pool.adaptive_max_forward(x, (oh, ow))
    expected, places = reference.adaptive_max_forward(x, (oh, ow))
    ty, ti = F.adaptive_max_pool2d(torch.from_numpy(x), (oh, ow), return_indices=True)
    for values, where in ((expected, places), (ty.numpy(), ti.numpy())):
        assert np.array_equal(y, values, equal_nan=True)
        assert np.array_equal(indices, where)


@DRAWN
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 9), st.integers(0, 9), st.integers(0, 99))
def test_adaptive_avg_and_its_adjoint_equal_the_loops_and_pytorch(h, w, oh, ow, seed):
    x, gy = images((h, w), seed), images((oh, ow), seed + 1)
    tx = torch.from_numpy(x).requires_grad_()
    y, gx = pool.adaptive_avg_forward(x, (oh, ow)), pool.adaptive_avg_adjoint(gy, (h, w))
    np.testing.assert_allclose(y, reference.adaptive_avg_forward(x, (oh, ow)), atol=1e-13)
    np.testing.assert_allclose(gx, reference.adaptive_avg_adjoint(gy, (h, w)), atol=1e-13)
    if oh and ow:
        ty = F.adaptive_avg_pool2d(tx, (oh, ow))
        ty.backward(torch.from_numpy(gy))
        np.testing.assert_allclose(y, ty.detach(), atol=1e-13)
        np.testing.assert_allclose(gx, tx.grad, atol=1e-13)
    np.testing.assert_allclose((y * gy).sum(), (x * gx).sum(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_adaptive_max_of_half_types(dtype):
    x = images((5, 4), 0).astype(dtype)
    y, _ = pool.adaptive_max_forward(x, (2, 3))
    assert y.dtype == dtype
    assert np.array_equal(y.astype(np.float64), pool.adaptive_max_forward(x.astype(np.float64), (2, 3))[0])
    mean = pool.adaptive_avg_forward(x, (2, 3))
    assert mean.dtype == pool.adaptive_avg_adjoint(mean, (5, 4)).dtype == dtype
