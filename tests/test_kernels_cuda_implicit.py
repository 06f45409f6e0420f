"""Convolution version 3 in CUDA (implicit GEMM), emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import convolved, names, same_in_every_order
from tests.test_kernels_conv2d import arrays
from tinyseg.kernels import emulator
from tinyseg.kernels.conv2d import ConvGeometry, cuda_implicit, cuda_parts, output_size
from tinyseg.kernels.emulated import EmulatedArray, emulated, plain
from tinyseg.kernels.source import KERNELS

BFLOAT16 = ml_dtypes.bfloat16
ROUNDING = {np.float32: 2e-6, np.float16: 1e-3, BFLOAT16: 8e-3}
# Types, rows of a tile, parts of a sum, and how many examples: half the time goes into the threads that a large tile
# has to spare.
BUILDS = [
    (np.float32, 128, 1, 4),
    (np.float32, 64, 2, 6),
    (np.float32, 32, 1, 6),
    (np.float32, 32, 3, 6),
    (np.float16, 32, 2, 3),
    (BFLOAT16, 128, 1, 2),
]
NAMES = ["implicit_pack", "implicit"]

small, side = st.integers(1, 3), st.integers(0, 3)
pair = st.tuples(small, small)


@pytest.fixture
def planned(monkeypatch):
    """Sets the rows of a tile, and the number of parts where there are as many steps; gives the list of those taken."""

    def use(rows, parts=1):
        taken = []

        def plan(tiles, m, n, count, steps):
            length = max(1, -(-steps // parts))
            taken.append(max(1, -(-steps // length)))
            return next(tile for tile in tiles if tile.m == rows), taken[-1]

        monkeypatch.setattr(cuda_parts, "plan", plan)
        return taken

    return use


@st.composite
def problems(draw):
    """(x, w, bias, gy, geometry) of a small convolution; one in five has more channels than a tile has rows."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    geometry = ConvGeometry(draw(pair), ((draw(side), draw(side)), (draw(side), draw(side))), draw(pair), groups)
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 14)))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 5)))
    assume(min(output_size(size, kernel, geometry)) >= 1)
    inputs, outputs = draw(st.sampled_from([(1, 1), (3, 5), (2, 9), (5, 33), (33, 2)]))
    return arrays(draw(small), groups * inputs, groups * outputs, size, kernel, geometry)


def by_torch(x, w, bias, gy, geometry):
    """What `by_cuda` gives, by PyTorch's convolution and autograd on the explicitly padded input."""
    x, w, bias, gy = (torch.from_numpy(a.astype(np.float64)) for a in (x, w, bias, gy))
    x.requires_grad_()
    w.requires_grad_()
    y = convolved(x, w, geometry, bias)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    plus = gx + torch.from_numpy(per_channel(x))[:, None, None]
    return [t.detach().numpy() for t in (torch.relu(y), y - bias[:, None, None], gx, plus, gw)]


def per_channel(x):
    return np.arange(1, 1 + x.shape[1], dtype=np.float64)


def by_cuda(x, w, bias, gy, geometry):
    """(max(y, 0), y without bias, gx, gx with a bias, gw)"""
    shift = per_channel(x).astype(x.dtype)
    x, w, bias, gy, shift = (emulated(a) for a in (x, w, bias, gy, shift))
    ys = [
        cuda_implicit.forward(x, w, bias, True, geometry),
        cuda_implicit.forward(x, w, None, False, geometry),
        cuda_implicit.grad_input(gy, w, None, geometry, x.shape[2:]),
        cuda_implicit.grad_input(gy, w, shift, geometry, x.shape[2:]),
        cuda_implicit.grad_weight(x, gy, geometry, w.shape[2:]),
    ]
    assert all(type(y) is EmulatedArray and y.flags.c_contiguous and y.dtype == x.dtype for y in ys)
    return [plain(y).astype(np.float64) for y in ys]


