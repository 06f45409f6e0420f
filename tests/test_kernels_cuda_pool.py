"""The CUDA kernels of pooling, emulated, against plain loops and PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tests.kernels_cuda import launched, same_in_every_order, within
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


def same(got, expected):
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected, equal_nan=got.dtype != np.int64)


def close(got, expected, dtype):
    within(ROUNDING, got, expected, dtype)


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
    same(pool.scatter(gy, places, size, geometry), gx)
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


# --- places of known windows -----------------------------------------------------------------------------------------


def holders(size, windows, geometry):
    """The most windows that hold one pixel along each axis, counted one by one."""
    most = []
    for n, count, kernel, stride, padding, dilation in zip(size, windows, *geometry[:4], strict=True):
        seen = [o * stride - padding + i * dilation for o in range(count) for i in range(kernel)]
        most.append(max(seen.count(pixel) for pixel in range(n)))
    return most


@DRAWN
@given(geometries(), types, st.integers(0, 99))
def test_the_gradient_of_known_windows_equals_the_loops(drawn, dtype, seed):
    size, geometry = drawn
    _, places = reference.max_forward(images(size, seed), geometry)
    gy = images(places.shape[-2:], seed + 1, dtype)
    gx, names = launched(pool.scatter, gy, places, size, geometry)
    same(gx, reference.scatter(gy.astype(float), places, size).astype(dtype))
    most = max(holders(size, places.shape[-2:], geometry))
    filled = geometry[:4] == ((2, 2), (2, 2), (0, 0), (1, 1)) and size[0] % 2 == size[1] % 2 == 0
    assert names == ["adjoint_" + ("2x2" if filled else {0: "apart", 1: "apart", 2: "pairs"}.get(most, "any"))]


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("size", [(2, 2), (4, 2), (6, 70), (34, 66)])
def test_windows_that_fill_the_plane(size, dtype):
    geometry = PoolGeometry((2, 2), (2, 2))
    _, places = reference.max_forward(images(size, 0), geometry)
    gy = images(places.shape[-2:], 1, dtype)
    gx, names = launched(pool.scatter, gy, places, size, geometry)
    same(gx, reference.scatter(gy, places, size))
    assert names == ["adjoint_2x2"]


@pytest.mark.parametrize(
    ("size", "windows"), [((7, 6), (3, 4)), ((40, 33), (1, 1)), ((5, 4), (9, 9)), ((8, 6), (4, 2))]
)
def test_the_gradient_of_windows_that_share_out_the_plane(size, windows):
    _, places = reference.adaptive_max_forward(images(size, 0), windows)
    gy = images(windows, 1)
    gx, names = launched(pool.scatter, gy, places, size, windows)
    same(gx, reference.scatter(gy, places, size))
    assert len(names) == 1
    assert names[0].startswith("adjoint_")


def test_derivatives_of_every_order_know_the_windows():
    """The gradient in x, its derivative in the cotangent of y, and that one's in the cotangent of gx."""
    a = images((4, 6), 0, float)
    arrays = a + np.linspace(0, 0.5, 24).reshape(4, 6), a[..., ::2, ::2], a, a[..., 1::2, ::2]
    x, u, v, w = (ts.tensor(values, device="emulated", requires_grad=True) for values in arrays)
    with emulator.record() as launches:
        y = ts.nn.functional.max_pool2d(x, 2)
        (gx,) = ts.grad((y * u).sum(), [x], create_graph=True)
        (gu,) = ts.grad((gx * v).sum(), [u], create_graph=True)
        (gv,) = ts.grad((gu * w).sum(), [v])
    _, places = reference.max_forward(arrays[0], PoolGeometry((2, 2), (2, 2)))
    same(gx.detach().numpy(), reference.scatter(arrays[1], places, (4, 6)))
    same(gu.detach().numpy(), reference.gather(arrays[2], places))
    same(gv.detach().numpy(), reference.scatter(arrays[3], places, (4, 6)))
    assert [launch.kernel for launch in launches] == ["max_2x2", "adjoint_2x2", "gather", "adjoint_2x2"]


