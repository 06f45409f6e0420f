"""Winograd's convolution in CUDA, emulated, against PyTorch in float64; every access traced, all memory NaN first."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kernels_cuda import convolved, names, same_in_every_order
from tinyseg.kernels import emulator
from tinyseg.kernels.conv2d import ConvGeometry, cuda_winograd, output_size, winograd_axis
from tinyseg.kernels.emulated import emulated

DRAWN = settings(max_examples=12)
ROUNDING = {np.float32: 1e-5, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
VERSIONS = [(np.float32, 4), (np.float16, 4), (ml_dtypes.bfloat16, 4), (np.float32, 2)]
side = st.integers(0, 4)
SAME = ConvGeometry((1, 1), ((1, 1), (1, 1)))


@pytest.fixture(autouse=True)
def _nothing_is_written_yet(monkeypatch):
    """The padding of the matrices holds NaN unless a kernel writes zeros: what must not be used shows."""

    def empty(shape, like, dtype=None):
        return np.full_like(like, np.nan, shape=shape, dtype=dtype)

    monkeypatch.setattr(cuda_winograd, "empty", empty)


def arrays(batch, channels, outputs, size, geometry, dtype=np.float32):
    """x, w, bias, gy, and a bias for gx"""
    rng = np.random.default_rng(5)
    windows = output_size(size, (3, 3), geometry)
    shapes = (batch, channels, *size), (outputs, channels, 3, 3), (outputs,), (batch, outputs, *windows), (channels,)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def ours(x, w, bias, gy, shift, geometry, pixels=4, relu=True):
    """(y, gx, gw) in float64; y is rectified, gx has a bias as a transposed convolution's result has it."""
    x, w, bias, gy, shift = (None if a is None else emulated(a) for a in (x, w, bias, gy, shift))
    version = cuda_winograd.Winograd(pixels)
    with emulator.using(mode="trace"):
        results = (
            version.forward(x, w, bias, relu, geometry),
            version.grad_input(gy, w, shift, geometry, x.shape[2:]),
            version.grad_weight(x, gy, geometry, (3, 3)),
        )
    assert all(type(r) is emulator.EmulatedArray and r.flags.c_contiguous and r.dtype == x.dtype for r in results)
    return [np.asarray(r).astype(float) for r in results]


def theirs(x, w, bias, gy, shift, geometry, relu=True):
    x, w, bias, gy, shift = (None if a is None else torch.from_numpy(a.astype(float)) for a in (x, w, bias, gy, shift))
    x.requires_grad_()
    w.requires_grad_()
    y = convolved(x, w, geometry, bias)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    gx = gx if shift is None else gx + shift[:, None, None]
    return [a.detach().numpy() for a in (y.relu() if relu else y, gx, gw)]


def assert_same(actual, expected, dtype):
    for got, want in zip(actual, expected, strict=True):
        assert got.shape == want.shape
        scale = max(1.0, np.abs(want).max(initial=0))
        np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("name", ["from_tile", "from_window", "to_window", "to_pixels", "from_pixels"])
@pytest.mark.parametrize("pixels", [2, 4])
def test_matrices_are_those_of_the_cpu(name, pixels):
    tile, window = pixels + 2, 3
    taken, given_ = {
        "from_tile": (tile, tile),
        "from_window": (window, tile),
        "to_window": (tile, window),
        "to_pixels": (tile, pixels),
        "from_pixels": (pixels, tile),
    }[name]
    text = f"""
    #include "conv2d/winograd_axis.cuh"
    extern "C" __global__ void matrix(float* result) {{
        float unit[{taken}] = {{}}, column[{given_}];
        unit[threadIdx.x] = 1;
        {name}(unit, column);
        for (int i = 0; i < {given_}; ++i) result[i * {taken} + threadIdx.x] = column[i];
    }}"""
    result = np.zeros((given_, taken), np.float32)
    emulator.Module(text=text).get_function("matrix")((1,), (taken,), (result,))
    function = getattr(winograd_axis, f"_{name}_{pixels}").py_func
    like = ((0,) * tile,) if name == "from_window" else ()
    expected = np.array([function(*like, tuple(unit)) for unit in np.eye(taken)]).T
    np.testing.assert_allclose(result, expected, rtol=1e-7, atol=0)


def test_what_it_applies_to():
    def applies(shape, dtype=np.float32, **changes):
        return cuda_winograd.Winograd(4).applies(SAME._replace(**changes), shape, np.dtype(dtype))

    assert all(applies((4, 5, 3, 3), dtype) for dtype in ROUNDING)
    assert not applies((4, 5, 3, 3), np.float64)
    assert not applies((4, 5, 3, 1))
    assert not applies((4, 5, 3, 3), stride=(1, 2))
    assert not applies((4, 5, 3, 3), dilation=(2, 1))
    assert not applies((4, 5, 3, 3), groups=2)


