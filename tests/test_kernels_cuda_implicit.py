"""Convolution version 3 in CUDA (implicit GEMM), emulated, against PyTorch in float64; every access traced."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.test_kernels_conv2d import arrays
from tinyseg.kernels import emulator
from tinyseg.kernels.conv2d import ConvGeometry, cuda_implicit, output_size
from tinyseg.kernels.emulated import EmulatedArray, emulated, plain
from tinyseg.kernels.source import KERNELS

BFLOAT16 = ml_dtypes.bfloat16
ROUNDING = {np.float32: 2e-6, np.float16: 1e-3, BFLOAT16: 8e-3}
# Types and rows of a tile, and how many examples: half the time goes into the threads that a large tile has to spare.
BUILDS = [(np.float32, 128, 4), (np.float32, 64, 6), (np.float32, 32, 12), (np.float16, 32, 3), (BFLOAT16, 128, 2)]
NAMES = ["implicit_pack", "implicit"]

small, side = st.integers(1, 3), st.integers(0, 3)
pair = st.tuples(small, small)


@pytest.fixture
def rows(monkeypatch):
    """Sets the tile: for arrays as small as these the launcher would always take the smallest."""
    return lambda count: monkeypatch.setattr(cuda_implicit, "_tiles", lambda x: (count,))


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
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, w, bias, geometry.stride, 0, geometry.dilation, geometry.groups)
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


def check(problem, dtype):
    """Nothing is read or written where it must not be, and the results are PyTorch's."""
    *values, geometry = problem
    values = [a.astype(dtype) for a in values]
    with emulator.using(mode="trace"), emulator.record() as launches:
        ours = by_cuda(*values, geometry)
    assert [launch.kernel for launch in launches] == NAMES * 4 + ["implicit_weight", "implicit_sum"]
    for got, want in zip(ours, by_torch(*values, geometry), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=ROUNDING[dtype] * max(1.0, np.abs(want).max()))


@pytest.mark.parametrize(("dtype", "count", "examples"), BUILDS)
def test_geometry(rows, dtype, count, examples):
    rows(count)

    @settings(deadline=None, derandomize=True, max_examples=examples)
    @given(problems())
    def drawn(problem):
        check(problem, dtype)

    drawn()


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
def test_case(rows, case):
    count, *problem = CASES[case]
    rows(count)
    check(arrays(*problem), np.float32)


def test_nan_goes_where_it_goes_in_pytorch(rows):
    """Neither into the zeros that fill up steps and tiles nor out of what padding hides; and ReLU keeps it."""
    rows(32)
    geometry = ConvGeometry((2, 1), ((1, 0), (1, 2)))
    x, w, bias, gy, _ = arrays(2, 3, 5, (9, 12), (3, 3), geometry)
    x[1, 2, 0, 0] = x[0, 1, 8, 11] = gy[0, 3, 2, 4] = np.nan
    ours = by_cuda(*(a.astype(np.float32) for a in (x, w, bias, gy)), geometry)
    for got, want in zip(ours, by_torch(x, w, bias, gy, geometry), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize("count", [64, 32])
def test_every_order_of_threads_gives_the_same_bits(rows, count):
    rows(count)
    problem, bits = arrays(2, 5, 40, (11, 13), (3, 3), ConvGeometry((2, 1), ((1, 1), (1, 1)))), set()
    *values, geometry = problem
    values = [a.astype(np.float32) for a in values]
    for order in ("forward", "reverse", "random"):
        with emulator.using(order=order, mode="trace"):
            bits.add(b"".join(y.tobytes() for y in by_cuda(*values, geometry)))
    assert len(bits) == 1


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


@pytest.mark.parametrize("count", [128, 32])
def test_memory_is_read_side_by_side_and_no_bank_twice(rows, count):
    rows(count)
    geometry = ConvGeometry((1, 1), ((1, 1), (1, 1)))
    x, w, _, gy = (emulated(a.astype(np.float32)) for a in arrays(1, 4, 128, (8, 32), (3, 3), geometry)[:4])
    forward = costs(cuda_implicit.forward, x, w, None, False, geometry)
    weight = costs(cuda_implicit.grad_weight, x, gy, geometry, (3, 3))
    for lines in (forward, weight):
        for word in ("memory.steps", "tile.cuh"):
            assert excess(lines, "shared", word) == 1
    for word in ("(packed)", "table[k", "y[row"):
        assert excess(forward, "global", word) == 1
    assert excess(forward, "global", "x[offset]") < 1.35  # a tap's row begins in the middle of a sector
    assert excess(weight, "global", "walk.gy[") == 1
    assert excess(weight, "shared", "places[mine") == 1


def test_choices():
    """Large tiles for large products, finer ones where there are too few of them; parts that together are the whole."""
    tiles = 128, 64, 32
    assert [cuda_implicit._rows(channels, 4000, tiles) for channels in (512, 128, 64, 32, 8)] == [128, 128, 64, 32, 32]
    assert cuda_implicit._rows(512, 8, tiles) == 32
    for count, steps in ((1, 1), (1, 12544), (5, 12544), (144, 1024), (9000, 40)):
        parts, each = cuda_implicit._parts(count, steps, 264, 65535)
        assert parts * each >= steps > (parts - 1) * each
    assert cuda_implicit._parts(5, 12544, 264, 65535)[0] == 52  # 260 blocks at once, and none after them


def test_applies_where_a_window_has_enough_bits():
    def applies(shape, dtype):
        return cuda_implicit.applies(ConvGeometry(), shape, np.dtype(dtype))

    assert applies((4, 3, 15, 16), np.float32)
    assert applies((4, 3, 1, 30), BFLOAT16)
    assert not applies((4, 3, 16, 16), np.float32)
    assert not applies((4, 3, 3, 3), np.float64)
