"""Interpolation kernels: positions and weights against PyTorch, sums against dense matrices, adjoints."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.kernels import resize as kernel
from tinyseg.kernels.resize import reference

DRAWN = settings(deadline=None, derandomize=True, max_examples=40)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
sizes = st.integers(1, 9)


@st.composite
def problems(draw):
    """(x, gy, taps_h, taps_w, PyTorch's interpolation in float64)."""
    size, out = (draw(sizes), draw(sizes)), (draw(sizes), draw(sizes))
    mode = draw(st.sampled_from(["nearest", "half pixel", "corners"]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x, gy = rng.standard_normal((2, 2, *size)).astype(dtype), rng.standard_normal((2, 2, *out)).astype(dtype)
    if mode == "nearest":
        taps = [kernel.nearest_taps(*pair, dtype=np.float64) for pair in zip(size, out, strict=True)]
        return x, gy, *taps, lambda t: F.interpolate(t, out, mode="nearest")
    corners = mode == "corners"
    taps = [kernel.bilinear_taps(*pair, corners) for pair in zip(size, out, strict=True)]
    return x, gy, *taps, lambda t: F.interpolate(t, out, mode="bilinear", align_corners=corners)


def close(got, expected, dtype):
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(expected).max()))
    assert got.dtype == dtype


@DRAWN
@given(problems())
def test_both_directions_equal_the_loops_and_pytorch(problem):
    x, gy, taps_h, taps_w, theirs = problem
    dtype = x.dtype.type
    y, gx = kernel.resize(x, taps_h, taps_w), kernel.adjoint(gy, taps_h, taps_w)
    close(y, reference.resize(x.astype(float), taps_h, taps_w), dtype)
    close(gx, reference.adjoint(gy.astype(float), taps_h, taps_w), dtype)
    tx = torch.from_numpy(x.astype(float)).requires_grad_()
    ty = theirs(tx)
    ty.backward(torch.from_numpy(gy.astype(float)))
    close(y, ty.detach().numpy(), dtype)
    close(gx, tx.grad.numpy(), dtype)
    assert np.isclose(np.vdot(y, gy), np.vdot(x, gx), rtol=0, atol=TOLERANCE[dtype] * 1000)


def dense(taps):
    matrix = reference.matrix(taps)
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-12)
    return matrix


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_chooses_pytorch_s_pixel_at_every_size(dtype):
    for size in [*range(1, 34), 63, 64, 100, 127, 500]:
        line = torch.from_numpy(np.arange(size, dtype=dtype))[None, None]
        for out in [*range(1, 40), 96, 128, 224, 333, 1000]:
            chosen = kernel.nearest_taps(size, out, dtype=dtype).by_output.source[0]
            assert np.array_equal(chosen, F.interpolate(line, out).numpy()[0, 0]), (size, out)


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.7, 1.1, 1.5, 2.0, 2.2, 2.6, 3.3, 7.9])
def test_scale_factors_are_used_as_given(scale):
    for size in [1, 2, 4, 5, 17, 50, 121]:
        if size * scale < 1:
            continue
        out = int(np.floor(size * scale))
        row = torch.from_numpy(np.random.default_rng(size).standard_normal((1, 1, 1, size)))
        chosen = kernel.nearest_taps(size, out, scale, np.float64).by_output.source[0]
        expected = F.interpolate(row, scale_factor=(1, scale), mode="nearest")
        assert np.array_equal(row.numpy()[0, 0, 0, chosen], expected[0, 0, 0]), (size, scale)
        mixed = dense(kernel.bilinear_taps(size, out, False, scale)) @ row.numpy()[0, 0, 0]
        expected = F.interpolate(row, scale_factor=(1, scale), mode="bilinear", align_corners=False)
        np.testing.assert_allclose(mixed, expected[0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("corners", [False, True])
def test_bilinear_weights_equal_pytorch_s_at_many_sizes(corners):
    for size in [1, 2, 3, 5, 8, 13, 64, 100]:
        identity = torch.eye(size, dtype=torch.float64)[:, None]  # one image per input pixel
        for out in [1, 2, 3, 7, 8, 15, 31, 128, 201]:
            expected = F.interpolate(identity, out, mode="linear", align_corners=corners)[:, 0].T
            matrix = dense(kernel.bilinear_taps(size, out, corners))
            np.testing.assert_allclose(matrix, expected, atol=1e-12, err_msg=f"{size} -> {out}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_nearest_chooses_pytorch_s_pixel_at_every_size(dtype):
    for size in [*range(1, 20), 63, 100]:
        line = torch.from_numpy(np.arange(size, dtype=dtype))[None, None]
        for out in [*range(1, 40), 128, 333]:
            chosen = kernel.nearest_exact_taps(size, out, dtype=dtype).by_output.source[0]
            assert np.array_equal(chosen, F.interpolate(line, out, mode="nearest-exact").numpy()[0, 0]), (size, out)


def test_small_planes_of_float64_round_as_float32():
    """PyTorch has two kernels; the sum of the output's sides, up to 128 or above, says which."""
    plane = torch.arange(6, dtype=torch.float64)[None, None, :, None]
    for columns, dtype in ((54, np.float32), (55, np.float64)):
        expected = F.interpolate(plane, (74, columns)).numpy()[0, 0, :, 0]
        assert np.array_equal(kernel.nearest_taps(6, 74, dtype=dtype).by_output.source[0], expected)
    assert not np.array_equal(kernel.nearest_taps(6, 74).by_output.source, kernel.nearest_taps(
        6, 74, dtype=np.float64).by_output.source)  # fmt: skip


@pytest.mark.parametrize("corners", [False, True])
def test_cubic_weights_equal_pytorch_s_at_many_sizes(corners):
    for size in [1, 2, 3, 5, 13, 40]:
        identity = torch.eye(size, dtype=torch.float64)[:, None, None]  # one image per input pixel
        for out in [1, 2, 3, 7, 15, 64]:
            expected = F.interpolate(identity, (1, out), mode="bicubic", align_corners=corners)[:, 0, 0].T
            matrix = dense(kernel.bicubic_taps(size, out, corners))
            np.testing.assert_allclose(matrix, expected, atol=1e-12, err_msg=f"{size} -> {out}")


def test_cubic_scale_factors_are_used_as_given_even_where_the_size_stays():
    row = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 1, 1, 8)))
    for scale, out in ((1.1, 8), (1.7, 13), (0.6, 4)):
        mixed = dense(kernel.bicubic_taps(8, out, False, scale)) @ row.numpy()[0, 0, 0]
        expected = F.interpolate(row, scale_factor=(1, scale), mode="bicubic", align_corners=False)
        np.testing.assert_allclose(mixed, expected[0, 0, 0], atol=1e-12)


