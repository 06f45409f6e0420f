"""The chairs data set: its geometry against plain arithmetic, its samples at other sizes and in other orders."""

import itertools
import math
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.data.chairs import Chairs
from tinyseg.data.chairs.captions import caption, view_words
from tinyseg.data.chairs.compose import compose
from tinyseg.data.chairs.dice import Dice
from tinyseg.data.chairs.kinds import KINDS, draw_chair
from tinyseg.data.chairs.solids import BALL, BOX, CYLINDER, PILLOW, Model, gather, place
from tinyseg.data.chairs.view import Light, Room, look_at
from tinyseg.data.sample import Sample
from tinyseg.errors import ArgumentError
from tinyseg.random import generator

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
compiled_only = pytest.mark.skipif(INTERPRETED, reason="hundreds of pictures take minutes with the JIT off")
SIZE = 12 if INTERPRETED else 64


def same(a: Sample, b: Sample) -> bool:
    arrays = all(
        np.array_equal(getattr(a, k), getattr(b, k)) for k in ("image", "mask", "instances", "boxes", "labels")
    )
    return arrays and (a.attributes, a.caption, a.name) == (b.attributes, b.caption, b.name)


# Samples: what the loader and the losses rely on


@pytest.mark.parametrize("size", [SIZE, (SIZE, SIZE + 9), (SIZE - 5, SIZE), 1, (1, 7)])
def test_a_sample_has_the_promised_arrays(size: int | tuple[int, int]) -> None:
    height, width = size if isinstance(size, tuple) else (size, size)
    s = Chairs(4, size)[3]
    assert s.image.shape == (3, height, width)
    assert s.image.dtype == np.float32
    assert s.image.flags.c_contiguous
    assert 0 <= s.image.min() <= s.image.max() <= 1
    assert (s.mask.shape, s.mask.dtype) == ((height, width), np.int64)
    assert s.instances is not None
    assert (s.instances.shape, s.instances.dtype) == ((height, width), np.int32)
    assert s.name == "train-0-00003"


def test_mask_instances_boxes_and_attributes_agree() -> None:
    counts = set()
    for s in itertools.islice(Chairs(40, SIZE), 4 if INTERPRETED else 40):
        assert s.instances is not None
        assert s.boxes is not None
        assert s.labels is not None
        assert np.array_equal(s.mask, s.instances > 0)
        numbers = [k for k in np.unique(s.instances) if k]
        assert numbers == list(range(1, len(s.boxes) + 1)), "instances are numbered without gaps"
        assert len(s.boxes) == len(s.labels) == len(s.attributes)
        assert (s.boxes.shape, s.boxes.dtype) == ((len(numbers), 4), np.float32)
        assert np.all(s.labels == 1)
        for k, (x0, y0, x1, y1), words in zip(numbers, s.boxes, s.attributes, strict=True):
            pixels = [(x, y) for y, x in zip(*np.nonzero(s.instances == k), strict=True)]
            assert len(pixels) >= SIZE * SIZE // 1000
            assert (x0, y0) == (min(x for x, _ in pixels), min(y for _, y in pixels))
            assert (x1, y1) == (max(x for x, _ in pixels) + 1, max(y for _, y in pixels) + 1)
            assert words["box"] == (x0, y0, x1, y1)
        counts.add(len(numbers))
    assert INTERPRETED or counts >= {1, 2, 3}


def test_captions_say_what_the_attributes_say() -> None:
    for s in itertools.islice(Chairs(40, SIZE, split="val"), 4 if INTERPRETED else 40):
        assert s.attributes
        for chair in s.attributes:
            assert chair["colour"] in s.caption
            assert chair["kind"].removesuffix("h") in s.caption
            assert chair["kind"] in KINDS
        if len(s.attributes) > 1:
            assert " in a room with " in s.caption
            continue
        chair = s.attributes[0]
        assert s.caption.endswith(f"seen from {chair['view']}")
        assert s.caption.startswith(("a ", "an "))
        assert chair["stature"] in s.caption
        assert ("with arms" in s.caption) == (chair["arms"] and chair["kind"] != "armchair")


