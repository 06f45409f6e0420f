"""im2col and col2im against PyTorch's unfold and fold, the plain loops, and each other."""

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyseg.kernels.conv2d import ConvGeometry, output_size
from tinyseg.kernels.im2col import col2im, im2col, reference

QUICK = settings(max_examples=40)
small = st.integers(1, 3)
side = st.integers(0, 3)


@st.composite
def windows(draw):
    """(x, columns, kernel size, geometry) with at least one window."""
    border = st.tuples(side, side)
    geometry = ConvGeometry(draw(st.tuples(small, small)), (draw(border), draw(border)), draw(st.tuples(small, small)))
    kernel = draw(st.tuples(small, small))
    shape = (draw(side), draw(small), draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    out = output_size(shape[2:], kernel, geometry)
    assume(min(out) >= 1)
    rng = np.random.default_rng(9)
    columns = rng.standard_normal((shape[0], shape[1] * kernel[0] * kernel[1], out[0] * out[1]))
    return rng.standard_normal(shape), columns, kernel, geometry


def pad(x, geometry):
    (top, bottom), (left, right) = geometry.padding
    return torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))


@QUICK
@given(windows())
def test_both_are_pytorchs_unfold_and_fold(problem):
    x, columns, kernel, geometry = problem
    assume(len(x) > 0)
    options = {"kernel_size": kernel, "dilation": geometry.dilation, "stride": geometry.stride}
    padded = pad(x, geometry)
    unfolded = torch.nn.functional.unfold(padded, **options)
    np.testing.assert_array_equal(im2col(x, kernel, geometry), unfolded.numpy())
    folded = torch.nn.functional.fold(torch.from_numpy(columns), padded.shape[2:], **options).numpy()
    (top, _), (left, _) = geometry.padding
    inner = folded[:, :, top : top + x.shape[2], left : left + x.shape[3]]
    np.testing.assert_allclose(col2im(columns, kernel, geometry, x.shape[2:]), inner, rtol=0, atol=1e-12)


@QUICK
@given(windows())
def test_cpu_equals_reference(problem):
    x, columns, kernel, geometry = problem
    unfolded = im2col(x, kernel, geometry)
    folded = col2im(columns, kernel, geometry, x.shape[2:])
    np.testing.assert_array_equal(unfolded, reference.im2col(x, kernel, geometry))
    expected = reference.col2im(columns, kernel, geometry, x.shape[2:])
    np.testing.assert_allclose(folded, expected, rtol=0, atol=1e-12)
    assert unfolded.flags.c_contiguous
    assert folded.flags.c_contiguous


@QUICK
@given(windows())
def test_they_are_adjoint(problem):
    x, columns, kernel, geometry = problem
    left = np.vdot(im2col(x, kernel, geometry), columns)
    right = np.vdot(x, col2im(columns, kernel, geometry, x.shape[2:]))
    assert abs(left - right) <= 1e-12 * (1 + np.linalg.norm(columns) * np.linalg.norm(x))


def test_half_types_are_summed_in_float32():
    # a window of 3000 slides over a single pixel: each tap sees it once; float16 alone would stop at 2048
    geometry = ConvGeometry((1, 1), ((0, 0), (2999, 2999)))
    columns = np.ones((1, 3000, 3000), np.float16)
    x = col2im(columns, (1, 3000), geometry, (1, 1))
    assert x.dtype == np.float16
    assert x.item() == 3000
