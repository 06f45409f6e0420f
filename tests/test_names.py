"""The small names that a script takes from `torch`, called in both libraries where both have them."""

import gc
import weakref

import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg.errors import ArgumentError, DTypeError, GraphError, ShapeError

BOTH = pytest.mark.parametrize("lib", [ts, torch], ids=["ours", "pytorch"])
ALIASES = "float half double long int short bool bfloat16 float16 float32 float64 int8 int16 int32 int64 uint8"


@pytest.mark.parametrize("name", ALIASES.split())
def test_element_types_are_pytorchs(name):
    theirs = str(getattr(torch, name)).removeprefix("torch.")
    assert str(getattr(ts, name)) == theirs
    assert isinstance(getattr(ts, name), ts.dtype)
    assert str(ts.zeros(2, dtype=getattr(ts, name)).dtype) == theirs
    if name not in ("int8", "uint8") and not name[-1].isdigit():
        assert str(getattr(ts.ones(2), name)().dtype) == theirs  # the method of the same name


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_finfo(name):
    ours, theirs = ts.finfo(getattr(ts, name)), torch.finfo(getattr(torch, name))
    for field in ("bits", "eps", "max", "min", "tiny", "smallest_normal"):
        assert getattr(ours, field) == getattr(theirs, field), field
        assert type(getattr(ours, field)) is type(getattr(theirs, field)), field
    assert ours.dtype == theirs.dtype
    assert ts.finfo().max == torch.finfo().max


@pytest.mark.parametrize("name", ["uint8", "int8", "int16", "int32", "int64"])
def test_iinfo(name):
    ours, theirs = ts.iinfo(getattr(ts, name)), torch.iinfo(getattr(torch, name))
    assert [getattr(ours, f) for f in ("bits", "max", "min", "dtype")] == [
        getattr(theirs, f) for f in ("bits", "max", "min", "dtype")
    ]


def test_limits_of_the_wrong_kind_are_refused():
    with pytest.raises(DTypeError, match="finfo: type must be a floating-point type, got int32"):
        ts.finfo(ts.int32)
    with pytest.raises(DTypeError, match="iinfo: type must be an integer type, got float32"):
        ts.iinfo(ts.float32)


@BOTH
def test_questions_about_tensors(lib):
    x = lib.ones(2, 3)
    assert lib.is_tensor(x)
    assert not lib.is_tensor([1])
    assert lib.is_floating_point(x)
    assert x.is_floating_point()
    assert not lib.is_floating_point(x > 0)
    assert lib.numel(x) == x.numel() == x.nelement() == 6
    assert (x.dim(), x.ndimension(), x.element_size(), x.nbytes, x.itemsize) == (2, 2, 4, 24, 4)
    assert x.is_contiguous()
    assert not x.is_cuda


@BOTH
def test_types_of_others(lib):
    x = lib.ones(2)
    assert x.type(lib.int64).dtype == lib.int64
    assert x.type_as(lib.zeros(1, dtype=lib.float64)).dtype == lib.float64
    with pytest.raises((DTypeError, ValueError)):
        x.type("no such type")


@BOTH
def test_recording_is_switched(lib):
    x = lib.ones(1, requires_grad=True)
    with lib.set_grad_enabled(False):
        assert not lib.is_grad_enabled()
        with lib.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert lib.is_grad_enabled()
    lib.set_grad_enabled(False)  # as a function it stays
    assert not (x * 2).requires_grad
    lib.set_grad_enabled(True)
    with lib.inference_mode():
        assert not (x * 2).requires_grad
    with lib.inference_mode(False):
        assert (x * 2).requires_grad

    @lib.set_grad_enabled(False)
    def doubled():
        return x * 2

    assert lib.is_grad_enabled()
    assert not doubled().requires_grad
    assert not lib.inference_mode()(lambda: x * 2)().requires_grad
    assert lib.is_grad_enabled()


@BOTH
def test_autograd_has_its_functions(lib):
    a = lib.tensor([1.0, 2.0], requires_grad=True)
    b = a * 2
    lib.autograd.backward([b.sum(), (a * 3).sum()])
    assert a.grad.tolist() == [5, 5]
    b = a * a
    lib.autograd.backward([b, b * 2], [lib.ones(2), lib.tensor([1.0, 10.0])])  # weights for each
    assert a.grad.tolist() == [5 + 2 + 4, 5 + 4 + 80]
    (g,) = lib.autograd.grad((a * a).sum(), a)
    assert g.tolist() == [2, 4]


def test_autograd_backward_names_what_is_missing():
    a = ts.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match="backward: expected one of grad_tensors for each of 2 outputs, got 1"):
        ts.autograd.backward([a * 2, a * 3], [ts.ones(2)])


