"""A ReLU behind a convolution or a batch norm runs in the same op: the same bits as one after the other."""

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg import nn
from tinyseg.errors import GraphError
from tinyseg.ops.conv import Conv2dRelu
from tinyseg.ops.norm import BatchNormEvalRelu, BatchNormRelu

RNG = np.random.default_rng(0)


def layers(n):
    return [
        n.Conv2d(3, 20, 3, padding=1), n.ReLU(inplace=True),
        n.Conv2d(20, 4, 3, stride=2, bias=False), n.BatchNorm2d(4), n.ReLU(),
        n.ReLU(), n.Conv2d(4, 4, 1), n.Flatten(), n.Linear(4 * 7 * 7, 5), n.BatchNorm1d(5), n.ReLU(),
    ]  # fmt: skip


def net(dtype=np.float32):
    ts.manual_seed(0)
    made = nn.Sequential(*layers(nn)).to(dtype)
    for p in made.parameters():
        p.assign_(np.random.default_rng(p.data.size).standard_normal(p.shape).astype(dtype) / 3)
    return made


def one_by_one(made, x):
    for module in made:
        x = module(x)
    return x


def results(run, made, x, training):
    """Output, gradients, and the gradients of a sum of squared gradients."""
    made.train(training)
    x = ts.tensor(x, requires_grad=True)
    leaves = [x, *made.parameters()]
    y = run(made, x)
    first = ts.grad((y * y).sum(), leaves, create_graph=True)
    second = ts.grad(sum(((g * g).sum() for g in first), start=ts.tensor(0, dtype=x.dtype)), leaves)
    return [t.detach().numpy() for t in (y, *first, *second)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_to_the_second_derivative(training, dtype):
    made, x = net(dtype), RNG.standard_normal((3, 3, 15, 16)).astype(dtype)
    together, apart = (results(run, made, x, training) for run in (nn.Sequential.__call__, one_by_one))
    for fused, expected in zip(together, apart, strict=True):
        np.testing.assert_array_equal(fused, expected)


def test_pytorchs_values_and_gradients():
    made, theirs = net(np.float64), torch.nn.Sequential(*layers(torch.nn)).double()
    theirs.load_state_dict({k: torch.from_numpy(np.array(v.detach().numpy())) for k, v in made.state_dict().items()})
    x = RNG.standard_normal((3, 3, 15, 16))
    y, tx = made(ts.tensor(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), tx.detach(), atol=1e-12)
    (y * y).sum().backward()
    (tx * tx).sum().backward()
    for ours, p in zip(made.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad.numpy(), p.grad, atol=1e-10)
    for ours, b in zip(made.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(ours.numpy(), b, atol=1e-12)


def ops_of(y):
    """The types of the ops that a Tensor came from, over the first inputs."""
    found, edge = [], y.edge
    while isinstance(edge, tuple):
        found.append(type(edge[0]))
        edge = edge[0].edges[0]
    return found


class Loud(nn.ReLU):
    """A subclass, which might do something else."""


class Shifted(nn.Conv2d):
    """One with a forward of its own, which knows no `relu`."""

    def forward(self, input):
        return super().forward(input) + 1


@pytest.mark.parametrize("training", [True, False])
def test_it_does_run_in_the_same_op(training):
    x = ts.tensor(np.ones((2, 3, 15, 15), np.float32), requires_grad=True)
    made = net().train(training)
    seen = ops_of(made(x))
    norm = BatchNormRelu if training else BatchNormEvalRelu
    assert [op.__name__ for op in seen].count("Relu") == 1  # the one behind a ReLU
    assert seen.count(Conv2dRelu) == 1
    assert seen.count(norm) == 2


@pytest.mark.parametrize("where", ["conv", "relu"])
@pytest.mark.parametrize(
    "listen",
    [
        lambda m, f: m.register_forward_hook(lambda m, i, o: f(o)),
        lambda m, f: m.register_forward_pre_hook(lambda m, i: f(i[0])),
        lambda m, f: m.register_full_backward_hook(lambda m, gx, gy: f(gy[0])),
    ],
)
def test_a_hook_sees_what_stands_between(where, listen):
    conv, relu = nn.Conv2d(1, 2, 1), nn.ReLU()
    seen = []
    handle = listen(conv if where == "conv" else relu, lambda t: seen.append(t.shape))
    made = nn.Sequential(conv, relu)
    x = ts.tensor(np.ones((1, 1, 2, 2), np.float32), requires_grad=True)
    made(x).sum().backward()
    assert len(seen) == 1
    handle.remove()
    assert Conv2dRelu in ops_of(made(x))


@pytest.mark.parametrize("pair", [(nn.Conv2d(1, 1, 1), Loud()), (Shifted(1, 1, 1), nn.ReLU())])
def test_subclasses_keep_their_own_way(pair):
    x = ts.tensor(np.ones((1, 1, 2, 2), np.float32), requires_grad=True)
    assert Conv2dRelu not in ops_of(nn.Sequential(*pair)(x))


def test_a_changed_forward_is_called():
    conv = nn.Conv2d(1, 1, 1)
    conv.forward = lambda input: input * 7
    y = nn.Sequential(conv, nn.ReLU())(ts.tensor(np.ones((1, 1, 1, 1), np.float32)))
    assert y.item() == 7


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_change_in_place_is_noticed(name):
    norm = nn.BatchNorm2d(2)
    y = nn.Sequential(norm, nn.ReLU())(ts.tensor(np.ones((2, 2, 5, 5), np.float32), requires_grad=True))
    p = getattr(norm, name)
    p.assign_(p.detach().numpy() + 1)
    with pytest.raises(GraphError, match="changed in place"):
        y.sum().backward()
