"""Reading, resizing and writing image files: against arrays made by hand, Pillow's own files and PyTorch."""

import io
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tinyseg.data import images
from tinyseg.errors import ArgumentError, DataError, ShapeError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)
GREY = RGB[..., 0]


def save(path, array, mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def unit(array):
    """(H, W, C) bytes as (C, H, W) in [0, 1]."""
    return np.moveaxis(np.atleast_3d(array), -1, 0).astype(np.float64) / 255


# --- Reading images ---


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.ppm"])
def test_colours_are_divided_by_255(tmp_path, name):
    image = images.read_image(save(tmp_path / name, RGB))
    assert image.dtype == np.float32
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image, unit(RGB), atol=1e-7)
    assert images.probe_image(tmp_path / name) == (3, 5, 7)


def test_grey_stays_one_channel_unless_three_are_wanted(tmp_path):
    path = save(tmp_path / "x.png", GREY)
    np.testing.assert_allclose(images.read_image(path), unit(GREY), atol=1e-7)
    np.testing.assert_allclose(images.read_image(path, 3), np.repeat(unit(GREY), 3, 0), atol=1e-7)
    assert images.probe_image(path) == (1, 5, 7)


def test_one_channel_of_colours_is_luma_as_pillow_has_it(tmp_path):
    path = save(tmp_path / "x.png", RGB)
    expected = np.asarray(Image.open(path).convert("L")) / 255  # Pillow rounds to 8 bits
    np.testing.assert_allclose(images.read_image(path, 1)[0], expected, atol=0.6 / 255)


def test_luma_of_white_is_not_above_one():
    assert images.luma(np.ones((3, 2, 2), np.float32)).max() == 1


def test_luma_of_two_channels_is_refused():
    with pytest.raises(ShapeError, match=r"luma: image has 2 channels, expected 1 or 3 \(image \(2, 4, 5\)\)"):
        images.luma(np.ones((2, 4, 5), np.float32))


def test_sixteen_bits(tmp_path):
    values = np.array([[0, 1, 65535], [256, 32768, 4]], np.uint16)
    image = images.read_image(save(tmp_path / "x.png", values))
    np.testing.assert_allclose(image, values[None] / 65535, atol=1e-7)


@pytest.mark.parametrize(("scale", "divisor"), [(1.0, 1), (255.0, 255)])
def test_float_files_in_either_range(tmp_path, scale, divisor):
    values = (np.array([[0, 0.5, 1], [0.25, 0.125, 0.75]]) * scale).astype(np.float32)
    image = images.read_image(save(tmp_path / "x.tif", values))
    np.testing.assert_allclose(image, values[None] / divisor, atol=1e-7)


@pytest.mark.parametrize("bad", [-1.0, 256.0, np.nan])
def test_float_files_outside_both_ranges_are_refused(tmp_path, bad):
    path = save(tmp_path / "x.tif", np.array([[0.5, bad]], np.float32))
    with pytest.raises(DataError, match=r"x.tif has values from .*: scale them to \[0, 1\] or \[0, 255\]"):
        images.read_image(path)


def test_integers_beyond_16_bits_are_refused(tmp_path):
    path = save(tmp_path / "x.tif", np.array([[0, 70000]], np.int32))
    with pytest.raises(DataError, match=r"x.tif has values from 0 to 70000: save it with 8 or 16 bits a channel"):
        images.read_image(path)


def test_palette_image_gives_its_colours(tmp_path):
    path = tmp_path / "x.png"
    image = Image.new("P", (2, 2))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2, 1])
    image.save(path)
    expected = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 255, 0]]], np.uint8)
    np.testing.assert_allclose(images.read_image(path), unit(expected), atol=1e-7)
    np.testing.assert_array_equal(images.read_mask(path), [[0, 1], [2, 1]])


def test_one_bit_image(tmp_path):
    path = save(tmp_path / "x.png", np.array([[0, 255, 255]], np.uint8), "1")
    np.testing.assert_array_equal(images.read_image(path), [[[0, 1, 1]]])
    np.testing.assert_array_equal(images.read_mask(path), [[0, 1, 1]])


def test_opaque_alpha_changes_nothing_and_transparent_pixels_are_white(tmp_path):
    alpha = np.full((5, 7, 1), 255, np.uint8)
    opaque = save(tmp_path / "opaque.png", np.concatenate([RGB, alpha], 2))
    np.testing.assert_allclose(images.read_image(opaque), unit(RGB), atol=1e-7)
    alpha[0] = 0
    clear = images.read_image(save(tmp_path / "clear.png", np.concatenate([RGB, alpha], 2)))
    assert (clear[:, 0] == 1).all()
    np.testing.assert_allclose(clear[:, 1:], unit(RGB)[:, 1:], atol=1e-7)


