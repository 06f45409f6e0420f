"""Scores against counts made by plain loops over pixels, and against sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseg.errors import ArgumentError, BoundsError, ShapeError
from tinyseg.train import ConfusionMatrix

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, classes: int, ignore: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    present = rng.choice(classes, rng.integers(1, classes + 1), replace=False)  # some classes are absent
    prediction, target = rng.choice(present, (2, 3, 5, 4))
    if ignore:
        target[rng.random(target.shape) < 0.3] = 255
    return prediction, target


def sets(prediction: np.ndarray, target: np.ndarray, k: int) -> tuple[set[int], set[int]]:
    """The pixels that are class k in truth and in prediction, of those that count."""
    pixels = list(zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True))
    true = {i for i, (t, _) in enumerate(pixels) if t == k}
    return true, {i for i, (t, p) in enumerate(pixels) if p == k and t != 255}


def mean(values: list[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return sum(known) / len(known) if known else math.nan


@settings(deadline=None, derandomize=True, max_examples=60)
@given(seeds, st.integers(2, 6), st.booleans())
def test_scores_equal_those_of_sets_of_pixels(seed, classes, ignore):
    prediction, target = drawn(seed, classes, ignore)
    matrix = ConfusionMatrix(classes)
    matrix.update(prediction, target)
    scores = matrix.result()
    iou, dice, accuracy, frequency, right = [], [], [], [], 0
    for k in range(classes):
        true, called = sets(prediction, target, k)
        both, either = len(true & called), len(true | called)
        right += both
        iou.append(both / either if either else math.nan)
        dice.append(2 * both / (len(true) + len(called)) if either else math.nan)
        accuracy.append(both / len(true) if true else math.nan)
        frequency.append(len(true))
    total = sum(frequency)
    weighted = sum(f * v for f, v in zip(frequency, iou, strict=True) if f) / total if total else math.nan
    np.testing.assert_allclose(scores.class_iou, iou, rtol=1e-12)
    np.testing.assert_allclose(scores.class_dice, dice, rtol=1e-12)
    found = [scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iou, scores.weighted_iou, scores.dice]
    expected = [right / total if total else math.nan, mean(accuracy), mean(iou), weighted, mean(dice[1:])]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(seeds, st.integers(2, 5))
def test_images_one_by_one_count_like_all_at_once(seed, classes):
    prediction, target = drawn(seed, classes, True)
    whole, parts = ConfusionMatrix(classes), ConfusionMatrix(classes)
    whole.update(prediction, target)
    for p, t in zip(prediction, target, strict=True):
        parts.update(p, t)
    np.testing.assert_array_equal(whole.counts, parts.counts)


def test_a_case_by_hand():
    matrix = ConfusionMatrix(3)
    matrix.update(np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 255]))
    scores = matrix.result()
    assert scores.class_iou[:2] == (1 / 2, 2 / 3)
    assert math.isnan(scores.class_iou[2])  # absent: left out, not zero
    assert scores.mean_iou == pytest.approx(7 / 12)
    assert scores.dice == pytest.approx(0.8)
    assert scores.pixel_accuracy == 0.75
    assert scores.summary().keys() == {"pixel_accuracy", "mean_accuracy", "mean_iou", "weighted_iou", "dice"}


def test_nothing_counted_is_nan_without_a_warning():
    matrix = ConfusionMatrix(2)
    matrix.update(np.array([0, 1]), np.array([255, 255]))
    assert all(math.isnan(value) for value in matrix.result().summary().values())


def test_wrong_input_is_named():
    matrix = ConfusionMatrix(2)
    with pytest.raises(ShapeError, match=r"prediction is \(2,\) and target \(3,\)"):
        matrix.update(np.zeros(2, np.int64), np.zeros(3, np.int64))
    with pytest.raises(BoundsError, match="target holds class 2, expected 0 to 1"):
        matrix.update(np.array([0]), np.array([2]))
    with pytest.raises(BoundsError, match="prediction holds class -1"):
        matrix.update(np.array([-1]), np.array([0]))
    with pytest.raises(ArgumentError, match="n_classes is 1"):
        ConfusionMatrix(1)
    assert matrix.counts.sum() == 0
