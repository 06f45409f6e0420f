"""The CUDA kernels of pooling, emulated, against plain loops and PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.kernels import emulator, planes, pool
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.pool import PoolGeometry, reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=25)
ROUNDING = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 2e-3, ml_dtypes.bfloat16: 2e-2}
types = st.sampled_from([*ROUNDING])


@st.composite
def geometries(draw, dilated=True):
    """(input size, geometry) with at least one window, padding at most half the window as in PyTorch."""
    sizes, values = [], []
    square = draw(st.sampled_from([0, 2, 3]))  # those with kernels of their own, or any
    for most in (9, 40):
        kernel, dilation = square or draw(st.integers(1, 5)), draw(st.integers(1, 3 if dilated else 1))
        padding = draw(st.integers(0, kernel // 2))
        extent = dilation * (kernel - 1) + 1
        sizes.append(draw(st.integers(max(1, extent - 2 * padding), most)))
        values.append((kernel, draw(st.integers(1, 4)), padding, dilation))
    return tuple(sizes), PoolGeometry(*zip(*values, strict=True), ceil_mode=draw(st.booleans()))


def images(size, seed, dtype=np.float32, count=(2, 3)):
    """Few distinct values, so that windows hold ties, and sums are exact in every type."""
    return np.random.default_rng(seed).integers(-3, 4, (*count, *size)).astype(dtype)


def launched(function, *args):
    """The results as NumPy's, and the names of the kernels that made them."""
    with emulator.using(mode="trace"), emulator.record() as launches:
        ys = function(*(emulated(a) if isinstance(a, np.ndarray) else a for a in args))
    ys = ys if isinstance(ys, tuple) else (ys,)
    assert all(type(y) is emulator.EmulatedArray and y.flags.c_contiguous for y in ys)
    return *map(np.asarray, ys), [launch.kernel for launch in launches]


def same(got, expected):
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected, equal_nan=got.dtype != np.int64)


def close(got, expected, dtype):
    assert got.dtype == dtype
    bound = ROUNDING[dtype] * max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(got.astype(float), expected, rtol=0, atol=bound)


@DRAWN
@given(geometries(), types, st.integers(0, 99))
def test_max_gather_and_scatter_equal_the_loops(drawn, dtype, seed):
    size, geometry = drawn
    x = images(size, seed, dtype)
    expected, places = reference.max_forward(x.astype(float), geometry)
    y, indices, names = launched(pool.max_forward, x, geometry)
    same(y, expected.astype(dtype))
    same(indices, places)
    whole = y.shape[-2:] == (1, 1) and geometry.padding == (0, 0) and geometry.kernel_size == size
    own = {(2, 2): "max_2x2", (3, 3): "max_3x3"}.get(geometry.kernel_size, "max_any")
    assert names == ["max_any" if whole or places.min(initial=0) < 0 else own]
    gy = images(y.shape[-2:], seed + 1, dtype)
    taken, names = launched(pool.gather, x, places)
    same(taken, reference.gather(x, places))
    gx, more = launched(pool.scatter, gy, places, size)
    same(gx, reference.scatter(gy.astype(float), places, size).astype(dtype))
    put, _ = launched(pool.put, gy, places, size)
    same(put, reference.put(gy, places, size))
    same(pool.put(gy, places, size), put)
    assert names + more == ["gather", "extents", "scatter"]


@pytest.mark.parametrize("special", [np.nan, -np.inf, np.inf])
@pytest.mark.parametrize("window", [(2, 2), (3, 3), (3, 2), (9, 10)])
def test_max_of_special_values_as_pytorch(special, window):
    rng = np.random.default_rng(1)
    x = np.where(rng.random((3, 9, 10)) < 0.5, special, rng.standard_normal((3, 9, 10)))
    x[0] = special
    geometry = PoolGeometry(window, (2, 1), (1, 1) if window != (9, 10) else (0, 0))
    y, indices, _ = launched(pool.max_forward, x, geometry)
    ty, ti = F.max_pool2d(torch.from_numpy(x), *geometry, return_indices=True)
    same(y, ty.numpy())
    same(indices, ti.numpy())