def test_grey_with_alpha_stays_grey(tmp_path):
    path = save(tmp_path / "x.png", np.stack([GREY, np.full_like(GREY, 255)], 2))
    assert images.probe_image(path) == (1, 5, 7)
    np.testing.assert_allclose(images.read_image(path), unit(GREY), atol=1e-7)
    np.testing.assert_array_equal(images.read_mask(path), GREY)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, lambda a: np.rot90(a, 1))],
)
def test_photos_are_turned_upright(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "x.png", RGB, exif=exif)
    expected = unit(upright(RGB))
    np.testing.assert_allclose(images.read_image(path), expected, atol=1e-7)
    assert images.probe_image(path) == expected.shape


def test_wrong_channels_argument(tmp_path):
    with pytest.raises(ArgumentError, match="read_image: channels is 4, expected 1, 3 or None"):
        images.read_image(save(tmp_path / "x.png", RGB), 4)


# --- Reading masks ---


def test_masks_keep_their_integers(tmp_path):
    for name, mask in {
        "8.png": GREY,
        "16.png": np.array([[0, 300, 65535]], np.uint16),
        "rgb.png": RGB,
        "float.tif": np.array([[0.0, 2.0, 70000.0]], np.float32),
    }.items():
        np.testing.assert_array_equal(images.read_mask(save(tmp_path / name, mask)), mask)


def test_alpha_of_a_coloured_mask_is_dropped(tmp_path):
    path = save(tmp_path / "x.png", np.concatenate([RGB, GREY[..., None]], 2))
    np.testing.assert_array_equal(images.read_mask(path), RGB)


@pytest.mark.parametrize("bad", [0.5, np.inf])
def test_a_mask_between_the_integers_is_refused(tmp_path, bad):
    path = save(tmp_path / "x.tif", np.array([[0, bad]], np.float32))
    with pytest.raises(DataError, match=r"x.tif stores values that are no integers"):
        images.read_mask(path)


# --- Files that cannot be read ---


def complaint(path):
    """The message of both readers, which is one line that names the file."""
    messages = []
    for read in (images.read_image, images.read_mask):
        with pytest.raises(DataError) as caught:
            read(path)
        messages.append(str(caught.value).partition(": ")[2])
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    assert str(path) in messages[0]
    return messages[0]


def test_missing_file_and_folder(tmp_path):
    assert complaint(tmp_path / "none.png").endswith("No such file or directory: check the path")
    assert "Is a directory" in complaint(tmp_path)


