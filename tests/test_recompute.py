"""Activation checkpointing: the same bits, less memory, one more run."""

import gc
import tracemalloc

import numpy as np
import pytest

import tinyseg as ts
from tinyseg import nn
from tinyseg import random as ts_random
from tinyseg.errors import ArgumentError, GraphError
from tinyseg.nn import functional as F


def net():
    ts.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.4), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.Sigmoid(), nn.Dropout2d(0.4),
    )  # fmt: skip


def gradients(run, model, x):
    """Bits of the gradients of a loss that uses x and the parameters twice."""
    ts.manual_seed(5)
    for p in model.parameters():
        p.grad = None
    x = ts.tensor(x.data, requires_grad=True)
    y = x * 1.25
    loss = (run(y) * run(y * 0.5)).sum() + (y * y).mean() + F.dropout(y).sum()
    loss.backward()
    return [loss.data.tobytes(), *(t.grad.data.tobytes() for t in (x, *model.parameters()))]


def test_the_same_bits_with_dropout_shared_weights_and_skips():
    model, x = net(), ts.randn(2, 2, 8, 6)
    plain = gradients(model, model, x)
    assert gradients(lambda y: ts.checkpoint(model, y), model, x) == plain
    after = ts_random.default_generator().random()
    gradients(model, model, x)
    assert ts_random.default_generator().random() == after  # the generator goes on as if nothing had happened

    def in_parts(y):
        for part in (model[:3], model[3:5], model[5:]):
            y = ts.checkpoint(part, y)
        return y

    def nested(y):
        return ts.checkpoint(lambda y: ts.checkpoint(model[3:], ts.checkpoint(in_front, y)) * 1.0, y)

    def in_front(y):
        return ts.checkpoint(model[1:3], model[0](y))

    assert gradients(in_parts, model, x) == plain
    assert gradients(nested, model, x) == plain


def test_several_outputs_keywords_and_what_is_no_tensor():
    w = ts.randn(3, requires_grad=True)

    def function(a, scale, *, also, names):
        hidden = (a * w).exp()
        return {"y": hidden * scale, "list": [hidden.sum(), also * hidden.detach()], "n": names}, a, hidden > 1

    def loss(call):
        w.grad = None
        a, also = ts.tensor(np.arange(3.0, dtype=np.float32), requires_grad=True), ts.ones(3, requires_grad=True)
        parts, same, mask = call(function, a, 2.5, also=also, names=["x"])
        assert parts["n"] == ["x"]
        assert same is a
        assert not mask.requires_grad
        (parts["y"].sum() * parts["list"][0] + parts["list"][1].sum() + same.sum()).backward()
        return [t.grad.data.tobytes() for t in (w, a, also)]

    assert loss(ts.checkpoint) == loss(lambda f, *args, **kwargs: f(*args, **kwargs))


def test_second_derivatives_are_the_same_bits():
    w = ts.randn(4, dtype=ts.float64, requires_grad=True)

    def function(x):
        return F.softmax((x * w).exp(), 0) * x.sin()

    def seconds(call):
        x = ts.tensor(np.linspace(-1, 1, 4), requires_grad=True)
        y = (call(function, x) * x).sum()
        gx, gw = ts.grad(y, [x, w], create_graph=True)
        second = ts.grad((gx * gx).sum() + (gw * gx).sum(), [x, w], create_graph=True)
        third = ts.grad((second[0] * second[1]).sum(), [x, w])
        return [t.data.tobytes() for t in (gx, gw, *second, *third)]

    assert seconds(ts.checkpoint) == seconds(lambda f, x: f(x))
    assert seconds(lambda f, x: ts.checkpoint(lambda x: ts.checkpoint(f, x), x)) == seconds(lambda f, x: f(x))
    assert ts.gradcheck(lambda x: ts.checkpoint(function, x), [ts.randn(4, dtype=ts.float64, requires_grad=True)])


def chain(call, x):
    for _ in range(8):
        x = call(lambda x: x.exp().sin().exp().sin().exp().sin(), x)
    return x.sum()


