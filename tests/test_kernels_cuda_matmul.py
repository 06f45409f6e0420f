"""Matrix products by cuBLAS's arguments, which the emulator reads as cuBLAS does, against NumPy in float64."""

from __future__ import annotations

import contextlib
import sys
import types

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import drawn, names
from tinyseg import kernels
from tinyseg.errors import ArgumentError
from tinyseg.kernels import emulator
from tinyseg.kernels.emulated import emulated, plain
from tinyseg.kernels.emulator import cublas
from tinyseg.kernels.matmul import cuda, matmul

DRAWN = settings(max_examples=150)
ROUNDING = {np.float64: 1e-13, np.float32: 1e-5, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
sizes = st.sampled_from([0, 1, 2, 3, 7, 16, 33])


def numbers(shape, dtype, seed=0):
    return emulated(drawn(shape, dtype, seed))


def exact(a, b):
    return np.matmul(plain(a).astype(np.float64), plain(b).astype(np.float64))


def check(a, b, wide=False):
    with emulator.record() as launches:
        y = matmul(a, b, wide)
    assert type(y) is emulator.EmulatedArray
    assert y.flags.c_contiguous
    assert y.dtype == (np.float32 if wide and a.dtype.itemsize == 2 else a.dtype)
    expected = exact(a, b)
    bound = (1e-5 if y.dtype == np.float32 else ROUNDING[a.dtype.type]) * max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(plain(y).astype(np.float64), expected, rtol=0, atol=bound)
    return y, names(launches)


@st.composite
def factors(draw, rows, columns, dtype, batch):
    """Matrices as views come: transposed, cut out, broadcast, with axes in another order, backwards."""
    shape, seed = (*batch, rows, columns), draw(st.integers(0, 9))
    kind = draw(
        st.sampled_from(["plain", "transposed", "cut", "cut transposed", "one", "swapped", "every other", "flipped"])
    )
    if kind == "transposed":
        return numbers((*batch, columns, rows), dtype, seed).swapaxes(-1, -2)
    if kind == "cut":
        return numbers((*batch, rows + 2, columns + 3), dtype, seed)[..., 1 : 1 + rows, 2 : 2 + columns]
    if kind == "cut transposed":
        return numbers((*batch, columns, rows + 3), dtype, seed)[..., :rows].swapaxes(-1, -2)
    if kind == "one":
        return np.broadcast_to(numbers((rows, columns), dtype, seed), shape)
    if kind == "swapped" and len(batch) == 2:
        return numbers((batch[0], rows, batch[1], columns), dtype, seed).swapaxes(1, 2)
    if kind == "every other":
        return numbers((*batch, rows, 2 * columns), dtype, seed)[..., ::2]
    if kind == "flipped":
        return numbers(shape, dtype, seed)[..., ::-1, :]
    return numbers(shape, dtype, seed)


@DRAWN
@given(st.data())
def test_any_views(data):
    rows, depth, columns = (data.draw(sizes) for _ in range(3))
    batch = data.draw(st.sampled_from([(), (1,), (3,), (2, 3), (1, 2), (0,)]))
    dtype = data.draw(st.sampled_from([*ROUNDING]))
    a = data.draw(factors(rows, depth, dtype, batch))
    b = data.draw(factors(depth, columns, dtype, batch))
    y, names = check(a, b, wide=data.draw(st.booleans()))
    call = "cublasGemmEx" if y.shape[:-2] in ((), (1,)) else "cublasGemmStridedBatchedEx"
    assert names == [call] * (a.size > 0 and b.size > 0)


@pytest.mark.parametrize("turn", [False, True])
def test_transposed_cut_and_broadcast_views_are_not_copied(turn, monkeypatch):
    a = numbers((3, 8, 9) if turn else (3, 9, 8), np.float32)
    a = (a.swapaxes(1, 2) if turn else a)[:, 2:7]
    one = np.broadcast_to(numbers((5, 8), np.float32), (3, 5, 8)).swapaxes(1, 2)
    heads = numbers((2, 6, 3, 8), np.float32)[:1].swapaxes(1, 2)  # one sample: matrices 8 apart, rows 24
    monkeypatch.setattr(emulator.EmulatedArray, "copy", None, raising=False)
    check(a, one)
    check(heads, heads.swapaxes(2, 3))


def test_half_types_are_summed_in_float32():
    ones = numbers((1, 1), np.float16) * 0 + 1  # in float16 a running sum of ones stops at 2048
    y, _ = check(np.broadcast_to(ones, (2, 3001)), np.broadcast_to(ones, (3001, 2)), wide=True)
    assert (plain(y) == 3001).all()


def test_tf32_where_it_is_allowed():
    a, b = numbers((9, 300), np.float32), numbers((300, 7), np.float32)
    scale = np.abs(exact(a, b)).max()

    def error():
        return np.abs(plain(matmul(a, b)) - exact(a, b)).max() / scale

    assert error() < 1e-6
    with kernels.use(allow_tf32=True):
        assert kernels.allow_tf32()
        assert 1e-5 < error() < 1e-3
        with kernels.use(full_accuracy=True):
            assert error() < 1e-6
        check(numbers((3, 4), np.float64), numbers((4, 5), np.float64))
    assert not kernels.allow_tf32()
    with pytest.raises(ArgumentError, match="use: allow_tf32 must be True, False or None"):
        kernels.use(allow_tf32="yes")


def test_the_mode_of_the_handle_is_put_back_also_after_an_error(monkeypatch):
    a, seen = numbers((2, 2), np.float16), []

    def fails(*arguments):
        seen.append(cublas.getMathMode(0))
        raise RuntimeError("out of memory")

    cublas.setMathMode(0, 3)
    try:
        monkeypatch.setattr(cublas, "gemmEx", fails)
        with pytest.raises(RuntimeError, match="out of memory"):
            matmul(a, a)
        assert (seen, cublas.getMathMode(0)) == ([cuda.NO_HALF_SUMS], 3)
    finally:
        cublas.setMathMode(0, 0)


def test_integers_and_not_a_number():
    a = emulated(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(plain(matmul(a, a.swapaxes(0, 1))), plain(a) @ plain(a).T)
    x = emulated(np.array([[1, np.nan], [np.inf, 1]], np.float32))
    y = plain(matmul(x, emulated(np.eye(2, dtype=np.float32))))
    assert np.isnan(y).tolist() == [[True, True], [False, True]]
    assert y[1, 0] == np.inf


class OnGpu(np.ndarray):
    """Enough of a CuPy array for a launcher: `data.ptr`, and a device, which is a context."""

    device = contextlib.nullcontext()

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


@pytest.mark.parametrize("capability", [75, 80])
def test_the_way_through_cupy(capability, monkeypatch):
    gpu = types.SimpleNamespace(cublas=cublas, device=types.SimpleNamespace(get_cublas_handle=lambda: 7))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=gpu))
    monkeypatch.setattr(cuda, "capability", lambda x: capability)
    for dtype, bound in ROUNDING.items():
        a, b = (plain(numbers(shape, dtype)).view(OnGpu) for shape in ((2, 5, 6), (2, 6, 3)))
        for wide in (False, True):
            with emulator.record() as launches:
                y = cuda.matmul(a, b, wide)
            assert names(launches) == ["cublasGemmStridedBatchedEx"]
            assert y.dtype == (np.float32 if wide and np.dtype(dtype).itemsize == 2 else dtype)
            np.testing.assert_allclose(y.astype(np.float64).view(np.ndarray), exact(a, b), atol=bound * 10)
