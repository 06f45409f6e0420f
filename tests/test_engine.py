"""The engine's promises: the order of the walk, what a graph keeps and for how long, and which misuse it refuses."""

from __future__ import annotations

import copy
import pickle
import threading
import time

import numpy as np
import pytest
import torch

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg.errors import GraphError, ShapeError
from tinyseg.ops import conv

# --- the walk --------------------------------------------------------------------------------------------------------


def leaf(*values, dtype=np.float64):
    return ts.tensor(np.array(values, dtype), requires_grad=True)


def test_a_diamond_of_unequal_depths():
    x = leaf(0.3)
    y = ts.exp(ts.sin(x * x)) * x + x
    y.backward()
    t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (torch.exp(torch.sin(t * t)) * t + t).backward()
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=1e-14)


def test_grad_accumulates_and_owns_its_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).sum().backward()
    assert not np.shares_memory(a.grad.data, b.grad.data)
    first = a.grad
    (a * 3.0).sum().backward()
    np.testing.assert_array_equal(a.grad.data, [4, 4])
    np.testing.assert_array_equal(first.data, [1, 1])
    assert not a.grad.requires_grad
    seed = ts.tensor(np.ones(2))
    a.grad = None
    a.backward(seed)
    assert not np.shares_memory(a.grad.data, seed.data)


def test_a_weighted_backward():
    x = leaf(1.0, 2.0)
    (x * x).backward(ts.tensor(np.array([1.0, 10.0])))
    np.testing.assert_array_equal(x.grad.data, [2, 40])


def test_backward_to_chosen_inputs():
    a, b = leaf(2.0), leaf(3.0)
    h = a * b
    (h * h).backward(inputs=[b])
    assert a.grad is None
    assert b.grad.item() == 24
    h = a * b
    (h * h).sum().backward(inputs=h)
    assert h.grad.item() == 12
    assert b.grad.item() == 24


def test_gradients_of_values_inside_the_graph():
    x = leaf(2.0)
    h = x * x
    y = h * h * x
    gh, gx = ts.grad(y, [h, x])
    assert gh.item() == 2 * 4 * 2
    assert gx.item() == 5 * 2**4
    assert x.grad is None
    assert ts.grad(x, x)[0].item() == 1


def test_several_outputs_are_summed():
    x = leaf(1.0, 2.0)
    (g,) = ts.grad([x.sum(), (x * x).sum()], x)
    np.testing.assert_array_equal(g.data, [3, 5])
    (g,) = ts.grad([x * 2.0, x * x], x, [ts.tensor(np.array([1.0, 0.0])), ts.tensor(np.array([0.0, 1.0]))])
    np.testing.assert_array_equal(g.data, [2, 4])


def test_unused_inputs():
    x, z = leaf(1.0), leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"inputs\[1\] of shape \(2,\) was not used"):
        ts.grad(x * 2.0, [x, z])
    assert ts.grad(x * 2.0, [x, z], allow_unused=True)[1] is None
    np.testing.assert_array_equal(ts.grad(x * 2.0, [x, z], materialize_grads=True)[1].data, [0, 0])


def test_a_second_backward_needs_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(GraphError, match="released by an earlier backward; pass retain_graph=True"):
        y.backward()
    z = x * x
    ts.grad(z, x)
    with pytest.raises(GraphError, match="retain_graph"):
        ts.grad(z, x)


def test_a_part_shared_with_a_released_graph_is_refused():
    x = leaf(3.0)
    h = ts.exp(x)
    (h * 2.0).backward()
    with pytest.raises(GraphError, match="Exp was released"):
        (h * 3.0).backward()


def test_create_graph_keeps_the_graph_and_gives_third_derivatives():
    x = leaf(0.7)
    y = ts.sin(x) * x**3
    (g,) = ts.grad(y, x, create_graph=True)
    (gg,) = ts.grad(g, x, create_graph=True)
    (ggg,) = ts.grad(gg, x, retain_graph=True)
    t = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    h = torch.sin(t) * t**3
    for ours in (g, gg, ggg):
        (h,) = torch.autograd.grad(h, t, create_graph=True)
        np.testing.assert_allclose(ours.data, h.detach().numpy(), rtol=1e-13)
    y.backward()
    np.testing.assert_allclose(x.grad.data, g.data)