def live(call):
    """Bytes alive after the forward pass and at the highest point of both, in activations of the chain."""
    x = ts.ones(100_000, requires_grad=True)
    gc.collect()
    tracemalloc.start()
    y = chain(call, x)
    after = tracemalloc.get_traced_memory()[0]
    y.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return after / x.data.nbytes, peak / x.data.nbytes


def test_memory_is_measurably_saved():
    plain, plain_peak = live(lambda f, x: f(x))
    less, peak = live(ts.checkpoint)
    assert plain > 23.9  # 8 · 3 results of exp
    assert less < 8.2  # the inputs of 7 blocks but the first, and the last result
    assert peak < plain_peak / 2


def test_nothing_is_alive_after_the_graph():
    gc.collect()
    gc.disable()
    try:
        x = ts.ones(50_000, requires_grad=True)
        tracemalloc.start()
        for _ in range(2):
            y = chain(lambda f, x: ts.checkpoint(lambda x: ts.checkpoint(f, x), x), x)
            del y
            y = chain(ts.checkpoint, x)
            y.backward(retain_graph=True)
            (g,) = ts.grad(y, [x], create_graph=True)
            del y, g
            x.grad = None
        assert tracemalloc.get_traced_memory()[0] < x.data.nbytes
    finally:
        tracemalloc.stop()
        gc.enable()


def test_a_value_that_leaks_out_can_be_used():
    kept = []

    def function(x):
        kept.append(x.exp())
        return kept[-1].sin()

    x = ts.ones(3, requires_grad=True)
    y = ts.checkpoint(function, x)
    (kept[0].sum() + y.sum()).backward()
    x2 = ts.ones(3, requires_grad=True)
    (x2.exp().sum() + x2.exp().sin().sum()).backward()
    np.testing.assert_allclose(x.grad.numpy(), x2.grad.numpy(), rtol=1e-6)


def test_hooks_inside_run_once():
    seen = []

    def function(x):
        h = x.exp()
        h.register_hook(lambda g: seen.append(1) or g * 2)
        return h.sin()

    x = ts.zeros(2, requires_grad=True)
    ts.checkpoint(function, x).sum().backward()
    assert seen == [1]
    assert x.grad.numpy() == pytest.approx([2 * np.cos(1)] * 2)


def test_what_cannot_be_computed_again_is_said():
    x, w = ts.ones(3, requires_grad=True), ts.ones(3, requires_grad=True)
    y = ts.checkpoint(lambda x: (x * w).exp(), x).sum()
    w.detach().assign_(2)
    with pytest.raises(GraphError, match="checkpoint: a Tensor that the function used was changed in place"):
        y.backward()
    times = iter([1, 2])
    y = ts.checkpoint(lambda x: x.exp() if next(times) == 1 else x.exp().exp(), x).sum()
    with pytest.raises(GraphError, match=r"recorded 1 ops when it ran and 2 others when it was run again"):
        y.backward()
    with pytest.raises(GraphError, match="asks for a gradient through what it has just computed"):
        ts.checkpoint(lambda x: ts.grad(x.exp().sum(), [x])[0], x)
    with pytest.raises(ArgumentError, match="use_reentrant=True is not supported"):
        ts.checkpoint(lambda x: x, x, use_reentrant=True)
    y = ts.checkpoint(lambda x: x.exp(), x).sum()
    y.backward()
    with pytest.raises(GraphError, match="released"):
        y.backward()


def test_an_error_inside_leaves_no_trace():
    x = ts.ones(3, requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        ts.checkpoint(lambda x: x.exp() * (1 / 0), x)
    y = x.exp()
    ts.grad(y.sum(), [x])
    assert ts.engine.observer() is None


def test_random_numbers_are_new_if_asked_for():
    x = ts.ones(1000, requires_grad=True)
    y = ts.checkpoint(F.dropout, x, 0.5, preserve_rng_state=False)
    y.sum().backward()
    assert not np.array_equal(y.numpy() if not y.requires_grad else y.detach().numpy(), x.grad.numpy())


def test_the_summary_reads_a_model_with_checkpoints():
    class Checkpointed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return ts.checkpoint(self.inner, x)

    plain = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 3, dilation=2))
    assert "7" in str(nn.summary(Checkpointed(plain), (1, 2, 16, 16)))