@BOTH
def test_retain_grad_adds_up_and_comes_last(lib):
    grad = lib.autograd.grad
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 10)  # though registered later, before it
    z = (y * y).sum()
    z.backward(retain_graph=True)
    assert y.grad.tolist() == [60, 120]
    assert not y.grad.requires_grad
    grad(z, [x], retain_graph=True)
    assert y.grad.tolist() == [120, 240]
    x.retain_grad()  # of a leaf: nothing
    z.backward()
    assert y.grad.tolist() == [180, 360]
    with pytest.raises(RuntimeError, match="retain_grad"):
        lib.ones(2).retain_grad()


def test_retain_grad_ties_no_cycle():
    x = ts.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    gone = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert gone() is None
    finally:
        gc.enable()


@BOTH
def test_assignments(lib):
    x = lib.ones(2, 3)
    assert x.fill_(2.5) is x
    assert x.tolist() == [[2.5] * 3] * 2
    assert x.fill_(lib.tensor(4)).tolist() == [[4] * 3] * 2
    assert x.copy_(lib.tensor([1, 2, 3])).tolist() == [[1, 2, 3]] * 2  # converted and stretched
    assert x.zero_().tolist() == [[0] * 3] * 2


def test_assignments_obey_the_rules_of_assign_():
    x = ts.ones(2, requires_grad=True)
    with pytest.raises(GraphError, match="only leaves"):
        (x * 2).zero_()
    y = (x * x).sum()
    x.fill_(3.0)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()
    with pytest.raises(GraphError, match=r"copy_: src requires grad and the graph would not see it"):
        ts.zeros(2).copy_(x)
    with pytest.raises(GraphError, match=r"fill_: value requires grad"):
        ts.zeros(2).fill_(x[0])
    with ts.no_grad():
        assert ts.zeros(2).copy_(x).tolist() == [3, 3]
    with pytest.raises(ShapeError, match=r"copy_: src \(3,\) does not stretch|copy_: shapes"):
        ts.zeros(2).copy_(ts.zeros(3))
    with pytest.raises(ShapeError, match=r"copy_: src \(2, 2\) does not stretch to shape \(2,\)"):
        ts.zeros(2).copy_(ts.zeros(2, 2))
    with pytest.raises(ShapeError, match="fill_: value must be a number"):
        ts.zeros(2).fill_(ts.zeros(2))