def test_golden_numbers():
    square = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    half, corners = kernel.bilinear_taps(2, 4, False), kernel.bilinear_taps(2, 4, True)
    np.testing.assert_allclose(kernel.resize(square, corners, corners)[0, 0, 0], [1, 4 / 3, 5 / 3, 2])
    np.testing.assert_allclose(
        kernel.resize(square, half, half)[0, 0, :2], [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5]]
    )
    ramp, one = np.arange(5.0)[None, None, None], kernel.nearest_taps(1, 1)
    for taps, expected in (
        (kernel.bilinear_taps(5, 7, False, 1.5), [0, 0.5, 7 / 6, 11 / 6, 2.5, 19 / 6, 23 / 6]),
        (kernel.bilinear_taps(5, 7, False), [0, 4 / 7, 9 / 7, 2, 19 / 7, 24 / 7, 4]),
        (kernel.bilinear_taps(5, 7, True), np.arange(7) * 2 / 3),
        (kernel.bilinear_taps(5, 2, False), [0.75, 3.25]),
        (kernel.bilinear_taps(5, 2, True), [0, 4]),
        (kernel.nearest_taps(5, 3), [0, 1, 3]),
    ):
        np.testing.assert_allclose(kernel.resize(ramp, one, taps)[0, 0, 0], expected)


def test_an_infinite_pixel_reaches_only_the_outputs_that_use_it():
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 0, 0] = np.inf
    taps = kernel.nearest_taps(4, 2)
    assert np.isfinite(kernel.resize(x, taps, taps)).sum() == 3
    gx = kernel.adjoint(np.full((1, 1, 2, 2), np.inf), taps, taps)
    assert np.array_equal(np.isposinf(gx[0, 0]), np.outer([1, 0, 1, 0], [1, 0, 1, 0]))
    assert np.isfinite(gx).sum() == 12


def test_half_types_empty_batches_and_views():
    taps = kernel.bilinear_taps(3, 6, False), kernel.nearest_taps(2, 3)
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        x = np.arange(6).reshape(1, 1, 3, 2).astype(dtype)
        y = kernel.resize(x, *taps)  # multiples of 1/2 below 8: exact in either type
        assert y.dtype == dtype
        assert np.array_equal(y.astype(float), reference.resize(x.astype(float), *taps))
        assert kernel.adjoint(y, *taps).dtype == dtype
    assert kernel.resize(np.zeros((0, 2, 3, 2)), *taps).shape == (0, 2, 6, 3)
    assert kernel.adjoint(np.zeros((0, 2, 6, 3)), *taps).shape == (0, 2, 3, 2)
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).T[:, :, :, ::-1]  # (5, 4, 3, 2)
    before = x.copy()
    y = kernel.resize(x, *taps)
    np.testing.assert_allclose(y, reference.resize(x, *taps), atol=1e-12)
    assert y.flags.c_contiguous
    assert np.array_equal(x, before)