def test_caption_of_several_and_of_no_chairs() -> None:
    room = compose(Dice(generator(1)))._replace(wall="brick", floor="wooden")
    red, orange = {"colour": "red", "kind": "bench"}, {"colour": "orange", "kind": "stool"}
    assert caption([red, orange, red], room) == (
        "two red benches and an orange stool in a room with a brick wall and a wooden floor"
    )
    assert caption([], room) == "no chair in a room with a brick wall and a wooden floor"


def test_a_sample_depends_on_seed_split_and_index_alone() -> None:
    forward, backward = Chairs(6, 16), Chairs(6, 16)
    samples = [forward[i] for i in range(6)]
    assert all(same(samples[i], backward[i]) for i in reversed(range(6)))
    assert same(Chairs(1000, 16)[5], samples[5])
    assert same(forward[-1], samples[5])
    others = [Chairs(6, 16, split="val")[0], Chairs(6, 16, seed=1)[0], *samples]
    images = {s.image.tobytes() for s in others}
    assert len(images) == len(others)


def test_threads_and_pickles_make_the_same_samples() -> None:
    ds = pickle.loads(pickle.dumps(Chairs(8, 16)))
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(ds.__getitem__, range(8)))
    assert all(same(threaded[i], Chairs(8, 16)[i]) for i in range(8))


@compiled_only
def test_splits_share_no_scene() -> None:
    images = {Chairs(300, 8, split=split)[i].image.tobytes() for split in ("train", "val") for i in range(300)}
    assert len(images) == 600


@compiled_only
@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(0, 10**9), st.integers(16, 40))
def test_the_scene_does_not_depend_on_the_size(index: int, size: int) -> None:
    small, large = Chairs(10**9 + 1, size)[index], Chairs(10**9 + 1, 4 * size)[index]
    share = large.mask.reshape(size, 4, size, 4).mean((1, 3))
    clear = (share < 0.1) | (share > 0.9)  # pixels that lie on one side of every outline
    assert clear.mean() > 0.5
    assert np.mean(small.mask[clear] == (share[clear] > 0.5)) > 0.97
    coarse = large.image.reshape(3, size, 4, size, 4).mean((2, 4))
    assert np.abs(small.image - coarse).mean() < 0.06


@compiled_only
def test_the_set_is_varied_and_balanced() -> None:
    samples = [Chairs(300, 64)[i] for i in range(300)]
    cover = np.array([s.mask.mean() for s in samples])
    assert 0.10 < cover.mean() < 0.30
    assert (cover > 0.02).mean() > 0.95
    chairs = [c for s in samples for c in s.attributes]
    assert {c["kind"] for c in chairs} == set(KINDS)
    assert {c["material"] for c in chairs} == {"wood", "metal", "plastic", "fabric", "leather"}
    assert len({c["view"] for c in chairs}) == 8
    assert len({c["colour"] for c in chairs}) >= 12
    assert {c["stature"] for c in chairs} == {"", "tall", "short", "wide", "narrow"}
    edge = [s.mask[0].any() or s.mask[-1].any() or s.mask[:, 0].any() or s.mask[:, -1].any() for s in samples]
    assert 0.1 < np.mean(edge) < 0.7, "some chairs are partly out of the picture, not most of them"


@compiled_only
def test_samples_are_made_fast_enough_for_a_loader() -> None:
    ds = Chairs()
    ds[0]
    start = time.process_time()
    for i in range(100):
        ds[i]
    assert time.process_time() - start < 3, "100 samples: 0.4 s on an idle core; the bound allows for a busy machine"


def test_import_does_not_load_numba() -> None:
    code = "import sys, tinyseg.data.chairs as c; c.Chairs(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Not trivial: colour and position do not give a chair away


@pytest.fixture(scope="module")
def pixels() -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows (1, r, g, b, x, y) and classes of pixels of 200 train and 200 val samples: one in nine and one in three."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    sets = []
    for split, step in (("train", 9), ("val", 3)):
        samples = list(Chairs(200, split=split))
        columns = np.stack([[np.ones_like(x), *s.image, x, y] for s in samples]).transpose(0, 2, 3, 1).reshape(-1, 6)
        sets.append((columns[::step], np.concatenate([s.mask.ravel() for s in samples])[::step]))
    return sets


