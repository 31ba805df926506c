"""A dataset's classes meet a bank's categories."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rim.evaluation.scoring import Sample, evaluate, map_classes
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.vocabulary import Category

CAT = CategoryRecord(category_id=7, name="cat", synonyms=("kitten",))
DOG = CategoryRecord(category_id=3, name="dog")
SOFA = CategoryRecord(category_id=9, name="sofa")


@dataclass(frozen=True)
class Labelled:
    label_map: NDArray[np.int32]


@dataclass(frozen=True)
class RedIsCat:
    """Labels a pixel by its red value: 0 unlabelled, otherwise that category_id."""

    categories: tuple[CategoryRecord, ...] = (CAT, DOG, SOFA)
    asked: list[set[int]] = field(default_factory=list)

    def segment(
        self, image: Path | NDArray[np.uint8], *, categories: Collection[int] | None = None
    ) -> Labelled:
        assert not isinstance(image, Path)
        self.asked.append(set(categories or ()))
        red = image[:, :, 0].astype(np.int32)
        return Labelled(np.where(red == 0, -1, red).astype(np.int32))


def sample(red: list[int], truth: list[int]) -> Sample:
    image = np.zeros((1, len(red), 3), dtype=np.uint8)
    image[0, :, 0] = red
    return Sample("photo", image, np.array([truth]))


def test_categories_become_classes() -> None:
    engine = RedIsCat()
    samples = [sample([7, 7, 3], [1, 1, 0]), sample([3, 3, 0], [0, 1, 1])]
    scores = evaluate(engine, samples, ["Dog", "cat"])
    assert scores.per_class == {"Dog": 2 / 3, "cat": 2 / 4}
    assert scores.images == 2
    assert engine.asked == [{7, 3}, {7, 3}], "the sofa takes no part"


def test_background_is_what_is_unlabelled() -> None:
    scores = evaluate(RedIsCat(), [sample([0, 7, 0], [0, 1, 1])], ["background", "cat"])
    assert scores.per_class == {"background": 1 / 2, "cat": 1 / 2}


def test_background_may_be_a_category() -> None:
    background = CategoryRecord(category_id=2, name="background")
    mapping = map_classes([background, CAT], ["background", "cat"])
    assert mapping.class_of == {2: 0, 7: 1}
    assert mapping.unlabelled_class == -1


@pytest.mark.parametrize(
    ("classes", "class_of"),
    [
        (["cat", "dog"], {7: 0, 3: 1}),
        (["kitten", "dog"], {7: 0, 3: 1}),
        ([Category("couch", ("sofa",)), "  DOG "], {9: 0, 3: 1}),
        # A category named like the class is preferred to one that only shares a synonym.
        ([Category("dog", ("cat",))], {3: 0}),
    ],
)
def test_names_before_synonyms(classes: list[str | Category], class_of: dict[int, int]) -> None:
    assert map_classes([CAT, DOG, SOFA], classes).class_of == class_of


def test_several_categories_may_answer_for_one_class() -> None:
    assert map_classes([CAT, DOG], [Category("pet", ("cat", "dog"))]).class_of == {7: 0, 3: 0}


def test_missing_classes_are_an_error_or_listed() -> None:
    samples = [sample([7, 7], [0, 1])]
    with pytest.raises(UsageError, match="for each of 2 classes, found none for bird"):
        evaluate(RedIsCat(), samples, ["cat", "bird"])
    scores = evaluate(RedIsCat(), samples, ["cat", "bird"], allow_missing=True)
    assert scores.missing == ("bird",)
    assert scores.per_class == {"cat": 1 / 2, "bird": 0}


def test_no_class_at_all_is_an_error_even_if_some_may_be_missing() -> None:
    with pytest.raises(UsageError, match="found none for bird"):
        map_classes([CAT], ["bird", "background"], allow_missing=True)


def test_wrong_input_is_named() -> None:
    too_large = Sample("photo", np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2), int))
    with pytest.raises(UsageError, match="photo: expected a prediction of the truth's size"):
        evaluate(RedIsCat(), [too_large], ["cat"])
    with pytest.raises(UsageError, match="every class once"):
        evaluate(RedIsCat(), [], ["cat", "CAT"])
    with pytest.raises(UsageError, match="at least one image"):
        evaluate(RedIsCat(), [], ["cat"])


def test_each_prediction_is_reported_in_classes() -> None:
    seen = []
    evaluate(
        RedIsCat(),
        [sample([7, 0, 3], [1, 1, 0])],
        ["dog", "cat"],
        each=lambda s, prediction: seen.append((s.name, prediction.tolist())),
    )
    assert seen == [("photo", [[1, -1, 0]])]
