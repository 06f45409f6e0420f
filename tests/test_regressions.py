"""Defects of other libraries and complaints of their users, each as a test that this library does not have them.

A group below is one defect; where every op could have it, every row of `tests/cases` is tried.
Here: the graph, processes, messages; `test_regressions_images.py` has convolutions, resizing and sizes.
"""

from __future__ import annotations

import ast
import gc
import re
import subprocess
import sys
import weakref

import numpy as np
import pytest

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.cases import CASES, Case
from tests.graph_nodes import collector_off, remembered
from tests.test_architecture import FILES, name_of
from tinyseg import nn
from tinyseg.engine import Op
from tinyseg.errors import BoundsError, ShapeError
from tinyseg.kernels import jit
from tinyseg.models import UNet

everything = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])


def normal(*shape):
    """The same numbers for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape)


# --- the graph -------------------------------------------------------------------------------------------------------


def test_a_value_used_twice_waits_for_both_uses():
    """b = a + a; c = b + b gives 4: without a topological order b passes its gradient on before it is whole."""
    a = ts.tensor(1.0, requires_grad=True)
    b = a + a
    c = b + b
    c.backward()
    assert c.item() == 4
    assert a.grad.item() == 4


def test_a_chain_of_ten_thousand_ops():
    """A recursive walk, or a recursive destructor, ends at Python's recursion limit."""
    x = ts.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(10_000):
        y = y + 1.0
    y.backward()
    assert y.item() == 10_001
    assert x.grad.item() == 1
    del y  # nor may freeing an unwalked chain recurse
    y = x
    for _ in range(10_000):
        y = y * 1.0
    del y


@pytest.mark.parametrize("walk", ["backward", "grad", "second"])
def test_twenty_doublings_visit_twenty_ops(walk, monkeypatch):
    """y = y + y twenty deep has 2^20 paths; a walk along paths instead of ops takes 2^20 steps."""
    calls = []
    original = ts.ops.elementwise.Add.backward
    monkeypatch.setattr(ts.ops.elementwise.Add, "backward", lambda self, gy: calls.append(1) or original(self, gy))
    x = ts.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(20):
        y = y + y
    if walk == "backward":
        y.backward()
        assert x.grad.item() == 2**20
    else:
        (g,) = ts.grad(y, [x], create_graph=walk == "second")
        assert g.item() == 2**20
    assert len(calls) == 20
    if walk == "second":  # y² has the same ops below it, and its gradient as many again
        (g,) = ts.grad(y * y, [x], create_graph=True)
        del calls[:]
        (h,) = ts.grad(g, [x])
        assert h.item() == 2 * 2.0**40
        assert len(calls) <= 3 * 20


def differentiated(case, dtype=np.float64, order=2):
    """The row's outputs, its gradients, and the gradients of their squared length."""
    leaves, outputs = case.ours(case.arrays(dtype))
    ys, xs = [y for y in outputs if y.requires_grad], [leaves[i] for i in case.varied()]
    if not ys or order == 0:
        return outputs
    gs = ts.grad(ys, xs, [ts.ones_like(y) for y in ys], create_graph=order > 1, materialize_grads=True)
    squares = [(g * g).sum() for g in gs if g.requires_grad]
    return [*outputs, *gs, *(ts.grad(squares, xs, materialize_grads=True) if squares else ())]


def net(m, x, w, b):
    """Convolution, norm, pooling, resizing and a skip."""
    f = m.nn.functional
    y = f.relu(f.batch_norm(f.conv2d(x, w, b, padding=1), None, None, training=True))
    y = f.interpolate(f.max_pool2d(y, 2), scale_factor=2, mode="bilinear")
    return (f.softmax(m.cat([y, x], 1), 1) ** 2).mean()


NET = Case("a small net", net, (lambda g: g.standard_normal((2, 2, 4, 4)), lambda g: g.standard_normal((3, 2, 3, 3)),
                                lambda g: g.standard_normal(3)))  # fmt: skip