@DRAWN
@given(
    version=st.sampled_from(VERSIONS),
    batch=st.integers(0, 3),
    planes=st.tuples(*[st.sampled_from([1, 3, 8, 17, 33, 70])] * 2),
    size=st.tuples(*[st.integers(1, 14)] * 2),
    padding=st.tuples(*[st.tuples(side, side)] * 2),
    plain=st.booleans(),
)
def test_it_is_the_same_convolution(version, batch, planes, size, padding, plain):
    (dtype, pixels), geometry = version, ConvGeometry((1, 1), padding)
    assume(min(output_size(size, (3, 3), geometry)) >= 1)
    x, w, bias, gy, shift = arrays(batch, *planes, size, geometry, dtype)
    given_ = (x, w, None, gy, None) if plain else (x, w, bias, gy, shift)
    with emulator.record() as launches:
        actual = ours(*given_, geometry, pixels, relu=not plain)
    if batch:
        assert_same(actual, theirs(*given_, geometry, relu=not plain), dtype)
    else:
        assert [r.shape for r in actual] == [gy.shape, x.shape, w.shape]
        assert not actual[2].any()
    correlate = ["values_of_windows", "values_of_tiles", "product", "pixels_of_values"]
    weight = ["values_of_tiles", "values_of_pixels", "product_of_rows", "windows_of_values"]
    assert names(launches) == (2 * correlate + weight if batch else [])


# (batch, channels, outputs, size, rows and columns of y's product, those of gw's)
BLOCKS = {
    "one tile": ((1, 2, 3, (4, 4)), (64, 64), (64, 64)),
    "a wide product": ((1, 9, 5, (40, 41)), (64, 128), (64, 64)),
    "wide and tall": ((1, 65, 66, (36, 36)), (128, 128), (128, 128)),
    "64 add less padding": ((1, 8, 130, (35, 19)), (64, 64), (64, 64)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_fit_together(name, monkeypatch):
    shape, of_y, of_gw = BLOCKS[name]
    monkeypatch.setattr(cuda_winograd, "LEAST_SHARE", 32)  # several shares of the tiles
    given_ = arrays(*shape, SAME)
    with emulator.record() as launches:
        assert_same(ours(*given_, SAME), theirs(*given_, SAME), np.float32)
    products = [launch for launch in launches if launch.kernel.startswith("product")]
    for launch, (rows, columns) in ((products[0], of_y), (products[-1], of_gw)):
        assert launch.block[0] == rows * columns // 64
    down, across = (-(-size // 4) for size in shape[3])
    assert products[-1].grid[2] == 36 * max(1, -(-shape[0] * down * across // 32))


@pytest.mark.parametrize("pixels", [2, 4])
def test_many_tiles_take_several_passes(pixels, monkeypatch):
    monkeypatch.setattr(cuda_winograd, "CACHE", 0)
    monkeypatch.setattr(cuda_winograd, "LEAST_TILES", 64)
    monkeypatch.setattr(cuda_winograd, "LEAST_SHARE", 32)
    given_ = arrays(2, 5, 6, (25, 30), SAME)
    with emulator.record() as launches:
        assert_same(ours(*given_, SAME, pixels), theirs(*given_, SAME), np.float32)
    tiles = 2 * -(-25 // pixels) * -(-30 // pixels)
    assert sum(launch.kernel == "product_of_rows" for launch in launches) == -(-tiles // 64)


def test_memory_has_a_bound():
    for tiles, planes in ((1, 2), (10**6, 6), (10**6, 128), (10**6, 2048), (10**6, 20000), (300, 10**6)):
        each = cuda_winograd._at_once(tiles, planes, 36)
        assert each % 32 == 0
        assert each == 32 or each * 4 * 36 * planes <= cuda_winograd.MEMORY


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_order_of_threads_gives_the_same_bits(dtype, monkeypatch):
    monkeypatch.setattr(cuda_winograd, "LEAST_SHARE", 32)
    same_in_every_order(ours, *arrays(2, 9, 7, (17, 18), SAME, dtype), SAME)


def test_what_is_not_finite_spreads_over_its_tile():
    given_ = arrays(1, 3, 4, (16, 16), SAME)
    given_[0][0, 1, 5, 6] = np.nan
    y, expected = ours(*given_, SAME)[0], theirs(*given_, SAME)[0]
    tiles = np.zeros((16, 16), bool)
    tiles[4:8, 4:8] = True  # rows and columns from 3 to 8 are theirs alone
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(tiles, y.shape))  # and ReLU keeps it, as PyTorch's
    np.testing.assert_allclose(y[..., ~tiles], expected[..., ~tiles], rtol=0, atol=1e-4)


@pytest.mark.parametrize("pixels", [2, 4])
def test_memory_is_read_and_written_side_by_side(pixels):
    given_ = [emulated(a) for a in arrays(1, 8, 64, (8, 128), SAME)]
    x, w, bias, gy, _ = given_
    version = cuda_winograd.Winograd(pixels)
    with emulator.profile() as costs:
        version.forward(x, w, bias, True, SAME)
        version.grad_input(gy, w, None, SAME, (8, 128))
        version.grad_weight(x, gy, SAME, (3, 3))
    of_tiles = [r for r in costs.rows if r.kernel != "values_of_windows"]
    assert {r.kernel for r in of_tiles} == {
        "values_of_tiles", "values_of_pixels", "pixels_of_values", "windows_of_values", "product", "product_of_rows"
    }  # fmt: skip
    for row in of_tiles:
        if row.memory == "shared":
            assert row.transactions == row.ideal, str(row)  # no two lanes want different words of a bank
        else:  # x begins a pixel beside a sector, and a warp takes 32 columns, some of them twice
            assert row.transactions <= row.ideal * (1.25 if row.kernel == "values_of_tiles" else 1.01), str(row)
