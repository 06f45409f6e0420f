"""Laws that hold for every shape and geometry, drawn by hypothesis: adjoints, linearity, sizes, shifts, inverses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as TF
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.errors import ShapeError, TinysegError
from tinyseg.ops.indexing import Gather, GatherAdjoint, GetItem, IndexAdd, IndexSelect, Scatter
from tinyseg.ops.shape import sum_to

SMALL = st.integers(1, 4)
SEEDS = st.integers(0, 2**31)


def randn(seed, *shape):
    return ts.tensor(np.random.default_rng(seed).standard_normal(shape))


def adjoint_pair(f, x, seed):
    """For a linear f, <f x, y> = <x, backward of y>: its backward is its adjoint, and the backward of that is f."""
    leaf = ts.tensor(x.data, requires_grad=True)
    y = f(leaf)
    u = ts.tensor(np.random.default_rng(seed + 1).standard_normal(y.shape), requires_grad=True)
    (gx,) = ts.grad(y, leaf, u, create_graph=True)
    scale = np.linalg.norm(y.data) * np.linalg.norm(u.data) + 1e-300
    assert abs(np.vdot(y.data, u.data) - np.vdot(x.data, gx.data)) <= 1e-12 * scale
    (back,) = ts.grad(gx, u, ts.tensor(x.data))
    np.testing.assert_allclose(back.data, y.data, rtol=1e-12, atol=1e-12)


@st.composite
def convolutions(draw):
    """(x shape, w shape, arguments) of a convolution whose output has at least one pixel."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    c, o, n = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sizes, kernel, stride, padding, dilation = [], [], [], [], []
    for _ in range(2):
        k, d, p = draw(st.integers(1, 3)), draw(SMALL), draw(st.integers(0, 3))
        kernel.append(k)
        dilation.append(d)
        padding.append(p)
        stride.append(draw(SMALL))
        sizes.append(draw(st.integers(max(1, d * (k - 1) + 1 - 2 * p), 9)))
    arguments = {"stride": tuple(stride), "padding": tuple(padding), "dilation": tuple(dilation), "groups": groups}
    return (n, c, *sizes), (o, c // groups, *kernel), arguments


@settings(max_examples=100)
@given(convolutions(), SEEDS)
def test_convolution_and_its_adjoints(drawn, seed):
    x_shape, w_shape, arguments = drawn
    x, w = randn(seed, *x_shape), randn(seed + 9, *w_shape)
    adjoint_pair(lambda t: F.conv2d(t, w, **arguments), x, seed)
    adjoint_pair(lambda t: F.conv2d(x, t, **arguments), w, seed)
    y = F.conv2d(x, w, **arguments)
    assert y.shape == tuple(TF.conv2d(torch.tensor(x.data), torch.tensor(w.data), **arguments).shape)


@settings(max_examples=100)
@given(convolutions(), SEEDS)
def test_every_output_size_of_a_transposed_convolution(drawn, seed):
    """With any output_padding below the larger of stride and dilation: PyTorch's values, and the adjoint of conv2d."""
    (n, c, h, w), (o, _, *kernel), arguments = drawn
    x, weight = randn(seed, n, c, h, w), randn(seed + 9, c, o // arguments["groups"], *kernel)
    limits = [max(s, d) for s, d in zip(arguments["stride"], arguments["dilation"], strict=True)]
    extra = tuple(np.random.default_rng(seed).integers(0, limits).tolist())
    size = [
        (i - 1) * s - 2 * p + d * (k - 1) + e + 1
        for i, s, p, d, k, e in zip(
            (h, w), arguments["stride"], arguments["padding"], arguments["dilation"], kernel, extra, strict=True
        )
    ]
    assume(min(size) > 0)
    y = F.conv_transpose2d(x, weight, output_padding=extra, **arguments)
    assert y.shape == (n, o // arguments["groups"] * arguments["groups"], *size)
    reference = TF.conv_transpose2d(torch.tensor(x.data), torch.tensor(weight.data), output_padding=extra, **arguments)
    np.testing.assert_allclose(y.data, reference.numpy(), rtol=0, atol=1e-11)
    adjoint_pair(lambda t: F.conv_transpose2d(t, weight, output_padding=extra, **arguments), x, seed)
    adjoint_pair(lambda t: F.conv_transpose2d(x, t, output_padding=extra, **arguments), weight, seed)


@given(SEEDS, st.integers(-2, 2), st.integers(-2, 2))
def test_convolution_commutes_with_shifts(seed, down, right):
    x, w = np.zeros((1, 2, 12, 12)), randn(seed, 3, 2, 3, 3)
    x[:, :, 4:8, 4:8] = randn(seed + 1, 1, 2, 4, 4).data
    shifted = np.roll(x, (down, right), (2, 3))
    y = F.conv2d(ts.tensor(x), w, padding=1).data
    np.testing.assert_allclose(
        F.conv2d(ts.tensor(shifted), w, padding=1).data, np.roll(y, (down, right), (2, 3)), atol=1e-13
    )


@st.composite
def pools(draw):
    """(shape, arguments) of a pooling with at least one window, as PyTorch accepts them."""
    sizes, kernel, stride, padding = [], [], [], []
    for _ in range(2):
        k = draw(SMALL)
        p = draw(st.integers(0, k // 2))
        kernel.append(k)
        padding.append(p)
        stride.append(draw(SMALL))
        sizes.append(draw(st.integers(max(1, k - 2 * p), 9)))
    arguments = {"kernel_size": tuple(kernel), "stride": tuple(stride), "padding": tuple(padding)}
    return (2, 1, *sizes), arguments | {"ceil_mode": draw(st.booleans())}


@given(pools(), SEEDS, st.booleans())
def test_pooling(drawn, seed, count_include_pad):
    shape, arguments = drawn
    x = ts.tensor(np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape).astype(np.float64))
    options = arguments | {"count_include_pad": count_include_pad}
    adjoint_pair(lambda t: F.avg_pool2d(t, **options), x, seed)
    np.testing.assert_allclose(
        F.avg_pool2d(x, **options).data, TF.avg_pool2d(torch.tensor(x.data), **options).numpy(), rtol=1e-13
    )
    y, indices = F.max_pool2d(x, return_indices=True, **arguments)
    ty, tindices = TF.max_pool2d(torch.tensor(x.data), return_indices=True, **arguments)
    np.testing.assert_array_equal(y.data, ty.numpy())
    np.testing.assert_array_equal(indices.data, tindices.numpy())
    np.testing.assert_array_equal(
        np.take_along_axis(x.data.reshape(2, -1), indices.data.reshape(2, -1), 1), y.data.reshape(2, -1)
    )


@given(SMALL, st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), SEEDS,
       st.sampled_from(["nearest", "bilinear", "corners"]))  # fmt: skip
def test_resizing(n, h, w, oh, ow, seed, mode):
    kwargs = {"mode": "nearest"} if mode == "nearest" else {"mode": "bilinear", "align_corners": mode == "corners"}
    x = randn(seed, n, 1, h, w)
    adjoint_pair(lambda t: F.interpolate(t, size=(oh, ow), **kwargs), x, seed)
    y = F.interpolate(x, size=(oh, ow), **kwargs).data
    np.testing.assert_allclose(y, TF.interpolate(torch.tensor(x.data), size=(oh, ow), **kwargs).numpy(), atol=1e-12)
    assert x.data.min() - 1e-12 <= y.min()  # an average of neighbours stays between them
    assert y.max() <= x.data.max() + 1e-12
    flat = F.interpolate(ts.full((1, 1, h, w), 3.0, dtype=ts.float64), size=(oh, ow), **kwargs)
    np.testing.assert_allclose(flat.data, 3.0, rtol=1e-14)


@st.composite
def broadcasting(draw):
    """Two shapes, some pairs of which broadcast."""
    shape = draw(st.lists(st.integers(0, 3), max_size=4))
    a, b = ([draw(st.sampled_from([n, n, 1])) for n in shape] for _ in range(2))
    return tuple(a[draw(st.integers(0, len(a))) :]), tuple(b)


@given(broadcasting(), SEEDS)
def test_broadcasting_follows_numpy(shapes, seed):
    a, b = (randn(seed + i, *s) for i, s in enumerate(shapes))
    expected = a.data + b.data
    np.testing.assert_array_equal((a + b).data, expected)
    x, y = (ts.tensor(t.data, requires_grad=True) for t in (a, b))
    gx, gy = ts.grad((x * y).sum(), [x, y])
    assert gx.shape == a.shape
    assert gy.shape == b.shape
    tx, ty = (torch.tensor(t.data, requires_grad=True) for t in (a, b))
    for g, t in zip((gx, gy), torch.autograd.grad((tx * ty).sum(), [tx, ty]), strict=True):
        np.testing.assert_allclose(g.data, t.numpy(), atol=1e-13)


@given(st.lists(st.integers(0, 3), max_size=3), st.lists(st.integers(0, 3), max_size=3))
def test_shapes_that_do_not_broadcast_are_refused(a, b):
    try:
        np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ShapeError, match=r"add: shapes .* do not broadcast: axis -\d has"):
            ts.zeros(a) + ts.zeros(b)
    else:
        assert (ts.zeros(a) + ts.zeros(b)).shape == np.broadcast_shapes(a, b)


@given(broadcasting(), SEEDS)
def test_sum_to_and_broadcast_to(shapes, seed):
    small, other = shapes
    large = np.broadcast_shapes(small, other)
    adjoint_pair(lambda t: ts.broadcast_to(t, large), randn(seed, *small), seed)
    adjoint_pair(lambda t: sum_to(t, small), randn(seed, *large), seed)


@given(st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(-4, 3), max_size=6), SEEDS)
def test_indexing_pairs(rows, columns, places, seed):
    x = randn(seed, rows, columns)
    index = np.array([p % rows for p in places], np.int64)
    adjoint_pair(lambda t: GetItem((index,))(t), x, seed)
    adjoint_pair(lambda t: Scatter((index,), (rows, columns))(t), randn(seed, len(index), columns), seed)
    adjoint_pair(lambda t: IndexSelect(index, 0)(t), x, seed)
    adjoint_pair(lambda t: IndexAdd(index, 0, rows)(t), randn(seed, len(index), columns), seed)
    picks = np.broadcast_to(index[:, None], (len(index), columns)).copy()
    adjoint_pair(lambda t: Gather(picks, 0)(t), x, seed)
    adjoint_pair(lambda t: GatherAdjoint(picks, 0, (rows, columns))(t), randn(seed, len(index), columns), seed)


@given(
    st.lists(st.integers(-2, 3), min_size=4, max_size=4),
    st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    SEEDS,
)
def test_padding(widths, mode, seed):
    x = randn(seed, 1, 1, 5, 6)
    adjoint_pair(lambda t: F.pad(t, widths, mode), x, seed)
    expected = TF.pad(torch.tensor(x.data), widths, mode).numpy()
    np.testing.assert_array_equal(F.pad(x, widths, mode).data, expected)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(-3, 2), SEEDS)
