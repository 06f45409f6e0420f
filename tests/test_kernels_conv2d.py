"""The convolution kernels against PyTorch and against the plain loops of their reference."""

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tinyseg import kernels
from tinyseg.errors import ArgumentError, DeviceError
from tinyseg.kernels import conv2d
from tinyseg.kernels.conv2d import ConvGeometry, cpu, cpu_implicit, output_size, reference

WINOGRAD = ("winograd2x2", "winograd4x4")
QUICK = settings(max_examples=40, deadline=None, derandomize=True)
small = st.integers(1, 3)
side = st.integers(0, 3)
pair = st.tuples(small, small)


@st.composite
def problems(draw, version="implicit"):
    """(x, w, bias, gy, geometry) of a small convolution with at least one output pixel that a version applies to."""
    groups = 1 if version in WINOGRAD else draw(st.sampled_from([1, 1, 2, 3]))
    padding = ((draw(side), draw(side)), (draw(side), draw(side)))
    stride, dilation = ((1, 1), (1, 1)) if version in WINOGRAD else (draw(pair), draw(pair))
    geometry = ConvGeometry(stride, padding, dilation, groups)
    batch, size = draw(st.integers(0, 3)), (draw(st.integers(1, 8)), draw(st.integers(1, 8)))
    channels, outputs = draw(small), draw(small)
    kernel = (3, 3) if version in WINOGRAD else draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    out = output_size(size, kernel, geometry)
    assume(min(out) >= 1)
    return arrays(batch, groups * channels, groups * outputs, size, kernel, geometry)


def arrays(batch, channels, outputs, size, kernel, geometry, dtype=np.float64):
    rng = np.random.default_rng(3)
    shapes = [
        (batch, channels, *size),
        (outputs, channels // geometry.groups, *kernel),
        (outputs,),
        (batch, outputs, *output_size(size, kernel, geometry)),
    ]
    return *(rng.standard_normal(shape).astype(dtype) for shape in shapes), geometry


def by_torch(x, w, bias, gy, geometry):
    """What `by` gives, by PyTorch's convolution and autograd on the explicitly padded input."""
    x, w, bias, gy = (torch.from_numpy(a) for a in (x, w, bias, gy))
    x.requires_grad_()
    w.requires_grad_()
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, w, bias, geometry.stride, 0, geometry.dilation, geometry.groups)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    shifted = gx + torch.from_numpy(per_channel(x)).to(gx)[:, None, None]
    return [t.detach().numpy() for t in (y, torch.relu(y), gx, shifted, gw)]


def per_channel(x):
    return np.arange(1, 1 + x.shape[1], dtype=np.float64)


def by(module, x, w, bias, gy, geometry):
    """(y, max(y, 0), gx, gx with a bias, gw)"""
    return (
        module.forward(x, w, geometry, bias),
        module.forward(x, w, geometry, bias, relu=True),
        module.grad_input(gy, w, geometry, x.shape[2:]),
        module.grad_input(gy, w, geometry, x.shape[2:], per_channel(x).astype(x.dtype)),
        module.grad_weight(x, gy, geometry, w.shape[2:]),
    )


def assert_same(actual, expected, tolerance):
    for got, want in zip(actual, expected, strict=True):
        scale = max(1.0, np.abs(want).max(initial=0))
        assert got.shape == want.shape
        assert got.flags.c_contiguous
        np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=tolerance)


@QUICK
@given(problems())
def test_reference_is_pytorchs_convolution(problem):
    assume(problem[0].shape[0] > 0)  # PyTorch has no gradient of an empty batch in every geometry
    assert_same(by(reference, *problem), by_torch(*problem), 1e-12)


@QUICK
@given(problems())
def test_cpu_equals_reference_in_float64(problem):
    assert_same(by(conv2d, *problem), by(reference, *problem), 1e-12)


@QUICK
@given(problems())
def test_float32_is_within_its_rounding(problem):
    *arrays, geometry = problem
    halved = [a.astype(np.float32) for a in arrays]
    results = by(conv2d, *halved, geometry)
    assert all(r.dtype == np.float32 for r in results)
    assert_same(results, by(reference, *(a.astype(np.float64) for a in halved), geometry), 1e-5)


