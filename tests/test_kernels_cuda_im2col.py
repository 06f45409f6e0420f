"""im2col.cu and col2im, emulated, against the plain loops of their reference; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import launched, same_in_every_order
from tinyseg.kernels import emulator
from tinyseg.kernels import im2col as kernel
from tinyseg.kernels.conv2d import ConvGeometry, output_size
from tinyseg.kernels.conv2d.cuda_shape import pixel_grid
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.im2col import reference

DRAWN = settings(max_examples=60)
TYPES = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]
steps = st.tuples(st.integers(1, 4), st.integers(1, 4))
sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
taps = st.tuples(st.integers(1, 4), st.integers(1, 4))
SAME = ConvGeometry((1, 1), ((1, 1), (1, 1)))


@st.composite
def problems(draw):
    """(x, columns, kernel_size, geometry) with values that every type holds, and so few that their sums are exact."""
    geometry = ConvGeometry(draw(steps), (draw(sides), draw(sides)), draw(steps))
    size = draw(st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 7, 40])))
    kernel_size, planes = draw(taps), draw(st.sampled_from([(0, 2), (1, 1), (2, 3), (1, 7)]))
    windows = output_size(size, kernel_size, geometry)
    assume(min(windows) >= 1)
    rng, dtype = np.random.default_rng(draw(st.integers(0, 9))), draw(st.sampled_from(TYPES))
    shape = planes[0], planes[1] * kernel_size[0] * kernel_size[1], windows[0] * windows[1]
    x, columns = (rng.integers(-8, 9, s).astype(dtype) for s in ((*planes, *size), shape))
    return x, columns, kernel_size, geometry


@DRAWN
@given(problems())
def test_im2col_and_col2im_are_their_definitions(problem):
    x, columns, kernel_size, geometry = problem
    got, names = launched(kernel.im2col, x, kernel_size, geometry)
    np.testing.assert_array_equal(got, reference.im2col(x, kernel_size, geometry))
    assert names == ["im2col"] * (x.size > 0)
    got, names = launched(kernel.col2im, columns, kernel_size, geometry, x.shape[2:])
    expected = reference.col2im(columns.astype(np.float64), kernel_size, geometry, x.shape[2:])
    np.testing.assert_array_equal(got, expected.astype(x.dtype))
    assert names == ["col2im"] * (x.size > 0)


def test_an_image_without_rows_has_columns_of_padding():
    got, _ = launched(kernel.im2col, np.ones((2, 1, 0, 3), np.float32), (1, 1), SAME)
    np.testing.assert_array_equal(got, np.zeros((2, 1, 10)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_summed_in_float32(dtype):
    taps = 47 * 47  # all of which see the one pixel: more ones than either type can count
    geometry = ConvGeometry((1, 1), ((46, 46), (46, 46)))
    got, _ = launched(kernel.col2im, np.ones((1, taps, taps), dtype), (47, 47), geometry, (1, 1))
    assert got.item() == np.float32(taps).astype(dtype)


def test_views_are_read_right():
    x = np.random.default_rng(0).standard_normal((3, 6, 5, 2)).astype(np.float32)
    got, _ = launched(kernel.im2col, emulated(x).transpose(0, 3, 2, 1), (3, 3), SAME)
    np.testing.assert_array_equal(got, reference.im2col(x.transpose(0, 3, 2, 1), (3, 3), SAME))


def test_every_order_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    x, columns = (emulated(rng.standard_normal(s).astype(np.float32)) for s in ((2, 3, 9, 40), (2, 27, 360)))
    same_in_every_order(kernel.im2col, x, (3, 3), SAME)
    same_in_every_order(kernel.col2im, columns, (3, 3), SAME, (9, 40))


def test_neighbouring_threads_touch_neighbouring_numbers():
    x = emulated(np.ones((2, 4, 32, 64), np.float32))
    with emulator.profile() as costs:
        kernel.col2im(kernel.im2col(x, (3, 3), SAME), (3, 3), SAME, (32, 64))
    for name in ("im2col", "col2im"):
        for access in ("load", "store"):
            rows = costs.select(kernel=name, access=access)
            # An aligned row of 128 bytes is 4 sectors; one that is shifted by a tap touches 5.
            assert max(r.per_request for r in rows) <= (4.0 if access == "store" else 5.0)


@pytest.mark.parametrize("pixels", [1, 2, 31, 64, 65, 196, 289, 1024, 50_000, 3 * 2**30])
@pytest.mark.parametrize("planes", [1, 5, 4096, 10**7])
def test_a_grid_covers_every_pixel_of_every_plane_and_fits_the_device(pixels, planes):
    (columns, rows), (across, down) = pixel_grid(pixels, planes)
    assert across * down == 256
    assert (columns - 1) * across < pixels <= columns * across <= max(64, 1.5 * pixels)
    assert 1 <= rows <= 65535
    assert columns < 2**31
    assert (rows - 1) * down < planes  # no row of blocks without a plane
    assert rows * columns >= min(4096 - columns, columns * planes / down)  # enough for a large GPU, if there is as much