def test_without_create_graph_nothing_is_recorded():
    x = leaf(0.7)
    (g,) = ts.grad(ts.exp(x), x)
    assert not g.requires_grad
    with pytest.raises(GraphError, match=r"create_graph=True would tie .grad .*use ts.grad"):
        ts.exp(x).backward(create_graph=True)


def test_bad_seeds_are_refused_in_one_line():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match=r"backward: an output of shape \(2,\) needs a gradient"):
        (x * 2.0).backward()
    with pytest.raises(ShapeError, match=r"backward: expected a gradient of shape \(2,\), got \(3,\)"):
        (x * 2.0).backward(ts.zeros(3, dtype=ts.float64))
    with pytest.raises(TypeError, match="backward: expected a gradient of type float64, got float32"):
        (x * 2.0).backward(ts.zeros(2))
    with pytest.raises(GraphError, match="does not require grad"):
        ts.tensor(1.0).backward()
    with pytest.raises(GraphError, match="grad: expected one of grad_outputs for each of 1 outputs, got 2"):
        ts.grad(x.sum(), x, [None, None])
    with pytest.raises(GraphError, match=r"grad: a Tensor .* does not require grad"):
        ts.grad(x.sum(), ts.tensor(1.0))


# --- dead gradients --------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch):
    """Names of the convolution kernels called."""
    names = []
    for name in ("forward", "grad_input", "grad_weight"):
        original = getattr(conv.kernel, name)

        def spy(*args, name=name, original=original):
            names.append(name)
            return original(*args)

        monkeypatch.setattr(conv.kernel, name, spy)
    return names


@pytest.mark.parametrize(
    ("wanted", "expected"), [("x", ["grad_input"]), ("w", ["grad_weight"]), ("xw", ["grad_input", "grad_weight"])]
)
def test_only_wanted_gradients_are_computed(launched, wanted, expected):
    x = ts.randn(1, 2, 4, 4, requires_grad="x" in wanted)
    w = ts.randn(3, 2, 3, 3, requires_grad="w" in wanted)
    F.conv2d(x, w).sum().backward()
    assert launched == ["forward", *expected]


def test_grad_of_one_input_computes_no_other(launched):
    x, w = ts.randn(1, 2, 4, 4, requires_grad=True), ts.randn(3, 2, 3, 3, requires_grad=True)
    ts.grad(F.conv2d(x, w).sum(), w)
    assert launched == ["forward", "grad_weight"]


def test_ops_off_the_path_are_not_walked(monkeypatch):
    names = []
    for op in (ts.ops.elementwise.Exp, ts.ops.elementwise.Sin, ts.ops.elementwise.Cos):
        original = op.backward
        monkeypatch.setattr(
            op, "backward", lambda self, gy, original=original: names.append(self.name) or original(self, gy)
        )
    a, b = leaf(1.0), leaf(2.0)
    h = ts.sin(a)
    ts.grad(ts.exp(h) + ts.cos(b), h)
    assert names == ["Exp"]


# --- recording or not ------------------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad():
    x = leaf(1.0)
    with ts.no_grad():
        assert not (x * x).requires_grad
        with ts.enable_grad():
            assert (x * x).requires_grad
        assert not ts.is_grad_enabled()
    assert (x * x).requires_grad

    @ts.no_grad()
    def frozen():
        return x * x

    @ts.enable_grad()
    def thawed():
        return x * x

    assert not frozen().requires_grad
    assert not frozen().requires_grad  # a decorator serves more than one call
    with ts.no_grad():
        assert thawed().requires_grad
    with pytest.raises(ZeroDivisionError), ts.no_grad():
        _ = 1 / 0
    assert ts.is_grad_enabled()