@pytest.mark.parametrize("case", [NET, *CASES], ids=lambda c: c.name)
def test_no_object_is_alive_after_del(case):
    """Cycles between ops and Tensors keep a graph, and a GPU's memory, until the collector happens to run."""
    differentiated(case)  # compiles what must be compiled
    with collector_off(), remembered() as alive:
        for order in (0, 1, 2):
            results = differentiated(case, order=order)
            assert len(alive()) > len(results)
            del results
            assert alive() == [], f"order {order}"


def test_no_module_or_optimiser_is_alive_after_del():
    """Parameters that know their module, hooks that know themselves: cycles again."""

    def train():
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Sequential(nn.Dropout()))
        adam = ts.optim.Adam(model.parameters())
        model[0].register_forward_hook(lambda m, args, output: None)
        model(ts.ones(1, 1, 5, 5)).sum().backward()
        adam.step()
        return [weakref.ref(thing) for thing in (adam, *model.modules(), *model.parameters())]

    train()  # the compiler's exceptions at the first call hold on to our frames; that is not what is asked here
    gc.collect()
    with collector_off():
        assert [ref() for ref in train() if ref() is not None] == []


@everything
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_result_is_contiguous(case, dtype, monkeypatch):
    """An op whose result keeps the strides of a product or a transpose slows down all that reads it, or breaks it.

    Looked at: every output of every op that the row runs, forward, in its gradient and in its second derivative.
    """
    call, strided = Op.__call__, []

    def looking(self, *tensors):
        result = call(self, *tensors)
        outputs = result if isinstance(result, tuple) else (result,)
        strided.extend(self.name for y in outputs if not y.data.flags.c_contiguous)
        return result

    monkeypatch.setattr(Op, "__call__", looking)
    results = differentiated(case, dtype)
    assert strided == []
    assert all(t.data.flags.c_contiguous for t in results)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_checkpointed_function_is_called_again(depth):
    """Checkpointing that is written down but never reached: the function must run once more, and only if it must."""
    runs = []

    def function(x):
        runs.append(len(runs))
        return x.exp().sin()

    def wrapped(x, depth):
        return ts.checkpoint(wrapped, x, depth - 1) if depth else function(x)

    x = ts.ones(3, requires_grad=True)
    wrapped(x.detach(), depth)
    assert len(runs) == 1
    y = wrapped(x, depth)
    with ts.no_grad():
        wrapped(x, depth)
    del runs[:]
    (y * 2).sum().backward()
    assert len(runs) == depth  # once for each level
    y = (ts.checkpoint(function, x) * ts.ones(3, requires_grad=True)).sum()
    del runs[:]
    ts.grad(y, [x], retain_graph=True)
    ts.grad(y, [x])
    assert len(runs) == 1  # what is retained was computed again only once


# --- processes -------------------------------------------------------------------------------------------------------


