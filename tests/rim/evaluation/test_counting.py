"""Images are labelled and counted in the classes of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rim.evaluation.class_mapping import map_classes
from rim.evaluation.counting import count_items
from rim.evaluation.datasets.base import Item, Sample
from rim.evaluation.scores import Scores
from schemas.errors import UsageError
from schemas.records import CategoryRecord

CAT = CategoryRecord(category_id=7, name="cat", synonyms=("kitten",))
DOG = CategoryRecord(category_id=3, name="dog")


def red_is_category(sample: Sample) -> NDArray[np.int32]:
    """Labels a pixel by its red value: 0 unlabelled, otherwise that category_id."""
    assert not isinstance(sample.image, str)
    red = np.asarray(sample.image)[:, :, 0].astype(np.int32)
    return np.where(red == 0, -1, red).astype(np.int32)


def sample(red: list[int], truth: list[int]) -> Sample:
    image = np.zeros((1, len(red), 3), dtype=np.uint8)
    image[0, :, 0] = red
    return Sample("photo", image, np.array([truth]))


def scores_of(
    samples: Sequence[Sample], classes: Sequence[str], *, allow_missing: bool = False
) -> Scores:
    mapping = map_classes([CAT, DOG], classes, allow_missing=allow_missing)
    items = [Item(f"photo {n}", lambda one=one: one) for n, one in enumerate(samples)]  # type: ignore[misc]
    return count_items(items, red_is_category, mapping).scores(mapping)


def test_categories_become_classes() -> None:
    samples = [sample([7, 7, 3], [1, 1, 0]), sample([3, 3, 0], [0, 1, 1])]
    scores = scores_of(samples, ["Dog", "cat"])
    assert scores.per_class == {"Dog": 2 / 3, "cat": 2 / 4}
    assert scores.images == 2


def test_background_is_what_is_unlabelled() -> None:
    scores = scores_of([sample([0, 7, 0], [0, 1, 1])], ["background", "cat"])
    assert scores.per_class == {"background": 1 / 2, "cat": 1 / 2}


def test_missing_classes_score_0_and_are_listed() -> None:
    scores = scores_of([sample([7, 7], [0, 1])], ["cat", "bird"], allow_missing=True)
    assert scores.missing == ("bird",)
    assert scores.per_class == {"cat": 1 / 2, "bird": 0}


def test_a_truth_of_another_size_is_named() -> None:
    too_large = Sample("photo", np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2), int))
    with pytest.raises(UsageError, match="photo 0: expected a prediction of the truth's size"):
        scores_of([too_large], ["cat"])


def test_no_image_at_all_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one image"):
        scores_of([], ["cat"])


def test_each_prediction_is_reported_in_classes() -> None:
    seen = []
    one = sample([7, 0, 3], [1, 1, 0])
    count_items(
        [Item("photo", lambda: one)],
        red_is_category,
        map_classes([CAT, DOG], ["dog", "cat"]),
        on_labelled=lambda s, prediction: seen.append((s.name, prediction.tolist())),
    )
    assert seen == [("photo", [[1, -1, 0]])]
