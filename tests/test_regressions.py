"""Defects of other libraries and complaints of their users, each as a test that this library does not have them.

A group below is one defect; where every op could have it, every row of `tests/cases` is tried.
"""

from __future__ import annotations

import ast
import gc
import itertools
import mmap
import re
import resource
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinyseg as ts
import tinyseg.nn.functional as F
from tests.cases import CASES, Case
from tests.graph_nodes import collector_off, remembered
from tests.test_architecture import FILES, name_of
from tests.torch_unet import TorchUNet
from tinyseg import nn
from tinyseg.engine import Op
from tinyseg.errors import ArgumentError, BoundsError, ShapeError
from tinyseg.kernels import conv2d, im2col, jit
from tinyseg.kernels.conv2d import ConvGeometry
from tinyseg.models import UNet

compiled = pytest.mark.skipif(not jit.JIT, reason="uncompiled, two thousand million elements take days")
everything = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])


def normal(*shape):
    """The same numbers for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape)


def leaf(values):
    return ts.tensor(values, requires_grad=True)


def torch_leaf(values):
    return torch.tensor(values, requires_grad=True)


def close(ours, theirs, tolerance=1e-11):
    theirs = theirs.detach().numpy()
    scale = max(1.0, np.abs(theirs).max(initial=0.0))
    np.testing.assert_allclose(ours.data, theirs, rtol=0, atol=tolerance * scale)


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


# --- convolution, pooling, resizing ----------------------------------------------------------------------------------

GEOMETRIES = [
    {},
    {"stride": (2, 1), "padding": (1, 2)},
    {"stride": 2, "padding": 1, "dilation": (1, 2)},
    {"groups": 2, "padding": (0, 1)},
    {"groups": 4, "stride": (1, 2), "dilation": 2, "padding": 2},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_second_derivative_through_the_weight_gradient(geometry):
    """A weight gradient computed on bare arrays is right, and its own derivative silently 0 or wrong."""
    x, w = normal(2, 4, 7, 6), normal(4, 4 // geometry.get("groups", 1), 3, 2)

    def derivatives(conv2d, grad, leaf, tensor):
        a, b = leaf(x), leaf(w)
        y = conv2d(a, b, **geometry)
        u = leaf(np.cos(np.arange(np.prod(y.shape))).reshape(tuple(y.shape)))
        (gw,) = grad(y, [b], u, create_graph=True)
        v = tensor(np.sin(np.arange(w.size)).reshape(w.shape))
        (ga, gu) = grad((gw * gw * v).sum(), [a, u], create_graph=True)
        return [gw, ga, gu, *grad((ga * ga).sum() + (gu * gu).sum(), [a, u])]

    ours = derivatives(F.conv2d, ts.grad, leaf, ts.tensor)
    theirs = derivatives(torch.nn.functional.conv2d, torch.autograd.grad, torch_leaf, torch.tensor)
    for g, t in zip(ours, theirs, strict=True):
        close(g, t)


@pytest.mark.parametrize("kernel", [(1, 3), (3, 2), (2, 5)])
@pytest.mark.parametrize("stride", [(1, 2), (3, 1), None])
@pytest.mark.parametrize(("ceil_mode", "count_include_pad"), [(False, True), (True, False)])
def test_average_pooling_of_oblong_windows(kernel, stride, ceil_mode, count_include_pad):
    """Height and width exchanged somewhere: squares do not show it."""
    x = normal(2, 3, 9, 13)
    arguments = kernel, stride, tuple(k // 2 for k in kernel), ceil_mode, count_include_pad
    a, t = leaf(x), torch_leaf(x)
    y, ty = F.avg_pool2d(a, *arguments), torch.nn.functional.avg_pool2d(t, *arguments)
    close(y, ty)
    (g,) = ts.grad((y * y * y).sum(), [a], create_graph=True)
    (tg,) = torch.autograd.grad((ty * ty * ty).sum(), [t], create_graph=True)
    close(g, tg)
    close(ts.grad((g * g).sum(), [a])[0], torch.autograd.grad((tg * tg).sum(), [t])[0])


def both_transposed(*arguments, **options):
    """The same transposed convolution here and in PyTorch, in float64."""
    ours, theirs = (n.ConvTranspose2d(2, 3, *arguments, **options) for n in (nn, torch.nn))
    theirs = theirs.double()
    ours.to(ts.float64).load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_every_output_size_of_a_transposed_convolution(stride, dilation, kernel, padding):
    """Sizes that only dilation makes valid are refused, or the last rows come out wrong."""
    x = normal(1, 2, 3, 4)
    least = [(n - 1) * stride + dilation * (kernel - 1) + 1 - 2 * padding for n in x.shape[2:]]
    if min(least) < 1:
        with pytest.raises(ShapeError):
            nn.ConvTranspose2d(2, 3, kernel, stride, padding, dilation=dilation)(ts.tensor(x).float())
        return
    ours, theirs = both_transposed(kernel, stride, padding, dilation=dilation)
    for extra in itertools.product(range(stride), repeat=2):
        size = [n + e for n, e in zip(least, extra, strict=True)]
        a, t = leaf(x), torch_leaf(x)
        y, ty = ours(a, size), theirs(t, size)
        assert y.shape == (1, 3, *size)
        close(y, ty)
        gs = ts.grad((y * y).sum(), [a, ours.weight])
        for g, tg in zip(gs, torch.autograd.grad((ty * ty).sum(), [t, theirs.weight]), strict=True):
            close(g, tg)
    for axis in (0, 1):
        for wrong in (least[axis] - 1, least[axis] + stride):
            size = [*least]
            size[axis] = wrong
            with pytest.raises(ShapeError, match="output_size"):
                ours(ts.tensor(x), size)


@pytest.mark.parametrize("dilation", [2, 3, 4])
def test_output_padding_that_only_dilation_allows(dilation):
    """`output_padding` may reach `dilation` - 1 where that is more than `stride` - 1."""
    x, w = normal(1, 2, 3, 4), normal(2, 3, 2, 3)
    for extra in itertools.product(range(dilation), repeat=2):
        options = {"stride": 1, "dilation": dilation, "output_padding": extra}
        close(F.conv_transpose2d(ts.tensor(x), ts.tensor(w), **options),
              torch.nn.functional.conv_transpose2d(torch.tensor(x), torch.tensor(w), **options))  # fmt: skip
    with pytest.raises(ArgumentError, match="output_padding"):
        F.conv_transpose2d(ts.tensor(x), ts.tensor(w), dilation=dilation, output_padding=dilation)


@given(data=st.data())
@settings(max_examples=60)
def test_output_size_restores_every_size_a_convolution_came_from(data):
    """Several sizes convolve to one; `output_size` says which of them to go back to."""
    size, kernel, stride, dilation = (data.draw(st.tuples(*[st.integers(1, m)] * 2)) for m in (9, 4, 4, 3))
    padding = data.draw(st.tuples(*[st.integers(0, 2)] * 2))
    smaller = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)
    ]
    assume(min(smaller) >= 1)
    ours, theirs = both_transposed(kernel, stride, padding, dilation=dilation)
    wanted = data.draw(st.sampled_from([size, (1, 3, *size)]))
    x = normal(1, 2, *smaller)
    close(ours(ts.tensor(x), wanted), theirs(torch.tensor(x), list(wanted)))
    assert ours(ts.tensor(x), wanted).shape == (1, 3, *size)


@pytest.mark.parametrize("wanted", [(8, 9), (11, 9), (9, 8), (9, 11)])
def test_output_size_names_the_valid_range(wanted):
    """Output padding is misread for years where the message does not say which sizes there are."""
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    with pytest.raises(ShapeError, match=r"output_size \(\d+, \d+\) is not between \(9, 9\) and \(10, 10\)"):
        layer(ts.zeros(1, 1, 4, 4), output_size=wanted)
    with pytest.raises(ShapeError, match="must have 2 or 4 numbers"):
        layer(ts.zeros(1, 1, 4, 4), output_size=(9, 9, 9))


@pytest.mark.parametrize("bilinear", [False, True])
def test_a_unet_on_sizes_of_every_remainder(bilinear):
    """ "sizes must match, got 20 and 21": halving an odd size and doubling it again does not come back."""
    theirs = TorchUNet(3, 2, width=4, bilinear=bilinear).double().eval()
    ours = UNet(3, 2, bilinear, width=4).to(ts.float64).eval()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for remainder in range(16):
        x = normal(1, 3, 16 + remainder, 47 - remainder)
        a, t = leaf(x), torch_leaf(x)
        y, ty = ours(a), theirs(t)
        assert y.shape == (1, 2, *x.shape[2:])
        close(y, ty)
        close(ts.grad((y * y).sum(), [a])[0], torch.autograd.grad((ty * ty).sum(), [t])[0], 1e-9)


MODES = [("nearest", None), ("nearest-exact", None), ("bilinear", False), ("bilinear", True), ("bicubic", False),
         ("area", None)]  # fmt: skip


@pytest.mark.parametrize(("mode", "corners"), MODES)
@pytest.mark.parametrize("size", [(150, 91), (17, 40)])
def test_the_gradient_of_resizing_has_the_same_bits_twice(mode, corners, size):
    """An adjoint by atomic additions sums in another order at every call, and is slow besides."""
    x = leaf(normal(2, 8, 61, 67).astype(np.float32))
    u = ts.tensor(normal(2, 8, *size).astype(np.float32))

    def bits():
        return ts.grad(F.interpolate(x, size, mode=mode, align_corners=corners), [x], u)[0].data.tobytes()

    assert len({bits() for _ in range(5)}) == 1


# --- sizes -----------------------------------------------------------------------------------------------------------

ABOVE = 2**31


def lazy(*shape):
    """Zeros that take no memory until they are written, and give it back when they go."""
    return np.frombuffer(mmap.mmap(-1, int(np.prod(shape))), np.int8).reshape(shape)


@compiled
def test_columns_beyond_2_to_the_31_fold():
    """With 32-bit offsets, or 32-bit sizes, the columns behind 2^31 are read from another place."""
    size, window = 800, 64
    side = size - window + 1
    columns = lazy(1, window * window, side * side)
    assert columns.size > ABOVE
    expected = np.zeros((size, size), np.int8)
    for p, q, i, j in [(0, 0, 0, 0), (5, 60, 3, 700), (63, 0, 7, 11), (63, 40, 736, 0), (63, 63, 736, 736)]:
        columns[0, p * window + q, i * side + j] = 1 + p
        expected[p + i, q + j] += 1 + p
    assert ((63 * window + 40) * side * side) > ABOVE
    x = im2col.col2im(columns, (window, window), ConvGeometry(), (size, size))
    assert np.array_equal(x[0, 0], expected)


@compiled
def test_columns_beyond_2_to_the_31_unfold():
    """The same in the other direction: the columns behind 2^31 hold the pixels that they should."""
    from tinyseg.kernels.im2col.cpu import _unfold

    size, window = 800, 64
    side = size - window + 1
    x = np.random.default_rng(0).integers(-100, 100, (1, size, size)).astype(np.int8)
    windows = lazy(1, window, window, side, side)
    _unfold(x, windows, (0, 0), (1, 1), (1, 1))
    for p, q in [(0, 0), (31, 17), (63, 0), (63, 63)]:
        assert np.array_equal(windows[0, p, q], x[0, p : p + side, q : q + side])


@compiled
def test_columns_beyond_2_to_the_31_are_never_built_by_a_convolution():
    """im2col of (32, 64, 512, 512) has 4.8e9 elements: the three kernels of a convolution work on blocks of columns."""
    window, side, channels = 33, 820, 3
    size = side + window - 1
    assert channels * window**2 * side**2 > ABOVE
    x = normal(1, channels, size, size).astype(np.float32)
    w = normal(2, channels, window, window).astype(np.float32)
    u = normal(1, 2, side, side).astype(np.float32)
    geometry = ConvGeometry()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB
    y = conv2d.forward(x, w, geometry)
    gw = conv2d.grad_weight(x, u, geometry, (window, window))
    gx = conv2d.grad_input(u, w, geometry, (size, size))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    x, w, u = (a.astype(np.float64) for a in (x[0], w, u[0]))
    for i, j in [(0, 0), (400, 17), (side - 1, side - 1)]:
        seen = x[:, i : i + window, j : j + window]
        np.testing.assert_allclose(y[0, :, i, j], (w * seen).sum((1, 2, 3)), atol=1e-2)
    for p, q in [(0, 0), (7, 30), (32, 32)]:
        seen = x[:, p : p + side, q : q + side]
        np.testing.assert_allclose(gw[:, :, p, q], np.einsum("ohw,chw->oc", u, seen), atol=0.5)
    for h, v in [(40, 40), (500, 33), (side - 1, side - 1)]:  # pixels that every tap sees
        seen = u[:, h - window + 1 : h + 1, v - window + 1 : v + 1][:, ::-1, ::-1]
        np.testing.assert_allclose(gx[0, :, h, v], np.einsum("ohw,ochw->c", seen, w), atol=1e-2)


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
