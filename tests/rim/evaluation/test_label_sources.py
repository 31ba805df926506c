"""Labels of a bank's query engine, and another system's predictions in files."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rim.evaluation.class_mapping import map_classes
from rim.evaluation.datasets.base import Sample
from rim.evaluation.datasets.folder import folder
from rim.evaluation.label_sources import BankLabels, StoredLabels
from schemas.errors import ImageError, UsageError
from schemas.records import CategoryRecord
from tests.rim.evaluation.datasets.official import Rows, grey_16, grey_png, lines, photo

THREE = ["cat, kitten", "# a comment", "", "background", "sea"]
CAT = CategoryRecord(category_id=7, name="cat")
DOG = CategoryRecord(category_id=3, name="dog")
SOFA = CategoryRecord(category_id=9, name="sofa")


def sample(name: str) -> Sample:
    return Sample(name, np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), int))


class Engine:
    """Labels every pixel as a cat."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []

    def load(self, on_role: Any) -> None:
        on_role("segmenter")

    def segment(self, image: NDArray[np.uint8], *, categories: Collection[int]) -> Any:
        self.asked.append(set(categories))
        return SimpleNamespace(label_map=np.full(image.shape[:2], 7, np.int32))


@pytest.mark.parametrize(
    ("classes", "defaults"),
    [(["dog", "cat"], ("matching.background=none",)), (["background", "dog", "cat"], ())],
)
def test_a_bank_labels_with_the_categories_of_the_classes(
    classes: list[str], defaults: tuple[str, ...]
) -> None:
    engine = Engine()
    made: list[tuple[str, ...]] = []
    stages: list[str] = []

    def make(overrides: tuple[str, ...]) -> Any:
        made.append(overrides)
        return engine

    bank: Any = SimpleNamespace(categories=(CAT, DOG, SOFA))
    source = BankLabels(bank, make, make, stages.append)
    label = source.labeller(map_classes(source.categories, classes))
    assert made == [], "no model is loaded before the first image"
    assert [label(sample(name)).tolist() for name in "ab"] == [[[7]], [[7]]]
    assert made == [defaults], "one engine; without a background class everything is labelled"
    assert engine.asked == [{7, 3}, {7, 3}], "the sofa takes no part"
    assert stages == ["loading segmenter", "first image"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_predictions_in_the_order_of_classes_txt(tmp_path: Path, name: str) -> None:
    grey_png(tmp_path / "a.png", [[0, 1, 2, 255]])
    grey_16(tmp_path / "b.png", [[0, 1, 2, 65535]])
    lines(tmp_path / "classes.txt", THREE)
    stored = StoredLabels.open(tmp_path)
    assert [c.name for c in stored.categories] == ["cat", "background", "sea"]
    assert stored.label(sample(name)).tolist() == [[0, 1, 2, -1]]


def test_predictions_as_rim_writes_them(tmp_path: Path) -> None:
    grey_16(tmp_path / "a.labels.png", [[0, 1, 3]])
    photo(tmp_path / "a.overlay.png", [[0]])
    bank = [CategoryRecord(category_id=2, name="sea"), CategoryRecord(category_id=0, name="cat")]
    stored = StoredLabels.open(tmp_path, bank)
    assert stored.label(sample("a")).tolist() == [[-1, 0, 2]]
    with pytest.raises(UsageError, match=r"expected classes\.txt.*or the BANK that made them"):
        StoredLabels.open(tmp_path)
    lines(tmp_path / "classes.txt", THREE)
    assert len(StoredLabels.open(tmp_path, bank).categories) == 3, "the file counts"


@pytest.mark.parametrize(
    ("labels", "message"),
    [([[3]], "3 categories, found 3"), ([[0, 254]], "found 254")],
)
def test_numbers_beyond_the_classes_are_refused(tmp_path: Path, labels: Rows, message: str) -> None:
    grey_png(tmp_path / "a.png", labels)
    lines(tmp_path / "classes.txt", THREE)
    with pytest.raises(ImageError, match=message):
        StoredLabels.open(tmp_path).label(sample("a"))


def test_8_bits_are_too_few_for_256_classes(tmp_path: Path) -> None:
    grey_png(tmp_path / "a.png", [[255]])
    lines(tmp_path / "classes.txt", [f"class {i}" for i in range(256)])
    with pytest.raises(ImageError, match="16 bits a pixel for 256 classes"):
        StoredLabels.open(tmp_path).label(sample("a"))


def test_a_folder_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found no folder"):
        StoredLabels.open(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="found an empty folder"):
        StoredLabels.open(tmp_path)
    grey_png(tmp_path / "a.png", [[0]])
    with pytest.raises(UsageError, match=r"expected classes\.txt"):
        StoredLabels.open(tmp_path)


def test_a_prediction_that_changes_changes_the_mark(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg", [[0]])
    grey_png(tmp_path / "masks" / "a.png", [[0]])
    names = lines(tmp_path / "classes.txt", THREE)
    item = folder(tmp_path / "images", tmp_path / "masks", names).items[0]
    grey_png(tmp_path / "predictions" / "a.png", [[0]])
    lines(tmp_path / "predictions" / "classes.txt", THREE)
    stored = StoredLabels.open(tmp_path / "predictions")
    before = stored.marked(item).mark
    assert stored.marked(item).mark == before
    os.utime(stored.file("a"), ns=(1, 1))
    assert stored.marked(item).mark != before
