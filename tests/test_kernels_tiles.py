"""The inner loops of products, and the transposes around them, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.kernels import simd, tiles
from tinyseg.kernels.jit import serial

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
TYPES = st.sampled_from([np.float32, np.float64])


def drawn(shape, dtype, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@QUICK
@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 15), st.booleans(), TYPES)
def test_a_tile_adds_products(rows, depth, vectors, keep, dtype):
    width = vectors * simd.lanes(dtype)
    a, b, c = drawn((rows, depth), dtype), drawn((depth, width), dtype, 1), drawn((rows + 1, width + 3), dtype, 2)
    expected = c.copy()
    expected[:rows, 1 : width + 1] = keep * c[:rows, 1 : width + 1] + a.astype(np.float64) @ b
    flat = c.reshape(-1)
    tiles.add_products(
        a.reshape(-1), 0, np.arange(rows) * depth, np.arange(depth), b.reshape(-1), 0, np.arange(depth) * width,
        flat, 1, np.arange(rows) * (width + 3), rows, vectors, int(keep),
    )  # fmt: skip
    np.testing.assert_allclose(c, expected, atol=20 * np.finfo(dtype).eps * depth)


def test_operands_lie_as_their_tables_say():
    """A product by a transpose, rows of the result in reverse, and b read with overlapping rows."""
    lane = simd.lanes(np.float64)
    a, b, c = drawn((5, 7), np.float64), drawn(lane + 20, np.float64, 1), np.zeros(7 * lane)
    shifts = np.array([3, 0, 11, 4, 4])
    tiles.add_products(a.reshape(-1), 0, np.arange(7), np.arange(5) * 7, b, 2, shifts,
                       c, 0, np.arange(7)[::-1] * lane, 7, 1, 0)  # fmt: skip
    read = np.stack([b[2 + s : 2 + s + lane] for s in shifts])
    np.testing.assert_allclose(c.reshape(7, lane)[::-1], a.T @ read, atol=1e-13)


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), TYPES)
def test_widen_and_narrow_transpose(rows, columns, dtype):
    a = drawn((rows, columns), dtype)
    width = simd.whole(rows, dtype)
    wide = np.full((columns, width), np.nan, dtype)
    tiles.widen(a.reshape(-1), 0, columns, rows, columns, wide.reshape(-1), 0, width)
    np.testing.assert_array_equal(wide[:, :rows], a.T)
    np.testing.assert_array_equal(wide[:, rows:], 0)
    wide[:, rows:] = np.nan  # what stands past the columns does not matter
    back = np.full((rows, columns), np.nan, dtype)
    tiles.narrow(wide.reshape(-1), 0, width, columns, rows, back.reshape(-1), 0, columns)
    np.testing.assert_array_equal(back, a)


@QUICK
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5), TYPES)
def test_transposes_touch_nothing_else(rows, columns, margin, dtype):
    a = drawn((rows, columns + margin), dtype)
    width = simd.whole(rows, dtype)
    wide = np.full(columns * (width + margin) + 3, 7, dtype)
    tiles.widen(a.reshape(-1), 0, columns + margin, rows, columns, wide, 3, width + margin)
    assert (wide[:3] == 7).all()
    grid = wide[3:].reshape(columns, width + margin)
    np.testing.assert_array_equal(grid[:, :rows], a[:, :columns].T)
    assert (grid[:, width:] == 7).all()
    target = np.full((rows, columns + margin), 7, dtype)
    tiles.narrow(wide, 3, width + margin, columns, rows, target.reshape(-1), 0, columns + margin)
    np.testing.assert_array_equal(target[:, :columns], a[:, :columns])
    assert (target[:, columns:] == 7).all()


@serial
def _combine(a, b, out):
    u, v = simd.load(a, 1), simd.load(b, 0)
    simd.store(out, 2, 2.5 * u + v - u)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_compute_lane_by_lane(dtype):
    lane = simd.lanes(dtype)
    a, b, out = drawn(lane + 1, dtype), drawn(lane, dtype, 1), np.zeros(lane + 4, dtype)
    _combine(a, b, out)
    np.testing.assert_allclose(out[2:-2], 1.5 * a[1:] + b, rtol=20 * np.finfo(dtype).eps)
    assert (out[[0, 1, -2, -1]] == 0).all()
