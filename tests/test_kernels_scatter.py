"""Adding to places against plain loops: on the CPU, and by the CUDA kernels, emulated and every access traced."""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import kernels_cuda
from tests.kernels_cuda import launched, names, same_in_every_order, shifted
from tinyseg.kernels import emulator, scatter
from tinyseg.kernels.emulated import emulated
from tinyseg.kernels.scatter import reference

DRAWN = settings(max_examples=40)
ROUNDING = {np.float64: 1e-14, np.float32: 1e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
drawn = functools.partial(kernels_cuda.drawn, spread=3)
types = st.sampled_from([*ROUNDING, np.int64, np.int8, bool])
PIECE = 32  # positions of a thread, in scatter.cu
counts = st.sampled_from([0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 200])


def on_cpu(a):
    return a


devices = st.sampled_from([on_cpu, emulated])


def called(to, function, x, *args):
    """The result as NumPy's, and the names of the kernels that made it."""
    with emulator.using(mode="trace"), emulator.record() as launches:
        y = function(to(x), *(_moved(to, a) for a in args))
    assert type(y) is type(to(x))
    assert y.dtype == x.dtype
    return np.asarray(y), names(launches)


def _moved(to, value):
    if isinstance(value, tuple):
        return tuple(_moved(to, v) for v in value)
    return to(value) if isinstance(value, np.ndarray) else value


def close(got, expected, x, terms=1.0):
    """Equal, but for the rounding of the sum of so many numbers of the size of those in x."""
    if x.dtype.kind in "biu":
        assert np.array_equal(got, expected)
    else:
        bound = ROUNDING[x.dtype.type] * terms * max(1.0, float(abs(x.astype(float)).max(initial=0)))
        np.testing.assert_allclose(got.astype(float), expected.astype(float), rtol=0, atol=bound)


def wide(x):
    """x in the type that the definition adds up in."""
    return x if x.dtype.kind in "biu" else x.astype(float)


@DRAWN
@given(devices, counts, st.sampled_from([1, 3, 50]), st.sampled_from([1, 2]), st.sampled_from([1, 3, 8, 16]), types)
def test_slices(to, n, size, outer, inner, dtype):
    x, places = drawn((outer, n, inner), dtype, 0), np.random.default_rng(1).integers(0, size, n)
    y, names = called(to, scatter.add_slices, x, places, size)
    close(y, reference.add_slices(wide(x), places, size), x, terms=np.sqrt(max(n, 1)))
    assert names == ["pieces", "joins"][: 1 + (n > PIECE)] * (to is emulated and n > 0)


RUNS = {
    "one place": [200],
    "no place twice": [1] * 100,
    "runs that end with a piece": [PIECE, 2 * PIECE, PIECE],
    "runs that begin one before a piece": [PIECE - 1, 2, PIECE - 1, PIECE, 1],
    "a piece inside a run": [5, 3 * PIECE, 2],
    "no slice in between": [0, 40, 0, 0, 30, 0],
}


@pytest.mark.parametrize("inner", [1, 4])
@pytest.mark.parametrize("lengths", RUNS.values(), ids=RUNS)
def test_runs_of_any_length(lengths, inner):
    places = np.random.default_rng(0).permutation(np.repeat(np.arange(len(lengths)), lengths))
    x = drawn((1, len(places), inner), np.float64, 1)
    for to in (on_cpu, emulated):
        y, _ = called(to, scatter.add_slices, x, places, len(lengths))
        close(y, reference.add_slices(x, places, len(lengths)), x, terms=20)


def test_slices_that_begin_where_no_16_bytes_do():
    x, places = drawn((2, 40, 8), np.float32, 0), np.random.default_rng(1).integers(0, 5, 40)
    y, _ = launched(scatter.add_slices, shifted(x), places, 5)
    assert y.tobytes() == scatter.add_slices(emulated(x), emulated(places), 5).tobytes()


FULL = slice(None)
INDICES = {  # of an array of shape (4, 5, 6)
    "all axes": ([[0, 3], [-1, 0]], [[4], [4]], [2, 2]),
    "the first": ([3, 1, 3],),
    "the middle": (FULL, [0, -5, 4]),
    "the last": (..., [5, 0, 5, 5]),
    "two side by side": (FULL, [[1], [-1]], [0, 0, 3]),
    "two apart": ([2, 2, 0], FULL, [1, 1, -6]),
    "two apart by dots": ([1, 1], ..., [0, 0]),
    "dots that stand for nothing": ([1, 1], [0, 0], ..., [2, -4]),
    "nothing": ([],),
    "the same again and again": ([2] * 70, [1] * 70, [3] * 70),
}


@pytest.mark.parametrize("to", [on_cpu, emulated])
@pytest.mark.parametrize("given_", INDICES.values(), ids=INDICES)
def test_indices(given_, to):
    index = tuple(np.array(i, np.int64) if isinstance(i, list) else i for i in given_)
    shape = (4, 5, 6)
    x = drawn(np.zeros(shape)[index].shape, np.float64, 0)
    y, _ = called(to, scatter.add_at, x, index, shape)
    close(y, reference.add_at(x, index, shape), x, terms=10)
    before, factors = drawn(shape, np.float64, 1), drawn(x.shape, np.float64, 2) / 3
    y, _ = called(to, scatter.multiply_at, before, index, factors)
    np.testing.assert_allclose(y, reference.multiply_at(before, index, factors), rtol=1e-13)


@DRAWN
@given(devices, counts, types)
def test_what_is_put_last_stays(to, n, dtype):
    x, values = drawn((4, 5), dtype, 0), drawn(n, dtype, 1)
    rng = np.random.default_rng(2)
    index = rng.integers(-4, 4, n), rng.integers(0, 5, n)
    y, names = called(to, scatter.put_at, x, index, values)
    assert y.tobytes() == reference.put_at(x, index, values).tobytes()
    assert names == ["put"] * (to is emulated and n > 0)


@pytest.mark.parametrize("to", [on_cpu, emulated])
@pytest.mark.parametrize("dtype", [np.int32, np.int8, np.uint8, bool])
def test_integers_wrap_as_numpy_s(to, dtype):
    values, start, index = np.full(40, 100).astype(dtype), np.array([3, 7]).astype(dtype), (np.arange(40) % 2,)
    with np.errstate(over="ignore"):
        sums, products = reference.add_at(values, index, (2,)), reference.multiply_at(start, index, values)
    assert np.array_equal(called(to, scatter.add_at, values, index, (2,))[0], sums)
    assert np.array_equal(called(to, scatter.multiply_at, start, index, values)[0], products)


def test_every_order_of_threads_gives_the_same_bits():
    x, places = drawn((1, 700, 4), np.float32, 0), np.random.default_rng(1).integers(0, 3, 700)
    same_in_every_order(scatter.add_slices, emulated(x), emulated(places), 3)


def test_neighbouring_threads_read_and_write_side_by_side():
    x, places = drawn((1, 64, 128), np.float32, 0), np.random.default_rng(1).integers(0, 9, 64)
    with emulator.profile() as costs:
        scatter.add_slices(emulated(x), emulated(places), 9)
    rows = [row for row in costs.select(memory="global") if row.kernel == "pieces" and row.size == 16]
    assert {row.access for row in rows} == {"load", "store"}
    assert all(row.transactions == row.ideal for row in rows)


@pytest.mark.parametrize("to", [on_cpu, emulated])
@pytest.mark.parametrize("count", [0, 1, 100])
def test_weights_of_numbers(to, count):
    numbers, weights = np.random.default_rng(0).integers(0, 7, count), drawn(count, np.float64, 1)
    y = scatter.bincount(to(numbers), to(weights), 9)
    assert type(y) is type(to(weights))
    np.testing.assert_allclose(np.asarray(y), np.bincount(numbers, weights, 9), atol=1e-13)