def logistic_regression(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Newton's method on the cross-entropy: exact for so few weights."""
    w = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-x @ w))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(len(w))
        w += np.linalg.solve(hessian, x.T @ (y - p))
    return w


def mean_iou(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(
        np.mean([np.sum((predicted == c) & (truth == c)) / np.sum((predicted == c) | (truth == c)) for c in (0, 1)])
    )


@compiled_only
@pytest.mark.parametrize("squares", [False, True])
def test_a_logistic_regression_on_colour_and_position_fails(pixels, squares: bool) -> None:
    (x, y), (val_x, val_y) = pixels
    if squares:
        x, val_x = (np.concatenate([rows, rows[:, 1:] ** 2], 1) for rows in (x, val_x))
    score = val_x @ logistic_regression(x, y)
    assert mean_iou(score > 0, val_y) < 0.6
    if not squares:  # nor does any other threshold help, though it be chosen on the validation set itself
        assert max(mean_iou(score > t, val_y) for t in np.quantile(score, np.linspace(0.05, 0.95, 19))) < 0.6


# Geometry against arithmetic

unit = st.floats(-1, 1, allow_nan=False, width=32)
SHAPES = {
    BOX: lambda x, y, z, r: np.maximum(np.abs(x), np.abs(y)) - r,
    CYLINDER: lambda x, y, z, r: np.hypot(x, y) - r,
    BALL: lambda x, y, z, r: x**2 + y**2 + z**2 - 1,
    PILLOW: lambda x, y, z, r: x**4 + y**4 + z**4 - 1,
}


def inside(shape: int, taper: float, point: np.ndarray, slack: float) -> np.ndarray:
    """Whether points (3, n) lie in the unit solid enlarged by about `slack`."""
    x, y, z = point
    radius = 1 + (taper - 1) * (z + 1) / 2
    return (SHAPES[shape](x, y, z, radius) < slack) & (np.abs(z) < 1 + slack)


@settings(deadline=None, derandomize=True, max_examples=30 if INTERPRETED else 300)
@given(st.sampled_from(list(SHAPES)), st.floats(0.5, 1.5), st.tuples(unit, unit, unit), st.tuples(unit, unit, unit))
def test_rays_meet_unit_solids_where_a_walk_along_them_does(shape, taper, start, aim) -> None:
    from tinyseg.data.chairs.intersect import hit

    eye = np.array(start) + 1e-3
    eye *= 4 / np.linalg.norm(eye)
    ray = np.array(aim) - eye
    steps = np.linspace(0, 2.5, 4001)
    walk = eye[:, None] + ray[:, None] * steps
    t = hit(shape, taper, *eye, *ray)
    grown, shrunk = inside(shape, taper, walk, 0.02), inside(shape, taper, walk, -0.02)
    if math.isinf(t):
        assert not shrunk.any(), "the walk enters the solid but the ray misses it"
        return
    assert inside(shape, taper, (eye + t * ray)[:, None], 0.02).all()
    if shrunk.any():
        assert t <= steps[shrunk][0] + 2e-3
    assert t >= steps[grown][0] - 2e-3


@settings(deadline=None, derandomize=True, max_examples=30 if INTERPRETED else 200)
@given(st.sampled_from(list(SHAPES)), st.floats(0.6, 1.4), st.tuples(unit, unit, unit))
def test_normals_point_to_where_the_solid_ends(shape, taper, aim) -> None:
    from tinyseg.data.chairs.intersect import gradient, hit

    ray = np.add(aim, (1e-3, 2e-3, 3e-3))
    ray /= -np.linalg.norm(ray)
    eye = -5 * ray
    point = eye + hit(shape, taper, *eye, *ray) * ray
    normal = np.array(gradient(shape, taper, *point))
    normal /= np.linalg.norm(normal)
    assert not inside(shape, taper, (point + 0.05 * normal)[:, None], 0.0).any()
    assert normal @ ray < 0.3, "a surface that is met faces the ray (0.3: tapered sides may be grazed)"


def test_a_placed_model_turns_about_the_vertical_and_moves() -> None:
    model = Model()
    model.box((0.0, 1.0, 0.5), (0.1, 0.2, 0.5), model.mix(draw_paint()))
    piece = place(model, 2.0, 3.0, math.pi / 2)  # a quarter turn to the left: +y becomes -x
    np.testing.assert_allclose(piece.low, (0.8, 2.9, 0.0), atol=1e-12)
    np.testing.assert_allclose(piece.high, (1.2, 3.1, 1.0), atol=1e-12)
    solids, _ = gather([piece], 0)
    np.testing.assert_allclose(solids.axes[0] @ solids.inverse[0].T, np.eye(3), atol=1e-12)


def draw_paint():
    from tinyseg.data.chairs.materials import Paint

    return Paint((0.8, 0.2, 0.1), (0.8, 0.2, 0.1))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_stands_on_the_floor_with_its_size(name: str) -> None:
    for k in range(12):
        design = draw_chair(Dice(generator(7, k)), name)
        piece = place(design.model)
        assert abs(piece.low[2]) < 0.03, "it stands on the floor, neither in it nor above"
        assert 0.3 < piece.high[2] < 1.4
        assert np.all(piece.high[:2] - piece.low[:2] > 0.25)
        assert np.all(piece.high[:2] - piece.low[:2] < 1.8)
        solids, _ = gather([piece], 0)
        assert np.all(np.abs(np.linalg.det(solids.axes)) > 1e-9), "no solid is flat"


def picture(model: Model, camera, size: int = 32, light: Light | None = None):
    """The image and the owners of a scene with one piece of furniture, chair 1, in an empty room."""
    from tinyseg.data.chairs.raster import render

    solids, paints = gather([place(model, owner=1)], 0)
    table = np.array([p.numbers() for p in paints])
    room = Room((-9.0, 9.0, -9.0, 9.0, 0.0, 5.0), (0, 0, 0, 0, 0, 0), 0.0, 0, np.zeros((0, 8)))
    light = light or Light((0.0, 0.0, 1.0), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0))
    image, owner = np.zeros((3, size, size), np.float32), np.empty((size, size), np.int64)
    render(solids, table, room, camera, light, image, owner)
    return image, owner