def test_a_window_without_pixels():
    geometry = PoolGeometry((2, 1), (1, 1), (2, 0), (3, 1))  # windows of rows (-2, 1), (-1, 2), (0, 3)
    y, indices, _ = launched(pool.max_forward, np.array([[[5.0], [7.0]]]), geometry)
    assert indices.ravel().tolist() == [1, -1, 0]
    assert y.ravel().tolist() == [7, -np.inf, 5]
    x = images((3, 4), 0)
    y, indices, names = launched(pool.max_forward, x, PoolGeometry((2, 2), (1, 1), (1, 1), (4, 4)))
    expected, places = reference.max_forward(x, PoolGeometry((2, 2), (1, 1), (1, 1), (4, 4)))
    same(y, expected)
    same(indices, places)
    assert names == ["max_any"]


@DRAWN
@given(st.sampled_from([1, 5, 33, 70]), st.sampled_from([1, 4, 31, 40]), st.sampled_from([1, 2, 3, 7]),
       st.sampled_from([1, 2, 9]), types, st.integers(0, 99))  # fmt: skip
def test_adaptive_pooling_equals_pytorch(h, w, oh, ow, dtype, seed):
    x, gy = images((h, w), seed, dtype), images((oh, ow), seed + 1, dtype)
    x[0, 0, h // 2, w // 2] = np.nan
    y, indices, names = launched(pool.adaptive_max_forward, x, (oh, ow))
    ty, ti = F.adaptive_max_pool2d(torch.from_numpy(x.astype(float)), (oh, ow), return_indices=True)
    same(y, ty.numpy().astype(dtype))
    same(indices, ti.numpy())
    assert names == ["max_any"]
    x[0, 0, h // 2, w // 2] = 0
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    ty = F.adaptive_avg_pool2d(tx, (oh, ow))
    ty.backward(torch.from_numpy(gy.astype(float)))
    y, _ = launched(pool.adaptive_avg_forward, x, (oh, ow))
    close(y, ty.detach().numpy(), dtype)
    gx, _ = launched(pool.adaptive_avg_adjoint, gy, (h, w))
    close(gx, tx.grad.numpy(), dtype)


@DRAWN
@given(geometries(dilated=False), st.booleans(), st.sampled_from([None, 3, -2]), types, st.integers(0, 99))
def test_means_equal_pytorch(drawn, count_include_pad, divisor, dtype, seed):
    size, geometry = drawn
    x = images(size, seed, dtype)
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    window, stride, padding, _, ceil_mode = geometry
    ty = F.avg_pool2d(tx, window, stride, padding, ceil_mode, count_include_pad, divisor)
    y, _ = launched(pool.avg_forward, x, geometry, count_include_pad, divisor)
    close(y, ty.detach().numpy(), dtype)
    gy = images(y.shape[-2:], seed + 1, dtype)
    ty.backward(torch.from_numpy(gy.astype(float)))
    gx, _ = launched(pool.avg_adjoint, gy, geometry, size, count_include_pad, divisor)
    close(gx, tx.grad.numpy(), dtype)


def test_a_large_window_keeps_float32_accurate():
    x = np.full((2, 200, 300), 0.1, np.float32)
    y, names = launched(pool.avg_forward, x, PoolGeometry((200, 300), (1, 1)))
    np.testing.assert_allclose(y, np.float32(0.1), rtol=2e-6)
    assert names == ["resize"]


# --- places in any order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("values", "size"), [(1, 1), (40, 1), (700, 3), (33, 5000), (900, 1100)])
def test_scatter_of_random_places(values, size, dtype):
    """Pieces and tiles that begin within planes; places that all, some or no lanes of a warp share."""
    rng = np.random.default_rng(values)
    places = rng.integers(-1, size, (3, 1, values))
    gy = rng.integers(-9, 9, places.shape).astype(dtype)
    gx, _ = launched(pool.scatter, gy, places, (1, size))
    same(gx, reference.scatter(gy, places, (1, size)))
    put, _ = launched(pool.put, gy, places, (1, size))
    same(put, reference.put(gy, places, (1, size)))


def test_scatter_adds_in_the_order_of_the_values():
    """Sums that depend on their order come out the same whatever the order of threads and blocks."""
    rng = np.random.default_rng(0)
    gy, places = rng.standard_normal((2, 20, 31)).astype(np.float32), rng.integers(0, 40, (2, 20, 31))
    expected = reference.scatter(gy.astype(float), places, (5, 8))
    bits = set()
    for order in ("forward", "reverse", "random"):
        with emulator.using(order=order):
            gx = pool.scatter(emulated(gy), emulated(places), (5, 8))
        np.testing.assert_allclose(np.asarray(gx), expected, rtol=0, atol=2e-5)
        bits.add(gx.tobytes())
    assert len(bits) == 1


def test_pooling_reads_each_place_about_twice():
    """Of the pieces of 256 places only those near a tile are read again, and stores fill whole sectors."""
    x = emulated(np.random.default_rng(0).standard_normal((2, 2, 64, 128)).astype(np.float32))
    y, indices = pool.max_forward(x, PoolGeometry((2, 2), (2, 2)))
    with emulator.profile() as costs:
        pool.scatter(y, indices, (64, 128))
    read = sum(row.requests for row in costs.rows if row.kernel == "scatter" and row.size == 8 and row.access == "load")
    assert read <= 1.3 * y.size / 32 + 16
    for row in costs.select(memory="global", access="store"):
        assert row.transactions == row.ideal or row.kernel == "extents"


def test_maxima_are_read_and_written_side_by_side():
    x = emulated(np.random.default_rng(0).standard_normal((2, 2, 32, 128)).astype(np.float32))
    with emulator.profile() as costs:
        pool.max_forward(x, PoolGeometry((2, 2), (2, 2)))
    for row in costs.rows:
        half_used = row.access == "load" and row.size == 4  # each load takes every second pixel, the next the others
        assert row.transactions <= (2 if half_used else 1) * row.ideal


def test_every_order_of_threads_gives_the_same_bits():
    x, bits = emulated(np.random.default_rng(0).standard_normal((2, 3, 33, 31)).astype(np.float32)), set()
    for order in ("forward", "reverse", "random"):
        with emulator.using(order=order):
            y, indices = pool.max_forward(x, PoolGeometry((3, 3), (2, 2), (1, 1)))
            parts = y, indices, pool.scatter(y, indices, (33, 31)), *pool.adaptive_max_forward(x, (1, 1))
            mean = pool.avg_forward(x, PoolGeometry((5, 5), (3, 3)))
        bits.add(b"".join(part.tobytes() for part in (*parts, mean)))
    assert len(bits) == 1


def test_empty_arrays_launch_nothing():
    geometry, x = PoolGeometry((2, 2), (2, 2)), np.zeros((0, 3, 4, 6), np.float32)
    y, indices, names = launched(pool.max_forward, x, geometry)
    assert y.shape == indices.shape == (0, 3, 2, 3)
    assert names == []
    for function, args, shape in (
        (pool.gather, (x, indices), y.shape), (pool.scatter, (y, indices, (4, 6)), x.shape),
        (pool.put, (y, indices, (4, 6)), x.shape), (pool.avg_forward, (x, geometry), y.shape),
        (pool.avg_adjoint, (y, geometry, (4, 6)), x.shape), (pool.adaptive_avg_forward, (x, (2, 3)), y.shape),
    ):  # fmt: skip
        z, names = launched(function, *args)
        assert z.shape == shape
        assert names == []
    gx, names = launched(pool.adaptive_avg_adjoint, np.zeros((2, 0, 3), np.float32), (4, 6))
    assert not gx.any()
    assert gx.shape == (2, 4, 6)
    assert names == []


def test_more_elements_than_a_launch_can_number(monkeypatch):
    monkeypatch.setattr(planes, "LARGEST", 250)
    x, geometry = images((10, 11), 0), PoolGeometry((3, 2), (2, 2))
    y, indices, names = launched(pool.max_forward, x, geometry)
    expected, places = reference.max_forward(x, geometry)
    same(y, expected)
    same(indices, places)
    assert names == ["max_any"] * 3  # two of the six planes in each
    gx, names = launched(pool.scatter, y, indices, (10, 11))
    same(gx, reference.scatter(expected, places, (10, 11)))
    assert names == ["extents", "scatter"] * 3
    taken, _ = launched(pool.gather, x, indices)
    same(taken, expected)
