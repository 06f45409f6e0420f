"""Hooks on Tensors and Modules beside PyTorch's: what they see, what they replace, in which order."""

import gc
import weakref

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg.errors import ArgumentError, DTypeError, GraphError, ShapeError

BOTH = pytest.mark.parametrize("lib", [ts, torch], ids=["ours", "pytorch"])


def values(t):
    return None if t is None else t.tolist()


@BOTH
def test_hooks_of_tensors_see_and_replace_in_order(lib):
    seen = []
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.register_hook(lambda g: seen.append(("y1", values(g))) or g * 10)
    y.register_hook(lambda g: seen.append(("y2", values(g))))
    x.register_hook(lambda g: seen.append(("x1", values(g))) or g + 1)
    x.register_hook(lambda g: seen.append(("x2", values(g))) or g * 2)
    (y.sum() + (y * y).sum()).backward()  # the hook waits for both uses of y
    assert seen == [("y1", [7, 13]), ("y2", [70, 130]), ("x1", [210, 390]), ("x2", [211, 391])]
    assert x.grad.tolist() == [422, 782]


class Failing:
    """A module whose forward raises, in either library."""

    def __new__(cls, lib):
        def forward(self, x):
            raise OverflowError("forward")

        return type("Failing", (lib.nn.Module,), {"forward": forward})()


@BOTH
def test_always_called_hooks(lib):
    seen = []

    def note(label):
        return lambda module, args, output: seen.append((label, args, output))

    net = Failing(lib)
    net.register_forward_hook(note("a"))
    net.register_forward_hook(note("b"), always_call=True)
    net.register_forward_hook(lambda m, a, k, y: seen.append(("c", k)), always_call=True, with_kwargs=True)
    with pytest.raises(OverflowError, match="forward"):
        net(x=1)
    assert seen == [("b", (), None), ("c", {"x": 1})]
    seen.clear()
    layer = lib.nn.Identity()
    layer.register_forward_hook(note("first"), always_call=True)
    layer.register_forward_hook(lambda m, a, y: 5)
    layer.register_forward_hook(lambda m, a, y: {}["no"])
    layer.register_forward_hook(note("last"), always_call=True)
    with pytest.raises(KeyError):
        layer(3)
    assert seen == [("first", (3,), 3), ("last", (3,), 5)]  # each once
    net.register_forward_hook(lambda m, a, y: {}["no"], always_call=True)
    with pytest.warns(UserWarning, match="always_call"), pytest.raises(OverflowError):
        net(2)


@BOTH
def test_hooks_work_in_grad_for_leaves_and_others(lib):
    grad = ts.grad if lib is ts else torch.autograd.grad
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    z = y * y
    x.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    z.register_hook(lambda g: g * 2)
    gx, gy, gz = grad(z.sum(), [x, y, z], retain_graph=True)
    assert values(gx) == [361, 721]
    # PyTorch's hooks of y and z are without effect on gy and gz here, but have one if only gy is asked for
    assert (values(gy), values(gz)) == (([120, 240], [2, 2]) if lib is ts else ([12, 24], [1, 1]))
    assert values(grad(z.sum(), [y], retain_graph=True)[0]) == [120, 240]
    assert values(grad(z, [z], lib.tensor([1.0, 1.0]))[0]) == [2, 2]


@BOTH
def test_hooks_are_differentiated(lib):
    grad = ts.grad if lib is ts else torch.autograd.grad
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    recorded = []
    y.register_hook(lambda g: recorded.append(g.requires_grad) or g * x)
    (gx,) = grad((y * y).sum(), [x], create_graph=True)  # 4x³ · x
    assert values(gx) == [4, 64]
    assert recorded[0]


def test_a_derivative_through_a_hook_is_pytorchs():
    found = []
    for lib, grad in ((ts, ts.grad), (torch, torch.autograd.grad)):
        x = lib.tensor([1.0, 2.0], requires_grad=True)
        y = x * x
        y.register_hook(lambda g, x=x: g * x)
        x.register_hook(lambda g: g * 3)
        (gx,) = grad((y * y).sum(), [x], create_graph=True)
        found.append([values(gx), values(grad(gx.sum(), [x])[0])])
    assert found[0] == found[1]


