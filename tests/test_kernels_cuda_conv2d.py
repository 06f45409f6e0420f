"""Every CUDA version of convolution, emulated, against the plain loops of the reference and PyTorch in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyseg import kernels
from tinyseg.errors import ArgumentError
from tinyseg.kernels import conv2d, emulator
from tinyseg.kernels.conv2d import ConvGeometry, cpu, cpu_shifts, cuda, cuda_columns, output_size, reference
from tinyseg.kernels.emulated import emulated, plain

VERSIONS = [*cuda.ALGORITHMS]
TRACED = ("direct", "im2col")  # the others' accesses are traced by tests of their own
ROUNDING = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
MORE = {("winograd", np.float32): 1e-5, ("tensor", np.float32): 1e-3}  # of versions that round factors, too
DRAWN = settings(deadline=None, derandomize=True, max_examples=10)
SAME = ConvGeometry((1, 1), ((1, 1), (1, 1)))
small = st.integers(1, 3)
side = st.integers(0, 3)
pair = st.tuples(small, small)


def arrays(batch, channels, outputs, size, kernel_size, geometry, dtype=np.float32):
    """x, w, the bias of y, gy, the bias of gx; and the geometry."""
    rng = np.random.default_rng(3)
    shapes = [
        (batch, channels, *size),
        (outputs, channels // geometry.groups, *kernel_size),
        (outputs,),
        (batch, outputs, *output_size(size, kernel_size, geometry)),
        (channels,),
    ]
    return *(rng.standard_normal(shape).astype(dtype) for shape in shapes), geometry


@st.composite
def problems(draw, version):
    """Small convolutions to which the version applies, in one of its types: windows larger than the image, pixels that
    no window sees, padding on one side only, depthwise."""
    plain_only = version == "winograd"
    groups, kind = 1 if plain_only else draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from(["any", "depthwise"]))
    geometry = ConvGeometry(
        (1, 1) if plain_only else draw(pair),
        ((draw(side), draw(side)), (draw(side), draw(side))),
        (1, 1) if plain_only else draw(pair),
        groups,
    )
    kernel_size = (3, 3) if plain_only else draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    size = draw(st.integers(1, 8)), draw(st.sampled_from([1, 2, 5, 8, 13]))
    channels = 1 if kind == "depthwise" else draw(st.sampled_from([1, 2, 5]))
    outputs = draw(small) if kind == "depthwise" else draw(st.sampled_from([1, 3, 6]))
    assume(min(output_size(size, kernel_size, geometry)) >= 1)
    dtype = draw(st.sampled_from(types_of(version, geometry, (outputs, channels, *kernel_size))))
    batch = draw(st.integers(1, 3))
    return *arrays(batch, groups * channels, groups * outputs, size, kernel_size, geometry, dtype), dtype


def types_of(version, geometry, shape):
    return [t for t in ROUNDING if cuda.ALGORITHMS[version].applies(geometry, shape, np.dtype(t))]


def by(module, x, w, bias, gy, shift, geometry):
    """(y, y with a bias, max(y, 0), gx, gx with a bias, gw)"""
    return (
        module.forward(x, w, geometry),
        module.forward(x, w, geometry, bias),
        module.forward(x, w, geometry, bias, relu=True),
        module.grad_input(gy, w, geometry, x.shape[2:]),
        module.grad_input(gy, w, geometry, x.shape[2:], shift),
        module.grad_weight(x, gy, geometry, w.shape[2:]),
    )


def by_torch(x, w, bias, gy, shift, geometry):
    x, w, bias, gy, shift = (torch.from_numpy(a) for a in (x, w, bias, gy, shift))
    x, w = x.requires_grad_(), w.requires_grad_()
    (top, bottom), (left, right) = geometry.padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    y = torch.nn.functional.conv2d(padded, w, None, geometry.stride, 0, geometry.dilation, geometry.groups)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    y, shifted = y.detach(), y.detach() + bias[:, None, None]
    return [t.numpy() for t in (y, shifted, torch.relu(shifted), gx, gx + shift[:, None, None], gw)]


def on_device(version, *problem, **how):
    mode = "trace" if version in TRACED and not how else "fast"
    with kernels.use(conv2d=version), emulator.using(mode=mode, **how):
        return by(conv2d, *(emulated(a) for a in problem[:-1]), problem[-1])


def check(version, problem, expected, dtype):
    """The bound is in terms of the largest sum of absolute products, as rounding is."""
    sizes = by_torch(*(np.abs(a.astype(np.float64)) for a in problem[:-1]), problem[-1])
    for got, want, size in zip(on_device(version, *problem), expected, sizes, strict=True):
        assert type(got) is emulator.EmulatedArray
        assert got.dtype == dtype
        assert got.flags.c_contiguous
        bound = MORE.get((version, dtype), ROUNDING[dtype]) * max(1e-3, size.max(initial=0))
        np.testing.assert_allclose(plain(got).astype(np.float64), want, rtol=0, atol=bound)


@pytest.mark.parametrize("version", VERSIONS)
@DRAWN
@given(data=st.data())
def test_every_version_is_the_same_convolution(version, data):
    *problem, dtype = data.draw(problems(version))
    wide = (*(a.astype(np.float64) for a in problem[:-1]), problem[-1])
    check(version, problem, by(reference, *wide), dtype)


# Several blocks of every kind with a rest, and what versions treat in ways of their own.
SHAPES = {
    "wide": (2, 3, 9, (6, 70), (3, 3), SAME),
    "many small images": (33, 4, 6, (3, 3), (3, 3), SAME),
    "many channels": (1, 37, 34, (5, 7), (3, 3), SAME),
    "stride": (2, 5, 18, (11, 24), (3, 3), SAME._replace(stride=(2, 2))),
    "stride beyond the window": (1, 3, 5, (9, 26), (2, 1), ConvGeometry((3, 4), ((2, 0), (0, 1)))),
    "stride and dilation share a factor": (1, 4, 4, (16, 17), (3, 3), ConvGeometry((4, 2), ((2, 2), (3, 3)), (2, 4))),
    "groups": (2, 12, 10, (9, 17), (3, 2), ConvGeometry((1, 2), ((1, 0), (2, 1)), (1, 2), 2)),
    "depthwise": (2, 11, 11, (13, 21), (3, 3), SAME._replace(groups=11)),
    "depthwise with stride": (2, 9, 9, (12, 15), (3, 3), SAME._replace(stride=(2, 2), groups=9)),
    "depthwise, 5x5, two outputs a channel": (
        1,
        4,
        8,
        (9, 12),
        (5, 5),
        ConvGeometry((1, 1), ((2, 2), (2, 2)), (1, 1), 4),
    ),
    "1x1": (2, 19, 21, (7, 10), (1, 1), ConvGeometry()),
    "1x1 in groups": (2, 8, 6, (7, 10), (1, 1), ConvGeometry(groups=2)),
    "1x1 with stride": (2, 9, 7, (7, 10), (1, 1), ConvGeometry((2, 2))),
    "one pixel": (3, 6, 5, (1, 1), (1, 1), ConvGeometry()),
    "a large window": (1, 2, 3, (9, 12), (7, 5), ConvGeometry((1, 1), ((3, 3), (2, 2)))),
    "a window larger than the image": (2, 3, 2, (2, 3), (4, 5), ConvGeometry((1, 1), ((3, 2), (4, 3)))),
    "padding beyond the window": (2, 3, 2, (5, 6), (2, 2), ConvGeometry((1, 1), ((3, 2), (2, 4)))),
}


def applied(*names):
    """(version, name of a shape) where the version takes the shape."""
    weights = {name: (SHAPES[name][-1], arrays(*SHAPES[name])[1]) for name in names}
    return [(v, n) for n in names for v in VERSIONS if np.float32 in types_of(v, weights[n][0], weights[n][1].shape)]


@pytest.mark.parametrize(("version", "name"), applied(*SHAPES))
def test_blocks_fit_together(version, name):
    *problem, geometry = arrays(*SHAPES[name])
    expected = by_torch(*(a.astype(np.float64) for a in problem), geometry)
    check(version, (*problem, geometry), expected, np.float32)


@pytest.mark.parametrize(("version", "name"), applied("wide", "many small images", "stride"))
def test_every_order_of_threads_gives_the_same_bits(version, name):
    problem = arrays(*SHAPES[name])
    orders = ("forward", "reverse", "random")
    bits = {b"".join(y.tobytes() for y in on_device(version, *problem, order=order)) for order in orders}
    assert len(bits) == 1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("version", VERSIONS)
def test_half_types_are_summed_in_float32(version, dtype):
    window = (3, 3) if version == "winograd" else (1, 1)
    x, w = np.ones((1, 3000, *window), dtype), np.ones((2, 3000, *window), dtype)  # no half type counts so far by ones
    with kernels.use(conv2d=version):
        y = conv2d.forward(emulated(x), emulated(w), ConvGeometry())
    assert y.dtype == dtype
    np.testing.assert_allclose(plain(y).astype(np.float32), 3000 * window[0] ** 2, rtol=4e-3)


@pytest.mark.parametrize("version", ["direct", "im2col"])  # which do not multiply the zeros around the image
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_reaches_the_pixels_that_its_tap_sees(version, bad):
    for shape in ((2, 3, 4, (8, 7), (3, 3), SAME), (2, 4, 6, (9, 8), (3, 2), SHAPES["groups"][-1])):
        x, w, _, gy, _, geometry = arrays(*shape)
        w[1, 0, 0, -1] = bad
        expected = reference.grad_input(gy.astype(np.float64), w.astype(np.float64), geometry, x.shape[2:])
        with kernels.use(conv2d=version), np.errstate(invalid="ignore"):
            gx = plain(conv2d.grad_input(emulated(gy), emulated(w), geometry, x.shape[2:]))
        assert 0 < np.isfinite(expected[0]).sum() < expected[0].size
        np.testing.assert_allclose(gx, expected, rtol=0, atol=1e-4)


def test_relu_keeps_nan():
    x = emulated(np.array([np.nan, -1, 2], np.float32).reshape(1, 1, 1, 3))
    for version in ("direct", "im2col", "implicit", "tensor"):
        with kernels.use(conv2d=version):
            y = conv2d.forward(x, emulated(np.ones((1, 1, 1, 1), np.float32)), ConvGeometry(), relu=True)
        np.testing.assert_array_equal(plain(y).ravel(), [np.nan, 0, 2])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 2, 0)], ids=["images", "channels", "outputs"])
def test_without(shape):
    problem = arrays(*shape, (4, 5), (3, 3), SAME)
    with emulator.record() as launches:
        results = on_device(None, *problem)
    assert launches == []
    for got, want in zip(results, by(reference, *problem), strict=True):
        np.testing.assert_array_equal(plain(got), want)


def test_views_are_read_right_and_left_alone():
    problem = arrays(*SHAPES["groups"])
    views = [np.asfortranarray(a).view(emulator.EmulatedArray) for a in problem[:-1]]
    before = [plain(a).copy() for a in views]
    expected = by_torch(*(a.astype(np.float64) for a in problem[:-1]), problem[-1])
    with emulator.using(mode="debug"):
        results = by(conv2d, *views, problem[-1])
    for got, want in zip(results, expected, strict=True):
        np.testing.assert_allclose(plain(got), want, rtol=0, atol=1e-4)
    for view, copy in zip(views, before, strict=True):
        np.testing.assert_array_equal(plain(view), copy)


def test_columns_are_made_for_as_many_images_as_the_limit_allows(monkeypatch):
    problem = arrays(5, 4, 6, (7, 6), (3, 3), SAME)
    expected = by_torch(*(a.astype(np.float64) for a in problem[:-1]), problem[-1])
    monkeypatch.setattr(cuda_columns, "LIMIT", 2 * 4 * 9 * 42 * 4)  # two images
    with emulator.record() as launches:
        check("im2col", problem, expected, np.float32)
    assert [launch.kernel for launch in launches].count("im2col") == 4 * 3  # three forward passes, one gradient


LAUNCHES = {
    "direct": ["direct_forward"] * 3 + ["direct_grad_input"] * 2 + ["direct_grad_weight", "direct_sum"],
    "im2col": ["im2col", "cublasGemmStridedBatchedEx"] * 3
    + ["cublasGemmStridedBatchedEx", "col2im"] * 2
    + ["im2col", "cublasGemmStridedBatchedEx"],
}


def test_a_depthwise_window_of_3x3_has_a_kernel_of_its_own():
    for name, forward, backward in (
        ("depthwise", "depthwise", "depthwise"),
        ("depthwise with stride", "depthwise", "direct_grad_input"),
        ("depthwise, 5x5, two outputs a channel", "direct_forward", "direct_grad_input"),
    ):
        with emulator.record() as launches:
            on_device(None, *arrays(*SHAPES[name]))
        names = [launch.kernel for launch in launches]
        assert names == [forward] * 3 + [backward] * 2 + ["direct_grad_weight", "direct_sum"]


@pytest.mark.parametrize("version", LAUNCHES)
def test_the_version_that_is_named_is_launched(version):
    with emulator.record() as launches:
        on_device(version, *arrays(*SHAPES["groups"]))
    assert [launch.kernel for launch in launches] == LAUNCHES[version]


def test_neighbouring_threads_of_the_direct_version_touch_neighbouring_numbers():
    with kernels.use(conv2d="direct"), emulator.profile() as costs:
        for groups in (1, 4):
            *problem, geometry = arrays(1, 4, 4, (32, 64), (3, 3), SAME._replace(groups=groups))
            by(conv2d, *map(emulated, problem), geometry)
    rows = [r for r in costs.rows if r.memory == "global" and r.kernel != "direct_sum" and r.requests > 100]
    assert {r.kernel for r in rows} == {"depthwise", "direct_forward", "direct_grad_input", "direct_grad_weight"}
    for row in rows:
        # An aligned row of 128 bytes is 4 sectors; one that is shifted by a tap touches 5.
        assert row.per_request <= 5.0, row
    assert all(r.per_request == 1 for r in costs.select(memory="shared"))


def test_names_of_both_backends_are_known_and_one_that_lacks_it_keeps_its_rule():
    only_cpu = next(name for name in cpu.ALGORITHMS if name not in cuda.ALGORITHMS)
    x, w = (a for a in arrays(1, 2, 3, (5, 5), (3, 3), SAME)[:2])
    with kernels.use(conv2d=only_cpu), emulator.record() as launches:
        conv2d.forward(emulated(x), emulated(w), SAME)
    with emulator.record() as usual:
        conv2d.forward(emulated(x), emulated(w), SAME)
    assert launches == usual
    for name in VERSIONS:
        with kernels.use(conv2d=name):
            named = cpu._algorithm(x, 3, (5, 5), SAME, (3, 3), (1, 1), False)
        assert named is cpu.ALGORITHMS.get(name, cpu_shifts)
    with pytest.raises(ArgumentError, match=r"use: conv2d must be one of direct, .* or None, got 'fft'"):
        kernels.use(conv2d="fft")


def test_the_versions_that_apply_are_listed_for_an_array():
    x = emulated(np.zeros(1, np.float64))
    listed = conv2d.algorithms(SAME, (8, 8, 3, 3), x)
    assert listed[:2] == ["direct", "im2col"]
    assert not {"tensor", "winograd"} & {*listed}
    assert (
        conv2d.algorithms(SAME, (8, 8, 3, 3)) == conv2d.algorithms(SAME, (8, 8, 3, 3), np.zeros(1)) == [*cpu.ALGORITHMS]
    )


DEPTHWISE = SAME._replace(groups=64)
RULE = [  # type, geometry, shape of the weight, N·OH·OW; what takes it
    (np.float32, SAME, (64, 64, 3, 3), 4096, "winograd"),
    (np.float32, SAME, (64, 3, 3, 3), 4096, "implicit"),  # few channels
    (np.float32, SAME, (512, 512, 3, 3), 64, "implicit"),  # few pixels
    (np.float32, SAME._replace(stride=(2, 2)), (64, 64, 3, 3), 4096, "implicit"),
    (np.float32, ConvGeometry(), (64, 64, 1, 1), 4096, "implicit"),
    (np.float32, DEPTHWISE, (64, 1, 3, 3), 4096, "direct"),
    (np.float16, DEPTHWISE, (64, 1, 3, 3), 4096, "direct"),
    (np.float16, SAME, (64, 64, 3, 3), 4096, "tensor"),
    (ml_dtypes.bfloat16, SAME, (64, 64, 5, 5), 4096, "tensor"),
    (np.float64, SAME, (64, 64, 3, 3), 4096, "im2col"),
    (np.float64, SAME, (2, 3, 3, 3), 4096, "direct"),
]


@pytest.mark.parametrize(("dtype", "geometry", "shape", "windows", "expected"), RULE)
def test_which_version_takes_what(dtype, geometry, shape, windows, expected, monkeypatch):
    x = emulated(np.zeros(1, dtype))

    def taken():
        version = cuda._algorithm(x, geometry, shape, windows)
        return next(name for name, module in cuda.ALGORITHMS.items() if module is version)

    assert taken() == expected
    with kernels.use(full_accuracy=True):
        assert taken() == ("implicit" if expected == "winograd" else expected)
        with kernels.use(allow_tf32=True):
            assert taken() == ("implicit" if expected == "winograd" else expected)
    with kernels.use(allow_tf32=True):
        assert taken() == ("tensor" if dtype is np.float32 and geometry != DEPTHWISE else expected)
    for name in conv2d.algorithms(geometry, shape, x):
        with kernels.use(conv2d=name):
            assert taken() == name
    monkeypatch.setattr(cuda, "capability", lambda x: 75)
    assert taken() == ("implicit" if expected == "tensor" else expected)
