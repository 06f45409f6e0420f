"""Arrays to and from other libraries: on the same memory, without losing a graph unnoticed."""

import ml_dtypes
import numpy as np
import pytest
import torch

import tinyseg as ts
from tinyseg.errors import ArgumentError, DTypeError, ExportError, GraphError

TYPES = [np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.bool_]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_dlpack_both_ways_on_the_same_memory(dtype, shape):
    ours = ts.tensor(np.ones(shape, dtype))
    for take in (torch.from_dlpack, np.from_dlpack, ts.from_dlpack):
        taken = take(ours)
        assert np.asarray(taken).dtype == dtype
        assert tuple(taken.shape) == shape
    theirs = torch.from_dlpack(ours)
    theirs.zero_()
    assert not np.asarray(ours).any()
    for foreign in (theirs, ours.numpy(), ours):
        back = ts.from_dlpack(foreign)
        back.assign_(1)
        assert np.asarray(theirs).all()
        assert back.dtype == dtype


def test_a_count_of_versions_is_not_shared_over_dlpack():
    x = ts.ones(3, requires_grad=True)
    k = ts.ones(3)
    y = (x * k).sum()
    torch.from_dlpack(k).fill_(2)  # goes past the engine
    assert ts.grad(y, [x], retain_graph=True)[0].tolist() == [2, 2, 2]
    k.bump()
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_dlpack_of_strided_read_only_and_copied_arrays():
    x = torch.arange(6.0).reshape(2, 3)
    assert ts.from_dlpack(x.T).tolist() == [[0, 3], [1, 4], [2, 5]]
    with pytest.raises(ArgumentError, match="copy=False, but the array is strided"):
        ts.from_dlpack(x.T, copy=False)
    copied = ts.from_dlpack(x, copy=True)
    copied.assign_(0)
    assert x[0, 1] == 1
    assert ts.from_dlpack(x, copy=False, device="cpu").data.ctypes.data == x.data_ptr()
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(ArgumentError, match="may only be read"):
        ts.from_dlpack(frozen).assign_(0)
    assert frozen.tolist() == [1, 1, 1]
    assert ts.ones(2).__dlpack_device__() == (1, 0)
    assert np.from_dlpack(ts.ones(2), copy=True).tolist() == [1, 1]


def test_what_dlpack_refuses():
    with pytest.raises(BufferError):
        torch.ones(2, requires_grad=True).__dlpack__()
    for error in (ExportError, BufferError, RuntimeError):
        with pytest.raises(error, match=r"requires grad.*t\.detach\(\)"):
            np.from_dlpack(ts.ones(2, requires_grad=True))
    torch.from_dlpack(ts.ones(2, requires_grad=True).detach())
    with pytest.raises(ExportError, match="bfloat16 on cpu cannot be handed over"):
        torch.from_dlpack(ts.ones(2, dtype=ts.bfloat16))
    with pytest.raises(ExportError, match="cannot be taken over"):
        ts.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(ExportError, match="stream"):
        ts.ones(2).__dlpack__(stream=1)
    with pytest.raises(DTypeError, match="expected an array with __dlpack__, got list"):
        ts.from_dlpack([1, 2])
    with pytest.raises(DTypeError, match="complex64"):
        ts.from_dlpack(np.zeros(2, np.complex64))


def test_array_takes_numpys_arguments():
    t = ts.arange(3, dtype=ts.float32)
    assert np.asarray(t) is t.data
    assert np.array(t) is not t.data
    assert np.asarray(t, dtype=np.int64).tolist() == [0, 1, 2]
    assert np.asarray(t, dtype=np.float32, copy=False) is t.data
    assert t.__array__(np.float64).dtype == np.float64
    with pytest.raises(ArgumentError, match="copy=False"):
        np.asarray(t, dtype=np.float64, copy=False)
    assert np.asarray(ts.ones(2, dtype=ts.bfloat16)).dtype == ml_dtypes.bfloat16
    for error in (GraphError, RuntimeError):  # as PyTorch does
        with pytest.raises(error, match=r"requires grad.*t\.detach\(\)\.numpy\(\)"):
            np.asarray(ts.ones(2, requires_grad=True))


def test_a_numpy_array_on_the_left_does_not_drop_the_graph():
    t = ts.ones(2, requires_grad=True)
    y = np.array([2.0, 3.0], np.float32) * t
    assert isinstance(y, ts.Tensor)
    y.sum().backward()
    assert t.grad.tolist() == [2, 3]


def test_tolist():
    for value in (3, 2.5, True, [1, 2], [[1.5], [2.5]], [[], []]):
        t, theirs = ts.tensor(value), torch.tensor(value)
        assert t.tolist() == theirs.tolist() == value
    assert type(ts.tensor(2.0).tolist()) is float
    assert type(ts.ones(1, dtype=ts.bfloat16).tolist()[0]) is float
    assert ts.ones(2, requires_grad=True).tolist() == [1, 1]


def test_from_numpy_and_as_tensor_keep_memory_where_they_can():
    a = np.arange(6.0).reshape(2, 3)
    for make in (ts.from_numpy, ts.as_tensor):
        assert make(a).data is a
        assert make(a.T).tolist() == a.T.tolist()
        assert make(a[::-1]).data.flags.c_contiguous
        assert make(a.astype(">f8")).dtype == np.float64
        assert make(a.astype(">f8")).data.dtype.isnative
        for bad in (np.zeros(1, np.complex64), np.array(["a"]), np.array([None])):
            with pytest.raises(DTypeError, match="expected numbers or booleans"):
                make(bad)
    with pytest.raises(DTypeError, match="expected a NumPy array, got list"):
        ts.from_numpy([1])
    assert ts.tensor(a.astype(">f8")).data.dtype.isnative
    t = ts.ones(2, requires_grad=True)
    assert ts.as_tensor(t) is t
    assert ts.as_tensor(t, dtype=ts.float32, device="cpu") is t
    ts.as_tensor(t, dtype=ts.float64).sum().backward()  # a conversion is part of the graph
    assert t.grad.dtype == np.float32
    assert ts.as_tensor(a, dtype="float32").dtype == np.float32
    assert ts.as_tensor([1, 2]).dtype == np.int64
    assert ts.as_tensor(2.5).dtype == np.float32
    assert ts.as_tensor([1], dtype=ts.float64).dtype == np.float64
    with pytest.raises(DTypeError, match="as_tensor: 'nonsense'"):
        ts.as_tensor(a, dtype="nonsense")
