"""Transforms: against NumPy, SciPy, PyTorch and pixels that carry their own coordinates."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.data import transforms as T
from tinyseg.data.instances import renumber, tight_boxes
from tinyseg.data.sample import Sample
from tinyseg.errors import ArgumentError

sides = st.integers(1, 24)
geometry = settings(deadline=None, derandomize=True, max_examples=50)


def rng(seed=0):
    return np.random.default_rng(seed)


def sample(height=12, width=17, seed=0, channels=3, instances=True):
    """Random pixels; a few rectangles as instances, with rows that tell their old number."""
    draw = rng(seed)
    image = draw.random((channels, height, width), np.float32)
    labels = np.zeros((height, width), np.int32)
    for k in range(1, 6):
        y, x = draw.integers(height), draw.integers(width)
        labels[y : y + height // 3 + 1, x : x + width // 4 + 1] = k
    labels, numbers = renumber(labels)
    return Sample(
        image,
        (labels > 0).astype(np.int64) + (labels > 2),
        labels if instances else None,
        tight_boxes(labels),
        numbers,
        [{"old": int(k), "box": tuple(box)} for k, box in zip(numbers, tight_boxes(labels).tolist(), strict=True)],
        "a chair seen from the left",
        "s",
    )


def loop_boxes(instances):
    """The boxes by looking at each instance in turn."""
    boxes = []
    for k in range(1, instances.max() + 1):
        rows, columns = np.nonzero(instances == k)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return np.array(boxes, np.float32).reshape(-1, 4)


def check_rows(result, source):
    """Instances are 1..K without a gap, and every row still belongs to its instance."""
    count = int(result.instances.max(initial=0))
    assert sorted(np.unique(result.instances[result.instances > 0])) == list(range(1, count + 1))
    np.testing.assert_array_equal(result.boxes, loop_boxes(result.instances))
    assert len(result.labels) == len(result.attributes) == len(result.boxes) == count
    assert [row["old"] for row in result.attributes] == result.labels.tolist()
    assert [row["box"] for row in result.attributes] == [tuple(box) for box in result.boxes.tolist()]
    assert set(result.labels.tolist()) <= set(source.labels.tolist())
    assert (result.image.dtype, result.mask.dtype, result.instances.dtype) == (np.float32, np.int64, np.int32)
    assert result.image.flags.c_contiguous
    assert result.mask.flags.c_contiguous
    assert result.image.shape[1:] == result.mask.shape == result.instances.shape


def old_numbers(result):
    """The instance map in the numbers of before the transform, which `labels` holds."""
    return np.concatenate([[0], result.labels])[result.instances]


ALL = [
    T.RandomFlip(0.5, 0.5),
    T.RandomCrop((9, 20)),
    T.CenterCrop(7),
    T.Resize((8, 23)),
    T.RandomScale(0.4, 2.0),
    T.RandomRotate(60),
    T.Elastic(2.0),
    T.ColorJitter(0.4, 0.4, 0.4),
    T.Grey(),
]


# --- All of them ---


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
@geometry
@given(height=sides, width=sides, seed=st.integers(0, 1000))
def test_rows_follow_their_instances_values_stay_in_range_and_the_input_is_untouched(transform, height, width, seed):
    source = sample(height, width, seed)
    kept = [source.image.copy(), source.mask.copy(), source.instances.copy(), source.boxes.copy()]
    result = transform(source, rng(seed))
    check_rows(result, source)
    assert 0 <= result.image.min() <= result.image.max() <= 1
    assert set(np.unique(result.mask)) <= {0, 1, 2, 255}
    known = result.mask != 255
    np.testing.assert_array_equal(result.mask[known] > 0, result.instances[known] > 0)
    for before, after in zip(kept, (source.image, source.mask, source.instances, source.boxes), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_the_generator_decides_everything(transform):
    source = sample()
    first, second = transform(source, rng(3)), transform(source, rng(3))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)


@pytest.mark.parametrize(
    "transform",
    [
        T.Compose(),
        T.RandomFlip(0, 0),
        T.RandomCrop((12, 17)),
        T.CenterCrop((12, 17)),
        T.Resize((12, 17)),
        T.RandomScale(1, 1),
        T.RandomRotate(0),
        T.Elastic(sd=0),
        T.ColorJitter(),
    ],
    ids=repr,
)
def test_identity_is_exact(transform):
    source = sample()
    assert transform(source, rng()) is source


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_a_sample_of_image_and_mask_alone(transform):
    full = sample()
    plain = transform(Sample(full.image, full.mask, labels=np.array([4])), rng(1))
    np.testing.assert_array_equal(plain.image, transform(full, rng(1)).image)
    np.testing.assert_array_equal(plain.mask, transform(full, rng(1)).mask)
    assert plain.instances is None
    assert plain.boxes is None
    assert plain.labels.tolist() == [4]  # the class of the whole image


def test_compose_applies_in_order_with_one_generator():
    source, draws = sample(), rng(5)
    composed = T.Compose(T.RandomFlip(), T.RandomCrop(8), T.Elastic(1.0))
    step = source
    for transform in composed.transforms:
        step = transform(step, draws)
    np.testing.assert_array_equal(composed(source, rng(5)).image, step.image)
    assert repr(composed).startswith("Compose(RandomFlip(horizontal=0.5, vertical=0.0), RandomCrop(size=8)")


# --- Flips ---


@pytest.mark.parametrize(
    ("transform", "axis"), [(T.RandomFlip(1, 0), 1), (T.RandomFlip(0, 1), 0), (T.RandomFlip(1, 1), (0, 1))]
)
@pytest.mark.parametrize("instances", [True, False])
def test_flip(transform, axis, instances):
    source = sample(instances=instances)
    result = transform(source, rng())
    np.testing.assert_array_equal(result.image, np.flip(source.image.transpose(1, 2, 0), axis).transpose(2, 0, 1))
    np.testing.assert_array_equal(result.mask, np.flip(source.mask, axis))
    labels = np.flip(sample().instances, axis)
    np.testing.assert_array_equal(result.boxes, loop_boxes(labels))
    if instances:
        np.testing.assert_array_equal(result.instances, labels)


def test_flip_probabilities():
    source, draws = sample(2, 2), rng()
    mirrored = sum(T.RandomFlip(0.25)(source, draws) is not source for _ in range(2000))
    assert 430 <= mirrored <= 570  # 500 +- 3.6 standard deviations


def test_a_mirrored_picture_is_described_as_such():
    source = sample().replace(attributes=[{"view": "front left", "number": 1}], instances=None, boxes=None)
    mirrored = T.RandomFlip(1, 0)(source, rng())
    assert mirrored.caption == "a chair seen from the right"
    assert mirrored.attributes == [{"view": "front right", "number": 1}]
    assert T.RandomFlip(1, 0)(mirrored, rng()).caption == source.caption
    assert T.RandomFlip(0, 1)(source, rng()).caption == source.caption
    words = source.replace(caption="leftover bright lights, left and right")
    assert T.RandomFlip(1, 0)(words, rng()).caption == "leftover bright lights, right and left"


# --- Crops ---


@geometry
@given(sides, sides, sides, sides, st.integers(0, 100))
def test_a_crop_is_a_window_of_the_padded_sample(height, width, rows, columns, seed):
    source = sample(height, width, seed)
    result = T.RandomCrop((rows, columns))(source, rng(seed))
    assert result.mask.shape == (rows, columns)
    up, left = max(0, rows - height) // 2, max(0, columns - width) // 2
    around = ((up, max(0, rows - height) - up), (left, max(0, columns - width) - left))
    image = np.pad(source.image, ((0, 0), *around), "reflect")
    mask = np.pad(source.mask, around, constant_values=255)
    windows = [
        (y, x)
        for y in range(mask.shape[0] - rows + 1)
        for x in range(mask.shape[1] - columns + 1)
        if np.array_equal(image[:, y : y + rows, x : x + columns], result.image)
        and np.array_equal(mask[y : y + rows, x : x + columns], result.mask)
    ]
    assert windows
    padded = np.pad(source.instances, around)
    there = [padded[y : y + rows, x : x + columns] for y, x in windows]
    assert any(np.array_equal(old_numbers(result), np.concatenate([[0], source.labels])[w]) for w in there)


def test_every_window_can_be_drawn():
    source = Sample(np.arange(12, dtype=np.float32).reshape(1, 3, 4) / 12, np.zeros((3, 4), np.int64))
    draws = rng()
    corners = {round(float(T.RandomCrop(2)(source, draws).image[0, 0, 0]) * 12) for _ in range(300)}
    assert corners == {0, 1, 2, 4, 5, 6}


def test_center_crop():
    source = sample(12, 17)
    result = T.CenterCrop((4, 8))(source, rng())
    np.testing.assert_array_equal(result.image, source.image[:, 4:8, 4:12])
    padded = T.CenterCrop((14, 21))(source, rng())
    np.testing.assert_array_equal(padded.image[:, 1:13, 2:19], source.image)
    np.testing.assert_array_equal(padded.image[:, 0, 2:19], source.image[:, 1])  # mirrored about the border pixel
    assert (padded.mask[0] == 255).all()
    assert not padded.instances[0].any()


def test_boxes_without_instances_move_with_a_crop_and_leave_with_it():
    boxes = np.array([[1, 1, 4, 3], [0, 0, 2, 2], [8.5, 5, 10, 9.5]], np.float32)
    source = Sample(np.zeros((1, 12, 12), np.float32), np.zeros((12, 12), np.int64), None, boxes, np.array([5, 6, 7]))
    result = T.CenterCrop(8)(source, rng())  # the window 2..10
    np.testing.assert_array_equal(result.boxes, [[0, 0, 2, 1], [6.5, 3, 8, 7.5]])
    assert result.labels.tolist() == [5, 7]


# --- Sizes ---


def test_resize_by_two():
    source = sample(6, 8)
    result = T.Resize((12, 16))(source, rng())
    np.testing.assert_array_equal(
        old_numbers(result), np.kron(np.concatenate([[0], source.labels])[source.instances], np.ones((2, 2), int))
    )
    np.testing.assert_array_equal(result.boxes, source.boxes * 2)
    expected = torch.nn.functional.interpolate(torch.tensor(source.image)[None], (12, 16), mode="bilinear")[0]
    np.testing.assert_allclose(result.image, expected, atol=1e-6)


def test_resize_moves_boxes_without_instances():
    source = sample(6, 8, instances=False)
    np.testing.assert_allclose(T.Resize((3, 16))(source, rng()).boxes, source.boxes * [2, 0.5, 2, 0.5])


def test_scale_is_log_uniform_and_keeps_the_aspect():
    source, draws = sample(40, 80), rng()
    sizes = np.array([T.RandomScale(0.5, 2)(source, draws).mask.shape for _ in range(400)])
    assert 20 <= sizes[:, 0].min() < 22
    assert 76 < sizes[:, 0].max() <= 80
    assert 0.4 < (sizes[:, 0] < 40).mean() < 0.6  # as often smaller as larger
    assert np.abs(sizes[:, 1] - 2 * sizes[:, 0]).max() <= 1


# --- Warps ---


def fixed(value):
    """A generator whose uniform draws are `value`."""

    class Fixed:
        def uniform(self, low, high):
            assert low <= value <= high
            return value

    return Fixed()


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (180, 2), (-90, -1)])
def test_quarter_turns_are_anticlockwise(angle, turns):
    source = sample(11, 11)
    result = T.RandomRotate(180)(source, fixed(angle))
    np.testing.assert_allclose(result.image, np.rot90(source.image, turns, (1, 2)), atol=1e-6)
    np.testing.assert_array_equal(result.mask, np.rot90(source.mask, turns))


@geometry
@given(st.integers(2, 24), st.integers(2, 24), st.floats(-180, 180).filter(lambda angle: abs(angle) > 1e-3))
def test_rotation_is_scipys(height, width, angle):
    source = sample(height, width)
    result = T.RandomRotate(180)(source, fixed(angle))
    for plane, rotated in zip(source.image, result.image, strict=True):
        expected = scipy.ndimage.rotate(plane.astype(np.float64), angle, reshape=False, order=1, mode="mirror")
        np.testing.assert_allclose(rotated, expected, atol=1e-4)


@geometry
@given(st.integers(1, 40), st.integers(2, 6))
def test_cubic_matrix_is_pytorchs_bicubic(out, size):
    identity = torch.eye(size, dtype=torch.float64)[:, None, :, None].expand(-1, -1, -1, 2)
    expected = torch.nn.functional.interpolate(identity, (out, 2), mode="bicubic", align_corners=True)[:, 0, :, 0].T
    np.testing.assert_allclose(T.cubic_matrix(out, size), expected, atol=1e-12)


@geometry
@given(st.integers(2, 24), st.integers(2, 24), st.integers(2, 5), st.integers(0, 100))
def test_elastic_samples_at_bicubic_displacements_with_mirrored_borders(height, width, grid, seed):
    source = sample(height, width, seed)
    result = T.Elastic(3.0, grid)(source, rng(seed))
    coarse = torch.tensor(rng(seed).normal(size=(1, 2, grid, grid)) * 3.0)
    field = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0].numpy()
    y, x = np.mgrid[:height, :width] + field
    near = np.stack([mirrored(np.rint(y), height), mirrored(np.rint(x), width)]).astype(int)
    clear = (np.abs(y % 1 - 0.5) > 1e-6) & (np.abs(x % 1 - 0.5) > 1e-6)  # away from ties between two pixels
    np.testing.assert_array_equal(result.mask[clear], source.mask[near[0], near[1]][clear])
    expected = torch.nn.functional.grid_sample(
        torch.tensor(source.image, dtype=torch.float64)[None],
        torch.tensor(np.stack([mirrored(x, width) / (width - 1), mirrored(y, height) / (height - 1)], 2) * 2 - 1)[None],
        align_corners=True,
    )[0]
    np.testing.assert_allclose(result.image, expected, atol=1e-5)


def mirrored(position, size):
    """Where a position outside lands when the border pixels are mirrors."""
    period = 2 * (size - 1)
    position = np.mod(position, period)
    return np.minimum(position, period - position)


def test_elastic_displacements_have_the_papers_size():
    """Where the image is a ramp in x, the warp adds the displacement: its sd at a grid point is 10 px."""
    ramp = np.broadcast_to(np.arange(201, dtype=np.float32) / 200, (1, 3, 201)).copy()
    source = Sample(ramp, np.zeros((3, 201), np.int64))
    draws = rng()
    middle = [float(T.Elastic()(source, draws).image[0, 1, 100]) * 200 - 100 for _ in range(400)]
    assert abs(np.std(middle) - 10) < 1.2
    assert abs(np.mean(middle)) < 1.6


def test_boxes_without_instances_follow_a_warp():
    full, plain = sample(30, 30, 2), sample(30, 30, 2, instances=False)
    boxes = T.RandomRotate(180)(plain, fixed(90)).boxes
    size = 30
    turned = [[y0, size - x1, y1, size - x0] for x0, y0, x1, y1 in full.boxes.tolist()]
    np.testing.assert_array_equal(boxes, turned)
    none = plain.replace(boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, int), attributes=[])
    assert T.Elastic()(none, rng()).boxes.shape == (0, 4)


def test_a_box_that_a_warp_drives_out_is_dropped():
    corner = np.array([[0, 0, 1, 1], [10, 10, 20, 20]], np.float32)
    source = Sample(np.zeros((1, 31, 31), np.float32), np.zeros((31, 31), np.int64), None, corner, np.array([1, 2]))
    assert T.RandomRotate(180)(source, fixed(45)).labels.tolist() == [2]


# --- Colours ---


def test_brightness_contrast_and_saturation():
    image = np.array([[[0.2, 0.6]], [[0.4, 0.6]], [[0.1, 0.9]]], np.float32)
    source = Sample(image, np.zeros((1, 2), np.int64))
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]

    class Factors:
        def __init__(self, *factors):
            self.factors = np.array(factors)

        def uniform(self, low, high):
            assert (low <= self.factors).all()
            assert (self.factors <= high).all()
            return self.factors

    jitter = T.ColorJitter(0.5, 0.5, 2.0)
    for factors, expected in [
        ((1.5, 1, 1), np.clip(image * 1.5, 0, 1)),
        ((1, 0.5, 1), grey.mean() + 0.5 * (image - grey.mean())),
        ((1, 1, 2), np.clip(grey + 2 * (image - grey), 0, 1)),
        ((1, 1, 0), np.broadcast_to(grey, image.shape)),
    ]:
        np.testing.assert_allclose(jitter(source, Factors(*factors)).image, expected, atol=1e-6)


def test_jitter_ranges_do_not_go_below_zero():
    source = sample(2, 2)
    darkest = min(T.ColorJitter(brightness=3)(source, rng(k)).image.min() for k in range(50))
    assert darkest >= 0
    assert T.ColorJitter(saturation=1)(sample(2, 2, channels=1), rng()).image.shape == (1, 2, 2)


def test_saturation_leaves_grey_images_alone():
    source = sample(channels=1)
    assert T.ColorJitter(saturation=1)(source, rng()) is source


def test_grey():
    source = sample()
    red, green, blue = source.image.astype(np.float64)
    np.testing.assert_allclose(T.Grey()(source, rng()).image[0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-6)
    grey = sample(channels=1)
    assert T.Grey()(grey, rng()) is grey


# --- Mistakes ---


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: T.RandomFlip(1.5), "RandomFlip: horizontal is 1.5, expected 0 to 1"),
        (lambda: T.RandomFlip(0, -0.1), "RandomFlip: vertical is -0.1"),
        (lambda: T.RandomCrop(0), "RandomCrop: size is 0"),
        (lambda: T.CenterCrop((3,)), r"CenterCrop: size is \(3,\)"),
        (lambda: T.Resize(10**6), "Resize: size is 1000000"),
        (lambda: T.RandomScale(0, 1), "RandomScale: low is 0"),
        (lambda: T.RandomScale(2, 1), "RandomScale: low is 2 and high 1, expected low <= high"),
        (lambda: T.RandomRotate(-1), "RandomRotate: degrees is -1"),
        (lambda: T.Elastic(-1), "Elastic: sd is -1"),
        (lambda: T.Elastic(1, 1), "Elastic: grid is 1, expected 2 to 100"),
        (lambda: T.ColorJitter(contrast=float("nan")), "ColorJitter: contrast is nan"),
    ],
)
def test_arguments_out_of_range(make, reason):
    with pytest.raises(ArgumentError, match=reason):
        make()
