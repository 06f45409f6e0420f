"""Weights on disk: what is written comes back bit for bit, in other readers too; damage is explained."""

import io
import subprocess
import sys
import textwrap

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyseg as ts
from tinyseg.errors import ArgumentError, CheckpointError, DTypeError
from tinyseg.weights import load_metadata

TYPES = [np.float16, np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_, ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", TYPES)
@given(data=st.data())
def test_round_trip_is_exact(tmp_path_factory, dtype, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    values = data.draw(hnp.arrays(np.uint8, shape)).astype(dtype)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    ts.save({"a.b": ts.tensor(values), "plain": values}, path)
    back = ts.load(path)
    for name in ("a.b", "plain"):
        assert back[name].dtype == values.dtype
        assert back[name].shape == shape
        assert back[name].data.tobytes() == values.tobytes()
        assert back[name].data.flags.writeable


def test_pytorch_and_safetensors_read_it(tmp_path):
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    ts.save({"x": ts.tensor(x), "t": ts.tensor(x.T)}, tmp_path / "w.safetensors")
    assert torch.equal(safetensors.torch.load_file(tmp_path / "w.safetensors")["x"], torch.tensor(x))
    np.testing.assert_array_equal(ts.load(tmp_path / "w.safetensors")["t"].numpy(), x.T)


def test_reads_what_pytorch_wrote(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    safetensors.torch.save_file(net.state_dict(), tmp_path / "net.safetensors")
    ours = ts.nn.Sequential(ts.nn.Conv2d(3, 4, 3), ts.nn.BatchNorm2d(4))
    ours.load_state_dict(ts.load(tmp_path / "net.safetensors"))
    for name, value in ours.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), net.state_dict()[name].numpy())


def test_bfloat16_is_read_in_a_fresh_process(tmp_path):
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file({"x": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, path)
    code = f"import tinyseg as ts; x = ts.load({str(path)!r})['x']; print(x.dtype, x.to(ts.float32).numpy().tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "bfloat16 [1.5, -2.0]"


def test_metadata(tmp_path):
    path = tmp_path / "w.safetensors"
    ts.save({"x": ts.zeros(2)}, path, {"model": "unet", "width": "64"})
    assert load_metadata(path) == {"model": "unet", "width": "64"}
    safetensors.numpy.save_file({"x": np.zeros(2)}, path)
    assert load_metadata(path) == {}
    assert list(ts.load(path)) == ["x"]


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file_is_explained(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    ts.save({"x": ts.ones(100)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"w\.safetensors.*cut short") as caught:
        ts.load(path)
    assert "\n" not in str(caught.value)


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "w.safetensors"
    ts.save({"x": ts.ones(100), "e": ts.zeros(0, 3)}, path)
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors is damaged"):
        ts.load(path)


def test_missing_file_folder_and_other_format(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        ts.load(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="is a folder"):
        ts.load(tmp_path)
    (tmp_path / "w.npy").write_bytes(b"\x93NUMPY and more")
    with pytest.raises(CheckpointError, match="another format"):
        ts.load(tmp_path / "w.npy")
    with pytest.raises(CheckpointError, match="could not be written"):
        ts.save({"x": ts.zeros(2)}, tmp_path / "no" / "such" / "folder.safetensors")


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({1: ts.zeros(2)}, None, ArgumentError, "names must be strings, got 1"),
        ({"x": [1, 2]}, None, DTypeError, "'x' must be a Tensor, got list"),
        ({"x": np.array(["a"])}, None, DTypeError, "'x' must hold numbers"),
        ({"x": np.zeros(1, np.complex128)}, None, DTypeError, "complex128"),
        ({"x": np.zeros(1, np.longdouble)}, None, DTypeError, "64 bits"),
        (ts.zeros(2), None, DTypeError, "expected a dict of Tensors"),
        ({"x": ts.zeros(2)}, {"epoch": 3}, ArgumentError, "metadata must be strings, got 'epoch': 3"),
    ],
)
def test_what_has_no_place_in_a_file(tmp_path, tensors, metadata, error, message):
    with pytest.raises(error, match=message):
        ts.save(tensors, tmp_path / "w.safetensors", metadata)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit")
@pytest.mark.parametrize("name", ["w.safetensors", "x.pt"])
def test_a_full_disk_leaves_the_previous_file_intact(tmp_path, name):
    path = tmp_path / name
    ts.save({"x": ts.ones(10)}, path)
    before = path.read_bytes()
    code = f"""
        import resource, tinyseg as ts
        from tinyseg.errors import CheckpointError
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            ts.save({{"x": ts.ones(100_000)}}, {str(path)!r})
        except CheckpointError as error:
            print(error)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert f"{name} could not be written" in out.stdout
    assert out.stderr == ""
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_that_fails_leaves_the_previous_file_intact(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    ts.save({"x": ts.ones(3)}, path)

    def fail(source, target):
        raise OSError("no rename today")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(CheckpointError, match="no rename today"):
        ts.save({"x": ts.zeros(3)}, path)
    assert ts.load(path)["x"].numpy().tolist() == [1, 1, 1]
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_replaced(tmp_path):
    (tmp_path / ".w.safetensors.partial").write_bytes(b"half a file")
    ts.save({"x": ts.ones(3)}, tmp_path / "w.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_script_for_pytorch_may_name_the_device_and_weights_only(tmp_path):
    path = tmp_path / "w.pt"
    torch.save({"w": torch.arange(3.0)}, path)
    assert ts.load(path, map_location="cpu", weights_only=True)["w"].tolist() == [0, 1, 2]
    with pytest.raises(ArgumentError, match="load: weights_only must be True, got False"):
        ts.load(path, weights_only=False)
    for location in ({"cuda:0": "cpu"}, lambda storage, loc: storage):
        with pytest.raises(ArgumentError, match="load: map_location must be the name of a device"):
            ts.load(path, map_location=location)
    with pytest.raises(ArgumentError, match="device not given"):
        ts.load(path, "cpu", map_location="cpu")


def test_what_is_no_path_is_named():
    with pytest.raises(DTypeError, match="load: path must be the path of a file, got BytesIO"):
        ts.load(io.BytesIO())
    with pytest.raises(DTypeError, match="save: path must be the path of a file, got BytesIO"):
        ts.save({"w": ts.ones(2)}, io.BytesIO())
