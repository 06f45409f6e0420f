"""Element types, NumPy beside Tensors, Python's protocols, creation, random numbers."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch

import tinyseg as ts
import tinyseg.nn.functional as F
from tinyseg import random
from tinyseg.errors import ArgumentError, BoundsError, DeviceError, DTypeError, GraphError, ShapeError

X = ts.tensor([1.0, 2.0])
INT = ts.tensor([1, 2])


# --- element types ---------------------------------------------------------------------------------------------------

NUMBERS = [2, 2.5, True, np.float64(2.5), np.float32(2.5), np.int64(2), np.float16(0.5)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_scalars_are_weak_on_both_sides(number, dtype):
    x = ts.tensor(np.array([1.0, 2.0], dtype), requires_grad=True)
    for y in (x + number, number + x, x * number, number - x, x / number, number / x, x**number, number**x):
        assert y.dtype == dtype
        assert y.requires_grad
    assert ts.clamp(x, min=number).dtype == dtype
    assert F.leaky_relu(x, number).dtype == dtype
    assert F.hardtanh(x, -number, number).dtype == dtype
    np.testing.assert_allclose((x * number).data, x.data * dtype(number), rtol=1e-3)


def result(a, b):
    return (ts.tensor(a) + ts.tensor(b)).dtype


def test_integers_take_the_type_of_the_floats_beside_them():
    for dtype in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        assert result(np.ones(2, dtype), np.ones(2, np.int64)) == dtype
        assert result(np.ones(2, bool), np.ones(2, dtype)) == dtype


def test_integers_promote_as_in_pytorch():
    for a in (np.uint8, np.int32, np.int64, np.bool_):
        for b in (np.uint8, np.int32, np.int64, np.bool_):
            expected = (torch.ones(1, dtype=getattr(torch, a.__name__.rstrip("_"))) +
                        torch.ones(1, dtype=getattr(torch, b.__name__.rstrip("_")))).dtype  # fmt: skip
            assert str(result(np.ones(1, a), np.ones(1, b))) == str(expected).removeprefix("torch.")
    assert (INT + 1.5).dtype == np.float32
    assert (INT / 2).dtype == np.float32
    assert (ts.tensor([True]) + 1).dtype == np.int64
    assert ts.exp(INT).dtype == np.float32
    assert ts.clamp(INT, max=1.5).dtype == np.float32


def test_two_widths_of_float_do_not_mix():
    double = ts.ones(2, dtype=ts.float64)
    for f in (lambda: X + double, lambda: X @ double, lambda: ts.cat([X, double]), lambda: ts.where(X > 1, X, double),
              lambda: F.linear(X, double), lambda: F.mse_loss(X, double)):  # fmt: skip
        with pytest.raises(DTypeError, match=r"is float32 but .* is float64; convert one with .to\(dtype\)"):
            f()


def test_without_axes_it_is_still_an_array():
    """NumPy's functions of 0-d arrays return scalars, which cannot be written to and have no memory to share."""
    a, b = ts.tensor(1.0), ts.tensor(2)
    for t in (a == 1, a < 2, ts.isnan(a), ts.logical_not(a), b // 2, b % 2, a.argmax(), a.sum(), a + b, b.float(), ~b):
        assert type(t.data) is np.ndarray
        assert t.clone().assign_(0).item() == 0


def test_integers_take_no_gradient():
    with pytest.raises(DTypeError, match="requires_grad: only floating-point Tensors take gradients, got int64"):
        ts.tensor([1, 2], requires_grad=True)
    with pytest.raises(DTypeError, match="got bool"):
        ts.tensor([True]).requires_grad_()
    x = ts.tensor([1.5], requires_grad=True)
    assert not (x > 1).requires_grad
    assert not x.to(ts.int64).requires_grad
    assert not ts.argmax(x).requires_grad
    y = x * 2.0
    with pytest.raises(GraphError, match=r"requires_grad: only a leaf can change it; use t.detach\(\)"):
        y.requires_grad = False


def test_casts_carry_the_gradient():
    x = ts.tensor([1.5], requires_grad=True)
    (x.double() * 3.0).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.item() == 3
    for cast, dtype in (
        (X.half, "float16"),
        (X.float, "float32"),
        (X.long, "int64"),
        (X.int, "int32"),
        (X.bool, "bool"),
    ):
        assert cast().dtype == dtype
    assert X.to(X) is X
    assert X.to("cpu", ts.float64).dtype == np.float64
    assert X.to("bfloat16").dtype == ml_dtypes.bfloat16
    for bad in ("foo", np.complex64, object, "U3"):
        with pytest.raises(DTypeError, match="to: "):
            X.to(bad)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_types_store_in_half_and_sum_in_float32(dtype):
    many = ts.ones(1, dtype=ts.float32).to(dtype).expand(70_000)
    assert many.mean().item() == 1
    assert abs(ts.var(many).item()) == 0
    assert many.mean().dtype == dtype
    values = np.random.default_rng(0).standard_normal((2, 2, 6, 6)).astype(np.float32)
    x = ts.tensor(values).to(dtype)
    exact = ts.tensor(x.data.astype(np.float64))
    w = ts.tensor(values[:, :, :3, :3]).to(dtype)
    eps = 2.0**-10 if dtype == "float16" else 2.0**-7
    pairs = [
        (F.conv2d(x, w), F.conv2d(exact, w.double())),
        (F.softmax(x, 1), F.softmax(exact, 1)),
        (F.avg_pool2d(x, 2), F.avg_pool2d(exact, 2)),
        (F.interpolate(x, scale_factor=2, mode="bilinear"), F.interpolate(exact, scale_factor=2, mode="bilinear")),
        (x.sum((0, 2, 3)), exact.sum((0, 2, 3))),
        (x.reshape(24, 6) @ x.reshape(6, 24), exact.reshape(24, 6) @ exact.reshape(6, 24)),
        (F.batch_norm(x, None, None, training=True), F.batch_norm(exact, None, None, training=True)),
    ]
    for half, full in pairs:
        assert half.dtype == dtype
        np.testing.assert_allclose(half.data.astype(np.float64), full.data, rtol=eps, atol=eps)


# --- NumPy beside Tensors --------------------------------------------------------------------------------------------


def test_numpy_arrays_on_either_side_keep_the_graph():
    x = ts.tensor(np.array([1.0, 2.0]), requires_grad=True)
    a = np.array([3.0, 4.0])
    for y in (a * x, x * a, a + x, a - x, a / x, a**x, a @ x, x @ a, np.float64(2) * x):
        assert isinstance(y, ts.Tensor)
        assert y.requires_grad
    assert isinstance(a > x, ts.Tensor)
    (g,) = ts.grad((a * x).sum(), x)
    np.testing.assert_array_equal(g.data, a)


def test_numpy_functions_read_a_tensor_without_graph_and_refuse_one_with():
    np.testing.assert_array_equal(np.asarray(X), [1, 2])
    assert np.asarray(X, np.float64).dtype == np.float64
    assert np.asarray(X).base is X.data or np.shares_memory(np.asarray(X), X.data)
    assert not np.shares_memory(np.array(X), X.data)
    x = ts.tensor([1.0], requires_grad=True)
    for f in (x.numpy, lambda: np.asarray(x)):
        with pytest.raises(GraphError, match=r"numpy: .* use t.detach\(\).numpy\(\)"):
            f()
    with pytest.raises(TypeError):
        np.exp(x)
    assert x.detach().numpy() is x.data


def test_tensor_copies_and_from_numpy_does_not():
    a = np.arange(6.0).reshape(2, 3)
    assert not np.shares_memory(ts.tensor(a).data, a)
    assert np.shares_memory(ts.from_numpy(a).data, a)
    assert ts.from_numpy(a.T).data.flags.c_contiguous
    assert ts.tensor(a.T).data.flags.c_contiguous
    assert ts.tensor(ts.tensor(a)).dtype == np.float64


# --- Python's protocols ----------------------------------------------------------------------------------------------

IN_PLACE = {
    "+=": "__iadd__",
    "-=": "__isub__",
    "*=": "__imul__",
    "/=": "__itruediv__",
    "**=": "__ipow__",
    "@=": "__imatmul__",
}


@pytest.mark.parametrize("sign", IN_PLACE)
def test_in_place_operators_are_refused(sign):
    with pytest.raises(GraphError) as caught:
        getattr(ts.ones(2), IN_PLACE[sign])(1.0)
    assert str(caught.value).startswith(f"{sign}: ")
    assert f"write t = t {sign[:-1]} ... or t.assign_(value)" in str(caught.value)


def test_item_assignment_is_refused():
    x = ts.ones(2)
    with pytest.raises(GraphError, match=r"use t.assign_\(value\) or ts.where"):
        x[0] = 2.0


def test_identity_hash_and_membership():
    a, b = ts.ones(2), ts.ones(2)
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1
    assert 1.0 in a
    assert 2.0 not in ts.ones(2, 2)
    assert (a == None) is False  # noqa: E711 (a ported script may write so)
    assert (a != "text") is True


def test_iteration_length_and_numbers():
    m = ts.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    rows = list(m)
    assert [r.data.tolist() for r in rows] == [[1, 2], [3, 4]]
    assert all(r.requires_grad for r in rows)
    assert len(m) == 2
    a, b = m
    (a * b).sum().backward()
    np.testing.assert_array_equal(m.grad.data, [[3, 4], [1, 2]])
    assert (m.numel(), m.dim(), m.size(), m.size(-1)) == (4, 2, (2, 2), 2)
    s = ts.tensor(3.0)
    assert (float(s), int(s), bool(s), f"{s:.2f}", s.item()) == (3.0, 3, True, "3.00", 3.0)
    assert [5, 6, 7][ts.tensor(1)] == 6
    assert not ts.zeros(1)
    for bad in (lambda: bool(ts.ones(2)), lambda: float(ts.ones(2)), lambda: len(s), lambda: iter(s).__next__()):
        with pytest.raises(ShapeError):
            bad()
    with pytest.raises(DTypeError, match="index: expected one integer"):
        [1][ts.tensor(0.0)]


def test_repr():
    assert repr(ts.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(ts.tensor([1])) == "tensor([1])"
    assert repr(ts.tensor([1.0], dtype=ts.float64)) == "tensor([1.], dtype=float64)"
    x = ts.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2.0) == "tensor([2.], op=Mul)"
    assert "..." in repr(ts.zeros(1000))


def test_bits_are_of_integers():
    assert (ts.tensor([True, False]) & True).data.tolist() == [True, False]
    for f in (lambda: X & 1, lambda: ~X, lambda: X | INT, lambda: X ^ X):
        with pytest.raises(DTypeError, match=r"bitwise_(and|not|or|xor): expected integers or booleans, got float32"):
            f()
    with pytest.raises(DTypeError, match="neg: input is boolean"):
        -ts.tensor([True])
    with pytest.raises(DTypeError, match="sub: booleans"):
        ts.tensor([True]) - ts.tensor([True])


# --- creation and devices --------------------------------------------------------------------------------------------


def test_creation_gives_pytorchs_values_and_types():
    calls = {
        "arange": [(5,), (2, 9, 3), (0.0, 1.0, 0.25)],
        "linspace": [(0.0, 1.0, 5)],
        "eye": [(3,), (2, 3)],
        "zeros": [(2, 3), ((2, 3),)],
        "ones": [(2,)],
        "full": [((2, 2), 7.5), ((2,), 3), ((), True)],
        "tensor": [([1.5, 2],), ([[1, 2]],), (3,), (True,), ([],)],
    }
    for name, arguments in calls.items():
        for args in arguments:
            y, t = getattr(ts, name)(*args), getattr(torch, name)(*args)
            assert y.shape == tuple(t.shape)
            assert str(y.dtype) == str(t.dtype).removeprefix("torch.")
            np.testing.assert_allclose(y.data, t.numpy(), rtol=1e-6)
    for name in ("zeros_like", "ones_like"):
        assert getattr(ts, name)(INT).dtype == np.int64
    assert ts.full_like(X, 3.0).data.tolist() == [3, 3]


def test_creation_takes_pytorchs_arguments():
    assert ts.arange(end=3).data.tolist() == ts.arange(3).data.tolist() == [0, 1, 2]
    assert ts.arange(1, 2, step=0.5).data.tolist() == [1, 1.5]
    assert ts.eye(2, requires_grad=True).requires_grad
    assert ts.ones_like(INT, dtype=ts.float64, device="cpu").dtype == np.float64
    assert ts.linspace(ts.tensor(0.0), ts.tensor(1.0), 3).data.tolist() == [0, 0.5, 1]
    for y in (ts.randint(3, (50,)), ts.randint(0, 3, (50,)), ts.randint(high=3, size=(50,))):
        assert set(y.data.tolist()) == {0, 1, 2}
    copied = X.to(X.dtype, copy=True)
    assert copied is not X
    assert not np.shares_memory(copied.data, X.data)
    assert not np.shares_memory(X.to("cpu", False, True).data, X.data)
    assert X.to("cpu", True) is X


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ts.arange(0, 3, 0), ArgumentError, "arange: step must not be 0"),
        (lambda: ts.arange(0, 3, -1), ArgumentError, "arange: no step of -1 leads from start 0 to end 3"),
        (lambda: ts.arange(0, np.inf), ArgumentError, "arange: start, end and step must be finite"),
        (lambda: ts.arange(), DTypeError, "arange: end must be a number, got None"),
        (lambda: ts.linspace(0, 1, -1), ArgumentError, "linspace: steps must not be negative, got -1"),
        (lambda: ts.linspace(0, 1, 2.0), DTypeError, "linspace: steps must be an integer, got 2.0"),
        (lambda: ts.linspace(INT, 1, 2), ShapeError, "linspace: start must be a number, got shape"),
        (lambda: ts.eye(2, -1), ArgumentError, "eye: m must not be negative, got -1"),
        (lambda: ts.randint(3, 3, (2,)), ArgumentError, "randint: low must be below high, got 3 and 3"),
        (lambda: ts.zeros_like(3), DTypeError, "zeros_like: input must be a Tensor, got int"),
        (lambda: ts.ones(2, dtype="text"), DTypeError, "ones: 'text' is not an element type"),
    ],
)
def test_creation_refuses_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bad_data_is_refused():
    with pytest.raises(ShapeError, match="tensor: data does not form an array"):
        ts.tensor([[1.0], [1.0, 2.0]])
    for bad in ("text", [None], [object()], 1j):
        with pytest.raises(DTypeError, match="tensor: "):
            ts.tensor(bad)
    with pytest.raises(ShapeError, match="integers that are not negative"):
        ts.zeros(-1)
    with pytest.raises(DTypeError, match="from_numpy: expected a NumPy array, got list"):
        ts.from_numpy([1])