# Large enough for several blocks on every thread, with a rest; several samples in a block; one row above a block.
BLOCKS = {
    "rows of large images": (3, 9, 10, (37, 70), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1)))),
    "many small images": (29, 3, 4, (7, 5), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1)))),
    "a row longer than a block": (2, 3, 2, (3, 700), (3, 3), ConvGeometry((1, 1), ((1, 1), (0, 1)))),
    "shifts, last block short": (2, 6, 5, (43, 65), (3, 4), ConvGeometry((1, 1), ((1, 2), (0, 3)))),
    "shifts, dilated, in groups": (3, 12, 8, (29, 40), (3, 3), ConvGeometry((1, 1), ((2, 2), (4, 4)), (2, 4), 2)),
    "shifts, one image, less rows than threads": (1, 5, 6, (1, 300), (1, 3), ConvGeometry()),
    "shifts from and onto one channel": (2, 1, 5, (17, 33), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1)))),
    "more outputs than dots take": (2, 3, 133, (12, 16), (3, 3), ConvGeometry()),
    "padding wider than the image": (2, 5, 4, (3, 9), (2, 3), ConvGeometry((1, 1), ((6, 5), (11, 12)))),
    "groups": (3, 30, 30, (21, 33), (3, 2), ConvGeometry((2, 1), ((1, 0), (2, 1)), (1, 2), 3)),
    "stride 3": (4, 4, 5, (40, 31), (4, 2), ConvGeometry((3, 3), ((0, 2), (1, 1)))),
    "depthwise": (3, 4, 4, (19, 35), (3, 5), ConvGeometry((2, 1), ((1, 1), (2, 2)), (1, 1), 4)),
    "depthwise, two outputs a channel": (2, 3, 6, (9, 9), (3, 3), ConvGeometry(groups=3)),
    "1x1": (5, 11, 9, (11, 13), (1, 1), ConvGeometry()),
    "1x1 in groups, one image": (1, 8, 6, (15, 9), (1, 1), ConvGeometry(groups=2)),
    "1x1 with padding": (2, 3, 3, (6, 6), (1, 1), ConvGeometry((1, 1), ((1, 0), (0, 1)))),
    "1x1 with stride": (2, 3, 3, (9, 9), (1, 1), ConvGeometry((2, 2))),
    "many channels": (2, 17, 20, (13, 19), (3, 3), ConvGeometry((1, 1), ((1, 1), (0, 2)))),
    "padding beyond the window": (2, 3, 2, (5, 6), (2, 2), ConvGeometry((1, 1), ((3, 2), (2, 4)))),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_fit_together(name):
    problem = arrays(*BLOCKS[name])
    assert_same(by(conv2d, *problem), by_torch(*problem), 1e-12)


@pytest.mark.parametrize("name", ["rows of large images", "depthwise", "1x1", "1x1 in groups, one image"])
def test_any_number_of_threads(name):
    problem, before = arrays(*BLOCKS[name]), ts.get_num_threads()
    expected = by_torch(*problem)
    try:
        ts.set_num_threads(1)
        assert_same(by(conv2d, *problem), expected, 1e-12)
    finally:
        ts.set_num_threads(before)


@pytest.mark.parametrize("name", ["many small images", "groups", "depthwise", "1x1"])
def test_same_call_same_bits(name):
    problem = arrays(*BLOCKS[name], dtype=np.float32)
    for first, second in zip(by(conv2d, *problem), by(conv2d, *problem), strict=True):
        assert first.tobytes() == second.tobytes()


@QUICK
@given(problems())
def test_three_kernels_are_adjoint(problem):
    x, w, _, gy, geometry = problem
    product = np.vdot(conv2d.forward(x, w, geometry), gy)
    bound = 1e-12 * (1 + np.linalg.norm(x) * np.linalg.norm(w) * np.linalg.norm(gy))
    assert abs(product - np.vdot(x, conv2d.grad_input(gy, w, geometry, x.shape[2:]))) <= bound
    assert abs(product - np.vdot(w, conv2d.grad_weight(x, gy, geometry, w.shape[2:]))) <= bound


def test_pixels_no_window_touches_get_zero_gradient():
    geometry = ConvGeometry((3, 3))  # windows of 2 at 0, 3 and 6 leave rows and columns 2, 5 and 8 alone
    gx = conv2d.grad_input(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), geometry, (9, 9))
    line = np.array([1, 1, 0] * 3)
    np.testing.assert_array_equal(gx[0, 0], np.outer(line, line))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_types_are_stored_in_t_and_summed_in_float32(dtype):
    x = np.ones((1, 3000, 1, 1), dtype)  # in float16 a running sum of ones stops at 2048, in bfloat16 at 256
    y = conv2d.forward(x, np.ones((2, 3000, 1, 1), dtype), ConvGeometry())
    assert y.dtype == dtype
    assert (y == np.float32(3000).astype(dtype)).all()


def test_what_is_not_finite_stays_with_the_taps_that_see_it():
    x, w, bias, gy, geometry = arrays(2, 3, 4, (16, 16), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1))))
    x[0, 0, 5, 15] = np.nan
    gw = conv2d.grad_weight(x, gy, geometry, (3, 3))
    expected = by_torch(x, w, bias, gy, geometry)[-1]
    assert np.isnan(expected[0, 0]).sum() == 6  # the column of taps one to the right never sees the last pixel
    np.testing.assert_array_equal(np.isnan(gw), np.isnan(expected))
    np.testing.assert_allclose(gw[:, 1:], expected[:, 1:], atol=1e-12)