SPELLINGS = {
    "sum": lambda m, x: (m.sum(x, axis=1, keepdims=True), x.sum(axis=(0, 1)), m.sum(x, axis=0, keepdim=True)),
    "mean": lambda m, x: (m.mean(x, axis=-1), x.mean(axis=0, keepdims=True)),
    "moments": lambda m, x: (m.var(x, axis=1), x.std(axis=0, keepdims=True), *m.var_mean(x, axis=0)),
    "extremes": lambda m, x: (*m.max(x, axis=1), *x.min(axis=0, keepdims=True), m.amax(x, axis=1), x.amin(axis=(0, 1))),
    "places": lambda m, x: (m.argmax(x, axis=1), x.argmin(axis=0, keepdims=True)),
    "logic": lambda m, x: (m.all(x > 0, axis=1), (x > 0).any(axis=0, keepdims=True)),
    "running": lambda m, x: (m.cumsum(x, axis=1), x.cumprod(axis=0), m.prod(x, axis=1), m.logsumexp(x, axis=1)),
    "softmax": lambda m, x: (m.softmax(x, axis=1), x.log_softmax(axis=0)),
    "joining": lambda m, x: (m.cat([x, x], axis=1), m.stack([x, x], axis=1), m.concat([x, x], axis=0)),
    "shapes": lambda m, x: (m.unsqueeze(x, axis=0), x[:1].squeeze(axis=0), *m.unbind(x, axis=1), *x.chunk(2, axis=1)),
    "order": lambda m, x: (*m.sort(x, axis=0), *x.topk(2, axis=1), m.argsort(x, axis=1), *m.median(x, axis=1)),
    "picking": lambda m, x: (m.index_select(x, axis=1, index=m.tensor([0])), x.select(axis=0, index=1)),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_numpys_names_of_arguments(name):
    values = np.random.default_rng(0).standard_normal((3, 4))
    ours, theirs = SPELLINGS[name](ts, ts.tensor(values)), SPELLINGS[name](torch, torch.tensor(values))
    for y, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(y.numpy(), t.numpy(), rtol=1e-12)


def test_an_argument_under_both_names_is_refused():
    with pytest.raises(ArgumentError, match="sum: give dim or axis, one of them"):
        ts.sum(ts.ones(2), dim=0, axis=0)
    with pytest.raises(ArgumentError, match="amax: give keepdim or keepdims"):
        ts.ones(2).amax(0, keepdims=True, keepdim=True)
    with pytest.raises(TypeError, match="sum"):
        ts.sum(ts.ones(2), 0, axis=0)  # Python's own message names the function and the argument


@pytest.mark.parametrize("equal_nan", [False, True])
def test_close_and_equal(equal_nan):
    a = np.array([1.0, np.nan, np.inf, 2.0])
    b = np.array([1.0 + 1e-7, np.nan, np.inf, 2.1])
    for left, right in ((a, b), (a, a), (a[:1], b[:1])):
        ours = ts.allclose(ts.tensor(left), ts.tensor(right), equal_nan=equal_nan)
        assert ours is torch.allclose(torch.tensor(left), torch.tensor(right), equal_nan=equal_nan)
        assert ts.equal(ts.tensor(left), ts.tensor(right)) is torch.equal(torch.tensor(left), torch.tensor(right))
    assert not ts.equal(ts.zeros(2), ts.zeros(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ts.unique(x).sum().backward(), "unique: it has no derivative"),
        (lambda x: ts.histc(x).sum().backward(), "histc: it has no derivative"),
    ],
)
def test_what_has_no_derivative_says_so(call, message):
    with pytest.raises(GraphError, match=message):
        call(ts.ones(3, requires_grad=True))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ts.quantile(ts.ones(3), 1.5), ArgumentError, "quantile: q must lie between 0 and 1"),
        (lambda: ts.quantile(ts.ones(3), 0.5, interpolation="cubic"), ArgumentError, "interpolation"),
        (lambda: ts.median(ts.zeros(0, 3), 0), ShapeError, "median: input of shape"),
        (lambda: ts.bincount(ts.tensor([-1])), ArgumentError, "bincount: input must not be negative"),
        (lambda: ts.bincount(ts.ones(2)), DTypeError, "bincount: input must be a vector of integers"),
        (lambda: ts.kthvalue(ts.ones(3), 4), ArgumentError, "kthvalue: k must be between 1 and 3"),
        (lambda: ts.cdist(ts.ones(2, 3), ts.ones(2, 4)), ShapeError, "differ in their last axis"),
        (lambda: ts.norm(ts.ones(2, 2), "nuc"), ArgumentError, "singular values"),
        (lambda: ts.linalg.matrix_norm(ts.ones(2, 2), 2), ArgumentError, "singular values"),
        (lambda: ts.masked_scatter(ts.ones(3), ts.ones(3) > 0, ts.ones(2)), ShapeError, "holds at 3 places"),
        (lambda: ts.rot90(ts.ones(2, 2), 1, (0, 0)), ArgumentError, "two axes"),
        (lambda: ts.searchsorted(ts.ones(2, 3), ts.ones(3)), ShapeError, "before the last axis"),
        (lambda: ts.tensordot(ts.ones(2, 3), ts.ones(2, 3), 1), ShapeError, "tensordot"),
        (lambda: ts.histc(ts.ones(3), 0), ArgumentError, "histc: bins"),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_keep_their_type(dtype):
    x = ts.tensor([[3.0, 4.0], [0.5, -2.0]]).to(dtype)
    t = torch.tensor([[3.0, 4.0], [0.5, -2.0]]).to(getattr(torch, dtype))
    calls = {
        "norm": lambda m, x: m.norm(x),
        "cdist": lambda m, x: m.cdist(x, x[:1]),
        "logcumsumexp": lambda m, x: m.logcumsumexp(x, 1),
        "nan_to_num": lambda m, x: m.nan_to_num(x / 0),
        "median": lambda m, x: m.median(x),
        "cummax": lambda m, x: m.cummax(x, 1)[0],
        "diff": lambda m, x: m.diff(x),
        "addcmul": lambda m, x: m.addcmul(x, x, x),
        "frac": lambda m, x: m.frac(x),
        "nanmean": lambda m, x: m.nanmean(x),
    }
    for name, call in calls.items():
        if name == "cdist":  # PyTorch has it for wider types only
            ours, theirs = call(ts, x), torch.cdist(t.float(), t[:1].float())
        else:
            ours, theirs = call(ts, x), call(torch, t)
        assert str(ours.dtype) == dtype, name
        np.testing.assert_allclose(ours.float().numpy(), theirs.float().numpy(), rtol=0.01, err_msg=name)


@BOTH
def test_swapdims_takes_its_own_names(lib):
    x = lib.ones(2, 3, 4)
    assert tuple(lib.swapdims(x, dim0=0, dim1=-1).shape) == tuple(x.swapdims(dim0=0, dim1=-1).shape) == (4, 3, 2)
    assert tuple(lib.swapaxes(x, axis0=0, axis1=1).shape) == (3, 2, 4)
