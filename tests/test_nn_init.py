"""Initial values: the same distributions as PyTorch's, judged by bounds and moments; the same seed, the same values."""

import math

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn
from tinyseg.errors import ArgumentError, ShapeError
from tinyseg.nn import init

SHAPE = (60, 50, 3, 2)  # 18,000 numbers: a variance within 5 % is four standard errors and more


def drawn(function, *args, shape=SHAPE, **settings):
    return function(ts.zeros(*shape, dtype=ts.float64), *args, **settings).numpy()


def reference(name, *args, shape=SHAPE, **settings):
    torch.manual_seed(0)
    return getattr(torch.nn.init, name)(torch.zeros(*shape, dtype=torch.float64), *args, **settings).numpy()


@pytest.mark.parametrize(
    ("name", "args", "settings"),
    [
        ("uniform_", (-2.0, 3.0), {}),
        ("normal_", (1.5, 0.3), {}),
        ("trunc_normal_", (), {}),
        ("trunc_normal_", (0.2, 1.0, -0.5, 1.0), {}),
        ("xavier_uniform_", (), {}),
        ("xavier_uniform_", (2.0,), {}),
        ("xavier_normal_", (0.5,), {}),
        ("kaiming_uniform_", (), {}),
        ("kaiming_uniform_", (math.sqrt(5),), {}),
        ("kaiming_uniform_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", (), {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", (0.2,), {}),
        ("kaiming_normal_", (), {"nonlinearity": "tanh"}),
    ],
)
def test_distribution_is_pytorchs(name, args, settings):
    ours, theirs = drawn(getattr(init, name), *args, **settings), reference(name, *args, **settings)
    scale = theirs.std()
    assert ours.std() == pytest.approx(scale, rel=0.05)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.05 * scale)
    for q in (0.01, 0.25, 0.75, 0.99):
        assert np.quantile(ours, q) == pytest.approx(np.quantile(theirs, q), abs=0.12 * scale)
    if "normal" not in name or "trunc" in name:  # bounded
        assert ours.min() >= theirs.min() - 0.01 * scale
        assert ours.max() <= theirs.max() + 0.01 * scale


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 2, 3, 1)])
def test_orthogonal(shape):
    q = drawn(init.orthogonal_, 3.0, shape=shape).reshape(shape[0], -1)
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(gram, 9 * np.eye(len(gram)), atol=1e-12)


def test_constants():
    assert drawn(init.ones_, shape=(2,)).tolist() == [1, 1]
    assert drawn(init.zeros_, shape=(2,)).tolist() == [0, 0]
    assert drawn(init.constant_, 0.3, shape=(2,)).tolist() == [0.3, 0.3]
    assert drawn(init.eye_, shape=(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("param", [None, 0.3])
@pytest.mark.parametrize(
    "name", ["linear", "conv2d", "conv_transpose2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
)
def test_gains_are_pytorchs(name, param):
    assert init.calculate_gain(name, param) == pytest.approx(torch.nn.init.calculate_gain(name, param))


@pytest.mark.parametrize(
    "build",
    [
        lambda n: n.Conv2d(8, 16, 3, groups=2),
        lambda n: n.ConvTranspose2d(16, 8, 3, groups=2),
        lambda n: n.ConvTranspose2d(16, 4, (2, 5)),
        lambda n: n.Linear(40, 30),
    ],
)
def test_layers_begin_as_pytorchs(build):
    torch.manual_seed(0)
    reference = [build(torch.nn) for _ in range(40)]
    layers = [build(nn) for _ in range(40)]
    for name in ("weight", "bias"):
        ours = np.concatenate([getattr(m, name).detach().numpy().ravel() for m in layers])
        theirs = np.concatenate([getattr(m, name).detach().numpy().ravel() for m in reference])
        bound = np.abs(theirs).max()
        assert np.abs(ours).max() == pytest.approx(bound, rel=0.05)  # uniform: both come close to the bound
        assert ours.std() == pytest.approx(bound / math.sqrt(3), rel=0.08)
        assert abs(ours.mean()) < 0.1 * bound


def test_norm_layers_begin_as_the_identity():
    for name, value in nn.BatchNorm2d(3).state_dict().items():
        expected = torch.nn.BatchNorm2d(3).state_dict()[name].numpy()
        np.testing.assert_array_equal(value.numpy(), expected)


def test_the_same_seed_gives_the_same_layer_and_another_another():
    made = []
    for seed in (3, 3, 4):
        ts.manual_seed(seed)
        made.append(nn.Conv2d(2, 2, 3).weight.detach().numpy())
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_it_writes_into_parameters_of_any_type_in_place():
    p = nn.Parameter(ts.zeros(4, 4, dtype=ts.float16))
    assert init.normal_(p) is p
    assert p.dtype == ts.float16
    assert p.requires_grad
    assert p.detach().numpy().std() > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: init.kaiming_normal_(ts.zeros(3)), ShapeError, r"at least two axes, got shape \(3,\)"),
        (lambda: init.kaiming_normal_(ts.zeros(3, 3), mode="fan"), ArgumentError, "mode must be"),
        (lambda: init.calculate_gain("swish"), ArgumentError, "'swish'"),
        (lambda: init.orthogonal_(ts.zeros(3)), ShapeError, "two axes"),
        (lambda: init.eye_(ts.zeros(3)), ShapeError, "matrix"),
        (lambda: init.trunc_normal_(ts.zeros(3), a=1.0, b=0.0), ArgumentError, "a must be below b"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
