"""PyTorch's files: every type and layout both ways, none of a stranger's code, one error for all damage."""

import contextlib
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter, OrderedDict

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyseg as ts
from tests.torch_unet import TorchUNet
from tinyseg.errors import ArgumentError, CheckpointError, DTypeError
from tinyseg.models import UNet

TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8, torch.int16]
TYPES += [torch.int32, torch.int64, torch.bool, torch.uint16, torch.uint32, torch.uint64]
OURS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.uint8, np.int8, np.int16]
OURS += [np.int32, np.int64, np.bool_, np.uint16, np.uint32, np.uint64]
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)


def saved(value, path, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def array_of(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def assert_same(ours, theirs):
    theirs = array_of(theirs)
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    assert ours.data.tobytes() == theirs.tobytes()
    assert ours.data.flags.c_contiguous
    assert ours.data.flags.writeable


# --- reading ---


@FORMATS
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_every_type_is_read(tmp_path, dtype, zipped):
    x = (torch.arange(24) - 7).to(dtype).reshape(2, 3, 4)
    state = {"x": x, "zero": x[0, 0, 0], "empty": x[:0], "strided": x.permute(2, 0, 1)[::2], "row": x[1]}
    back = ts.load(saved(state, tmp_path / "x.pt", zipped))
    for name, value in state.items():
        assert_same(back[name], value)


@FORMATS
def test_every_layout_is_read(tmp_path, zipped):
    x = torch.arange(60.0).reshape(3, 4, 5)
    image = torch.arange(48.0).reshape(2, 2, 3, 4).to(memory_format=torch.channels_last)
    state = {"t": x.permute(2, 1, 0), "step": x[:, ::2, 1::3], "expanded": x[:1, 0, 0].expand(2, 3), "image": image}
    state |= {"offset": x.reshape(-1)[7:], "ones": x[1:2, :, 2:3], "diagonal": x.as_strided((4,), (6,), 2)}
    state |= {"flat": x.as_strided((2, 2), (0, 1))}
    back = ts.load(saved(state, tmp_path / "x.pt", zipped))
    for name, value in state.items():
        assert_same(back[name], value)


@FORMATS
def test_shared_memory_stays_shared(tmp_path, zipped):
    x = torch.arange(12.0).reshape(3, 4)
    back = ts.load(saved({"x": x, "row": x[1], "again": x, "other": x.clone()}, tmp_path / "x.pt", zipped))
    assert back["again"] is back["x"]
    back["row"].assign_(ts.zeros(4))
    assert back["x"].numpy()[1].tolist() == [0, 0, 0, 0]
    assert back["x"]._version is back["row"]._version
    assert back["other"].numpy()[1].tolist() == [4, 5, 6, 7]


@FORMATS
def test_a_training_checkpoint_is_read(tmp_path, zipped):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    net(torch.rand(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 5])
    state = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    state |= {"epoch": 3, "best": [0.5, None, True], "name": "é", "size": torch.Size([1, 2]), "dtype": torch.bfloat16}
    state |= {"on": torch.device("cuda", 1), "bytes": b"\0\xff", "set": {1, 2}, "big": -(2**70), "tuple": (1, ("a",))}
    state |= {
        "bytearray": bytearray(b"ab"),
        "ordered": OrderedDict(b=1, a=2),
        "param": torch.nn.Parameter(torch.ones(2)),
    }
    back = ts.load(saved(state, tmp_path / "x.pt", zipped))
    assert (back["epoch"], back["best"], back["name"], back["size"]) == (3, [0.5, None, True], "é", (1, 2))
    assert (back["on"], back["bytes"], back["set"], back["big"]) == ("cuda:1", b"\0\xff", {1, 2}, -(2**70))
    assert (back["tuple"], back["bytearray"], back["dtype"]) == ((1, ("a",)), bytearray(b"ab"), ts.bfloat16)
    assert list(back["ordered"].items()) == [("b", 1), ("a", 2)]
    assert isinstance(back["param"], ts.nn.Parameter)
    assert back["param"].requires_grad
    assert back["schedule"]["milestones"] == Counter({3: 2, 5: 1})
    assert back["state_dict"]._metadata["1"] == {"version": 2}
    ours = ts.nn.Sequential(ts.nn.Conv2d(3, 4, 3), ts.nn.BatchNorm2d(4))
    ours.load_state_dict(back["state_dict"])
    adam = ts.optim.AdamW(ours.parameters())
    adam.load_state_dict(back["optimizer"])
    assert adam.param_groups[0]["lr"] == 0.1
    np.testing.assert_array_equal(
        adam.state_dict()["state"][0]["exp_avg"].numpy(), optimizer.state[net[0].weight]["exp_avg"]
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@FORMATS
def test_every_pickle_protocol_is_read(tmp_path, protocol, zipped):
    state = {"x": torch.arange(3.0), "b": b"abc", "s": {1}, "o": OrderedDict(a=torch.zeros(1)), "n": [1] * 3}
    torch.save(state, tmp_path / "x.pt", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    back = ts.load(tmp_path / "x.pt")
    assert back["x"].tolist() == [0, 1, 2]
    assert (back["b"], back["s"], back["n"]) == (b"abc", {1}, [1, 1, 1])


def test_a_pytorch_unet_predicts_the_same(tmp_path):
    torch.manual_seed(0)
    theirs = TorchUNet(3, 2).double().eval()
    ours = UNet(3, 2).double().eval()
    ours.load_state_dict(ts.load(saved(theirs.state_dict(), tmp_path / "unet.pth")))
    x = torch.rand(1, 3, 40, 33, dtype=torch.float64)
    with torch.no_grad(), ts.no_grad():
        np.testing.assert_allclose(ours(ts.tensor(x.numpy())).numpy(), theirs(x).numpy(), rtol=1e-9, atol=1e-11)


def test_the_content_decides_not_the_name(tmp_path):
    ts.save({"x": ts.ones(2)}, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.pt")
    assert ts.load(tmp_path / "a.pt")["x"].tolist() == [1, 1]
    assert ts.load(saved({"x": torch.ones(2)}, tmp_path / "b.safetensors"))["x"].tolist() == [1, 1]


def test_big_endian_numbers_are_turned(tmp_path):
    path = archive(tmp_path, call_tensor("FloatStorage", 3), {"0": np.arange(3, dtype=">f4").tobytes()}, b"big")
    assert ts.load(path).tolist() == [0, 1, 2]


def test_any_byte_but_zero_is_true(tmp_path):
    path = archive(tmp_path, call_tensor("BoolStorage", 3), {"0": b"\0\x02\xff"})
    assert ts.load(path).data.view(np.uint8).tolist() == [0, 1, 1]


def test_a_file_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        saved(torch.arange(3.0), tmp_path / "x.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert ts.load(tmp_path / "x.pt").tolist() == [0, 1, 2]


def test_views_of_storages_in_very_old_files_are_read(tmp_path):
    part = call_tensor("FloatStorage", 6, sizes=(2,), strides=(1,), view=("v", 3, 2))
    content = MAGIC + b"\x80\x02" + part + b"." + pickle.dumps(["0"], 2)
    (tmp_path / "x.pt").write_bytes(content + struct.pack("<q", 6) + np.arange(6, dtype="<f4").tobytes())
    assert ts.load(tmp_path / "x.pt").tolist() == [3, 4]


# --- writing ---


@pytest.mark.parametrize("dtype", OURS, ids=lambda t: np.dtype(t).name)
@given(data=st.data())
def test_pytorch_reads_every_type(tmp_path_factory, dtype, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    values = data.draw(hnp.arrays(np.uint8, shape)).astype(dtype)
    path = tmp_path_factory.mktemp("pt") / "x.pt"
    ts.save({"tensor": ts.tensor(values), "array": values}, path)
    for theirs in torch.load(path, weights_only=True).values():
        assert (tuple(theirs.shape), str(theirs.dtype)) == (shape, f"torch.{np.dtype(dtype).name}")
        assert array_of(theirs).tobytes() == values.tobytes()
    assert ts.load(path)["tensor"].data.tobytes() == values.tobytes()


def test_pytorch_reads_everything_else(tmp_path):
    x = ts.rand(3, 4)
    parameter = ts.nn.Parameter(x.data[1:].copy())
    ordered = OrderedDict(b=x, a=2)
    ordered._metadata = {"": {"version": 1}}
    cycle: list = [1]
    cycle.append(cycle)
    value = {"x": x, "again": x, "row": x.detach(), "p": parameter, "frozen": ts.nn.Parameter(x, False), "o": ordered}
    value |= {"list": [1, -(2**31), 2**31, -(2**70), 2.5, float("inf"), None, True, "é\n"], "tuple": (1, (), [], {})}
    value |= {3: np.float32(1.5), "dtype": ts.bfloat16, "bytes": b"\0\xff", "wants": ts.ones(2, requires_grad=True)}
    value |= {
        "strided": np.arange(6.0).reshape(2, 3).T,
        "cycle": cycle,
        (1, "k"): np.int64(3),
        "swapped": np.arange(3, dtype=">i4"),
    }
    ts.save(value, tmp_path / "x.pt")
    for options in ({}, {"mmap": True}):
        back = torch.load(tmp_path / "x.pt", weights_only=True, **options)
        for name in ("list", "tuple", "bytes"):
            assert back[name] == value[name]
        assert (back[3], back["dtype"], back[1, "k"]) == (1.5, torch.bfloat16, 3)
        assert back["x"] is back["again"]
        assert back["x"].untyped_storage().data_ptr() == back["row"].untyped_storage().data_ptr()
        assert back["cycle"][1] is back["cycle"]
        assert back["swapped"].tolist() == [0, 1, 2]
        assert back["wants"].requires_grad
        assert isinstance(back["p"], torch.nn.Parameter)
        assert not back["frozen"].requires_grad
        assert back["o"]._metadata == {"": {"version": 1}}
        np.testing.assert_array_equal(back["strided"], value["strided"])
        np.testing.assert_array_equal(back["p"].detach(), parameter.detach().numpy())
    assert ts.load(tmp_path / "x.pt")["o"]._metadata == {"": {"version": 1}}


def test_shared_memory_is_stored_once(tmp_path):
    base = np.arange(100_000.0)
    parts = {"all": ts.from_numpy(base), "left": ts.from_numpy(base[:50]), "right": ts.from_numpy(base[40:90])}
    ts.save(parts, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 1.01 * base.nbytes
    back = torch.load(tmp_path / "x.pt", weights_only=True)
    back["all"][45] = -1
    assert back["left"][45] == back["right"][5] == -1
    del parts["all"]  # the two overlap, and nothing covers both
    ts.save(parts, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 4000
    back = ts.load(tmp_path / "x.pt")
    np.testing.assert_array_equal(back["right"].numpy(), base[40:90])
    assert np.shares_memory(back["left"].data, back["right"].data)
    ts.save({"f": base, "bytes": base.view(np.uint8)}, tmp_path / "x.pt")  # of two types: each has its own
    np.testing.assert_array_equal(torch.load(tmp_path / "x.pt", weights_only=True)["bytes"], base.view(np.uint8))


def test_our_model_is_read_by_pytorchs(tmp_path):
    ours, theirs = UNet(3, 2), TorchUNet(3, 2)
    ts.save(ours.state_dict(), tmp_path / "x.pth")
    theirs.load_state_dict(torch.load(tmp_path / "x.pth", weights_only=True))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(theirs.state_dict()[name], value.numpy())


def test_records_are_aligned_and_the_bytes_repeat(tmp_path):
    for name in ("a.pt", "b.pt"):
        ts.save({"x": ts.ones(5), "y": ts.zeros(7, dtype="int8")}, tmp_path / name)
    content = (tmp_path / "a.pt").read_bytes()
    assert content == (tmp_path / "b.pt").read_bytes()
    for info in zipfile.ZipFile(tmp_path / "a.pt").infolist():
        name, extra = struct.unpack("<HH", content[info.header_offset + 26 : info.header_offset + 30])
        assert (info.header_offset + 30 + name + extra) % 64 == 0


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"x": object()}, DTypeError, "got object"),
        ({"x": {1}}, DTypeError, "got set"),
        ({"x": 1j}, DTypeError, "got complex"),
        ({"x": np.zeros(1, np.complex64)}, DTypeError, "no element type complex64"),
        ({"x": np.array(["a"])}, DTypeError, "no element type"),
        ({"x": np.dtype("complex64")}, DTypeError, "got Complex64DType|no element type"),
        ({"x": 2**4000}, ArgumentError, "too long"),
        (nested(100_000), ArgumentError, "too deeply"),
    ],
)
def test_what_has_no_place_in_a_file(tmp_path, value, error, message):
    with pytest.raises(error, match=message):
        ts.save(value, tmp_path / "x.pt")
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="no metadata"):
        ts.save({}, tmp_path / "x.pt", {"a": "b"})


# --- what is refused ---


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def call_tensor(kind, count, sizes=None, strides=(1,), offset=0, view=None, grad=False):
    """The instructions of a tensor on storage "0" of `count` elements, which may say anything."""

    def data(value):
        return pickle.dumps(value, 2)[2:-1].replace(b"q\0", b"")

    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text("0") + text("cpu") + data(count)
    storage += (b"" if view is None else b"(" + text(view[0]) + data(view[1]) + data(view[2]) + b"t") + b"tQ"
    sizes = (count,) if sizes is None else sizes
    tuples = [b"(" + b"".join(map(data, t)) + b"t" if isinstance(t, tuple) else data(t) for t in (sizes, strides)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + data(offset) + b"".join(tuples) + data(grad) + b"NtR"


def archive(folder, code, storages=(), byteorder=b"little", compression=zipfile.ZIP_STORED):
    """A zip archive with the pickle made of `code`."""
    with zipfile.ZipFile(folder / "x.pt", "w", compression) as file:
        file.writestr("a/data.pkl", b"\x80\x02" + code + b".")
        file.writestr("a/byteorder", byteorder)
        for key, content in dict(storages).items():
            file.writestr(f"a/data/{key}", content)
    return folder / "x.pt"


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        ts.load(path)
    message = str(caught.value)
    assert message.startswith(f"load: {path} is ")
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))
    return message


class Evil:
    def __init__(self, function, *arguments, **state):
        self.call = function, arguments, *([state] if state else [])

    def __reduce__(self):
        return self.call


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_stranger_s_code_is_refused_by_name_and_never_runs(tmp_path, zipped, protocol):
    mark = tmp_path / "ran"
    touch = f"open({str(mark)!r}, 'w')"
    attacks = {
        r"(os|posix|nt)\.system": Evil(os.system, f"touch {mark}"),
        r"builtins\.eval|__builtin__\.eval": Evil(eval, touch),
        r"builtins\.exec|__builtin__\.exec": {"state_dict": OrderedDict(x=[(Evil(exec, touch),)])},
        r"builtins\.getattr|__builtin__\.getattr": Evil(getattr, pathlib.PurePosixPath, "home"),
        r"(subprocess|commands)\.Popen": Evil(subprocess.Popen, ["touch", str(mark)]),
        r"torch\.serialization\.load": Evil(torch.load, str(mark)),
        r"torch\.storage\._load_from_bytes": Evil(torch.storage._load_from_bytes, pickle.dumps(Evil(eval, touch))),
        r"pathlib": pathlib.PurePosixPath("/x"),
        r"numpy": np.float64(3),
        r"test_torchfile\.Evil|copyreg|copy_reg": torch.nn.Linear(1, 1),
    }
    for name, value in attacks.items():
        path = tmp_path / "x.pt"
        torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        message = refusal(path)
        assert "refused" in message
        if not isinstance(value, torch.nn.Module):
            with pytest.raises(CheckpointError, match=name):
                ts.load(path)
    assert not mark.exists()


TENSOR = call_tensor("FloatStorage", 1)
HOSTILE = {
    "a name by STACK_GLOBAL": (text("os") + text("system") + b"\x93", "os.system"),
    "a name that is no text": (b"K\x01K\x02\x93", "other than text"),
    "an attribute of what is allowed": (b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n", "__globals__"),
    "a method of what is allowed": (b"ccollections\nOrderedDict.__init__\n", "OrderedDict.__init__"),
    "a call of an argument": (text("x") + b")R", "calls a str"),
    "a call of a tensor": (TENSOR + b")R", "calls a Tensor"),
    "INST": (b"(" + b"ios\nsystem\n", "INST of os system"),
    "OBJ": (b"(ccollections\nOrderedDict\no", "OBJ"),
    "EXT1": (b"\x82\x01", "EXT1"),
    "NEWOBJ_EX": (b"ccollections\nOrderedDict\n)}\x92", "NEWOBJ_EX"),
    "PERSID": (b"Px\n", "PERSID"),
    "NEXT_BUFFER": (b"\x97", "NEXT_BUFFER"),
    "state of a tensor": (TENSOR + b"}" + text("data") + text("x") + b"sb", "attributes of a Tensor"),
    "state of a dict": (b"}}" + text("items") + text("x") + b"sb", "attributes of a dict"),
    "a subclass": (b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nSize\nctorch\nSize\n)}tR", "class of its own"),
    "the class of tensors": (b"ctorch\nTensor\n)R", "class of tensors"),
    "a function as a value": (b"](ctorch._utils\n_rebuild_tensor_v2\ne", "itself as a value"),
    "a storage as a value": (TENSOR.split(b"_v2\n(")[1].split(b"Q")[0] + b"Q", "bare storage"),
    "another outside": (text("x") + b"Q", "outside its pickle"),
    "complex": (call_tensor("ComplexFloatStorage", 1), "complex numbers.*ComplexFloatStorage"),
    "complex type": (b"ctorch\ncomplex64\n", "complex numbers"),
    "quantised": (call_tensor("QInt8Storage", 4), "torch.QInt8Storage"),
    "sparse": (b"ctorch._utils\n_rebuild_sparse_tensor\n", "_rebuild_sparse_tensor"),
    "TorchScript": (b"c__torch__.net\nNet\n", "TorchScript"),
    "a name with control characters": (b"ca\x1b[31m\rb\nc\n", r"a\?\[31m\?b"),
    "an endless name": (b"c" + b"a" * 100_000 + b"\nb\n", "aaaa"),
    "a deep key": (b"}K\x01" + b"\x85" * 300_000 + b"K\x01s", "key of type tuple"),
    "a list as key": (b"}]K\x01s", "key of type list"),
    "a long bytearray": (b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R", "other than bytes"),
    "another encoding": (b"c_codecs\nencode\n" + text("x") + text("zip") + b"\x86R", "other than bytes"),
    "a parameter of text": (b"ctorch._utils\n_rebuild_parameter\n" + text("x") + b"\x88N\x87R", "no tensor"),
    "appending to a dict": (b"}K\x01a", "adds items to a dict"),
    "an absurd memo": (b"]r\xff\xff\xff\xff0", "IndexError"),
    "absurd bytes": (b"\x8e" + b"\xff" * 7 + b"\x3f", "ValueError"),
    "absurd text": (b"X\xff\xff\xff\x7f", "ValueError"),
    "an absurd frame": (b"\x95" + b"\xff" * 8, "IndexError"),
    "a pop of nothing": (b"0", "IndexError"),
    "a mark that is missing": (b"t", "IndexError"),
    "an unknown memo": (b"h\x07", "KeyError"),
    "a dict of three": (b"(K\x01K\x02K\x03d", "ValueError"),
    "an absurd storage": (call_tensor("FloatStorage", 2**60), "another size"),
    "a negative storage": (call_tensor("FloatStorage", -1), "storage wrongly"),
    "a size beyond": (call_tensor("FloatStorage", 1, (2,)), "ends at element 2 of a storage of 1"),
    "an offset beyond": (call_tensor("FloatStorage", 1, offset=2**61), "ends at element"),
    "a negative offset": (call_tensor("FloatStorage", 1, offset=-1), "no count"),
    "a negative stride": (call_tensor("FloatStorage", 1, strides=(-1,)), "no count"),
    "a size of text": (call_tensor("FloatStorage", 1, 3), "size and stride wrongly"),
    "more strides": (call_tensor("FloatStorage", 1, strides=(1, 1)), "size and stride wrongly"),
    "a hundred axes": (call_tensor("FloatStorage", 1, (1,) * 100, (1,) * 100), "size and stride wrongly"),
    "an absurd expansion": (call_tensor("FloatStorage", 1, (2**20, 2**20), (0, 0)), "GiB more"),
    "an absurd empty": (call_tensor("FloatStorage", 1, (0, 2**61, 2**61), (1, 1, 1)), "ValueError"),
    "two types": (b"]" + b"(" + TENSOR + call_tensor("IntStorage", 1) + b"e", "float32 and as int32"),
    "two sizes": (b"]" + b"(" + TENSOR + call_tensor("FloatStorage", 2) + b"e", "another size"),
    "integers that train": (call_tensor("IntStorage", 1, grad=True), "only floating-point"),
    "a view in a zip": (call_tensor("FloatStorage", 1, view=("v", 0, 1)), "another size"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(tmp_path, name):
    code, message = HOSTILE[name]
    with pytest.raises(CheckpointError, match=message):
        ts.load(archive(tmp_path, code, {"0": b"\0\0\0\0"}))
    refusal(tmp_path / "x.pt")


def test_attributes_of_a_dict_are_not_set(tmp_path):
    state = b"}" + text("items") + text("x") + b"s" + text("_metadata") + b"}s"
    back = ts.load(archive(tmp_path, b"ccollections\nOrderedDict\n)R" + state + b"b"))
    assert vars(back) == {"_metadata": {}}


def test_many_expansions_are_refused_together(tmp_path):
    once = call_tensor("FloatStorage", 1, (2**26,), (0,))
    assert "GiB more" in refusal(archive(tmp_path, b"](" + once * 100 + b"e", {"0": b"\0\0\0\0"}))


def test_a_long_chain_of_lists_is_read(tmp_path):
    back = ts.load(archive(tmp_path, b"]" * 200_000 + b"a" * 199_999))
    depth = 0
    while back:
        back, depth = back[0], depth + 1
    assert depth == 199_999


def test_archives_that_are_not_pytorch_s(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    assert "without data.pkl" in refusal(tmp_path / "x.npz")
    zeros = {"0": bytes(10**7)}
    path = archive(tmp_path, call_tensor("ByteStorage", 10**7), zeros, compression=zipfile.ZIP_DEFLATED)
    assert "compressed" in refusal(path)
    assert "byte order is" in refusal(archive(tmp_path, b"N", byteorder=b"middle"))
    assert "data/0 is missing" in refusal(archive(tmp_path, TENSOR))
    (tmp_path / "x.pt").write_bytes(pickle.dumps({"a": 1}))
    assert "not one of torch.save" in refusal(tmp_path / "x.pt")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "x.pt", "storages")
    with pytest.raises(CheckpointError, match="another format"):
        ts.load(tmp_path / "x.tar")


def test_claims_of_a_record_are_held_against_the_file(tmp_path):
    path = archive(tmp_path, call_tensor("ByteStorage", 2**31), {"0": b"1234"})
    content = path.read_bytes().replace(struct.pack("<II", 4, 4), struct.pack("<II", 2**31, 2**31))
    path.write_bytes(content)
    assert "claims 2147483648 bytes" in refusal(path)


@pytest.mark.parametrize(
    ("keys", "numbers", "message"),
    [
        ([], b"", "list of storages"),
        (["0", "1"], b"", "list of storages"),
        (3, b"", "TypeError"),
        (["0"], struct.pack("<q", 2), "another size"),
        (["0"], struct.pack("<q", 1) + b"abc", "1 bytes are missing"),
    ],
)
def test_a_hostile_legacy_file_is_refused(tmp_path, keys, numbers, message):
    (tmp_path / "x.pt").write_bytes(MAGIC + b"\x80\x02" + TENSOR + b"." + pickle.dumps(keys, 2) + numbers)
    assert message in refusal(tmp_path / "x.pt")


def test_claims_of_a_legacy_file_are_held_against_it(tmp_path):
    for code, message in (
        (call_tensor("FloatStorage", 2**40), "claim 4398046511104 bytes"),
        (b"](" + TENSOR + call_tensor("DoubleStorage", 1) + b"e", "two sizes"),
        (call_tensor("FloatStorage", 1, view=("v", 1, 1)), "shorter than a view"),
        (call_tensor("FloatStorage", 1, view=("v", -1, 1)), "view of a storage wrongly"),
        (b"\x8e" + b"\xff" * 7 + b"\x3f", "ValueError"),
    ):
        (tmp_path / "x.pt").write_bytes(MAGIC + b"\x80\x02" + code + b"." + bytes(8))
        assert message in refusal(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(MAGIC[: MAGIC.index(b"\x80", 3)] + pickle.dumps(7, 2))
    assert "version 7" in refusal(tmp_path / "x.pt")


@FORMATS
def test_every_truncation_and_change_is_our_error(tmp_path, zipped):
    path = tmp_path / "x.pt"
    state = {"a.weight": torch.rand(3, 4), "b": torch.arange(5), "n": [1, 2.5, "x"], "t": torch.rand(4, 3).T}
    content = saved(state, path, zipped).read_bytes()
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(CheckpointError):
            ts.load(path)
    chance = random.Random(0)
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 8])):
            damaged[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(damaged)
        # a changed number of a legacy file cannot be noticed: it has no checksum
        with contextlib.suppress(CheckpointError):
            ts.load(path)


def test_a_changed_number_in_an_archive_is_noticed(tmp_path):
    path = saved({"x": torch.ones(1000)}, tmp_path / "x.pt")
    content = bytearray(path.read_bytes())
    content[content.index(np.float32(1).tobytes() * 50) + 100] ^= 1
    path.write_bytes(content)
    assert "CRC" in refusal(path)


def test_neither_pytorch_nor_pickle_is_imported(tmp_path):
    saved({"x": torch.ones(2)}, tmp_path / "x.pt")
    code = f"import sys, tinyseg as ts; print(ts.load({str(tmp_path / 'x.pt')!r}), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split("\n")[0].endswith("False")
