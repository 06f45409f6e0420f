"""Nuclei, Chair Segments and IDX files: against files written by hand, and the real ones where they are present."""

import gzip
import pathlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from tinyseg.data.chair_segments import ChairSegments
from tinyseg.data.idx import FashionMNIST, IDXImages, read_idx
from tinyseg.data.nuclei import Nuclei, NucleiKaggle
from tinyseg.errors import ArgumentError, DataError

SHARED = pathlib.Path(__file__).parents[1].parent / "shared" / "data"
RNG = np.random.default_rng(0)


def real(name):
    if not (SHARED / name).is_dir():
        pytest.skip(f"{name} is not in ../shared/data")
    return SHARED / name


def write(path, array):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(array).save(path)


# --- Nuclei ---

LABELS = np.array([[0, 0, 5, 5], [300, 0, 5, 0], [300, 0, 0, 0]], np.uint16)


def nuclei(root, labels=LABELS, name="a.png"):
    for split in ("train", "val"):
        write(root / split / "images" / "a.png", RNG.integers(0, 256, (3, 4, 3)).astype(np.uint8))
        write(root / split / "labels" / name, labels)
    return root


def test_nuclei_are_numbered_and_boxed(tmp_path):
    sample = Nuclei(nuclei(tmp_path), channels=3)[0]
    assert sample.image.shape == (3, 3, 4)
    assert sample.instances.tolist() == [[0, 0, 1, 1], [2, 0, 1, 0], [2, 0, 0, 0]]
    assert sample.mask.tolist() == [[0, 0, 1, 1], [1, 0, 1, 0], [1, 0, 0, 0]]
    assert sample.boxes.tolist() == [[2, 0, 4, 2], [0, 1, 1, 3]]
    assert sample.labels.tolist() == [1, 1]
    assert (sample.instances.dtype, sample.mask.dtype) == (np.int32, np.int64)
    assert (sample.boxes.dtype, sample.labels.dtype) == (np.float32, np.int64)
    assert sample.name == "a"


def test_nuclei_are_grey_by_default(tmp_path):
    data = Nuclei(nuclei(tmp_path), "val")
    assert data.channels == len(data[0].image) == 1


def test_an_image_without_nuclei(tmp_path):
    sample = Nuclei(nuclei(tmp_path, np.zeros_like(LABELS)))[0]
    assert sample.boxes.shape == (0, 4)
    assert sample.labels.shape == (0,)
    assert not sample.mask.any()


def test_nuclei_mistakes(tmp_path):
    root = nuclei(tmp_path)
    with pytest.raises(ArgumentError, match="Nuclei: split is 'test', expected 'train' or 'val'"):
        Nuclei(root, "test")
    with pytest.raises(ArgumentError, match="Nuclei: channels is 2, expected 1 or 3"):
        Nuclei(root, channels=2)
    with pytest.raises(DataError, match=r"none.*No such file or directory: give a folder of images"):
        Nuclei(root / "none")
    with pytest.raises(DataError, match=r"images/a.png has no label image in .*labels: add it or remove the image"):
        Nuclei(nuclei(tmp_path / "other", name="b.png"))
    with pytest.raises(DataError, match=r"labels/a.png is \(2, 4\), its image \(3, 4\)"):
        Nuclei(nuclei(tmp_path / "small", LABELS[:2]))[0]


def test_labels_out_of_range(tmp_path):
    root = nuclei(tmp_path, name="a.tif")
    write(root / "train" / "labels" / "a.tif", np.full((3, 4), 70000, np.int32))
    with pytest.raises(DataError, match=r"labels/a.tif has values 70000 to 70000, expected 0 to 65535"):
        Nuclei(root)[0]


def kaggle(root, count=2):
    for k in range(count):
        folder = root / f"id{k}"
        write(folder / "images" / "x.png", RNG.integers(0, 256, (3, 4, 4)).astype(np.uint8))
        for number, value in enumerate((5, 300), start=1):
            write(folder / "masks" / f"{number}.png", ((value == LABELS) * 255).astype(np.uint8))
    return root


def test_one_png_per_nucleus_is_the_same_as_a_label_image(tmp_path):
    data = NucleiKaggle(kaggle(tmp_path))
    assert len(data) == 2
    sample, merged = data[1], Nuclei(nuclei(tmp_path / "merged"))[0]
    assert sample.name == "id1"
    np.testing.assert_array_equal(sample.instances, merged.instances)
    np.testing.assert_array_equal(sample.boxes, merged.boxes)
    np.testing.assert_array_equal(sample.mask, merged.mask)


