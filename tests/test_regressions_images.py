"""Defects of other libraries in convolutions, pooling, resizing and large arrays, each as a test.

The others are in `test_regressions.py`.
"""

from __future__ import annotations

import itertools
import mmap
import resource

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.torch_unet import TorchUNet
from tinyseg import nn
from tinyseg.errors import ArgumentError, ShapeError
from tinyseg.kernels import conv2d, im2col, jit
from tinyseg.kernels.conv2d import ConvGeometry
from tinyseg.models import UNet

compiled = pytest.mark.skipif(not jit.JIT, reason="uncompiled, two thousand million elements take days")


def normal(*shape):
    """The same numbers for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape)


def leaf(values):
    return ts.tensor(values, requires_grad=True)


def torch_leaf(values):
    return torch.tensor(values, requires_grad=True)


def close(ours, theirs, tolerance=1e-11):
    theirs = theirs.detach().numpy()
    scale = max(1.0, np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours.data, theirs, rtol=0, atol=tolerance * scale)


# --- convolution, pooling, resizing ----------------------------------------------------------------------------------

GEOMETRIES = [
    {},
    {"stride": (2, 1), "padding": (1, 2)},
    {"stride": 2, "padding": 1, "dilation": (1, 2)},
    {"groups": 2, "padding": (0, 1)},
    {"groups": 4, "stride": (1, 2), "dilation": 2, "padding": 2},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_second_derivative_through_the_weight_gradient(geometry):
    """A weight gradient computed on bare arrays is right, and its own derivative silently 0 or wrong."""
    x, w = normal(2, 4, 7, 6), normal(4, 4 // geometry.get("groups", 1), 3, 2)

    def derivatives(conv2d, grad, leaf, tensor):
        a, b = leaf(x), leaf(w)
        y = conv2d(a, b, **geometry)
        u = leaf(np.cos(np.arange(np.prod(y.shape))).reshape(tuple(y.shape)))
        (gw,) = grad(y, [b], u, create_graph=True)
        v = tensor(np.sin(np.arange(w.size)).reshape(w.shape))
        (ga, gu) = grad((gw * gw * v).sum(), [a, u], create_graph=True)
        return [gw, ga, gu, *grad((ga * ga).sum() + (gu * gu).sum(), [a, u])]

    ours = derivatives(F.conv2d, ts.grad, leaf, ts.tensor)
    theirs = derivatives(torch.nn.functional.conv2d, torch.autograd.grad, torch_leaf, torch.tensor)
    for g, t in zip(ours, theirs, strict=True):
        close(g, t)


@pytest.mark.parametrize("kernel", [(1, 3), (3, 2), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 2), (3, 1), None])
@pytest.mark.parametrize(("ceil_mode", "count_include_pad"), [(False, True), (True, False)])
def test_average_pooling_of_oblong_windows(kernel, stride, ceil_mode, count_include_pad):
    """Height and width exchanged somewhere: squares do not show it."""
    x = normal(2, 3, 9, 13)
    arguments = kernel, stride, tuple(k // 2 for k in kernel), ceil_mode, count_include_pad
    a, t = leaf(x), torch_leaf(x)
    y, ty = F.avg_pool2d(a, *arguments), torch.nn.functional.avg_pool2d(t, *arguments)
    close(y, ty)
    (g,) = ts.grad((y * y * y).sum(), [a], create_graph=True)
    (tg,) = torch.autograd.grad((ty * ty * ty).sum(), [t], create_graph=True)
    close(g, tg)
    close(ts.grad((g * g).sum(), [a])[0], torch.autograd.grad((tg * tg).sum(), [t])[0])


def both_transposed(*arguments, **options):
    """The same transposed convolution here and in PyTorch, in float64."""
    ours, theirs = (n.ConvTranspose2d(2, 3, *arguments, **options) for n in (nn, torch.nn))
    theirs = theirs.double()
    ours.to(ts.float64).load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_every_output_size_of_a_transposed_convolution(stride, dilation, kernel, padding):
    """Sizes that only dilation makes valid are refused, or the last rows come out wrong."""
    x = normal(1, 2, 3, 4)
    least = [(n - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding for n in x.shape[2:]]
    if min(least) < 1:
        with pytest.raises(ShapeError):
            nn.ConvTranspose2d(2, 3, kernel, stride, padding, dilation=dilation)(ts.tensor(x).float())
        return
    ours, theirs = both_transposed(kernel, stride, padding, dilation=dilation)
    for extra in itertools.product(range(stride), repeat=2):
        size = [n + e for n, e in zip(least, extra, strict=True)]
        a, t = leaf(x), torch_leaf(x)
        y, ty = ours(a, size), theirs(t, size)
        assert y.shape == (1, 3, *size)
        close(y, ty)
        gs = ts.grad((y * y).sum(), [a, ours.weight])
        for g, tg in zip(gs, torch.autograd.grad((ty * ty).sum(), [t, theirs.weight]), strict=True):
            close(g, tg)
    for axis in (0, 1):
        for wrong in (least[axis] - 1, least[axis] + stride):
            size = [*least]
            size[axis] = wrong
            with pytest.raises(ShapeError, match="output_size"):
                ours(ts.tensor(x), size)


@pytest.mark.parametrize("dilation", [2, 3, 4])
def test_output_padding_that_only_dilation_allows(dilation):
    """`output_padding` may reach `dilation` - 1 where that is more than `stride` - 1."""
    x, w = normal(1, 2, 3, 4), normal(2, 3, 2, 3)
    for extra in itertools.product(range(dilation), repeat=2):
        options = {"stride": 1, "dilation": dilation, "output_padding": extra}
        close(F.conv_transpose2d(ts.tensor(x), ts.tensor(w), **options),
              torch.nn.functional.conv_transpose2d(torch.tensor(x), torch.tensor(w), **options))  # fmt: skip
    with pytest.raises(ArgumentError, match="output_padding"):
        F.conv_transpose2d(ts.tensor(x), ts.tensor(w), dilation=dilation, output_padding=dilation)


@given(data=st.data())
@settings(max_examples=60)
def test_output_size_restores_every_size_a_convolution_came_from(data):
    """Several sizes convolve to one; `output_size` says which of them to go back to."""
    size, kernel, stride, dilation = (data.draw(st.tuples(*[st.integers(1, m)] * 2)) for m in (9, 4, 4, 3))
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * 2))
    smaller = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    assume(min(smaller) >= 1)
    ours, theirs = both_transposed(kernel, stride, padding, dilation=dilation)
    wanted = data.draw(st.sampled_from([size, (1, 3, *size)]))
    x = normal(1, 2, *smaller)
    close(ours(ts.tensor(x), wanted), theirs(torch.tensor(x), list(wanted)))
    assert ours(ts.tensor(x), wanted).shape == (1, 3, *size)


@pytest.mark.parametrize("wanted", [(8, 9), (11, 9), (9, 8), (9, 11)])
def test_output_size_names_the_valid_range(wanted):
    """Output padding is misread for years where the message does not say which sizes there are."""
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    with pytest.raises(ShapeError, match=r"output_size \(\d+, \d+\) is not between \(9, 9\) and \(10, 10\)"):
        layer(ts.zeros(1, 1, 4, 4), output_size=wanted)
    with pytest.raises(ShapeError, match="must have 2 or 4 numbers"):
        layer(ts.zeros(1, 1, 4, 4), output_size=(9, 9, 9))


@pytest.mark.parametrize("bilinear", [False, True])
def test_a_unet_on_sizes_of_every_remainder(bilinear):
    """ "sizes must match, got 20 and 21": halving an odd size and doubling it again does not come back."""
    theirs = TorchUNet(3, 2, width=4, bilinear=bilinear).double().eval()
    ours = UNet(3, 2, bilinear, width=4).to(ts.float64).eval()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for remainder in range(16):
        x = normal(1, 3, 16 + remainder, 47 - remainder)
        a, t = leaf(x), torch_leaf(x)
        y, ty = ours(a), theirs(t)
        assert y.shape == (1, 2, *x.shape[2:])
        close(y, ty)
        close(ts.grad((y * y).sum(), [a])[0], torch.autograd.grad((ty * ty).sum(), [t])[0], 1e-9)


MODES = [("nearest", None), ("nearest-exact", None), ("bilinear", False), ("bilinear", True), ("bicubic", False),
         ("area", None)]  # fmt: skip


@pytest.mark.parametrize(("mode", "corners"), MODES)
@pytest.mark.parametrize("size", [(150, 91), (17, 40)])
def test_the_gradient_of_resizing_has_the_same_bits_twice(mode, corners, size):
    """An adjoint by atomic additions sums in another order at every call, and is slow besides."""
    x = leaf(normal(2, 8, 61, 67).astype(np.float32))
    u = ts.tensor(normal(2, 8, *size).astype(np.float32))

    def bits():
        return ts.grad(F.interpolate(x, size, mode=mode, align_corners=corners), [x], u)[0].data.tobytes()

    assert len({bits() for _ in range(5)}) == 1


# --- sizes -----------------------------------------------------------------------------------------------------------

ABOVE = 2**31


def lazy(*shape):
    """Zeros that take no memory until they are written, and give it back when they go."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape))), np.int8).reshape(shape)