def test_devices_that_do_not_exist():
    assert X.device == "cpu"
    assert X.to("cpu") is X
    for bad in ("tpu", "cuda:x", "cpu:1"):
        with pytest.raises(DeviceError, match="device: expected 'cpu', 'cuda', 'cuda:N' or 'emulated'"):
            ts.ones(2, device=bad)
    if not ts.cuda_available():
        with pytest.raises(DeviceError, match="device: 'cuda' "):
            X.cuda()


def test_random_numbers_follow_the_seed():
    def draw():
        return [ts.rand(3).data, ts.randn(2, 2).data, ts.randint(0, 100, (5,)).data, F.dropout(ts.ones(20)).data]

    ts.manual_seed(5)
    first = draw()
    state = random.get_state()
    second = draw()
    ts.manual_seed(5)
    for a, b in zip(first, draw(), strict=True):
        np.testing.assert_array_equal(a, b)
    random.set_state(state)
    for a, b in zip(second, draw(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], second[0])
    one, same, other = (random.generator(*key).random(4) for key in ((1, 2, 3), (1, 2, 3), (1, 3, 2)))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_dropout():
    x = ts.tensor(np.ones((200, 100)), requires_grad=True)
    y = F.dropout(x, 0.3)
    kept = y.data != 0
    np.testing.assert_allclose(y.data[kept], 1 / 0.7, rtol=1e-15)  # 1 / 0.7 in float64
    assert abs(kept.mean() - 0.7) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)
    assert F.dropout(x, 0.3, training=False) is x
    np.testing.assert_array_equal(F.dropout(x, 1.0).data, 0)
    channels = F.dropout2d(ts.ones(50, 20, 3, 3), 0.5).data
    assert (channels == channels[:, :, :1, :1]).all()
    assert 0.4 < (channels[:, :, 0, 0] != 0).mean() < 0.6
    with pytest.raises(ArgumentError, match=r"dropout: p must be between 0 and 1, got 1.5"):
        F.dropout(x, 1.5)


def test_index_errors_are_index_errors():
    for f in (lambda: X[2], lambda: X[0, 0], lambda: X[[5]], lambda: X.sum(1), lambda: X.size(3)):
        with pytest.raises(BoundsError) as caught:
            f()
        assert "\n" not in str(caught.value)
    for index in (1.0, "a", ts.tensor([0.5])):
        with pytest.raises((DTypeError, BoundsError), match="getitem"):
            X[index]
