"""Scores from confusion matrices that were worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rim.evaluation.scores import ConfusionMatrix, Failure
from schemas.errors import UsageError

NAMES = ("cat", "dog", "grass")


def test_by_hand() -> None:
    matrix = ConfusionMatrix(3)
    #          cat        dog     grass
    truth = [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]
    guess = [0, 0, 0, 1, 1, 2, 2, 2, 2, 0]
    matrix.update(np.reshape(guess, (2, 5)), np.reshape(truth, (2, 5)))
    np.testing.assert_array_equal(matrix.counts, [[3, 1, 0, 0], [0, 1, 1, 0], [1, 0, 3, 0]])
    scores = matrix.scores(NAMES)
    # Unions: cat 4 + 4 - 3, dog 2 + 2 - 1, grass 4 + 4 - 3.
    assert scores.per_class == pytest.approx({"cat": 3 / 5, "dog": 1 / 3, "grass": 3 / 5})
    assert scores.miou == pytest.approx((3 / 5 + 1 / 3 + 3 / 5) / 3)
    assert scores.pixel_accuracy == pytest.approx(7 / 10)
    assert scores.mean_accuracy == pytest.approx((3 / 4 + 1 / 2 + 3 / 4) / 3)
    assert scores.fw_iou == pytest.approx(0.4 * 3 / 5 + 0.2 * 1 / 3 + 0.4 * 3 / 5)
    assert (scores.images, scores.pixels) == (1, 10)


def test_unlabelled_pixels_are_errors_of_their_true_class_only() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update([0, -1, -1, 1], [0, 0, 1, 1])
    scores = matrix.scores(("cat", "dog"))
    assert scores.per_class == {"cat": 1 / 2, "dog": 1 / 2}
    assert scores.pixel_accuracy == 1 / 2


def test_ignored_pixels_do_not_count_whatever_was_predicted() -> None:
    matrix = ConfusionMatrix(2, ignore=255)
    matrix.update([0, 1, 7, -1], [0, 1, 255, 255])
    assert matrix.counts.sum() == 2
    assert matrix.scores(("cat", "dog")).miou == 1


def test_a_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update([0, 0], [0, 0])
    scores = matrix.scores(NAMES)
    assert scores.miou == 1
    assert np.isnan(scores.per_class["dog"])


def test_a_class_that_is_only_predicted_counts_as_zero_in_the_mean_iou() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update([0, 1], [0, 0])
    scores = matrix.scores(NAMES)
    assert scores.miou == pytest.approx((1 / 2 + 0) / 2)
    assert scores.mean_accuracy == 1 / 2, "only over classes in the truth"


def test_one_matrix_of_the_dataset_not_a_mean_over_images() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update([0] * 8, [0] * 8)
    matrix.update([0, 0], [1, 1])
    assert matrix.scores(("a", "b")).per_class == {"a": 8 / 10, "b": 0}


def test_json_has_null_for_what_cannot_be_scored() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update([0], [-1])
    scores = matrix.scores(("a", "b"), missing=["b"], failed=[Failure("photo", "is cut short")])
    text = json.dumps(scores.to_dict(), allow_nan=False)
    assert json.loads(text) == {
        "miou": None,
        "pixel_accuracy": None,
        "mean_accuracy": None,
        "fw_iou": None,
        "per_class": {"a": None, "b": None},
        "missing": ["b"],
        "failed": [{"image": "photo", "error": "is cut short"}],
        "images": 1,
        "pixels": 0,
    }


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        ([0, 1], [[0, 1]], r"size \(1, 2\), found \(2,\)"),
        ([0, 2], [0, 1], "prediction, found 0 to 2"),
        ([0, -2], [0, 1], "prediction, found -2 to 0"),
        ([0, 1], [0, 2], "truth, found 0 to 2"),
        ([0, 1], [0, -3], "truth, found -3 to 0"),
        ([0, 1], [0.0, 1.0], "integers in the truth, found float64"),
    ],
)
def test_wrong_labels_are_refused(prediction: object, truth: object, message: str) -> None:
    matrix = ConfusionMatrix(2)
    with pytest.raises(UsageError, match=message):
        matrix.update(np.array(prediction), np.array(truth))
    assert matrix.counts.sum() == 0


@pytest.mark.parametrize(("classes", "ignore"), [(0, -1), (3, 0), (3, 2)])
def test_impossible_matrices_are_refused(classes: int, ignore: int) -> None:
    with pytest.raises(UsageError):
        ConfusionMatrix(classes, ignore)


@pytest.mark.parametrize("names", [("a",), ("a", "a"), ("a", "b", "c")])
def test_names_must_fit(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="2 different class names"):
        ConfusionMatrix(2).scores(names)


@given(
    arrays(np.int64, (3, 4), elements=st.integers(-1, 2)),
    arrays(np.int64, (3, 4), elements=st.integers(-1, 2)),
)
def test_iou_is_intersection_over_union(prediction: np.ndarray, truth: np.ndarray) -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(prediction, truth)
    scores = matrix.scores(NAMES)
    scored = truth != -1
    for label, name in enumerate(NAMES):
        p, t = (prediction == label) & scored, (truth == label) & scored
        expected = (p & t).sum() / (p | t).sum() if (p | t).any() else np.nan
        np.testing.assert_allclose(scores.per_class[name], expected)