@pytest.mark.parametrize(("x", "z"), [(0.0, 1.0), (0.7, 1.0), (-0.5, 1.6), (0.3, 0.4)])
def test_a_ball_appears_where_the_pinhole_formula_puts_it(x: float, z: float) -> None:
    model = Model()
    model.ball((x, 0.0, z), (0.2, 0.2, 0.2), model.mix(draw_paint()))
    size = 48 if INTERPRETED else 128
    _, owner = picture(model, look_at((0.0, -4.0, 1.0), (0.0, 0.0, 1.0), 3.0), size)
    rows, cols = np.nonzero(owner == 1)
    metre = 3.0 * size / 2 / 4  # pixels, at the ball's depth
    assert cols.mean() + 0.5 == pytest.approx(size / 2 + metre * x, abs=0.03 * metre)
    assert rows.mean() + 0.5 == pytest.approx(size / 2 - metre * (z - 1), abs=0.03 * metre)
    assert len(rows) == pytest.approx(math.pi * (metre * 0.2 + 0.25) ** 2, rel=0.12), "ties go to the chair: + 1/4"


def test_the_nearer_solid_hides_the_farther_one_whatever_their_order() -> None:
    from tinyseg.data.chairs.materials import Paint

    red, blue = Paint((1, 0, 0), (1, 0, 0)), Paint((0, 0, 1), (0, 0, 1))
    for order in ((-0.5, 0.5), (0.5, -0.5)):
        model = Model()
        for y in order:
            model.box((0, y, 1), (0.4, 0.1, 0.4), model.mix(red if y < 0 else blue))
        image, _ = picture(model, look_at((0.0, -4.0, 1.0), (0.0, 0.0, 1.0), 3.0), 16)
        red_channel, _, blue_channel = image[:, 8, 8]
        assert red_channel > 0.1
        assert blue_channel == 0


