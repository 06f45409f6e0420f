"""Convolution on tensor cores, emulated, against PyTorch in float64 on inputs that the type holds; every access traced.

What is left to differ is the order of the sums, in float32, and one rounding of the result.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import convolved, names, same_in_every_order, wide
from tinyseg import kernels
from tinyseg.kernels import emulator
from tinyseg.kernels.conv2d import ConvGeometry, cuda_parts, output_size
from tinyseg.kernels.conv2d import cuda_tensor as kernel
from tinyseg.kernels.emulated import EmulatedArray, emulated, plain

DRAWN = settings(max_examples=25)
ROUNDING = {np.float32: 0.0, np.float16: 2**-11, ml_dtypes.bfloat16: 2**-8}  # of the result
SUMS = 1e-5
COPIES = ["channels_last"] * 2
BIG, FLAT, SMALL = kernel.TILES
TILED = [(BIG, np.float32), (BIG, np.float16), (FLAT, np.float32), (FLAT, ml_dtypes.bfloat16)]

pairs = {n: st.tuples(st.integers(1, n), st.integers(1, n)) for n in (3, 4, 11)}
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))
geometries = st.builds(
    ConvGeometry, pairs[3], st.tuples(paddings, paddings), pairs[3], st.sampled_from([1, 1, 1, 2, 3])
)


def numbers(shape, dtype, seed):
    """Normal numbers that TF32 or the half type holds exactly."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return tf32(x) if dtype is np.float32 else x.astype(dtype)


def tf32(x):
    """The nearest float with 10 bits of mantissa, a tie away from zero."""
    return ((np.asarray(x, np.float32).view(np.uint32) + 0x1000) & np.uint32(0xFFFFE000)).view(np.float32)


def named(parameter):
    """Of a test with a tile and a type: 64x256-float32."""
    return f"{parameter.m}x{parameter.n}" if isinstance(parameter, cuda_parts.Tile) else np.dtype(parameter).name


class Problem:
    """A convolution's arrays, and what PyTorch makes of them in float64."""

    def __init__(self, batch, channels, size, outputs, taps, geometry, dtype, seed=0):
        self.geometry, self.dtype, self.size, self.taps = geometry, dtype, size, taps
        self.x = numbers((batch, channels * geometry.groups, *size), dtype, seed)
        self.w = numbers((outputs * geometry.groups, channels, *taps), dtype, seed + 1)
        self.bias, self.bias_x = (numbers(n, dtype, seed + 2) for n in (self.w.shape[0], self.x.shape[1]))
        x, w = wide(self.x).requires_grad_(), wide(self.w).requires_grad_()
        y = convolved(x, w, geometry)
        self.gy = numbers(tuple(y.shape), dtype, seed + 3)
        self.y = y.detach()
        self.gx, self.gw = torch.autograd.grad(y, (x, w), wide(self.gy))

    def forward(self, relu=False, bias=True):
        b = emulated(self.bias) if bias else None
        return kernel.forward(emulated(self.x), emulated(self.w), b, relu, self.geometry)

    def grad_input(self, bias=False):
        b = emulated(self.bias_x) if bias else None
        return kernel.grad_input(emulated(self.gy), emulated(self.w), b, self.geometry, self.size)

    def grad_weight(self):
        return kernel.grad_weight(emulated(self.x), emulated(self.gy), self.geometry, self.taps)

    def check(self, got, expected):
        assert type(got) is EmulatedArray
        assert got.flags.c_contiguous
        assert got.dtype == self.dtype
        expected = expected.numpy()
        bound = SUMS * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(plain(got).astype(float), expected, rtol=ROUNDING[self.dtype], atol=bound)

    def check_all(self, bias=True):
        """The three kernels' results, and the launches that made them; with a bias and the ReLU, or without.

        Gives the numbers of parts of the sums of y and of gx.
        """
        with emulator.using(mode="trace"), emulator.record() as launches:
            y, gx = self.forward(bias, bias), self.grad_input(bias)
            gw = self.grad_weight()
        self.check(y, torch.relu(self.y + wide(self.bias)[:, None, None]) if bias else self.y)
        self.check(gx, self.gx + wide(self.bias_x)[:, None, None] if bias else self.gx)
        self.check(gw, self.gw)
        parts = [launch.grid[1] for launch in launches if launch.kernel == "tensor"]
        assert len(parts) == 2
        expected = [name for count in parts for name in (*COPIES, "tensor", *["sum_of_parts"] * (count > 1))]
        expected += [*COPIES, "tensor_weight", "sum_of_turned_parts"]
        assert names(launches) == expected
        return parts