def test_cat_and_split_are_inverse(sizes, dim, seed):
    shape = [2, 3, 2]
    parts = []
    for i, n in enumerate(sizes):
        shape[dim] = n
        parts.append(randn(seed + i, *shape))
    whole = ts.cat(parts, dim)
    for part, back in zip(parts, ts.split(whole, sizes, dim), strict=True):
        np.testing.assert_array_equal(part.data, back.data)
    adjoint_pair(lambda t: ts.cat([t, t * 2.0], dim), parts[0], seed)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), SEEDS, st.floats(-50, 50), st.data())
def test_softmax(shape, seed, shift, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = randn(seed, *shape)
    y = F.softmax(x, dim)
    np.testing.assert_allclose(F.softmax(x + shift, dim).data, y.data, rtol=1e-10)
    np.testing.assert_allclose(y.data.sum(dim), 1.0, rtol=1e-13)
    np.testing.assert_allclose(np.exp(F.log_softmax(x, dim).data), y.data, rtol=1e-12)


LINEAR = {
    "conv2d": lambda x: F.conv2d(x, randn(5, 2, 2, 3, 3), padding=1, stride=2),
    "conv_transpose2d": lambda x: F.conv_transpose2d(x, randn(5, 2, 2, 3, 3), stride=2),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "interpolate": lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"),
    "pad": lambda x: F.pad(x, (1, 2, -1, 0), "reflect"),
    "linear": lambda x: F.linear(x, randn(5, 3, 5)),
    "sum": lambda x: x.sum((1, 3)),
    "mean": lambda x: x.mean(-1, keepdim=True),
    "flip": lambda x: x.flip(1, 2),
    "permute": lambda x: x.permute(2, 0, 3, 1),
    "index": lambda x: x[:, [1, 0, 1], None, 1:3],
}


@pytest.mark.parametrize("name", LINEAR)
@settings(max_examples=5)
@given(seed=SEEDS, a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_linear_ops_are_linear(name, seed, a, b):
    f = LINEAR[name]
    x, y = randn(seed, 2, 2, 6, 5), randn(seed + 1, 2, 2, 6, 5)
    np.testing.assert_allclose(f(x * a + y * b).data, (f(x) * a + f(y) * b).data, rtol=0, atol=1e-12)
    adjoint_pair(f, x, seed)


@given(st.lists(st.integers(0, 4), max_size=4), st.lists(st.integers(-1, 5), max_size=4))
def test_reshape_fits_or_refuses(shape, new):
    x = ts.zeros(shape)
    try:
        expected = torch.zeros(shape).reshape(new).shape
    except RuntimeError:
        with pytest.raises(TinysegError, match="reshape"):
            x.reshape(new)
    else:
        assert x.reshape(new).shape == tuple(expected)