def test_a_table_top_darkens_the_floor_under_it() -> None:
    model = Model()
    model.box((0, 0, 0.7), (0.5, 0.5, 0.02), model.mix(draw_paint()))
    image, owner = picture(model, look_at((0.0, -4.0, 0.5), (0.0, 0.0, 0.5), 2.0), 64)
    under = image[0, owner.shape[0] // 2 + 8, 32]
    # The floor point seen by that pixel: row 40.5 is (40.5 - 32) / 64 below the axis per metre of depth.
    depth = 0.5 / (8.5 / 64)
    assert abs(depth - 4) < 0.5, "that pixel looks at the floor under the table"
    beside = image[0, owner.shape[0] // 2 + 8, 2]
    assert under < 0.7 * beside


def test_view_words_follow_the_camera_around_a_chair() -> None:
    from tinyseg.data.chairs.compose import _bearing

    design = draw_chair(Dice(generator(3)), "stool")
    ahead = [(0.0, 5.0), (5.0, 5.0), (5.0, 0.0), (5.0, -5.0), (0.0, -5.0), (-5.0, -5.0), (-5.0, 0.0), (-5.0, 5.0)]
    words = "front", "front right", "right", "back right", "behind", "back left", "left", "front left"
    for (x, y), word in zip(ahead, words, strict=True):  # the sitter looks along +y, +x is at the right hand
        for yaw in (0.0, 0.5, -2.0, 3.0):
            eye = (x * math.cos(yaw) - y * math.sin(yaw), x * math.sin(yaw) + y * math.cos(yaw), 1.0)
            bearing = _bearing(place(design.model, yaw=yaw), look_at(eye, (0.0, 0.0, 0.5), 1.0))
            assert view_words(bearing).removeprefix("the ") == word


def test_dice_follow_their_weights_and_ranges() -> None:
    dice = Dice(generator(5))
    draws = [dice.weigh({"a": 1.0, "b": 3.0, "c": 0.0}) for _ in range(4000)]
    assert draws.count("a") / 4000 == pytest.approx(0.25, abs=0.03)
    assert "c" not in draws
    assert {dice.pick("xyz") for _ in range(50)} == set("xyz")
    numbers = [dice.uniform(-2, 3) for _ in range(2000)]
    assert -2 <= min(numbers) < -1.9
    assert 2.9 < max(numbers) < 3
    assert sum(dice.chance(0.1) for _ in range(4000)) / 4000 == pytest.approx(0.1, abs=0.02)


# Bad arguments


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"size": 0}, "size must be an integer or (H, W), each from 1 to 4096 pixels, got 0"),
        ({"size": -64}, "got -64"),
        ({"size": 100_000}, "got 100000"),
        ({"size": (64, 0)}, "got (64, 0)"),
        ({"size": (64, 64, 3)}, "got (64, 64, 3)"),
        ({"size": 64.0}, "got 64.0"),
        ({"size": True}, "got True"),
        ({"length": -1}, "length must be a non-negative integer, got -1"),
        ({"length": 2.5}, "length must be a non-negative integer, got 2.5"),
        ({"seed": -3}, "seed must be a non-negative integer, got -3"),
        ({"split": "test"}, "split must be one of train, val, got 'test'"),
    ],
)
def test_bad_arguments_are_named(arguments, text: str) -> None:
    with pytest.raises(ArgumentError) as error:
        Chairs(**arguments)
    assert str(error.value).startswith("Chairs: ")
    assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_indices_past_the_end_stop_iteration() -> None:
    ds = Chairs(2, 8)
    assert len(list(ds)) == len(ds) == 2
    with pytest.raises(IndexError, match=r"index must be in \[-2, 2\), got 2"):
        ds[2]
    with pytest.raises(IndexError):
        Chairs(0)[0]
    with pytest.raises(TypeError):
        ds[0.5]  # type: ignore[index]


def test_a_sample_can_be_changed_only_by_copy() -> None:
    s = Chairs(1, 8)[0]
    assert s.replace(caption="x").caption == "x"
    with pytest.raises(AttributeError):
        s.caption = "x"  # type: ignore[misc]
