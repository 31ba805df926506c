"""Which of a bank's categories answer for which class."""

from __future__ import annotations

import pytest

from rim.evaluation.class_mapping import map_classes
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.vocabulary import Category

CAT = CategoryRecord(category_id=7, name="cat", synonyms=("kitten",))
DOG = CategoryRecord(category_id=3, name="dog")
SOFA = CategoryRecord(category_id=9, name="sofa")


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


def test_no_class_at_all_is_an_error_even_if_some_may_be_missing() -> None:
    with pytest.raises(UsageError, match="found none for bird"):
        map_classes([CAT], ["bird", "background"], allow_missing=True)


def test_missing_classes_are_an_error_or_listed() -> None:
    with pytest.raises(UsageError, match="for each of 2 classes, found none for bird"):
        map_classes([CAT], ["cat", "bird"])
    assert map_classes([CAT], ["cat", "bird"], allow_missing=True).missing == ("bird",)


def test_a_class_that_stands_twice_is_an_error() -> None:
    with pytest.raises(UsageError, match="every class once"):
        map_classes([CAT], ["cat", "CAT"])