WINDOWS = [
    ((2, 3, 4, (8, 7), (3, 3)), ConvGeometry((1, 1), ((1, 1), (1, 1)))),
    ((1, 8, 8, (20, 20), (3, 3)), ConvGeometry()),
    ((2, 4, 6, (9, 8), (3, 2)), ConvGeometry((2, 1), ((0, 1), (2, 2)), (1, 2), 2)),
    ((1, 3, 3, (8, 8), (3, 3)), ConvGeometry((1, 1), ((1, 1), (1, 1)), (1, 1), 3)),
    ((1, 2, 2, (5, 5), (1, 1)), ConvGeometry((2, 2))),
]


@pytest.mark.parametrize("problem", WINDOWS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_reaches_the_pixels_that_its_tap_sees(problem, bad):
    x, w, bias, gy, geometry = arrays(*problem[0], problem[1])
    w[1, 0, 0, -1] = bad
    gx = conv2d.grad_input(gy, w, geometry, x.shape[2:])
    expected = by_torch(x, w, bias, gy, geometry)[2]
    assert 0 < np.isfinite(expected[0]).sum() < expected[0].size
    np.testing.assert_allclose(gx, expected, rtol=0, atol=1e-12)


def test_views_are_read_right_and_left_alone():
    x, w, bias, gy, geometry = arrays(*BLOCKS["groups"])
    views = [np.asfortranarray(a) for a in (x, w, bias, gy)]
    views[0].flags.writeable = False
    before = [a.copy() for a in views]
    assert_same(by(conv2d, *views, geometry), by_torch(x, w, bias, gy, geometry), 1e-12)
    for view, copy in zip(views, before, strict=True):
        np.testing.assert_array_equal(view, copy)


@pytest.mark.parametrize("name", cpu.ALGORITHMS)
@QUICK
@given(data=st.data())
def test_every_version_is_the_same_convolution(name, data):
    problem = data.draw(problems(version=name))
    assert cpu.ALGORITHMS[name].applies(problem[-1], problem[1].shape)
    with kernels.use(conv2d=name):
        assert_same(by(conv2d, *problem), by(reference, *problem), 1e-12)


VERSIONS = {  # which take it, and which of them is the fastest in float32
    "depthwise": (["direct", "im2col", "implicit", "shifts"], "shifts"),
    "1x1": (["direct", "im2col", "implicit", "shifts"], "implicit"),
    "rows of large images": (["direct", "im2col", "implicit", "shifts", *WINOGRAD], "implicit"),
    "many channels": (["direct", "im2col", "implicit", "shifts", *WINOGRAD], "winograd4x4"),
    "groups": (["direct", "im2col", "implicit", "shifts"], "implicit"),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_every_shape_has_its_versions(name, monkeypatch):
    expected, fastest = VERSIONS[name]
    problem = arrays(*BLOCKS[name], dtype=np.float32)
    assert conv2d.algorithms(problem[-1], problem[1].shape) == expected
    called = set()

    def recorded(label, function):
        def call(*arguments):
            called.add(label)
            return function(*arguments)

        return call

    for label, version in cpu.ALGORITHMS.items():
        for kernel in ("correlate", "correlate_weight"):
            monkeypatch.setattr(version, kernel, recorded((label, kernel), getattr(version, kernel)))
    by(conv2d, *problem)
    assert called == {(fastest, "correlate"), (fastest, "correlate_weight")}
    for label in expected:
        called.clear()
        with kernels.use(conv2d=label):
            by(conv2d, *problem)
        assert called == {(label, "correlate"), (label, "correlate_weight")}


def test_a_version_is_used_from_the_call_on_or_inside_with():
    kernels.use(conv2d="direct")
    with kernels.use(conv2d="im2col"):
        assert kernels.chosen("conv2d") == "im2col"
    assert kernels.chosen("conv2d") == "direct"
    kernels.use(conv2d=None)
    assert kernels.chosen("conv2d") is None


def test_versions_that_do_not_exist():
    with pytest.raises(ArgumentError, match=r"use: conv2d must be one of direct, .* or None, got 'fft'"):
        kernels.use(conv2d="fft")
    with pytest.raises(ArgumentError, match="use: no family 'conv3d'"):
        kernels.use(conv3d="direct")
    assert kernels.chosen("conv2d") is None


# Winograd's tiles: whole and cut, several images in a block, one, thin and wide, few and odd numbers of channels.
TILES = {
    "whole tiles": (2, 16, 16, (16, 16), 1),
    "cut tiles, odd channels": (3, 17, 13, (9, 15), 1),
    "without padding": (2, 12, 20, (11, 6), 0),
    "more padding than a window": (2, 12, 12, (5, 4), 4),
    "the smallest image": (1, 12, 12, (3, 3), 0),
    "many small images": (41, 33, 20, (5, 5), 1),
    "a wide image": (1, 14, 12, (4, 300), 1),
    "many channels": (3, 140, 131, (8, 8), 1),
}


@pytest.mark.parametrize("version", WINOGRAD)
@pytest.mark.parametrize("name", TILES)
def test_winograd_is_the_same_convolution(name, version, monkeypatch):
    batch, channels, outputs, size, padding = TILES[name]
    geometry = ConvGeometry((1, 1), ((padding, padding), (padding, padding)))
    x, w, bias, gy, _ = arrays(batch, channels, outputs, size, (3, 3), geometry)
    expected = by_torch(x, w, bias, gy, geometry)
    monkeypatch.setattr(cpu_implicit, "correlate", None)  # must not be asked
    with kernels.use(conv2d=version):
        assert_same(by(conv2d, x, w, bias, gy, geometry), expected, 1e-13)
    halved = [a.astype(np.float32) for a in (x, w, bias, gy)]
    expected = by_torch(*(a.astype(np.float64) for a in halved), geometry)
    with kernels.use(conv2d=version):
        assert_same(by(conv2d, *halved, geometry), expected, 1e-5)


def test_full_accuracy_does_without_the_version_that_rounds_more(monkeypatch):
    problem = arrays(4, 64, 64, (32, 32), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1))), np.float32)
    expected = by_torch(*(a.astype(np.float64) for a in problem[:4]), problem[4])

    def errors():
        pairs = zip(by(conv2d, *problem), expected, strict=True)
        return [np.abs(got - want).max() / np.abs(want).max() for got, want in pairs]

    with kernels.use(conv2d="implicit"):
        plain = errors()
    fastest = errors()
    with kernels.use(full_accuracy=True):
        assert kernels.full_accuracy()
        monkeypatch.setattr(cpu.ALGORITHMS["winograd4x4"], "correlate", None)  # must not be asked
        monkeypatch.setattr(cpu.ALGORITHMS["winograd4x4"], "correlate_weight", None)
        full = errors()
    assert not kernels.full_accuracy()
    assert all(f <= 1.5 * p for f, p in zip(full, plain, strict=True)), (full, plain)
    assert fastest[0] > full[0]  # or there were nothing to choose