@BOTH
def test_handles_remove(lib):
    seen = []
    x = lib.tensor([1.0], requires_grad=True)
    y = x * 2
    first, second = y.register_hook(lambda g: seen.append(1)), x.register_hook(lambda g: seen.append(2))
    y.sum().backward(retain_graph=True)
    first.remove()
    first.remove()
    y.sum().backward(retain_graph=True)
    second.remove()
    y.sum().backward()
    assert seen == [1, 2, 2]


@BOTH
def test_hooks_after_accumulation_see_grad(lib):
    seen = []
    x = lib.tensor([1.0], requires_grad=True)
    x.register_hook(lambda g: g * 5)
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, values(t.grad))))
    for _ in range(2):
        (x * 2).sum().backward()
    (ts.grad if lib is ts else torch.autograd.grad)((x * 2).sum(), [x])
    handle.remove()
    (x * 2).sum().backward()
    assert seen == [(True, [10]), (True, [20])]
    for t in (x * 2, lib.tensor([1.0])):
        with pytest.raises(RuntimeError):
            t.register_post_accumulate_grad_hook(print)
    with pytest.raises(RuntimeError):
        lib.tensor([1.0]).register_hook(print)


def test_an_optimiser_in_the_backward_pass():
    x = ts.tensor([1.0], requires_grad=True)
    sgd = ts.optim.SGD([x], lr=0.1)
    x.register_post_accumulate_grad_hook(lambda t: (sgd.step(), sgd.zero_grad()))
    (x * 2).sum().backward()
    assert x.grad is None
    assert x.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (3, DTypeError, "must return a Tensor or None, got int"),
        (ts.ones(3), ShapeError, r"gradient of shape \(2,\), got \(3,\)"),
        (ts.ones(2, dtype=ts.float64), DTypeError, "gradient of float32 on cpu, got float64"),
    ],
)
def test_results_of_hooks_are_checked(result, error, message):
    x = ts.ones(2, requires_grad=True)
    x.register_hook(lambda g: result)
    with pytest.raises(error, match=message):
        (x * 2).sum().backward()
    with pytest.raises(GraphError, match="register_hook: this Tensor does not require grad"):
        ts.ones(2).register_hook(print)


def test_a_hook_goes_with_its_graph():
    gc.disable()
    try:
        hook = type("Hook", (), {"__call__": lambda self, g: None})()
        alive = weakref.ref(hook)
        x = ts.ones(2, requires_grad=True)
        y = x * 2
        y.register_hook(hook)
        del hook, y
        assert alive() is None
    finally:
        gc.enable()


# --- modules ---


def modules(lib):
    """A module of two inputs and two outputs, of ours or of PyTorch."""

    class Two(lib.nn.Module):
        def forward(self, a, b=None, *, scale=1.0):
            return a * scale, (a if b is None else a * b) * 2

    return Two()


@BOTH
def test_forward_hooks(lib):
    net, seen = modules(lib), []
    net.register_forward_pre_hook(lambda m, args: seen.append(("pre", len(args))))
    net.register_forward_pre_hook(lambda m, args: args[0] * 2)  # one value stands for a tuple
    net.register_forward_pre_hook(
        lambda m, args, kwargs: seen.append(("with", kwargs)) or (args, {"scale": 3.0}), with_kwargs=True
    )
    first = net.register_forward_pre_hook(lambda m, args: seen.append("first"), prepend=True)
    net.register_forward_hook(lambda m, args, out: (out[0] + 1, out[1]))
    net.register_forward_hook(lambda m, args, kwargs, out: seen.append((kwargs, values(out[0]))), with_kwargs=True)
    net.register_forward_hook(lambda m, args, out: (out[0] * 2, out[1]), prepend=True)
    out = net(lib.tensor([1.0]), scale=2.0)
    assert seen == ["first", ("pre", 1), ("with", {"scale": 2.0}), ({"scale": 3.0}, [13])]
    assert [values(t) for t in out] == [[13], [4]]
    first.remove()
    del seen[:]
    net(lib.tensor([1.0]))
    assert seen[0] == ("pre", 1)
    net.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises((RuntimeError, TypeError)):
        net(lib.tensor([1.0]))


