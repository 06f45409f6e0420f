"""Laws of shapes, drawn by hypothesis: broadcasting, inverses, equivariances, orders, einsum against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import tinyseg as ts
from tests.test_properties import SEEDS, adjoint_pair, randn
from tinyseg.errors import TinysegError

SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4)
SIZES = dict(zip("abcd", (2, 3, 1, 4), strict=True))


def equal(a, b):
    np.testing.assert_array_equal(a.data, b.data)


@given(SHAPES, st.data(), SEEDS)
def test_broadcasting(shape, data, seed):
    """f(a, b) = f(a stretched, b stretched), whatever axes of size 1 or missing axes there are."""
    small = [1 if data.draw(st.booleans()) else n for n in shape][data.draw(st.integers(0, len(shape))) :]
    a, b = randn(seed, *shape), randn(seed + 1, *small)
    wide = ts.broadcast_tensors(a, b)
    assert wide[0].shape == wide[1].shape == np.broadcast_shapes(tuple(shape), tuple(small))
    for f in (ts.add, ts.mul, ts.maximum, lambda x, y: ts.where(x > y, x, y), lambda x, y: ts.clamp(x, y, y + 1.0)):
        equal(f(a, b), f(*wide))
    adjoint_pair(lambda t: t.broadcast_to(shape), b, seed)


@given(SHAPES, st.data(), SEEDS)
def test_permutations_have_inverses(shape, data, seed):
    x = randn(seed, *shape)
    order = data.draw(st.permutations(range(len(shape))))
    equal(x.permute(order).permute(np.argsort(order).tolist()), x)
    i, j = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    equal(x.movedim(i, j).movedim(j, i), x)
    equal(x.swapaxes(i, j).swapaxes(j, i), x)
    equal(x.flatten().unflatten(0, shape), x)


@given(SHAPES, st.integers(-9, 9), st.data(), SEEDS)
def test_roll_and_flip(shape, shift, data, seed):
    """Functions of one element commute with both; a flip turns a shift round; a shift comes back."""
    x = randn(seed, *shape)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    rolled = x.roll(shift, dim)
    equal(rolled.roll(-shift, dim), x)
    equal(x.flip(dim).flip(dim), x)
    equal(x.flip(dim).roll(shift, dim), x.roll(-shift, dim).flip(dim))
    equal(ts.exp(rolled), ts.exp(x).roll(shift, dim))
    np.testing.assert_allclose(rolled.sum(dim).data, x.sum(dim).data, atol=1e-12)
    adjoint_pair(lambda t: t.roll(shift, dim), x, seed)


@given(SHAPES, st.integers(1, 5), st.data(), SEEDS)
def test_pieces_join_to_the_whole(shape, count, data, seed):
    x = randn(seed, *shape)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    for pieces in (x.split(count, dim), x.chunk(count, dim), x.tensor_split(count, dim)):
        equal(ts.cat(pieces, dim), x)
    if x.shape[dim]:
        equal(ts.stack(x.unbind(dim), dim), x)
    equal(x.repeat_interleave(count, dim), ts.stack([x] * count, dim % len(shape) + 1).flatten(*sorted_pair(dim, x)))


def sorted_pair(dim, x):
    return dim % x.ndim, dim % x.ndim + 1


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data(), SEEDS)
def test_running_sums_and_products(shape, data, seed):
    x = randn(seed, *shape)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    sums, products = x.cumsum(dim), x.cumprod(dim)
    np.testing.assert_allclose(sums.select(dim, -1).data, x.sum(dim).data, atol=1e-12)
    np.testing.assert_allclose(products.select(dim, -1).data, x.prod(dim).data, atol=1e-12)
    steps = sums - ts.cat([ts.zeros_like(x.narrow(dim, 0, 1)), sums.narrow(dim, 0, x.shape[dim] - 1)], dim)
    np.testing.assert_allclose(steps.data, x.data, atol=1e-12)
    adjoint_pair(lambda t: t.cumsum(dim), x, seed)


@given(SHAPES, st.booleans(), st.data())
def test_sorting_permutes(shape, descending, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    x = ts.tensor(np.random.default_rng(len(shape)).integers(0, 3, shape))
    values, indices = ts.sort(x, dim, descending)
    equal(x.gather(dim, indices), values)
    equal(ts.sort(indices, dim).values, ts.argsort(ts.zeros(*shape), dim))  # every place once
    steps = np.diff(values.data, axis=dim) * (-1 if descending else 1)
    assert (steps >= 0).all()
    same = (steps == 0) & (np.diff(indices.data, axis=dim) < 0)
    assert not same.any()  # equal elements stand as they stood
    k = data.draw(st.integers(0, x.shape[dim]))
    equal(ts.topk(x, k, dim, largest=descending).values, values.narrow(dim, 0, k))


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=3), min_size=1, max_size=3), st.data(), SEEDS)
def test_einsum_is_its_loops(terms, data, seed):
    letters = sorted({c for term in terms for c in term})
    output = data.draw(st.permutations(letters))[: data.draw(st.integers(0, len(letters)))]
    xs = [randn(seed + i, *(SIZES[c] for c in term)) for i, term in enumerate(terms)]
    expected = np.zeros([SIZES[c] for c in output])
    for places in itertools.product(*(range(SIZES[c]) for c in letters)):
        at = dict(zip(letters, places, strict=True))
        product = np.prod([x.data[tuple(at[c] for c in term)] for x, term in zip(xs, terms, strict=True)])
        expected[tuple(at[c] for c in output)] += product
    equation = f"{','.join(''.join(t) for t in terms)}->{''.join(output)}"
    np.testing.assert_allclose(ts.einsum(equation, *xs).data, expected, atol=1e-12)
    sublists = [part for x, term in zip(xs, terms, strict=True) for part in (x, ["abcd".index(c) for c in term])]
    np.testing.assert_allclose(ts.einsum(*sublists, ["abcd".index(c) for c in output]).data, expected, atol=1e-12)


PARTS = st.sampled_from([0, -1, 1, slice(None), slice(1, None), slice(None, None, 2), None, ..., True, False,
                         [0, 1], [1, 0, 1], [[0], [1]], [True, False], "mask", "0-d"])  # fmt: skip


@given(st.sampled_from([(2, 3, 2, 3), (2, 2, 2), (3, 2), (2,)]), st.lists(PARTS, min_size=1, max_size=5))
def test_indexing_is_pytorchs(shape, parts):
    """Any mixture of indices: PyTorch's shape, values and gradient, or both refuse it."""
    special = {"mask": np.random.default_rng(1).random((2, 3)) < 0.5, "0-d": np.array(1)}
    arrays = [np.array(p) if isinstance(p, list) else special.get(p) if isinstance(p, str) else None for p in parts]
    ours = tuple(p if a is None else ts.tensor(a) for p, a in zip(parts, arrays, strict=True))
    theirs = tuple(p if a is None else torch.tensor(a) for p, a in zip(parts, arrays, strict=True))
    x = randn(0, *shape)
    t = torch.tensor(x.data, requires_grad=True)
    try:
        expected = t[theirs]
    except (IndexError, RuntimeError, ValueError):
        expected = None
    try:
        y = x.requires_grad_()[ours]
    except TinysegError:  # a full slice behind a second ellipsis names an axis that PyTorch does not have either
        assert expected is None or (parts.count(...) > 1 and slice(None) in parts)
    else:
        assert expected is not None
        np.testing.assert_array_equal(y.data, expected.detach().numpy())
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        np.testing.assert_allclose(x.grad.data, t.grad.numpy(), atol=1e-12)