def check(problem, dtype, taken):
    """Nothing is read or written where it must not be, and the results are PyTorch's."""
    *values, geometry = problem
    values = [a.astype(dtype) for a in values]
    with emulator.using(mode="trace"), emulator.record() as launches:
        ours = by_cuda(*values, geometry)
    expected = [name for parts in taken[-5:-1] for name in (*NAMES, *["sum_of_parts"] * (parts > 1))]
    assert names(launches) == [*expected, "implicit_weight", "sum_of_parts"]
    for got, want in zip(ours, by_torch(*values, geometry), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING[dtype] * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize(("dtype", "rows", "parts", "examples"), BUILDS)
def test_geometry(planned, dtype, rows, parts, examples):
    taken = planned(rows, parts)

    @settings(deadline=None, derandomize=True, max_examples=examples)
    @given(problems())
    def drawn(problem):
        check(problem, dtype, taken)

    drawn()
    assert max(taken) == parts


# What the drawn ones miss: (rows of a tile, batch, channels, outputs, size, window, geometry)
CASES = {
    "more channels than two tiles": (64, 1, 10, 131, (5, 7), (1, 1), ConvGeometry()),
    "from more channels than two tiles": (64, 1, 131, 10, (5, 7), (2, 1), ConvGeometry()),
    "just a tile of channels and of pixels": (64, 2, 8, 64, (8, 8), (1, 1), ConvGeometry()),
    "one channel and one pixel more": (64, 1, 9, 65, (3, 43), (1, 1), ConvGeometry()),
    "images smaller than a step": (32, 11, 5, 3, (2, 3), (2, 2), ConvGeometry((1, 1), ((0, 0), (1, 0)))),
    "one pixel each": (32, 37, 4, 3, (3, 3), (3, 3), ConvGeometry()),
    "rows of eight pixels": (32, 2, 3, 4, (16, 8), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1)))),
    "long rows": (128, 1, 2, 3, (2, 300), (2, 5), ConvGeometry((1, 1), ((1, 0), (2, 2)))),
    "a stem": (64, 1, 3, 66, (13, 18), (7, 7), ConvGeometry((2, 2), ((3, 3), (3, 3)))),
    "stride beyond the window": (32, 2, 3, 4, (11, 14), (2, 1), ConvGeometry((3, 4))),
    "stride beyond the image": (32, 1, 3, 4, (3, 2), (2, 2), ConvGeometry((4, 5))),
    "phases without taps": (32, 1, 2, 3, (9, 9), (3, 3), ConvGeometry((4, 2), ((2, 1), (1, 1)), (2, 2))),
    "a window larger than the image": (32, 2, 3, 4, (2, 3), (5, 9), ConvGeometry((1, 1), ((3, 2), (4, 5)))),
    "padding wider than the image": (32, 1, 2, 3, (2, 3), (2, 2), ConvGeometry((2, 1), ((5, 4), (6, 7)))),
    "all the bits of a window": (32, 1, 1, 2, (17, 17), (15, 16), ConvGeometry((1, 1), ((2, 2), (7, 8)))),
    "depthwise": (32, 2, 9, 9, (8, 9), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1)), (1, 1), 9)),
    "groups of more than a tile": (32, 1, 14, 70, (6, 6), (3, 3), ConvGeometry((2, 2), ((1, 1), (1, 1)), (1, 1), 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_case(planned, case):
    rows, *problem = CASES[case]
    check(arrays(*problem), np.float32, planned(rows))


@pytest.mark.parametrize(
    "case", ["from more channels than two tiles", "phases without taps", "groups of more than a tile"]
)
def test_case_in_parts(planned, case):
    rows, *problem = CASES[case]
    taken = planned(rows, 5)
    check(arrays(*problem), np.float32, taken)
    assert max(taken[:-1]) > 1


@pytest.mark.parametrize("parts", [1, 3])
def test_nan_goes_where_it_goes_in_pytorch(planned, parts):
    """Neither into the zeros that fill up steps and tiles nor out of what padding hides; and ReLU keeps it."""
    planned(32, parts)
    geometry = ConvGeometry((2, 1), ((1, 0), (1, 2)))
    x, w, bias, gy, _ = arrays(2, 3, 5, (9, 12), (3, 3), geometry)
    x[1, 2, 0, 0] = x[0, 1, 8, 11] = gy[0, 3, 2, 4] = np.nan
    ours = by_cuda(*(a.astype(np.float32) for a in (x, w, bias, gy)), geometry)
    for got, want in zip(ours, by_torch(x, w, bias, gy, geometry), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize(("rows", "parts"), [(64, 1), (32, 3)])
def test_every_order_of_threads_gives_the_same_bits(planned, rows, parts):
    planned(rows, parts)
    *values, geometry = arrays(2, 5, 40, (11, 13), (3, 3), ConvGeometry((2, 1), ((1, 1), (1, 1))))
    same_in_every_order(by_cuda, *(a.astype(np.float32) for a in values), geometry, mode="trace")


def costs(function, *args):
    """(memory, line of the source, sectors or cycles, what they would be at best) of all accesses."""
    with emulator.profile() as found:
        function(*args)
    return [(row.memory, f"{row.place.file}: {text_of(row.place)}", row.transactions, row.ideal) for row in found.rows]


def text_of(place):
    return (KERNELS.parent / place.file).read_text().splitlines()[place.line - 1]


def excess(lines, memory, word):
    """How many times more than at best, over the lines with this word in their text or file name."""
    fitting = [(spent, ideal) for where, text, spent, ideal in lines if where == memory and word in text]
    assert fitting, word
    return sum(spent for spent, _ in fitting) / sum(ideal for _, ideal in fitting)


@pytest.mark.parametrize(("rows", "parts"), [(128, 1), (32, 2)])
def test_memory_is_read_side_by_side_and_no_bank_twice(planned, rows, parts):
    planned(rows, parts)
    geometry = ConvGeometry((1, 1), ((1, 1), (1, 1)))
    x, w, _, gy = (emulated(a.astype(np.float32)) for a in arrays(1, 4, 128, (8, 32), (3, 3), geometry)[:4])
    forward = costs(cuda_implicit.forward, x, w, None, False, geometry)
    weight = costs(cuda_implicit.grad_weight, x, gy, geometry, (3, 3))
    for lines in (forward, weight):
        for word in ("memory.steps", "tile.cuh"):
            assert excess(lines, "shared", word) == 1
    for word in ("(packed)", "table[k", "to[row", *(["parts[part", "y[i]"] if parts > 1 else [])):
        assert excess(forward, "global", word) == 1
    assert excess(forward, "global", "x[offset]") < 1.35  # a tap's row begins in the middle of a sector
    assert excess(weight, "global", "walk.gy[") == 1
    assert excess(weight, "shared", "places[mine") == 1


def test_applies_where_a_window_has_enough_bits():
    def applies(shape, dtype):
        return cuda_implicit.applies(ConvGeometry(), shape, np.dtype(dtype))

    assert applies((4, 3, 15, 16), np.float32)
    assert applies((4, 3, 1, 30), BFLOAT16)
    assert not applies((4, 3, 16, 16), np.float32)
    assert not applies((4, 3, 3, 3), np.float64)