def test_pixels_of_many_windows_are_looked_for():
    geometry = PoolGeometry((7, 7), (1, 1))
    _, places = reference.max_forward(images((16, 16), 0), geometry)
    gy = images(places.shape[-2:], 1)
    gx, names = launched(pool.scatter, gy, places, (16, 16), geometry)
    same(gx, reference.scatter(gy, places, (16, 16)))
    assert names == ["extents", "scatter"]


@pytest.mark.parametrize("window", [((2, 2), (2, 2)), ((3, 3), (2, 2), (1, 1)), ((3, 3), (1, 1), (1, 1))])
def test_every_bit_of_a_gradient_is_that_of_the_loops(window):
    """Sums in the order of the windows, whatever the order of threads; -0 alone gives 0, NaN and infinity stay."""
    geometry, rng = PoolGeometry(*window), np.random.default_rng(0)
    _, places = reference.max_forward(rng.standard_normal((2, 3, 10, 34)), geometry)
    gy = rng.standard_normal(places.shape).astype(np.float32)
    gy.flat[:4] = -0.0, np.nan, np.inf, -np.inf
    gx, _ = launched(pool.scatter, gy, places, (10, 34), geometry)
    assert gx.tobytes() == reference.scatter(gy, places, (10, 34)).tobytes()
    same_in_every_order(pool.scatter, emulated(gy), emulated(places), (10, 34), geometry)


def test_windows_that_fill_the_plane_move_each_byte_once():
    x, geometry = emulated(np.random.default_rng(0).standard_normal((2, 2, 64, 128)).astype(np.float32)), ((2, 2),) * 2
    y, indices = pool.max_forward(x, PoolGeometry(*geometry))
    with emulator.profile() as costs:
        pool.scatter(y, indices, (64, 128), PoolGeometry(*geometry))
    assert all(row.transactions == row.ideal for row in costs.rows), costs
    assert sum(row.transactions for row in costs.rows) == (y.nbytes + indices.nbytes + x.nbytes) // 32


def test_overlapping_windows_are_read_side_by_side():
    """Of each pixel its four windows at most: from memory they come once, as neighbours have the same."""
    x = emulated(np.random.default_rng(0).standard_normal((2, 2, 64, 128)).astype(np.float32))
    geometry = PoolGeometry((3, 3), (2, 2), (1, 1))
    y, indices = pool.max_forward(x, geometry)
    with emulator.profile() as costs:
        pool.scatter(y, indices, (64, 128), geometry)
    for row in costs.rows:
        assert row.transactions <= (1.2 * row.ideal if row.access == "load" else row.ideal), costs
    assert sum(row.requests for row in costs.rows) <= 12 * x.size / 32


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
    gx, _ = launched(pool.scatter, gy, places, (5, 8))
    np.testing.assert_allclose(gx, reference.scatter(gy.astype(float), places, (5, 8)), rtol=0, atol=2e-5)
    same_in_every_order(pool.scatter, emulated(gy), emulated(places), (5, 8))


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
    x = emulated(np.random.default_rng(0).standard_normal((2, 3, 33, 31)).astype(np.float32))

    def results():
        y, indices = pool.max_forward(x, PoolGeometry((3, 3), (2, 2), (1, 1)))
        parts = y, indices, pool.scatter(y, indices, (33, 31)), *pool.adaptive_max_forward(x, (1, 1))
        return *parts, pool.avg_forward(x, PoolGeometry((5, 5), (3, 3)))

    same_in_every_order(results)


def test_empty_arrays_launch_nothing():
    geometry, x = PoolGeometry((2, 2), (2, 2)), np.zeros((0, 3, 4, 6), np.float32)
    y, indices, names = launched(pool.max_forward, x, geometry)
    assert y.shape == indices.shape == (0, 3, 2, 3)
    assert names == []
    for function, args, shape in (
        (pool.gather, (x, indices), y.shape), (pool.scatter, (y, indices, (4, 6)), x.shape),
        (pool.scatter, (y, indices, (4, 6), geometry), x.shape),
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
    for windows, kernels in ((None, ["extents", "scatter"]), (geometry, ["adjoint_pairs"])):
        gx, names = launched(pool.scatter, y, indices, (10, 11), windows)
        same(gx, reference.scatter(expected, places, (10, 11)))
        assert names == kernels * 3
    taken, _ = launched(pool.gather, x, indices)
    same(taken, expected)
