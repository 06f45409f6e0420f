"""Random Tensors: seeds and states, shapes and types, and that the numbers have the distribution that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseg as ts
from tinyseg.errors import ArgumentError, DeviceError, DTypeError, ShapeError, TinysegError

MANY = 40_000


def seeded(seed=3):
    return ts.Generator().manual_seed(seed)


DRAWS = {
    "rand": lambda g: ts.rand(3, 2, generator=g),
    "randn": lambda g: ts.randn((3, 2), generator=g),
    "randint": lambda g: ts.randint(5, (7,), generator=g),
    "randperm": lambda g: ts.randperm(9, generator=g),
    "rand_like": lambda g: ts.rand_like(ts.zeros(4), generator=g),
    "randn_like": lambda g: ts.randn_like(ts.zeros(4), generator=g),
    "randint_like": lambda g: ts.randint_like(ts.zeros(9), 2, 99, generator=g),
    "normal": lambda g: ts.normal(1.0, 2.0, (4,), generator=g),
    "bernoulli": lambda g: ts.bernoulli(ts.full((40,), 0.5), generator=g),
    "multinomial": lambda g: ts.multinomial(ts.ones(20), 9, generator=g),
    "with replacement": lambda g: ts.multinomial(ts.ones(2, 20), 9, True, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_follow_their_generator(name):
    draw = DRAWS[name]
    g = seeded()
    first, second = draw(g).data, draw(g).data
    np.testing.assert_array_equal(first, draw(seeded()).data)
    assert not np.array_equal(first, second)
    ts.manual_seed(7)
    ours = draw(None).data
    draw(seeded())  # another generator's draws do not touch the program's
    ts.manual_seed(7)
    draw(seeded())
    np.testing.assert_array_equal(ours, draw(None).data)
    with pytest.raises(DTypeError, match=r"generator must be a ts\.Generator, got int"):
        draw(3)


def test_states_and_seeds():
    g = seeded(5)
    assert g.initial_seed() == 5
    assert g.device == "cpu"
    ts.rand(3, generator=g)
    state = g.get_state()
    assert state.dtype == np.uint8
    a = ts.randn(5, generator=g)
    other = ts.Generator("cuda:0")
    other.set_state(state)
    assert other.initial_seed() == 5
    np.testing.assert_array_equal(a.data, ts.randn(5, generator=other).data)
    assert seeded(-1).initial_seed() == 2**64 - 1
    assert g.seed() == g.initial_seed() != 5
    assert ts.manual_seed(11).initial_seed() == ts.initial_seed() == 11
    state = ts.get_rng_state()
    a = ts.rand(3)
    ts.set_rng_state(state)
    np.testing.assert_array_equal(a.data, ts.rand(3).data)
    assert ts.seed() == ts.initial_seed()
    for bad, kind in ((1.5, DTypeError), (2**64, ArgumentError), ("a", DTypeError)):
        with pytest.raises(kind, match="manual_seed: seed must"):
            g.manual_seed(bad)
    with pytest.raises(ArgumentError, match="set_state: new_state is not what get_state"):
        g.set_state(ts.zeros(4, dtype=ts.uint8))
    with pytest.raises(DeviceError, match="Generator: device must be"):
        ts.Generator("tpu")


def test_shapes_types_and_devices():
    assert ts.rand(2, 3).shape == ts.rand((2, 3)).shape == ts.rand(size=(2, 3)).shape == (2, 3)
    assert ts.rand(()).shape == ts.rand().shape == ()
    assert ts.randn(2, dtype=ts.float64, requires_grad=True).requires_grad
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        for f in (ts.rand, ts.randn):
            assert f(3, dtype=dtype).dtype == dtype
            assert getattr(ts, f"{f.__name__}_like")(f(3, dtype=dtype)).dtype == dtype
    assert ts.randint(2, 9, (3,)).dtype == np.int64
    assert ts.randint(low=2, high=9, size=(3,), dtype=ts.float32).dtype == np.float32
    assert ts.randint(9, size=(3,)).shape == (3,)
    assert ts.randperm(0).shape == (0,)
    assert ts.randperm(5, dtype=ts.int32).dtype == np.int32
    assert ts.multinomial(ts.ones(2, 3), 2).shape == (2, 2)
    assert ts.multinomial(ts.ones(3), 2).dtype == np.int64
    assert ts.normal(ts.zeros(2, 1), ts.ones(3)).shape == (2, 3)
    assert ts.normal(0.0, ts.ones(3, dtype=ts.float64)).dtype == np.float64


def test_uniform_and_normal():
    for dtype in ("float16", "float32", "float64"):
        u = ts.rand(MANY, dtype=dtype, generator=seeded()).data.astype(np.float64)
        assert 0 <= u.min() <= u.max() < 1
        assert np.abs(np.histogram(u, 10, (0, 1))[0] / MANY - 0.1).max() < 0.01
    for z in (ts.randn(MANY, generator=seeded()), (ts.normal(3.0, 2.0, (MANY,), generator=seeded()) - 3.0) / 2.0):
        inside = [(np.abs(z.data) < k).mean() for k in (1, 2, 3)]
        np.testing.assert_allclose(inside, [0.6827, 0.9545, 0.9973], atol=0.01)
        assert abs(z.data.mean()) < 0.02
    means = ts.normal(ts.tensor([-5.0, 5.0]).expand(MANY, 2), 0.5, generator=seeded()).mean(0)
    np.testing.assert_allclose(means.data, [-5, 5], atol=0.02)


def test_integers_and_permutations():
    k = ts.randint(-2, 3, (MANY,), generator=seeded()).data
    np.testing.assert_allclose(np.bincount(k + 2) / MANY, 0.2, atol=0.01)
    np.testing.assert_array_equal(np.sort(ts.randperm(100, generator=seeded()).data), np.arange(100))
    g = seeded()
    firsts = [ts.randperm(4, generator=g)[0].item() for _ in range(2000)]
    np.testing.assert_allclose(np.bincount(firsts) / 2000, 0.25, atol=0.04)


def test_bernoulli():
    p = ts.tensor([0.0, 0.2, 0.7, 1.0], requires_grad=True)
    drawn = ts.bernoulli(p.expand(MANY, 4), generator=seeded())
    assert set(np.unique(drawn.data)) == {0.0, 1.0}
    np.testing.assert_allclose(drawn.data.mean(0), p.data, atol=0.01)
    drawn.sum().backward()
    np.testing.assert_array_equal(p.grad.data, 0)
    assert abs(ts.zeros(MANY).bernoulli(0.3, generator=seeded()).data.mean() - 0.3) < 0.01


def test_multinomial():
    weights = np.array([[1.0, 0.0, 3.0, 0.0], [0.0, 2.0, 2.0, 4.0]])
    shares = weights / weights.sum(1, keepdims=True)
    drawn = ts.multinomial(ts.tensor(weights), MANY, replacement=True, generator=seeded()).data
    for row, share in zip(drawn, shares, strict=True):
        np.testing.assert_allclose(np.bincount(row, minlength=4) / MANY, share, atol=0.01)
    rows = ts.multinomial(ts.tensor(weights[1]).expand(MANY, 4), 3, generator=seeded()).data
    assert (np.sort(rows, 1) == [1, 2, 3]).all()
    np.testing.assert_allclose(np.bincount(rows[:, 0], minlength=4) / MANY, shares[1], atol=0.01)
    second = rows[rows[:, 0] == 3, 1]  # what is left keeps its proportions
    np.testing.assert_allclose(np.bincount(second, minlength=4) / second.size, [0, 0.5, 0.5, 0], atol=0.02)


MISTAKES = {
    "rand type": (
        lambda: ts.rand(2, dtype=ts.int64),
        DTypeError,
        "rand: dtype must be a floating-point type, got int64",
    ),
    "rand size": (lambda: ts.rand(-1), ShapeError, "rand: size must not be negative, got (-1,)"),
    "rand text": (lambda: ts.rand("a"), DTypeError, "rand: size must be integers"),
    "randint": (lambda: ts.randint(3, 3, (2,)), ArgumentError, "randint: low must be below high, got 3 and 3"),
    "randint one": (lambda: ts.randint(3), ArgumentError, "randint: expected (high, size)"),
    "randint real": (lambda: ts.randint(3.5, (2,)), DTypeError, "randint: low and high must be integers"),
    "randint_like": (
        lambda: ts.randint_like(ts.ones(2)),
        ArgumentError,
        "randint_like: expected high, or low and high",
    ),
    "randperm": (lambda: ts.randperm(-1), ArgumentError, "randperm: n must not be negative, got -1"),
    "normal": (lambda: ts.normal(0.0, 1.0), ArgumentError, "normal: give size with two numbers"),
    "normal std": (lambda: ts.normal(0.0, -1.0, (2,)), ArgumentError, "normal: std must not be negative, got -1.0"),
    "normal type": (lambda: ts.normal(ts.tensor([1])), DTypeError, "normal: mean must be of a floating-point type"),
    "bernoulli": (lambda: ts.bernoulli(ts.tensor([1.5])), ArgumentError, "bernoulli: input must be probabilities"),
    "bernoulli p": (lambda: ts.ones(2).bernoulli(2), ArgumentError, "bernoulli: p must be probabilities"),
    "bernoulli type": (
        lambda: ts.bernoulli(ts.tensor([1])),
        DTypeError,
        "bernoulli: input must be of a floating-point",
    ),
    "weights": (lambda: ts.multinomial(ts.tensor([1.0, -1.0]), 1), ArgumentError, "finite and not negative"),
    "weights 0": (lambda: ts.multinomial(ts.zeros(3), 1), ArgumentError, "every row of input needs a weight above 0"),
    "samples": (lambda: ts.multinomial(ts.ones(3), 4), ArgumentError, "num_samples 4 exceeds the 3 weights above 0"),
    "samples 0": (lambda: ts.multinomial(ts.ones(3), 0), ArgumentError, "num_samples must be at least 1, got 0"),
    "axes": (lambda: ts.multinomial(ts.ones(1, 1, 3), 1), ShapeError, "multinomial: input must have 1 or 2 axes"),
    "weights type": (lambda: ts.multinomial(ts.tensor([1, 2]), 1), DTypeError, "multinomial: input must be of a"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    mistake, kind, message = MISTAKES[name]
    with pytest.raises(TinysegError) as caught:
        mistake()
    assert isinstance(caught.value, kind), repr(caught.value)
    assert message in str(caught.value)