def test_the_order_of_parameters_does_not_depend_on_the_hash_seed():
    """Parameters kept in a set: the order, and with it every optimiser's state, changes from process to process."""
    code = (
        "import tinyseg as ts\n"
        "from tinyseg import nn\n"
        "named = nn.ModuleDict({'z': nn.Linear(1, 1), 'a': nn.ReLU(), 'm': nn.MultiheadAttention(2, 1)})\n"
        "net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), named, ts.models.UNet(1, 1, width=4))\n"
        "names = {id(p): n for n, p in net.named_parameters()}\n"
        "adam = ts.optim.Adam(net.parameters())\n"
        "print(list(net.state_dict()), [n for n, _ in net.named_modules()])\n"
        "print([names[id(p)] for group in adam.param_groups for p in group['params']])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(outputs) == 1
    assert "'0.weight', '0.bias', '1.weight', '1.bias'" in outputs.pop()


COMPILED = [c for c in CASES if re.match(r"(conv|.*pool|interp|.*norm|softmax|.*soft|fold|unfold|silu|gelu)", c.name)]


@pytest.mark.skipif(not jit.JIT, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
def test_a_kernel_is_compiled_once_a_process(monkeypatch):
    """Kernels built at every call, or again for every shape, cost more than they save."""
    from numba.core.dispatcher import Dispatcher

    original, met = Dispatcher.compile, []

    def counting(self, signature):
        met.append(self.py_func.__name__)
        return original(self, signature)

    assert len(COMPILED) > 100
    for case in COMPILED:
        differentiated(case)
    monkeypatch.setattr(Dispatcher, "compile", counting)  # called where a dispatcher meets a new signature
    for case in COMPILED:
        differentiated(case)
    assert met == []
    for shape in ((1, 4, 9, 8), (3, 8, 31, 17), (1, 1, 64, 3)):  # nor for other shapes, strides and read-only memory
        x = np.broadcast_to(normal(*shape[:3], 2 * shape[3]), (*shape[:3], 2 * shape[3]))[..., ::2]
        assert not x.flags.writeable
        t = ts.from_numpy(x.copy()).transpose(2, 3) if shape[0] == 3 else ts.tensor(x)
        t.requires_grad = True
        w = ts.tensor(normal(4, shape[1], 3, 3))
        y = F.softmax(F.max_pool2d(F.silu(F.conv2d(t, w, padding=1)), 2, ceil_mode=True), 1)
        F.interpolate(y, scale_factor=2, mode="bilinear").sum().backward()
    assert met == []


# --- what errors say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_error_texts_are_one_string(path):
    """`raise E("a", b)` prints a tuple, `raise E("... {x}")` prints braces: and only when something is wrong."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        place = f"{name_of(path)}:{node.lineno}"
        call = node.exc
        if not re.match(r"[A-Z]\w*(Error|Exception|Iteration)$", ast.unparse(call.func).rpartition(".")[2]):
            continue  # a function of ours that makes the error
        assert [len(call.args), len(call.keywords)] in ([1, 0], [0, 0]), f"{place}: {ast.unparse(call)}"
        for part in ast.walk(call):
            assert not isinstance(part, ast.Tuple) or part is not call.args[0], f"{place}: a tuple is no text"
        if isinstance(call.args[0], ast.Constant):
            text = call.args[0].value
            assert isinstance(text, str), f"{place}: not a string"
            assert not re.search(r"\{\w+(\.\w+)*\}", text), f"{place}: braces without an f before the quote: {text}"


WRONG = {
    "Conv2d": (lambda: nn.Conv2d(3, 8, 3)(ts.zeros(1, 1, 9, 9)), "conv2d", "3", "1"),
    "Conv2d, groups": (lambda: nn.Conv2d(4, 8, 3, groups=2)(ts.zeros(1, 6, 9, 9)), "conv2d", "2", "6"),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(8, 3, 2, 2)(ts.zeros(1, 4, 9, 9)), "conv_transpose2d", "8", "4"),
    "Linear": (lambda: nn.Linear(5, 2)(ts.zeros(3, 4)), "linear", "5", "4"),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(8)(ts.zeros(2, 4, 3, 3)), "batch_norm", "8", "4"),
    "GroupNorm": (lambda: nn.GroupNorm(2, 8)(ts.zeros(2, 4, 3, 3)), "group_norm", "8", "4"),
    "LayerNorm": (lambda: nn.LayerNorm(8)(ts.zeros(2, 4)), "layer_norm", "8", "4"),
    "PReLU": (lambda: nn.PReLU(8)(ts.zeros(2, 4)), "prelu", "8", "4"),
    "UNet": (lambda: UNet(3, 2, width=4)(ts.zeros(1, 1, 32, 32)), "UNet", "3", "1"),
    "CrossEntropyLoss": (
        lambda: nn.CrossEntropyLoss()(ts.zeros(2, 3), ts.tensor([0, 7])), "cross_entropy", "0 to 2", "7"),
    "CrossEntropyLoss, weight": (
        lambda: nn.CrossEntropyLoss(ts.ones(8))(ts.zeros(2, 3), ts.tensor([0, 1])), "cross_entropy", "8", "3"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_channels_are_reported_by_the_layer(name):
    """ "mat1 and mat2 shapes cannot be multiplied": which layer was it, and how many channels did it want?"""
    call, speaker, *numbers = WRONG[name]
    with pytest.raises((ShapeError, BoundsError)) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(speaker), text
    assert "matmul" not in text
    assert all(re.search(rf"\b{n}\b", text) for n in numbers), text
