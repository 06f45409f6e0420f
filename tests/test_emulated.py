"""The emulated device: arrays that behave as CuPy's, Tensors that go there and back."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import tinyseg as ts
from tinyseg import nn
from tinyseg.devices import array_module
from tinyseg.errors import DeviceError, DTypeError
from tinyseg.kernels.emulated import EMULATED_NUMPY, EmulatedArray, emulated, plain
from tinyseg.nn import functional as F


@pytest.fixture
def x():
    return emulated(np.arange(6.0).reshape(2, 3))


def test_results_stay_on_the_device(x):
    for y in (
        x + 1, 2 * x, -x, x @ x.T, x.sum(), x.max(axis=0), np.exp(x), np.add.reduce(x), x[0], x[0, 0], x[x > 2], x.T,
        np.concatenate([x, x]), np.where(x > 1, x, 0), np.einsum("ij->i", x), x.astype(np.float32), x.argmax(),
        np.linalg.norm(x), np.divmod(x, 2)[1], np.unique(x), np.zeros_like(x), x.copy(), x.reshape(-1), np.median(x),
    ):  # fmt: skip
        assert type(y) is EmulatedArray
    assert x.sum().shape == ()  # as CuPy: no scalars
    assert isinstance(x.item(0), float)


def test_in_place(x):
    before = x
    x += 1
    assert x is before
    np.multiply(x, 2, out=x)
    assert plain(x).tolist() == [[2, 4, 6], [8, 10, 12]]
    np.add.at(x, (emulated(np.array([0, 0])), 0), 1.0)
    assert plain(x)[0, 0] == 4


def test_numpy_s_arrays_do_not_mix_in(x):
    other = np.ones(3)
    for mistake in (lambda: x + other, lambda: other + x, lambda: np.add(x, other), lambda: np.add(other, 1, out=x[0])):
        with pytest.raises(TypeError, match="emulated"):
            mistake()
    with pytest.raises(TypeError, match="emulated"):
        x[0] = other
    x[0] = emulated(other)
    x[1] = 5
    assert plain(x).tolist() == [[1, 1, 1], [5, 5, 5]]
    assert type(x + np.float64(1)) is EmulatedArray  # scalars are no arrays


def test_the_module_for_emulated_arrays(x):
    xp = array_module(x)
    assert xp is EMULATED_NUMPY is array_module(x[0])
    for y in (
        xp.zeros(3),
        xp.arange(4),
        xp.linalg.inv(xp.eye(2)),
        xp.asarray([1, 2]),
        xp.exp(x),
        xp.broadcast_to(x, (4, 2, 3)),
    ):
        assert type(y) is EmulatedArray
    assert xp.float32 is np.float32
    assert xp.add is np.add
    assert all(type(a) is EmulatedArray for a in xp.linalg.eigh(xp.eye(2)))
    assert array_module(plain(x)) is np


def test_tensors_go_there_and_back():
    t = ts.tensor([[1.0, -2.0]], requires_grad=True)
    e = t.to("emulated")
    assert e.device == "emulated"
    assert e.device.type == "emulated"
    assert not np.shares_memory(plain(e.data), t.data)
    assert "device=emulated" in repr(e)
    (ts.relu(e) * 3).sum().backward()
    assert t.grad.device == "cpu"
    assert t.grad.tolist() == [[3.0, 0.0]]
    values = e.detach().numpy()
    values[:] = 7  # a copy, as from a GPU
    assert e.tolist() == [[1.0, -2.0]]
    assert ts.zeros(2, device="emulated").device == ts.device("emulated")
    assert e.cpu().device == "cpu"
    assert t.to(e).device == "emulated"


def test_devices_do_not_mix():
    a, b = ts.ones(2), ts.ones(2, device="emulated")
    with pytest.raises(DeviceError):
        a + b
    with pytest.raises(DeviceError, match="emulated"):
        ts.device("emulated:1")


def test_modules_state_and_copies():
    layer = nn.Linear(3, 2).to("emulated")
    assert {p.device.type for p in layer.parameters()} == {"emulated"}
    twin = copy.deepcopy(layer)
    assert twin.weight.device == "emulated"
    assert pickle.loads(pickle.dumps(twin.weight)).device == "emulated"
    twin.load_state_dict(nn.Linear(3, 2).state_dict())
    assert twin.weight.device == "emulated"


def test_half_types():
    for dtype in (ts.float16, ts.bfloat16):
        t = ts.tensor([1.5, 2.5]).to("emulated", dtype)
        assert (t * 2).tolist() == [3.0, 5.0]
        assert (t * 2).dtype == dtype


def test_integers():
    """What is a copy or a comparison takes them; a function that has kernels of floats alone says so."""
    k = ts.tensor([[[-2, 0, 3, 1]]])
    e = k.to("emulated")
    for function in (ts.relu, lambda t: F.pad(t, (1, 2)), lambda t: t.clamp(0, 1), lambda t: t @ t.mT):
        assert function(e).device == "emulated"
        assert function(e).dtype == function(k).dtype
        assert function(e).tolist() == function(k).tolist()
    with pytest.raises(DTypeError, match=r"max_pool2d: input must be .* on 'emulated', got int64; use"):
        F.max_pool2d(e, (1, 3))
