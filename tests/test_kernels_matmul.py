"""The matrix product against plain loops and NumPy, on views of every layout."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyseg.kernels.matmul import cpu as matmul_cpu
from tinyseg.kernels.matmul import matmul, reference

side = st.integers(0, 5)


def laid_out(rng, layout, *shape):
    """A random (..., M, K) array whose memory lies as `layout` says."""
    *batch, m, k = shape
    if layout == "rows":
        return rng.standard_normal(shape)
    if layout == "columns":
        return rng.standard_normal((*batch, k, m)).swapaxes(-1, -2)
    if layout == "block of rows":
        return rng.standard_normal((*batch, m + 2, k + 3))[..., 1 : m + 1, 2 : k + 2]
    if layout == "block of columns":
        return rng.standard_normal((*batch, k + 3, m + 2))[..., 2 : k + 2, 1 : m + 1].swapaxes(-1, -2)
    if layout == "every second":
        return rng.standard_normal((*batch, 2 * m, 2 * k))[..., ::2, ::2]
    assert layout == "broadcast"
    return np.broadcast_to(rng.standard_normal(k), shape)


LAYOUTS = ["rows", "columns", "block of rows", "block of columns", "every second", "broadcast"]


@given(st.lists(side, max_size=2), side, side, side, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
def test_small_products_equal_the_loops(batch, m, k, n, left, right):
    rng = np.random.default_rng(5)
    a, b = laid_out(rng, left, *batch, m, k), laid_out(rng, right, *batch, k, n)
    y = matmul(a, b)
    assert y.shape == (*batch, m, n)
    assert y.flags.c_contiguous
    np.testing.assert_allclose(y, reference.matmul(a, b), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("batch", [(), (3,), (2, 4), (40,)])
@pytest.mark.parametrize(("left", "right"), [*zip(LAYOUTS, reversed(LAYOUTS), strict=True), ("rows", "rows")])
def test_large_products_are_cut_and_joined(batch, left, right, alone, monkeypatch):
    monkeypatch.setattr(matmul_cpu, "SMALL", 0)
    monkeypatch.setattr(matmul_cpu, "ALONE", 2**30 if alone else 0)
    rng = np.random.default_rng(6)
    for m, k, n in [(37, 19, 23), (5, 30, 64), (1, 40, 1), (9, 50, 131)]:
        a, b = laid_out(rng, left, *batch, m, k), laid_out(rng, right, *batch, k, n)
        y = matmul(a, b)
        assert y.flags.c_contiguous
        np.testing.assert_allclose(y, np.einsum("...mk,...kn->...mn", a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("m", "k", "n"), [(130, 200, 90), (100, 800, 77), (3, 2000, 500), (1, 900, 1200)])
@pytest.mark.parametrize(("left", "right"), [("rows", "rows"), ("columns", "columns")])
def test_above_the_threshold_in_float32(m, k, n, left, right):
    rng = np.random.default_rng(7)
    a, b = laid_out(rng, left, m, k).astype(np.float32), laid_out(rng, right, k, n).astype(np.float32)
    assert a.size * b.shape[1] > matmul_cpu.ALONE
    y = matmul(a, b)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, a.astype(np.float64) @ b.astype(np.float64), rtol=0, atol=3e-4)
    assert y.tobytes() == matmul(a, b).tobytes()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_summed_in_float32(dtype):
    y = matmul(np.ones((2, 3000), dtype), np.ones((3000, 2), dtype))
    assert y.dtype == dtype
    assert (y == np.float32(3000).astype(dtype)).all()


def test_integers_stay_integers():
    y = matmul(np.arange(6).reshape(2, 3), np.arange(6).reshape(3, 2))
    np.testing.assert_array_equal(y, [[10, 13], [28, 40]])
    assert y.dtype == np.int64


def test_a_matrix_that_may_only_be_read(monkeypatch):
    monkeypatch.setattr(matmul_cpu, "SMALL", 0)
    a, b = np.arange(12.0).reshape(3, 4), np.arange(20.0).reshape(4, 5)
    expected = np.einsum("mk,kn->mn", a, b)
    a.flags.writeable = b.flags.writeable = False
    np.testing.assert_array_equal(matmul(a, b), expected)
    np.testing.assert_array_equal(matmul(b.T, a.T), expected.T)
