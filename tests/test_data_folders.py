"""Folders of images and masks: which value becomes which class, and what is said when it cannot be decided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinyseg.data.coding import MaskCoding, code_name, find_mapping, mask_codes
from tinyseg.data.folders import ImageFolder
from tinyseg.errors import ArgumentError, DataError

RNG = np.random.default_rng(0)
RED, GREEN = (255, 0, 0), (0, 128, 0)


def write(path, array):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


def folder(root, masks, suffix="", size=None):
    """A data set with one random image per mask; the two folders."""
    for k, mask in enumerate(masks):
        height, width = size or np.shape(mask)[:2]
        write(root / "images" / f"{k}.png", RNG.integers(0, 256, (height, width, 3)))
        write(root / "masks" / f"{k}{suffix}.png", mask)
    return root / "images", root / "masks"


# --- Codings ---


@pytest.mark.parametrize(
    ("values", "count", "mapping"),
    [
        ([0, 255], None, {0: 0, 255: 1}),
        ([0, 255], 2, {0: 0, 255: 1}),
        ([255], None, {0: 0, 255: 1}),
        ([0, 1], None, {0: 0, 1: 1}),
        ([0, 1, 2], None, {0: 0, 1: 1, 2: 2}),
        ([0, 1, 255], None, {0: 0, 1: 1, 255: 255}),
        ([0, 1, 255], 3, {0: 0, 1: 1, 2: 2, 255: 255}),
        ([0, 2], 4, {0: 0, 1: 1, 2: 2, 3: 3}),
        ([0], 2, {0: 0, 1: 1}),
        ([0, 128, 255], None, {0: 0, 128: 1, 255: 2}),
        ([0, 128, 255], 3, {0: 0, 128: 1, 255: 2}),
        ([1, 2, 3], None, {1: 0, 2: 1, 3: 2}),
        ([0, 300], None, {0: 0, 300: 1}),
        ([0, 0x1FF0000, 0x1008000], None, {0: 0, 0x1008000: 1, 0x1FF0000: 2}),
    ],
)
def test_mapping_found(values, count, mapping):
    assert find_mapping(dict.fromkeys(values, "m.png"), count) == mapping


@pytest.mark.parametrize(
    ("values", "count", "reason"),
    [
        ([0], None, r"every pixel of every mask is 0 \(m0.png is one\), expected 2 values at least: check that these"),
        ([0, 1, 5], None, r"3 different values \(0, 1, 5\), expected 2 to 64, numbered without a gap; m5.png has 5"),
        ([0, 255], 3, "expected 3 classes; m255.png has 255"),
        ([0, 1, 2], 2, "expected 2 classes; m2.png has 2"),
        (range(256), None, "256 different values .*, .*, expected 2 to 64"),
        (range(300), 300, "expected 300 classes"),
        ([0, 0x1FF8000], 3, "m33521664.png has #ff8000"),
    ],
)
def test_mapping_that_cannot_be_found(values, count, reason):
    with pytest.raises(DataError, match=reason) as caught:
        find_mapping({value: f"m{value}.png" for value in values}, count)
    assert "give the number of classes" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_codes_of_greys_and_colours():
    mask = np.array([[(0, 0, 0), (7, 7, 7), RED, (1, 2, 3)]], np.uint8)
    assert mask_codes(mask, "m").tolist() == [[0, 7, 0x1FF0000, 0x1010203]]
    assert [code_name(code) for code in (0, 7, 0x1FF0000, 0x1010203)] == ["0", "7", "#ff0000", "#010203"]


@pytest.mark.parametrize("bad", [-1, 2**24])
def test_codes_out_of_range(bad):
    with pytest.raises(DataError, match=r"m.png has values from .*: save it with 8 or 16 bits a pixel"):
        mask_codes(np.array([[0, bad]]), "m.png")


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.dictionaries(st.integers(0, 2**25 - 1), st.integers(0, 9) | st.just(255), min_size=1), st.data())
def test_a_coding_is_a_look_up_and_refuses_everything_else(mapping, data):
    coding = MaskCoding(mapping, 10)
    drawn = data.draw(st.lists(st.sampled_from(sorted(mapping)), min_size=1, max_size=20))
    assert coding.classes_of(np.array([drawn]), "m").tolist() == [[mapping[code] for code in drawn]]
    stranger = data.draw(st.integers(0, 2**25 - 1).filter(lambda code: code not in mapping))
    with pytest.raises(DataError, match=f"m.png has the unknown value {code_name(stranger)}, known are"):
        coding.classes_of(np.array([[*drawn, stranger]]), "m.png")


@pytest.mark.parametrize("mapping", [{0: 2}, {0: -1}, {}])
def test_a_coding_with_classes_out_of_range(mapping):
    with pytest.raises(ArgumentError, match=r"MaskCoding: mapping has .*, expected classes 0 to 1 or 255"):
        MaskCoding(mapping, 2)


# --- Data sets ---


def test_index_coded_masks_with_ignore(tmp_path):
    masks = [[[0, 1, 2]], [[255, 1, 0]]]
    data = ImageFolder(*folder(tmp_path, masks))
    assert len(data) == 2
    assert data.classes == ("class 0", "class 1", "class 2")
    assert [data[k].mask.tolist() for k in range(2)] == masks
    assert data[1].mask.dtype == np.int64
    assert data[1].name == "1"
    assert data.describe() == (
        "2 images of 3 channels, 3 classes; mask values:\n"
        "  0 -> class 0 (class 0)\n  1 -> class 1 (class 1)\n  2 -> class 2 (class 2)\n  255 -> ignored"
    )


def test_binary_masks(tmp_path):
    data = ImageFolder(*folder(tmp_path, [[[0, 255]], [[0, 0]]]))
    assert data.classes == ("background", "foreground")
    assert [data[k].mask.tolist() for k in range(2)] == [[[0, 1]], [[0, 0]]]


def test_colour_masks_beside_a_grey_one(tmp_path):
    black = (0, 0, 0)
    data = ImageFolder(*folder(tmp_path, [[[black, RED, GREEN]], [[black, black, RED]], [[0, 0, 0]]]))
    assert [data[k].mask.tolist() for k in range(3)] == [[[0, 2, 1]], [[0, 0, 2]], [[0, 0, 0]]]
    assert "#ff0000 -> class 2" in data.describe()


def test_palette_masks_count_by_index(tmp_path):
    images, masks = folder(tmp_path, [[[0, 0, 0, 0]]])
    mask = Image.new("P", (4, 1))
    mask.putpalette(RNG.integers(0, 256, 768).tolist())
    mask.putdata([0, 1, 2, 255])
    mask.save(masks / "0.png")
    assert ImageFolder(images, masks)[0].mask.tolist() == [[0, 1, 2, 255]]


def test_names_of_classes(tmp_path):
    data = ImageFolder(*folder(tmp_path, [[[0, 2]]]), classes=["sky", "sea", "land"])
    assert data.classes == ("sky", "sea", "land")
    assert data[0].mask.tolist() == [[0, 2]]


def test_another_number_of_classes_names_a_file(tmp_path):
    with pytest.raises(DataError, match=r"expected 2 classes; .*masks/1.png has 2: give the number of classes"):
        ImageFolder(*folder(tmp_path, [[[0, 1]], [[0, 2]], [[0, 2]]]), classes=2)  # the first of the two


def test_mapping_of_the_training_set_serves_the_validation_set(tmp_path):
    train = ImageFolder(*folder(tmp_path / "train", [[[0, 100, 200]]]))
    val = ImageFolder(*folder(tmp_path / "val", [[[0, 200]]]), mapping=train.mapping)
    assert val[0].mask.tolist() == [[0, 2]]
    assert val.classes == train.classes
    with pytest.raises(DataError, match=r"masks/0.png has the unknown value 50, known are 0, 100, 200"):
        ImageFolder(*folder(tmp_path / "other", [[[0, 50]]]), mapping=train.mapping)


def test_value_that_appears_after_the_scan(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]]])
    data = ImageFolder(images, masks)
    write(masks / "0.png", [[0, 7]])
    with pytest.raises(DataError, match=r"masks/0.png has the unknown value 7, known are 0, 1: correct the mask"):
        data[0]


def test_channels_follow_the_images(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]], [[0, 1]]])
    assert ImageFolder(images, masks).channels == 3
    assert ImageFolder(images, masks, channels=1)[0].image.shape == (1, 1, 2)
    write(images / "0.png", [[5, 6]])
    mixed = ImageFolder(images, masks)
    assert mixed.channels == 3
    assert mixed[0].image.shape == mixed[1].image.shape == (3, 1, 2)
    write(images / "1.png", [[5, 6]])
    grey = ImageFolder(images, masks)
    assert grey.channels == 1
    assert grey[0].image.shape == (1, 1, 2)
    with pytest.raises(ArgumentError, match="ImageFolder: channels is 2, expected 1, 3 or None"):
        ImageFolder(images, masks, channels=2)


def test_size_makes_images_of_different_sizes_equal(tmp_path):
    mask = np.repeat(np.repeat([[0, 255], [255, 0]], 3, 0), 4, 1)
    data = ImageFolder(*folder(tmp_path, [mask, mask[:, :6]]), size=(2, 4))
    assert [data[k].image.shape for k in range(2)] == [(3, 2, 4)] * 2
    assert data[0].mask.tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]


def test_suffix_in_one_folder(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jpg", RNG.integers(0, 256, (2, 2, 3)))
        write(tmp_path / f"{name}_mask.gif", [[0, 255], [255, 0]])
    data = ImageFolder(tmp_path, tmp_path, suffix="_mask")
    assert [data[k].name for k in range(len(data))] == ["a", "b"]


def test_iteration_ends(tmp_path):
    data = ImageFolder(*folder(tmp_path, [[[0, 1]]] * 3))
    assert [sample.name for sample in data] == ["0", "1", "2"]


# --- Mistakes ---


def refused(*args, error=DataError, **kwargs):
    with pytest.raises(error) as caught:
        ImageFolder(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mask_of_another_size(tmp_path):
    message = refused(*folder(tmp_path, [[[0, 1], [0, 1]]], size=(3, 2)))
    assert message.endswith("masks/0.png is (2, 2), its image (3, 2) (H, W): make both the same size")


def test_no_mask_matches(tmp_path):
    message = refused(*folder(tmp_path, [[[0, 1]]]), suffix="_mask")
    assert "none of the 1 images in" in message
    assert "looked for 0_mask.* in" in message


def test_an_image_without_a_mask(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]]] * 3)
    (masks / "1.png").unlink()
    message = refused(images, masks)
    assert "images/1.png has no mask 1.* in" in message
    assert message.endswith("(1 of 3 images have none): add the masks or remove the images")


def test_two_masks_for_an_image(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]]])
    write(masks / "0.bmp", [[0, 1]])
    assert "masks/0.png and 0.bmp differ only in the ending: remove one of them" in refused(images, masks)


def test_empty_and_missing_folders(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]]])
    (tmp_path / "empty").mkdir()
    assert "empty has no images" in refused(tmp_path / "empty", masks)
    assert "empty has no images" in refused(images, tmp_path / "empty")
    assert "none: No such file or directory" in refused(images, tmp_path / "none")


def test_masks_only_in_one_folder(tmp_path):
    write(tmp_path / "a_mask.png", [[0, 1]])
    assert "none of the 0 images" in refused(tmp_path, tmp_path, suffix="_mask")


def test_one_folder_needs_a_suffix(tmp_path):
    images, _ = folder(tmp_path, [[[0, 1]]])
    assert "give the masks' suffix" in refused(images, images, error=ArgumentError)


def test_a_suffix_cannot_leave_the_folder(tmp_path):
    assert "suffix is '/../x'" in refused(*folder(tmp_path, [[[0, 1]]]), suffix="/../x", error=ArgumentError)


def test_a_mask_that_links_out_is_refused(tmp_path):
    images, masks = folder(tmp_path, [[[0, 1]]])
    (masks / "0.png").rename(tmp_path / "elsewhere.png")
    (masks / "0.png").symlink_to("../elsewhere.png")
    assert "links to" in refused(images, masks)


def test_jpeg_masks_are_explained(tmp_path):
    images, masks = folder(tmp_path, [np.zeros((32, 32))])
    (masks / "0.png").unlink()
    soft = np.add.outer(np.arange(32), np.arange(32)) * 4
    Image.fromarray(soft.astype(np.uint8)).save(masks / "0.jpg")
    assert "save the masks as PNG without soft edges" in refused(images, masks)


def test_absurd_size(tmp_path):
    assert "ImageFolder: size is 0" in refused(*folder(tmp_path, [[[0, 1]]]), size=0, error=ArgumentError)