def test_not_an_image(tmp_path):
    for name, content in {"text.png": b"hello", "empty.jpg": b"", "zeros.png": bytes(1000)}.items():
        (tmp_path / name).write_bytes(content)
        assert "is not an image that Pillow can read: remove or convert it" in complaint(tmp_path / name)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.bmp", "x.tif", "x.gif", "x.webp"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated(tmp_path, name, share):
    path = save(tmp_path / name, RNG.integers(0, 256, (60, 60, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "copy it again or remove it" in complaint(path) or "is not an image" in complaint(path)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_with_our_error(tmp_path_factory, data):
    buffer = io.BytesIO()
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF"]))
    Image.fromarray(RGB).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "x.img"
    path.write_bytes(content)
    try:
        image = images.read_image(path)
    except DataError:
        complaint(path)
    else:
        assert 0 <= image.min() <= image.max() <= 1


def bomb(path, side):
    """A PNG of a few bytes whose header promises side x side pixels."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))
    return path


@pytest.mark.parametrize("side", [10_000, 100_000])  # between Pillow's warning and its error, and beyond the error
def test_decompression_bombs_are_refused_without_a_warning(tmp_path, side):
    message = complaint(bomb(tmp_path / "x.png", side))
    assert "more than 89478485 pixels, refused as a decompression bomb: cut it into tiles" in message


def test_pillows_limit_is_respected(tmp_path, monkeypatch):
    path = save(tmp_path / "x.png", RGB)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 34)
    assert "more than 34 pixels" in complaint(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert images.read_image(path).shape == (3, 5, 7)


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), 60 * k, np.uint8)) for k in range(3)]
    for name in ("x.tif", "x.gif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert "holds 3 frames, expected 1" in complaint(tmp_path / name)


# --- Folders ---


def test_list_images_sorts_and_passes_over_other_files(tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in images.list_images(tmp_path)] == ["a.jpg", "b.PNG"]


def test_list_images_names_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"has no images \(looked for .bmp .*\): check the path"):
        images.list_images(tmp_path)
    with pytest.raises(DataError, match="No such file or directory: give a folder of images"):
        images.list_images(tmp_path / "none")


def test_links_out_of_the_folder_are_refused(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "inside-not"  # a prefix of the name is not a parent
    inside.mkdir()
    outside.mkdir()
    save(outside / "secret.png", RGB)
    save(inside / "a.png", RGB)
    (inside / "b.png").symlink_to("a.png")
    assert len(images.list_images(inside)) == 2
    (inside / "c.png").symlink_to(outside / "secret.png")
    with pytest.raises(DataError, match=r"c.png links to .*secret.png, outside .*: copy it there instead"):
        images.list_images(inside)


def test_a_folder_that_is_itself_a_link_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    save(tmp_path / "real" / "a.png", RGB)
    (tmp_path / "link").symlink_to("real")
    assert len(images.list_images(tmp_path / "link")) == 1


# --- Sizes ---


def test_image_size():
    assert images.image_size("f", 5) == (5, 5)
    assert images.image_size("f", (3, np.int64(4))) == (3, 4)


@pytest.mark.parametrize("bad", [0, -1, (0, 3), (3,), (1, 2, 3), 2.5, "64", (10**6, 10**6), None])
def test_absurd_sizes_are_refused(bad):
    with pytest.raises(ArgumentError, match=r"^f: size is .*, expected a positive int or \(height, width\)"):
        images.image_size("f", bad)


sides = st.integers(1, 12)


def triangles(out, size):
    """The definition: weights fall off linearly from the target pixel's centre, over one (larger) pixel."""
    scale = size / out
    distance = np.arange(size)[None, :] + 0.5 - (np.arange(out)[:, None] + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(distance) / max(scale, 1))
    return weights / weights.sum(1, keepdims=True)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(sides, sides, sides, sides, st.sampled_from([1, 3]))
def test_resize_image_is_a_triangle_filter(height, width, rows, columns, channels):
    image = np.random.default_rng(height * 13 + width).random((channels, height, width), np.float32)
    resized = images.resize_image(image, (rows, columns))
    assert resized.dtype == np.float32
    np.testing.assert_allclose(
        resized, triangles(rows, height) @ image.astype(np.float64) @ triangles(columns, width).T, atol=2e-6
    )


@pytest.mark.parametrize("size", [(5, 11), (16, 24), (13, 7)])
def test_resize_image_is_pytorchs_antialiased_bilinear(size):
    image = RNG.random((3, 10, 14), np.float32)
    expected = torch.nn.functional.interpolate(
        torch.tensor(image, dtype=torch.float64)[None], size, mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(images.resize_image(image, size), expected[0], atol=2e-6)


def test_resize_image_to_its_own_size_is_the_image():
    image = RNG.random((3, 5, 7), np.float32)
    assert images.resize_image(image, (5, 7)) is image


@settings(deadline=None, derandomize=True, max_examples=60)
@given(sides, sides, sides, sides)
def test_resize_labels_is_pytorchs_nearest_exact(height, width, rows, columns):
    labels = np.arange(height * width).reshape(height, width)
    expected = torch.nn.functional.interpolate(
        torch.tensor(labels, dtype=torch.float64)[None, None], (rows, columns), mode="nearest-exact"
    )[0, 0]
    np.testing.assert_array_equal(images.resize_labels(labels, (rows, columns)), expected)


# --- Writing ---


@pytest.mark.parametrize(
    ("array", "stored"),
    [(GREY, GREY), (GREY[None], GREY), (RGB.transpose(2, 0, 1), RGB), (np.array([[0, 300]]), [[0, 300]])],
)
def test_integers_are_written_as_they_are(tmp_path, array, stored):
    images.write_png(tmp_path / "x.png", array)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "x.png")), stored)


def test_floats_are_rounded_to_8_bits_and_clipped(tmp_path):
    images.write_png(tmp_path / "x.png", np.array([[-1.0, 0.499 / 255, 0.501 / 255, 2.0]]))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "x.png"), [[0, 0, 1, 255]])


def test_booleans_are_written_as_0_and_1(tmp_path):
    images.write_png(tmp_path / "x.png", np.array([[True, False]]))
    np.testing.assert_array_equal(images.read_mask(tmp_path / "x.png"), [[1, 0]])


@pytest.mark.parametrize("shape", [(3,), (4, 5, 6), (0, 3), (1, 1, 2, 2)])
def test_other_shapes_are_refused(tmp_path, shape):
    with pytest.raises(ShapeError, match="write_png: array"):
        images.write_png(tmp_path / "x.png", np.zeros(shape))


@pytest.mark.parametrize("array", [np.array([[-1]]), np.array([[65536]]), np.full((3, 1, 1), 256)])
def test_values_that_do_not_fit_are_refused(tmp_path, array):
    with pytest.raises(ArgumentError, match="write_png: array has values from"):
        images.write_png(tmp_path / "x.png", array)


def test_missing_folder(tmp_path):
    with pytest.raises(DataError, match=r"none/x.png: No such file or directory: free space or choose another folder"):
        images.write_png(tmp_path / "none" / "x.png", GREY)


FULL_DISK = """
import resource, sys
import numpy as np
from tinyseg.data import images
from tinyseg.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # the kernel refuses every byte beyond
noise = np.random.default_rng(0).integers(0, 256, (100, 100))
try:
    images.write_png(sys.argv[1], noise)
except DataError as error:
    print(error)
"""


def test_a_write_that_fails_halfway_leaves_the_old_file_and_nothing_else(tmp_path):
    path = save(tmp_path / "x.png", GREY)
    before = path.read_bytes()
    root = pathlib.Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-B", "-c", FULL_DISK, path], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"cannot write {path}: File too large: free space or choose another folder\n"
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        images.write_atomically(tmp_path / "x", b"data")
    assert os.listdir(tmp_path) == []