def test_recording_is_a_matter_of_the_thread():
    found = []
    with ts.no_grad():
        thread = threading.Thread(target=lambda: found.append(ts.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_graphs_built_in_threads_are_independent():
    results = {}

    def work(k):
        x = leaf(float(k))
        for _ in range(20):
            y = (x * x + F.relu(x)).sum()
            x.grad = None
            y.backward()
        results[k] = x.grad.item()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == {k: 2.0 * k + 1 for k in range(1, 5)}


# --- versions --------------------------------------------------------------------------------------------------------

CHANGES = {
    "the leaf": lambda x, alias: x.assign_(0.0),
    "an alias by detach": lambda x, alias: alias.assign_(np.zeros(2)),
    "a view of the alias": lambda x, alias: alias.reshape(2, 1).assign_(0.0),
    "bump": lambda x, alias: x.bump(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_use_is_found(change):
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    CHANGES[change](x, x.detach())
    with pytest.raises(GraphError, match=r"backward of Mul: `a` was changed in place after the op had used it"):
        y.backward()


def test_a_change_that_backward_does_not_see_is_allowed():
    x, c = leaf(1.0, 2.0), leaf(1.0, 1.0)
    y = (x + c).sum()
    x.assign_(5.0)
    y.backward()
    np.testing.assert_array_equal(x.grad.data, [1, 1])
    w = ts.tensor(np.ones(2))
    z = (w * c).sum()
    c.assign_(7.0)  # only w is needed for c's gradient
    z.backward()
    np.testing.assert_array_equal(c.grad.data, [2, 2])


def test_a_change_before_use_is_allowed():
    x = leaf(1.0, 2.0)
    x.assign_(ts.tensor(np.array([3.0, 4.0])))
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [6, 8])


def test_an_output_changed_through_its_alias_is_found():
    x = leaf(1.0, 2.0)
    y = ts.exp(x)
    y.detach().assign_(0.0)
    with pytest.raises(GraphError, match="backward of Exp: `y` was changed in place"):
        y.sum().backward()


@pytest.mark.parametrize("change", ["mask", "index", "target", "numpy index"])
def test_masks_indices_and_targets_are_the_ones_of_the_call(change):
    """Backward sees the mask, index or target of the call, whatever the caller has put into it since."""
    x = ts.tensor(np.random.default_rng(0).standard_normal((3, 3)), requires_grad=True)
    given = {"mask": np.array([True, False, False])}.get(change, np.array([0, 2, 2]))
    t = ts.from_numpy(given)
    functions = {
        "mask": lambda: ts.where(t, x, 0.0),
        "index": lambda: x[t] * x.gather(1, t.reshape(3, 1)) * ts.index_select(x, 0, t),
        "target": lambda: F.cross_entropy(x, t),
        "numpy index": lambda: x[given] * x[:, given],
    }
    (expected,) = ts.grad(functions[change]().sum(), x)
    y = functions[change]().sum()
    t.assign_(1)
    (g,) = ts.grad(y, x)
    np.testing.assert_array_equal(g.data, expected.data)


def test_assign_refuses_what_it_cannot_do():
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match=r"assign_: expected shape \(2,\), got \(3,\)"):
        x.assign_(np.zeros(3))
    with pytest.raises(GraphError, match=r"assign_: .* only leaves"):
        (x * 2.0).assign_(0.0)
    x.assign_(4)
    np.testing.assert_array_equal(x.data, [4, 4])


def test_running_statistics_count_as_changes():
    mean, var = ts.zeros(2), ts.ones(2)
    w = ts.tensor([1.0, 1.0], requires_grad=True)
    y = (w * mean).sum()
    F.batch_norm(ts.randn(4, 2), mean, var, training=True)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


# --- copies ----------------------------------------------------------------------------------------------------------


def test_copies_of_leaves():
    """deepcopy and pickle copy values, requires_grad and .grad, as PyTorch does; the copy has a life of its own."""
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(made.data, x.data)
        np.testing.assert_array_equal(made.grad.data, x.grad.data)
        assert made.requires_grad
        assert made.is_leaf
        assert not np.shares_memory(made.data, x.data)
    assert not copy.deepcopy(ts.ones(2)).requires_grad
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_tensor_with_a_graph_is_not_copied(copied):
    with pytest.raises(GraphError, match=r"copy: .* copy t.detach\(\) instead"):
        copied(leaf(1.0) * 2.0)


def test_walks_are_linear_in_the_number_of_ops():
    """A heap, not a scan: ten times the ops take about ten times as long (a scan would take a hundred)."""

    def seconds(n):
        x = leaf(1.0)
        y = x
        for _ in range(n):
            y = y + x
        start = time.perf_counter()
        y.backward()
        return time.perf_counter() - start

    seconds(100)
    assert min(seconds(3000) for _ in range(3)) < 40 * min(seconds(300) for _ in range(3))
