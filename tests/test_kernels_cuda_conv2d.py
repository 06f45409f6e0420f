"""Every CUDA version of convolution, emulated, against the plain loops of the reference and PyTorch in float64."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
from tests.kernels_cuda import convolved, names, same_in_every_order
from tinyseg import kernels
from tinyseg.errors import ArgumentError, ShapeError
from tinyseg.kernels import conv2d, emulator
from tinyseg.kernels.conv2d import ConvGeometry, cpu, cpu_shifts, cuda, cuda_columns, cuda_parts, output_size, reference
from tinyseg.kernels.emulated import emulated, plain
from tinyseg.nn import functional as F

VERSIONS = [*cuda.ALGORITHMS]
WINOGRAD = ("winograd2x2", "winograd4x4")
TRACED = ("direct", "im2col")  # the others' accesses are traced by tests of their own
ROUNDING = {np.float64: 1e-12, np.float32: 2e-6, np.float16: 1e-3, ml_dtypes.bfloat16: 8e-3}
MORE = {("winograd4x4", np.float32): 1e-5, ("tensor", np.float32): 1e-3}  # of versions that round factors, too
DRAWN = settings(max_examples=10)
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
    plain_only = version in WINOGRAD
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


def using(version):
    """The version, with float32 as TF32 where it multiplies float32 in nothing else."""
    return kernels.use(conv2d=version, allow_tf32=version == "tensor")


def types_of(version, geometry, shape):
    with using(version):
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
    y = convolved(x, w, geometry)
    gx, gw = torch.autograd.grad(y, [x, w], gy)
    y, shifted = y.detach(), y.detach() + bias[:, None, None]
    return [t.numpy() for t in (y, shifted, torch.relu(shifted), gx, gx + shift[:, None, None], gw)]


def on_device(version, *problem, **how):
    mode = "trace" if version in TRACED and not how else "fast"
    with using(version), emulator.using(mode=mode, **how):
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
    same_in_every_order(on_device, version, *problem)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("version", VERSIONS)
def test_half_types_are_summed_in_float32(version, dtype):
    window = (3, 3) if version in WINOGRAD else (1, 1)
    x, w = np.ones((1, 3000, *window), dtype), np.ones((2, 3000, *window), dtype)  # no half type counts so far by ones
    with using(version):
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
        with using(version), np.errstate(invalid="ignore"):
            gx = plain(conv2d.grad_input(emulated(gy), emulated(w), geometry, x.shape[2:]))
        assert 0 < np.isfinite(expected[0]).sum() < expected[0].size
        np.testing.assert_allclose(gx, expected, rtol=0, atol=1e-4)


def test_relu_keeps_nan():
    x = emulated(np.array([np.nan, -1, 2], np.float32).reshape(1, 1, 1, 3))
    for version in ("direct", "im2col", "implicit", "tensor"):
        with using(version):
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
    assert names(launches).count("im2col") == 4 * 3  # three forward passes, one gradient


LAUNCHES = {
    "direct": ["direct_forward"] * 3 + ["direct_grad_input"] * 2 + ["direct_grad_weight", "sum_of_parts"],
    "im2col": ["im2col", "cublasGemmStridedBatchedEx"]
    + ["im2col", "cublasGemmStridedBatchedEx", "sum_of_parts"] * 2
    + ["cublasGemmStridedBatchedEx", "col2im"] * 2
    + ["sum_of_parts"]
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
        launched = names(launches)
        assert launched == [forward] * 3 + [backward] * 2 + ["direct_grad_weight", "sum_of_parts"]


@pytest.mark.parametrize("version", LAUNCHES)
def test_the_version_that_is_named_is_launched(version):
    with emulator.record() as launches:
        on_device(version, *arrays(*SHAPES["groups"]))
    assert names(launches) == LAUNCHES[version]


def test_neighbouring_threads_of_the_direct_version_touch_neighbouring_numbers():
    with kernels.use(conv2d="direct"), emulator.profile() as costs:
        for groups in (1, 4):
            *problem, geometry = arrays(1, 4, 4, (32, 64), (3, 3), SAME._replace(groups=groups))
            by(conv2d, *map(emulated, problem), geometry)
    rows = [r for r in costs.rows if r.memory == "global" and r.kernel != "sum_of_parts" and r.requests > 100]
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
    assert not {"tensor", *WINOGRAD} & {*listed}
    single = emulated(np.zeros(1, np.float32))
    assert conv2d.algorithms(SAME, (8, 8, 3, 3), single) == [name for name in VERSIONS if name != "tensor"]
    with kernels.use(allow_tf32=True):
        assert conv2d.algorithms(SAME, (8, 8, 3, 3), single) == VERSIONS
        with kernels.use(full_accuracy=True):
            assert "tensor" not in conv2d.algorithms(SAME, (8, 8, 3, 3), single)
    assert (
        conv2d.algorithms(SAME, (8, 8, 3, 3)) == conv2d.algorithms(SAME, (8, 8, 3, 3), np.zeros(1)) == [*cpu.ALGORITHMS]
    )


DEPTHWISE, ONE = SAME._replace(groups=64), ConvGeometry()
RULE = [  # type, geometry, shape of the weight, images and their size; what takes it
    (np.float32, SAME, (64, 64, 3, 3), 4, (32, 32), "winograd4x4"),
    (np.float32, SAME, (128, 128, 3, 3), 4, (32, 32), "winograd4x4"),
    (np.float32, SAME, (64, 3, 3, 3), 4, (32, 32), "implicit"),  # few channels
    (np.float32, SAME, (512, 512, 3, 3), 1, (8, 8), "implicit"),  # few pixels
    (np.float32, SAME._replace(stride=(2, 2)), (64, 64, 3, 3), 4, (32, 32), "implicit"),
    (np.float32, ONE, (64, 64, 1, 1), 4, (32, 32), "im2col"),  # a product as it stands
    (np.float32, ONE, (64, 65, 1, 1), 4, (61, 61), "im2col"),
    (np.float32, ONE, (64, 64, 1, 1), 4, (8, 8), "implicit"),  # small images
    (np.float32, ONE._replace(stride=(2, 2)), (64, 64, 1, 1), 4, (32, 32), "implicit"),
    (np.float32, ONE._replace(groups=2), (64, 32, 1, 1), 4, (32, 32), "implicit"),
    (np.float16, ONE, (64, 64, 1, 1), 4, (32, 32), "im2col"),
    (np.float16, ONE, (64, 64, 1, 1), 4, (31, 31), "tensor"),  # rows of no whole chunks
    (np.float16, ONE, (64, 65, 1, 1), 4, (32, 32), "tensor"),
    (np.float32, ONE, (4096, 512, 7, 7), 2, (7, 7), "im2col"),  # a window as large as the image
    (np.float16, ONE, (4096, 512, 7, 7), 2, (7, 7), "im2col"),
    (np.float32, ONE, (64, 512, 7, 7), 2, (7, 8), "implicit"),
    (np.float32, DEPTHWISE, (64, 1, 3, 3), 4, (32, 32), "direct"),
    (np.float16, DEPTHWISE, (64, 1, 3, 3), 4, (32, 32), "direct"),
    (np.float16, SAME, (64, 64, 3, 3), 4, (32, 32), "tensor"),
    (ml_dtypes.bfloat16, SAME, (64, 64, 5, 5), 4, (32, 32), "tensor"),
    (np.float64, SAME, (64, 64, 3, 3), 4, (32, 32), "im2col"),
    (np.float64, SAME, (2, 3, 3, 3), 4, (32, 32), "direct"),
]


def taken(x, geometry, shape, images, size):
    version = cuda._algorithm(x, geometry, shape, images, size)
    return next(name for name, module in cuda.ALGORITHMS.items() if module is version)


@pytest.mark.parametrize(("dtype", "geometry", "shape", "images", "size", "expected"), RULE)
def test_which_version_takes_what(dtype, geometry, shape, images, size, expected, monkeypatch):
    x = emulated(np.zeros(1, dtype))
    problem = x, geometry, shape, images, size
    full = ("winograd2x2" if shape[1] >= 128 else "implicit") if expected == "winograd4x4" else expected
    assert taken(*problem) == expected
    with kernels.use(full_accuracy=True):
        assert taken(*problem) == full
        with kernels.use(allow_tf32=True):
            assert taken(*problem) == full
    for name in conv2d.algorithms(geometry, shape, x):
        with kernels.use(conv2d=name):
            assert taken(*problem) == name
    monkeypatch.setattr(cuda, "capability", lambda x: 75)
    assert taken(*problem) == ("implicit" if expected == "tensor" else expected)


def test_tf32_goes_to_tensor_cores():
    x = emulated(np.zeros(1, np.float32))
    with kernels.use(allow_tf32=True):
        assert taken(x, SAME, (64, 64, 3, 3), 4, (32, 32)) == "tensor"
        assert taken(x, ONE, (64, 64, 1, 1), 4, (32, 32)) == "im2col"
        assert taken(x, ONE, (64, 66, 1, 1), 4, (32, 32)) == "tensor"
        assert taken(x, DEPTHWISE, (64, 1, 3, 3), 4, (32, 32)) == "direct"
        assert taken(emulated(np.zeros(1)), SAME, (64, 64, 3, 3), 4, (32, 32)) == "im2col"


def test_float32_is_not_multiplied_in_tf32_unless_that_is_allowed():
    """Also where the version is named: bit for bit what the rule gives."""
    *problem, geometry = arrays(2, 5, 6, (7, 9), (3, 3), SAME)
    by_rule = on_device(None, *problem, geometry)
    with emulator.record() as launches, kernels.use(conv2d="tensor"):
        named = by(conv2d, *map(emulated, problem), geometry)
    assert not {"tensor", "tensor_weight", "channels_last"} & {*names(launches)}
    for got, want in zip(named, by_rule, strict=True):
        assert plain(got).tobytes() == plain(want).tobytes()


PICTURES, VAST = (32, (8192, 8192)), (3, (32768, 32768))
MANY = ONE._replace(groups=70000)
FAR = ONE._replace(padding=((60000, 0), (0, 0)), stride=(60000, 1))
LARGE = [  # type, geometry, shape of the weight, images and their size; what takes them, and what does not if named
    (np.float32, ONE, (8, 8, 5, 5), *PICTURES, "direct", "im2col implicit"),
    (np.float32, SAME, (1, 1, 3, 3), *VAST, "direct", "im2col implicit"),
    (np.float16, SAME, (1, 1, 3, 3), *VAST, "direct", "im2col implicit tensor"),
    (np.float16, SAME, (8, 8, 3, 3), *PICTURES, "direct", "im2col implicit tensor"),
    (np.float64, ONE, (8, 8, 5, 5), *PICTURES, "direct", "im2col"),
    (np.float32, SAME, (64, 64, 3, 3), 512, (1024, 1024), "winograd4x4", ""),
    (np.float32, SAME, (64, 64, 3, 3), 1 << 14, (1024, 1024), "im2col", "implicit winograd2x2 winograd4x4"),
    (np.float32, ONE, (64, 64, 1, 1), 1, (8192, 8192), "im2col", "implicit"),  # a product as it stands, of 2^32 numbers
    (np.float32, SAME, (64, 3, 3, 3), 1 << 20, (64, 64), "im2col", "implicit"),
    (np.float32, ONE, (70000, 70000, 1, 1), 1, (2, 2), "im2col", "direct implicit"),  # more weights than 32 bits count
    (np.float32, SAME, (8, 600000, 3, 3), 1, (4, 4), "implicit", "winograd2x2 winograd4x4"),
    (np.float32, MANY, (70000, 2, 1, 1), 1, (1, 1), "im2col", "implicit"),  # more groups than a grid has rows
    (np.float16, MANY, (70000, 2, 3, 3), 1, (6, 6), "tensor", "implicit"),
    (np.float32, ONE._replace(stride=(256, 256)), (8, 8, 3, 3), 1, (512, 512), "im2col", "implicit"),  # as many phases
    (np.float32, FAR, (8, 8, 3, 3), 1, (3, 40000), "im2col", "implicit"),  # a window that begins far outside
]


@pytest.mark.parametrize(("dtype", "geometry", "shape", "images", "size", "expected", "others"), LARGE)
def test_what_is_too_large_for_a_version_falls_to_another(dtype, geometry, shape, images, size, expected, others):
    problem = emulated(np.zeros(1, dtype)), geometry, shape, images, size
    assert taken(*problem) == expected
    for name in others.split():
        assert name in conv2d.algorithms(geometry, shape, problem[0])
        with kernels.use(conv2d=name):
            assert taken(*problem) == expected


@pytest.mark.parametrize(
    ("shape", "images", "size"),
    [((1, 1, 3, 3), 1, (65536, 65536)), ((1, 1, 1, 1), 1 << 31, (1, 1)), ((1, 1, 1, 1), 1, (1, 1 << 31))],
)
def test_what_is_too_large_for_all_is_refused(shape, images, size):
    with pytest.raises(ShapeError, match=f"conv2d: {images} images .* are too large for the kernels on a GPU"):
        taken(emulated(np.zeros(1, np.float32)), ONE, shape, images, size)


@pytest.mark.parametrize("outputs", [1, 2])
def test_more_groups_than_a_grid_has_rows(outputs):
    groups = 70000
    x = ts.ones(1, 2 * groups, 1, 1, device="emulated", requires_grad=True)
    w = ts.ones(outputs * groups, 2, 1, 1, device="emulated", requires_grad=True)
    with emulator.record() as launches:
        y = F.conv2d(x, w, groups=groups)
        y.sum().backward()
    assert max(max(launch.grid[1:]) for launch in launches if launch.grid) <= 65535
    assert np.array_equal(y.detach().numpy(), np.full((1, outputs * groups, 1, 1), 2))
    assert np.array_equal(x.grad.numpy(), np.full(x.shape, outputs))
    assert np.array_equal(w.grad.numpy(), np.ones(w.shape))


def test_full_accuracy_does_without_the_version_that_rounds_more(monkeypatch):
    """As on the CPU, with the same bound: no more than half as much again as the error of a plain sum, in one part."""
    *problem, geometry = arrays(1, 128, 128, (32, 32), (3, 3), SAME)
    expected = by_torch(*(a.astype(np.float64) for a in problem), geometry)

    def errors(**how):
        with kernels.use(**how), emulator.record() as launches:
            results = by(conv2d, *map(emulated, problem), geometry)
        pairs = zip(results, expected, strict=True)
        return [np.abs(plain(got) - want).max() / np.abs(want).max() for got, want in pairs], launches

    with monkeypatch.context() as whole:
        whole.setattr(cuda_parts, "plan", lambda tiles, *sizes: (tiles[0], 1))
        plain_sum, _ = errors(conv2d="implicit")
    full, launches = errors(full_accuracy=True)
    fastest, _ = errors()
    assert names(launches).count("values_of_windows") == 5  # so it was F(2x2)
    assert all(f <= 1.5 * p for f, p in zip(full, plain_sum, strict=True)), (full, plain_sum)
    assert fastest[0] > full[0]  # or there were nothing to choose