def test_coloured_masks_of_nuclei_count_by_their_first_channel(tmp_path):
    root = kaggle(tmp_path, 1)
    write(root / "id0" / "masks" / "1.png", np.dstack([(LABELS == 5) * 255] * 3).astype(np.uint8))
    assert NucleiKaggle(root)[0].instances.tolist() == [[0, 0, 1, 1], [2, 0, 1, 0], [2, 0, 0, 0]]


def test_kaggle_mistakes(tmp_path):
    with pytest.raises(DataError, match="is not a folder: give the one that holds the ID folders"):
        NucleiKaggle(tmp_path / "none")
    with pytest.raises(DataError, match="has no folders of the form ID/images"):
        NucleiKaggle(tmp_path)
    root = kaggle(tmp_path / "two")
    write(root / "id0" / "images" / "y.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"id0/images has 2 images, expected 1"):
        NucleiKaggle(root)
    root = kaggle(tmp_path / "size")
    write(root / "id0" / "masks" / "1.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match=r"id0/masks/1.png is \(5, 5\), its image \(3, 4\)"):
        NucleiKaggle(root)[0]
    root = kaggle(tmp_path / "links")
    (root / "id9").symlink_to(tmp_path / "size" / "id1")
    with pytest.raises(DataError, match=r"id9 links to .*, outside"):
        NucleiKaggle(root)


def test_real_nuclei():
    root = real("nuclei")
    train, val = Nuclei(root, "train"), Nuclei(root, "val")
    assert (len(train), len(val)) == (160, 40)
    for k in range(0, 40, 8):
        sample = val[k]
        labels = np.asarray(Image.open(root / "val" / "labels" / f"{sample.name}.png"))
        assert len(sample.boxes) == len(np.unique(labels)) - 1
        np.testing.assert_array_equal(sample.mask, labels > 0)
        x0, y0, x1, y1 = sample.boxes[0].astype(int)
        rows, columns = np.nonzero(sample.instances == 1)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_real_nuclei_in_the_original_layout():
    data = NucleiKaggle(real("nuclei_kaggle"))
    assert len(data) == 6
    assert sum(len(sample.boxes) for sample in data) == 176
    assert all(sample.image.shape == (1, 256, 256) for sample in data)


# --- Chair Segments ---


def chairs(root, names=("10.png", "9.png"), size=(64, 64)):
    for name in names:
        write(root / "Chair064" / "val" / "image" / name, np.full((*size, 3), 50, np.uint8))
        mask = np.zeros((*size, 3), np.uint8)
        mask[: size[0] // 2, :, 0] = 255
        mask[..., 1] = 255  # only the first channel counts
        write(root / "Chair064" / "val" / "mask" / name, mask)
    return root


def test_chair_segments_are_in_numeric_order(tmp_path):
    data = ChairSegments(chairs(tmp_path), "val")
    assert [sample.name for sample in data] == ["9", "10"]
    assert (data.classes, data.channels) == (("background", "chair"), 3)
    sample = data[0]
    assert sample.image.shape == (3, 64, 64)
    np.testing.assert_allclose(sample.image, 50 / 255, atol=1e-6)
    np.testing.assert_array_equal(sample.mask, np.arange(64)[:, None].repeat(64, 1) < 32)


def test_chair_segments_threshold_after_resizing(tmp_path):
    # Three rows from two, the upper one chair: bilinear gives 1, 1/2, 0, and 1/2 is above 0.4.
    data = ChairSegments(chairs(tmp_path, size=(2, 2)), "val", size=(3, 1))
    assert data[0].mask.tolist() == [[1], [1], [0]]
    # Five rows from two: sources -0.3, 0.1, 0.5, 0.9, 1.3 give 1, 0.9, 0.5, 0.1, 0.
    data = ChairSegments(tmp_path, "val", size=(5, 1))
    assert data[0].mask.tolist() == [[1], [1], [1], [0], [0]]


def test_chair_segments_threshold_is_two_fifths(tmp_path):
    chairs(tmp_path, ["1.png"], (1, 3))
    write(tmp_path / "Chair064" / "val" / "mask" / "1.png", np.array([[101, 102, 103]], np.uint8))
    assert ChairSegments(tmp_path, "val", size=(1, 3))[0].mask.tolist() == [[0, 0, 1]]


def test_chair_segments_mistakes(tmp_path):
    with pytest.raises(ArgumentError, match="split is 'test', expected 'train' or 'val'"):
        ChairSegments(chairs(tmp_path), "test")
    with pytest.raises(ArgumentError, match="ChairSegments: size is -3"):
        ChairSegments(tmp_path, "val", -3)
    with pytest.raises(DataError, match=r"Chair064/train/image: No such file"):
        ChairSegments(tmp_path)
    masks = tmp_path / "Chair064" / "val" / "mask"
    write(masks / "9.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match=r"mask/9.png is \(5, 5\), its image \(64, 64\)"):
        ChairSegments(tmp_path, "val")[0]
    (masks / "9.png").unlink()
    with pytest.raises(DataError, match=r"image/9.png has no mask in"):
        ChairSegments(tmp_path, "val")
    (masks / "10.png").rename(masks / "ten.png")
    with pytest.raises(DataError, match=r"mask/ten.png is not named by a number"):
        ChairSegments(tmp_path, "val")


# --- IDX ---

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array):
    """The bytes of an IDX file, as its format note has them."""
    kind = array.dtype.newbyteorder(">").str[1:]
    header = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data(), st.sampled_from(sorted(CODES)), st.booleans())
def test_idx_round_trip(tmp_path_factory, data, kind, gzipped):
    array = data.draw(hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)))
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(gzip.compress(idx(array)) if gzipped else idx(array))
    read = read_idx(path)
    assert read.dtype == np.dtype(kind)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, array)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data(), st.booleans())