@BOTH
@pytest.mark.parametrize("wants", [(True, True), (True, False), (False, True)])
def test_backward_hooks_see_all_inputs_and_outputs(lib, wants):
    net, seen = modules(lib), []
    net.register_full_backward_hook(lambda m, gin, gout: seen.append((m is net, *map(values, gin), *map(values, gout))))
    net.register_full_backward_hook(lambda m, gin, gout: tuple(None if g is None else g * 10 for g in gin))
    net.register_full_backward_pre_hook(lambda m, gout: tuple(None if g is None else g * 2 for g in gout))
    a, b = (lib.tensor([v], requires_grad=want) for v, want in zip((3.0, 4.0), wants, strict=True))
    p, q = net(a * 1 if wants[0] else a, b)
    (p * 5 + q).sum().backward()
    ga, gb = 2 * (5 + 2 * 4), 2 * 2 * 3
    assert seen == [(True, [ga if wants[0] else 0], [gb if wants[1] else 0], [10] if wants[0] else None, [2])]
    assert values(a.grad) == ([ga * 10] if wants[0] else None)
    assert values(b.grad) == ([gb * 10] if wants[1] else None)


@BOTH
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_backward_hooks_without_inputs_that_want_a_gradient(lib):
    seen = []
    net = lib.nn.Linear(2, 1)
    net.register_full_backward_hook(lambda m, gin, gout: seen.append((gin, values(gout[0]))))
    net(lib.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1]])]


@BOTH
def test_backward_hooks_run_in_grad_and_are_differentiated(lib):
    grad = ts.grad if lib is ts else torch.autograd.grad
    net = lib.nn.Sequential(lib.nn.Sigmoid(), lib.nn.Tanh())
    seen = []
    for layer in net:
        layer.register_full_backward_hook(lambda m, gin, gout: seen.append(type(m).__name__) or (gin[0] * 3,))
    handle = net.register_full_backward_hook(lambda m, gin, gout: seen.append(type(m).__name__))
    x = lib.tensor([0.5, -1.0], requires_grad=True)
    (gx,) = grad(net(x).sum(), [x], create_graph=True)
    (second,) = grad(gx.sum(), [x])
    h = 1 / (1 + np.exp(-np.array([0.5, -1.0])))
    np.testing.assert_allclose(gx.detach().numpy(), 9 * (1 - np.tanh(h) ** 2) * h * (1 - h), rtol=1e-5)
    assert second.shape == (2,)
    assert seen[:3] == ["Tanh", "Sigmoid", "Sequential"]
    handle.remove()
    del seen[:]
    net(x).sum().backward()
    assert seen == ["Tanh", "Sigmoid"]


def test_second_derivatives_through_backward_hooks_are_pytorchs():
    found = []
    for lib, grad in ((ts, ts.grad), (torch, torch.autograd.grad)):
        net = lib.nn.Tanh()
        net.register_full_backward_hook(lambda m, gin, gout: (gin[0] * gout[0],))
        x = lib.tensor([0.5, -1.0], requires_grad=True)
        (gx,) = grad((net(x) * x).sum(), [x], create_graph=True)
        found.append([*values(gx), *values(grad(gx.sum(), [x])[0])])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        ((ts.ones(1), ts.ones(1)), ArgumentError, "must return 1 gradients or None, got 2"),
        (3, DTypeError, "Tensors or None, got int"),
        (ts.ones(5), ArgumentError, r"gradient of float32 \(2,\), got float32 \(5,\)"),
    ],
)
def test_results_of_backward_hooks_are_checked(result, error, message):
    net = ts.nn.Tanh()
    net.register_full_backward_hook(lambda m, gin, gout: result)
    with pytest.raises(error, match=message):
        net(ts.ones(2, requires_grad=True)).sum().backward()


def test_module_hooks_leave_no_cycle_and_work_in_a_checkpoint():
    net, seen = ts.nn.Sequential(ts.nn.Tanh(), ts.nn.Tanh()), []
    net[1].register_full_backward_hook(lambda m, gin, gout: seen.append(values(gin[0])))
    x = ts.ones(2, requires_grad=True)
    for call in (net, lambda x: ts.checkpoint(net, x)):
        call(x).sum().backward()
    assert len(seen) == 2
    assert seen[0] == seen[1]
    gc.collect()
    gc.disable()
    try:
        y = net(x)
        alive = weakref.ref(y.edge[0])
        del y
        assert alive() is None
    finally:
        gc.enable()