@pytest.fixture
def tiled(monkeypatch):
    """A function that makes every launch use one tile, and cut sums into two parts where they have two steps."""

    def use(tile, parts=2):
        monkeypatch.setattr(cuda_parts, "plan", lambda tiles, m, n, count, steps: (tile, max(1, min(steps, parts))))

    return use


@DRAWN
@given(
    st.integers(1, 2),
    st.sampled_from([1, 3, 8, 9, 20]),
    pairs[11],
    st.sampled_from([1, 2, 7, 8]),
    pairs[4],
    geometries,
    st.sampled_from([*ROUNDING]),
    st.booleans(),
    st.integers(0, 99),
)
def test_every_geometry(batch, channels, size, outputs, taps, geometry, dtype, bias, seed):
    assume(min(output_size(size, taps, geometry)) >= 1)
    Problem(batch, channels, size, outputs, taps, geometry, dtype, seed).check_all(bias)


@pytest.mark.parametrize(("tile", "dtype"), TILED, ids=named)
@pytest.mark.parametrize(
    ("channels", "outputs", "size", "taps", "geometry"),
    [
        (20, 130, (13, 11), (3, 3), ConvGeometry(padding=((1, 1), (1, 1)))),
        (17, 66, (16, 16), (1, 1), ConvGeometry(groups=2)),
        (70, 65, (19, 17), (2, 3), ConvGeometry((2, 2), ((1, 0), (2, 1)), (1, 2))),
    ],
    ids=["3x3", "1x1", "strided"],
)
def test_tiles_that_straddle_the_ends(tile, dtype, channels, outputs, size, taps, geometry, tiled):
    tiled(tile)
    assert 2 in Problem(2, channels, size, outputs, taps, geometry, dtype).check_all()


@pytest.mark.parametrize("dtype", ROUNDING)
def test_phases_with_fewer_taps_have_fewer_steps_than_there_are_parts(dtype, tiled):
    tiled(SMALL, 7)
    problem = Problem(2, 9, (9, 10), 20, (3, 3), ConvGeometry((2, 2), ((1, 1), (1, 1))), dtype)
    # 9 taps of 12 or 16 channels; 4, or for other phases 2 or 1, of 20 or 24: in steps of 16 or 32
    assert problem.check_all() == ([7, 5] if dtype is np.float32 else [5, 3])


@pytest.mark.parametrize("dtype", ROUNDING)
def test_small_tiles_that_straddle_the_ends(dtype):
    Problem(3, 33, (9, 10), 70, (3, 3), ConvGeometry(padding=((1, 1), (1, 1))), dtype).check_all()


@pytest.mark.parametrize("kernel_size", [1, 2])
def test_a_stride_wider_than_the_window_leaves_pixels_untouched(kernel_size):
    geometry = ConvGeometry((3, 4), ((1, 0), (0, 2)))
    problem = Problem(1, 5, (8, 9), 6, (kernel_size, kernel_size), geometry, np.float32)
    problem.check_all()
    assert (problem.gx == 0).any()  # so the bias alone is written there