def test_idx_cut_anywhere_is_refused(tmp_path_factory, data, gzipped):
    content = idx(np.arange(24, dtype="i4").reshape(2, 3, 4))
    content = gzip.compress(content) if gzipped else content
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match=f"data: {path}") as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG....", "starts with 89 50 4e 47, which is no IDX header"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 0]), "which is no IDX header"),
        (bytes([0, 0, 8, 0]), "which is no IDX header"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 1]), "ends within its header"),
        (bytes([0, 0, 8, 2]) + b"\xff" * 8, r"claims shape \(4294967295, 4294967295\), above 2 GiB"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 5]), r"shape \(2,\) needs 2 bytes, got 1"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 5, 5]), r"shape \(2,\) needs 2 bytes, got more"),
        (b"\x1f\x8b" + bytes(20), "download it again"),
    ],
)
def test_idx_mistakes(tmp_path, content, reason):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_idx(tmp_path / "x")


def test_idx_missing(tmp_path):
    with pytest.raises(DataError, match="No such file or directory: check the path"):
        read_idx(tmp_path / "none")


def digits(root, images, labels):
    (root / "images").write_bytes(idx(images))
    (root / "labels").write_bytes(idx(labels))
    return root / "images", root / "labels"


PIXELS = RNG.integers(0, 256, (3, 4, 5)).astype("u1")


def test_idx_images(tmp_path):
    data = IDXImages(*digits(tmp_path, PIXELS, np.array([2, 0, 1], "u1")))
    assert data.classes == ("0", "1", "2")
    sample = data[-1]
    np.testing.assert_allclose(sample.image, PIXELS[2:] / 255, atol=1e-7)
    assert sample.image.dtype == np.float32
    assert (sample.labels.tolist(), sample.caption, sample.name) == ([1], "1", "2")
    assert (sample.mask == 255).all()
    assert len(list(data)) == 3


def test_idx_images_mistakes(tmp_path):
    labels = np.array([2, 0, 1], "u1")
    with pytest.raises(DataError, match=r"images holds float32 of shape \(3, 4, 5\), expected uint8 \(N, H, W\)"):
        IDXImages(*digits(tmp_path, PIXELS.astype("f4"), labels))
    with pytest.raises(DataError, match=r"labels holds uint8 of shape \(2,\), expected 3 integers"):
        IDXImages(*digits(tmp_path, PIXELS, labels[:2]))
    with pytest.raises(DataError, match=r"labels has labels 0 to 2, expected 0 to 1"):
        IDXImages(*digits(tmp_path, PIXELS, labels), classes=("no", "yes"))


def test_real_fashion_mnist():
    root = real("fashion-mnist")
    data = FashionMNIST(root, "test")
    assert len(data) == 10_000
    assert np.bincount(data.labels).tolist() == [1000] * 10
    sample = data[0]
    assert (sample.image.shape, sample.caption) == ((1, 28, 28), "ankle boot")
    with pytest.raises(ArgumentError, match="FashionMNIST: split is 'val', expected 'train' or 'test'"):
        FashionMNIST(root, "val")