@compiled
def test_columns_beyond_2_to_the_31_fold():
    """With 32-bit offsets, or 32-bit sizes, the columns behind 2^31 are read from another place."""
    size, window = 800, 64
    side = size - window + 1
    columns = lazy(1, window * window, side * side)
    assert columns.size > ABOVE
    expected = np.zeros((size, size), np.int8)
    for p, q, i, j in [(0, 0, 0, 0), (5, 60, 3, 700), (63, 0, 7, 11), (63, 40, 736, 0), (63, 63, 736, 736)]:
        columns[0, p * window + q, i * side + j] = 1 + p
        expected[p + i, q + j] += 1 + p
    assert ((63 * window + 40) * side * side) > ABOVE
    x = im2col.col2im(columns, (window, window), ConvGeometry(), (size, size))
    assert np.array_equal(x[0, 0], expected)


@compiled
def test_columns_beyond_2_to_the_31_unfold():
    """The same in the other direction: the columns behind 2^31 hold the pixels that they should."""
    from tinyseg.kernels.im2col.cpu import _unfold

    size, window = 800, 64
    side = size - window + 1
    x = np.random.default_rng(0).integers(-100, 100, (1, size, size)).astype(np.int8)
    windows = lazy(1, window, window, side, side)
    _unfold(x, windows, (0, 0), (1, 1), (1, 1))
    for p, q in [(0, 0), (31, 17), (63, 0), (63, 63)]:
        assert np.array_equal(windows[0, p, q], x[0, p : p + side, q : q + side])