def test_float32_is_rounded_to_the_nearest_tf32():
    x, w = (np.random.default_rng(i).standard_normal((2, 6, 5, 5)).astype(np.float32) for i in range(2))
    y = kernel.forward(emulated(x), emulated(w[..., :3, :3].copy()), None, False, ConvGeometry())
    expected = F.conv2d(wide(tf32(x)), wide(tf32(w[..., :3, :3])))
    np.testing.assert_allclose(plain(y), expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_the_pixels_that_see_them(bad):
    problem = Problem(2, 9, (8, 7), 5, (3, 2), ConvGeometry((2, 1), ((1, 1), (1, 0))), np.float32)
    problem.x[1, 8, 3, 6] = problem.gy[0, 4, 1, 2] = bad
    y, gx, gw = plain(problem.forward(relu=True)), plain(problem.grad_input()), plain(problem.grad_weight())
    x, w, gy = (wide(a).requires_grad_() for a in (problem.x, problem.w, problem.gy))
    theirs = F.conv2d(F.pad(x, (1, 0, 1, 1)), w, wide(problem.bias), (2, 1))
    theirs_gx, theirs_gw = torch.autograd.grad(theirs, (x, w), gy)
    for ours, expected in ((y, torch.relu(theirs)), (gx, theirs_gx), (gw, theirs_gw)):
        np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(expected.detach().numpy()))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(torch.relu(theirs).detach().numpy()))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_order_of_threads_gives_the_same_bits(dtype):
    problem = Problem(2, 20, (9, 8), 70, (3, 3), ConvGeometry((2, 1), ((1, 1), (1, 1))), dtype)

    def results():
        return problem.forward(), problem.grad_input(), problem.grad_weight()

    same_in_every_order(results, mode="trace")


def test_empty_arrays_launch_nothing():
    with emulator.record() as launches:
        x, w = emulated(np.zeros((0, 4, 5, 5), np.float32)), emulated(np.zeros((3, 4, 2, 2), np.float32))
        y = kernel.forward(x, w, None, False, ConvGeometry())
        assert y.shape == (0, 3, 4, 4)
        assert kernel.grad_input(y, w, None, ConvGeometry(), (5, 5)).shape == x.shape
    assert launches == []


def test_no_pixels_give_a_gradient_of_zeros():
    x, gy = emulated(np.zeros((0, 4, 5, 5), np.float32)), emulated(np.zeros((0, 3, 4, 4), np.float32))
    gw = kernel.grad_weight(x, gy, ConvGeometry(), (2, 2))
    assert gw.shape == (3, 4, 2, 2)
    assert not plain(gw).any()


def test_which_convolutions_it_takes():
    for tf32 in (True, False):
        with kernels.use(allow_tf32=tf32):
            for name, takes in (("float32", tf32), ("float16", True), ("bfloat16", True), ("float64", False)):
                assert kernel.applies(ConvGeometry(groups=4), (8, 2, 3, 3), np.dtype(name)) is takes


@pytest.mark.parametrize(("tile", "dtype"), [*TILED, (SMALL, np.float32), (SMALL, np.float16)], ids=named)
@pytest.mark.parametrize("parts", [1, 2])
def test_accesses_are_coalesced_and_meet_no_bank_twice(tile, dtype, parts, tiled):
    tiled(tile, parts)
    problem = Problem(1, 32, (16, 16), 64, (3, 3), ConvGeometry(padding=((1, 1), (1, 1))), dtype)
    with emulator.profile() as costs:
        problem.forward(True)
        problem.grad_weight()
    for row in costs.rows:
        if row.kernel != "channels_last" and row.kernel != "sum_of_turned_parts":
            assert row.per_request == row.ideal / row.requests, row


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_images_are_copied_side_by_side(dtype):
    """The taps of weights are not: they are too few for a warp."""
    with emulator.profile() as costs:
        kernel._copy_images(emulated(numbers((1, 64, 16, 16), dtype, 0)), 1, kernel.Grid(16, 16, 0, 0), (1, 1))
    for row in costs.rows:
        assert row.per_request == row.ideal / row.requests, row
