"""What a graph keeps in memory and for how long: nothing undeclared, and all freed by reference counts alone."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.graph_nodes import collector_off, remembered
from tinyseg.engine import Op
from tinyseg.errors import ShapeError
from tinyseg.ops.elementwise import Mul


def small_net(x, w, b):
    y = F.relu(F.batch_norm(F.conv2d(x, w, b, padding=1), None, None, training=True))
    y = F.interpolate(F.max_pool2d(y, 2), scale_factor=2, mode="bilinear")
    return (F.softmax(ts.cat([y, x], 1), 1) ** 2).mean()


def net_inputs():
    rng = np.random.default_rng(0)
    shapes = (2, 2, 4, 4), (3, 2, 3, 3), (3,)
    return [ts.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


def second_order(inputs):
    """The gradient of the squared length of the gradient."""
    gs = ts.grad(small_net(*inputs), inputs, create_graph=True)
    return ts.grad(sum((g * g).sum() for g in gs), inputs, materialize_grads=True)


@pytest.fixture
def graph_nodes():
    """A function that lists the ops and the results of ops that only reference counts have left alive."""
    second_order(net_inputs())  # compiles: numba's compiler does leave cycles
    gc.collect()
    with collector_off(), remembered() as alive:
        yield lambda: [n for n in alive() if isinstance(n, Op) or (isinstance(n, ts.Tensor) and not n.is_leaf)]


def test_backward_frees_the_graph_as_it_passes(graph_nodes):
    inputs = net_inputs()
    loss = small_net(*inputs)
    loss.backward()
    left = [n for n in graph_nodes() if n is not loss]
    assert len(left) == 1  # the op that made the loss, empty
    assert left[0].__dict__ == {}
    assert all(t.grad is not None for t in inputs)


def test_an_exception_in_backward_leaves_nothing(graph_nodes, monkeypatch):
    def broken(self, gy):
        raise ValueError("planted")

    monkeypatch.setattr(ts.ops.activation.Relu, "backward", broken)
    loss = small_net(*net_inputs())
    with pytest.raises(ValueError, match="planted") as caught:
        loss.backward()
    del loss, caught
    assert graph_nodes() == []
    assert ts.is_grad_enabled()


def test_an_exception_in_forward_leaves_nothing(graph_nodes):
    x, w, _ = net_inputs()
    with pytest.raises(ShapeError):
        F.conv2d(x * 2.0, w[:, :1])
    del x, w, _
    assert graph_nodes() == []


def held_by(y, array):
    """Whether the graph behind `y` keeps `array` in memory; leaves apart, which belong to the caller."""
    stack, found = [y.edge], False
    while stack:
        edge = stack.pop()
        if isinstance(edge, tuple):
            op = edge[0]
            arrays = [s.array for s in op._saved if s is not None]
            arrays += [v for v in op.__dict__.values() if isinstance(v, np.ndarray)]
            found = found or any(np.shares_memory(a, array) for a in arrays)
            stack.extend(op.edges)
    return found


KEEPS = {  # function, what it needs of (a, b) when (only a, only b) wants a gradient
    "conv2d": (lambda a, b: F.conv2d(a, b), "b", "a"),
    "conv_transpose2d": (lambda a, b: F.conv_transpose2d(a, b), "b", "a"),
    "add": (lambda a, b: a + b, "", ""),
    "mul": (lambda a, b: a * b, "b", "a"),
    "div": (lambda a, b: a / b, "b", "b"),
    "cat": (lambda a, b: ts.cat([a, b]), "", ""),
    "matmul": (lambda a, b: a @ b, "b", "a"),
}


@pytest.mark.parametrize("name", KEEPS)
@pytest.mark.parametrize("wants", [0, 1])
def test_an_op_keeps_only_what_its_gradient_needs(name, wants):
    function, *needed = KEEPS[name]
    a, b = (ts.tensor(np.random.default_rng(i).standard_normal((2, 2, 3, 3)), requires_grad=i == wants) for i in (0, 1))
    y = function(a, b)
    assert "".join(n for n, t in (("a", a), ("b", b)) if held_by(y, t.data)) == needed[wants]


ONE_INPUT = {
    "relu": (F.relu, "y"),
    "sigmoid": (F.sigmoid, "y"),
    "softmax": (lambda x: F.softmax(x, 1), "y"),
    "exp": (ts.exp, "y"),
    "sin": (ts.sin, "x"),
    "neg": (ts.neg, ""),
    "sum": (lambda x: x.sum(1), ""),
    "mean": (ts.mean, ""),
    "times 2": (lambda x: x * 2.0, ""),
    "index": (lambda x: x[:, 1], ""),
    "pad": (lambda x: F.pad(x, (1, 1)), ""),
    "permute": (lambda x: x.permute(1, 0, 2, 3), ""),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), ""),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), ""),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2), ""),
    "batch_norm eval": (lambda x: F.batch_norm(x, ts.zeros(2, dtype=x.dtype), ts.ones(2, dtype=x.dtype)), ""),
}


@pytest.mark.parametrize("name", ONE_INPUT)
def test_an_op_of_one_input_keeps_only_what_its_gradient_needs(name):
    function, needed = ONE_INPUT[name]
    leaf_ = ts.tensor(np.random.default_rng(0).standard_normal((2, 2, 4, 4)), requires_grad=True)
    x = leaf_ * 1.5
    y = function(x)
    assert ("x" if held_by(y, x.data) else "") + ("y" if held_by(y, y.data) else "") == needed


@pytest.mark.usefixtures("graph_nodes")
def test_what_no_gradient_needs_is_freed_at_once():
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    h = x + 1.0
    reference = weakref.ref(h.data)
    y = h + 1.0
    del h
    assert reference() is None
    assert y.requires_grad


def test_nothing_is_kept_without_gradients():
    op = Mul()
    op(ts.ones(2), ts.ones(2))
    assert "_saved" not in op.__dict__
    with ts.no_grad():
        op = Mul()
        op(ts.ones(2, requires_grad=True), ts.ones(2))
    assert "_saved" not in op.__dict__


def address(t):
    return t.data.__array_interface__["data"][0]


def test_a_gradient_that_nobody_else_holds_becomes_grad_without_a_copy():
    x = ts.randn(5, 4, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(address(g)))
    ts.nn.functional.relu(x).sum().backward()
    assert address(x.grad) == seen[0]


@pytest.mark.parametrize("case", ["two leaves", "the caller's", "a hook's", "a view"])
def test_a_gradient_that_somebody_holds_is_copied(case):
    x, y, kept = ts.randn(5, 4, requires_grad=True), ts.randn(5, 4, requires_grad=True), []
    gy = ts.randn(5, 4)
    if case == "a hook's":
        x.register_hook(kept.append)
        ts.nn.functional.relu(x).sum().backward()
    elif case == "the caller's":
        (x + 0.0).backward(gy)
        kept = [gy]
    elif case == "a view":
        z = x.reshape(20)
        z.register_hook(kept.append)
        (z * 2).sum().backward()
    else:
        (x + y).backward(gy)
        kept = [gy, y.grad]
    before = [t.numpy().copy() for t in kept]
    x.grad.data[:] = 7
    for t, values in zip(kept, before, strict=True):
        np.testing.assert_array_equal(t.numpy(), values)


def test_both_walks_of_a_graph_that_is_kept_add_up():
    x = ts.randn(5, 4, requires_grad=True)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    x.grad = None
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * first)