@compiled
def test_columns_beyond_2_to_the_31_are_never_built_by_a_convolution():
    """im2col of (32, 64, 512, 512) has 4.8e9 elements: the three kernels of a convolution work on blocks of columns."""
    window, side, channels = 33, 820, 3
    size = side + window - 1
    assert channels * window**2 * side**2 > ABOVE
    x = normal(1, channels, size, size).astype(np.float32)
    w = normal(2, channels, window, window).astype(np.float32)
    u = normal(1, 2, side, side).astype(np.float32)
    geometry = ConvGeometry()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB
    y = conv2d.forward(x, w, geometry)
    gw = conv2d.grad_weight(x, u, geometry, (window, window))
    gx = conv2d.grad_input(u, w, geometry, (size, size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    x, w, u = (a.astype(np.float64) for a in (x[0], w, u[0]))
    for i, j in [(0, 0), (400, 17), (side - 1, side - 1)]:
        seen = x[:, i : i + window, j : j + window]
        np.testing.assert_allclose(y[0, :, i, j], (w * seen).sum((1, 2, 3)), atol=1e-2)
    for p, q in [(0, 0), (7, 30), (32, 32)]:
        seen = x[:, p : p + side, q : q + side]
        np.testing.assert_allclose(gw[:, :, p, q], np.einsum("ohw,chw->oc", u, seen), atol=0.5)
    for h, v in [(40, 40), (500, 33), (side - 1, side - 1)]:  # pixels that every tap sees
        seen = u[:, h - window + 1 : h + 1, v - window + 1 : v + 1][:, ::-1, ::-1]
        np.testing.assert_allclose(gx[0, :, h, v], np.einsum("ohw,ochw->c", seen, w), atol=1e-2)