def test_full_accuracy_is_yes_or_no():
    with pytest.raises(ArgumentError, match="full_accuracy must be True, False or None"):
        kernels.use(full_accuracy="high")
    assert not kernels.full_accuracy()


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")  # of the plain Python, without the JIT
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_winograd_steps_back_where_numbers_are_not_finite(bad):
    x, w, bias, gy, geometry = arrays(2, 16, 16, (12, 12), (3, 3), ConvGeometry((1, 1), ((1, 1), (1, 1))), np.float32)
    w[np.abs(w) < 0.01] = 0.01
    x[0, 3, 5, 6] = gy[1, 2, 7, 4] = bad
    for got, want in zip(by(conv2d, x, w, bias, gy, geometry), by_torch(x, w, bias, gy, geometry), strict=True):
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        finite = np.isfinite(want)
        scale = np.abs(want[finite]).max()
        np.testing.assert_allclose(got[finite] / scale, want[finite] / scale, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "kernel", "geometry", "expected"),
    [
        ((5, 7), (3, 3), ConvGeometry(), (3, 5)),  # by hand, Dumoulin & Visin figures 2.1 to 2.6
        ((5, 5), (4, 4), ConvGeometry((1, 1), ((2, 2), (2, 2))), (6, 6)),
        ((6, 6), (3, 3), ConvGeometry((2, 2), ((1, 1), (1, 1))), (3, 3)),
        ((7, 7), (3, 3), ConvGeometry((1, 1), ((0, 0), (0, 0)), (2, 2)), (3, 3)),
        ((4, 4), (2, 2), ConvGeometry((1, 1), ((0, 1), (0, 1))), (4, 4)),  # 'same' with an even window
        ((2, 2), (4, 4), ConvGeometry(), (-1, -1)),
    ],
)
def test_output_size(size, kernel, geometry, expected):
    assert output_size(size, kernel, geometry) == expected


def test_an_array_of_another_library_has_no_kernels_here():
    class Foreign:
        pass

    with pytest.raises(DeviceError, match=r"conv2d: kernels take NumPy's, CuPy's and emulated arrays, got a .*Foreign"):
        conv2d.forward(Foreign(), Foreign(), ConvGeometry())
