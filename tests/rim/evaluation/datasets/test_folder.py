"""Anybody's images and label maps, and anybody's predictions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rim.evaluation.datasets.classes import read_classes
from rim.evaluation.datasets.folder import folder
from rim.evaluation.datasets.predictions import StoredLabels
from rim.evaluation.scoring import Sample
from schemas.errors import ImageError, UsageError, VocabularyError
from schemas.records import CategoryRecord
from tests.rim.evaluation.datasets.official import (
    Rows,
    grey_16,
    grey_png,
    lines,
    palette_png,
    photo,
)

THREE = ["cat, kitten", "# a comment", "", "background", "sea"]


def sample(name: str) -> Sample:
    return Sample(name, np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), int))


def test_classes_keep_the_place_of_background(tmp_path: Path) -> None:
    classes = read_classes(lines(tmp_path / "classes.txt", THREE))
    assert [c.name for c in classes] == ["cat", "background", "sea"]
    assert classes[0].synonyms == ("kitten",)
    with pytest.raises(VocabularyError, match="stands twice"):
        read_classes(lines(tmp_path / "twice.txt", ["cat", "Cat"]))
    with pytest.raises(VocabularyError, match="cannot read the classes"):
        read_classes(tmp_path / "nowhere.txt")


def test_a_folder_of_label_maps_of_every_kind(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg", [[0] * 4])
    photo(tmp_path / "images" / "b.png", [[0] * 2])
    photo(tmp_path / "images" / "c.jpeg", [[0] * 2])
    grey_png(tmp_path / "masks" / "a.png", [[0, 1, 2, 255]])
    grey_16(tmp_path / "masks" / "b.tif", [[2, 65535]])
    palette_png(tmp_path / "masks" / "c.png", [[1, 2]])
    names = lines(tmp_path / "classes.txt", THREE)
    dataset = folder(tmp_path / "images", tmp_path / "masks", names)
    assert [(item.name, item.load().truth.tolist()) for item in dataset.items] == [
        ("a", [[0, 1, 2, -1]]),
        ("b", [[2, -1]]),
        ("c", [[1, 2]]),
    ]


def test_photos_and_label_maps_may_lie_together(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", [[0, 0]])
    grey_png(tmp_path / "a.png", [[0, 9]])
    names = lines(tmp_path / "classes.txt", THREE)
    dataset = folder(tmp_path, tmp_path, names, ignore=9)
    assert dataset.items[0].load().truth.tolist() == [[0, -1]]


def test_what_has_no_counterpart_cannot_be_scored(tmp_path: Path) -> None:
    photo(tmp_path / "images" / "a.jpg", [[0]])
    grey_png(tmp_path / "masks" / "b.png", [[0]])
    dataset = folder(
        tmp_path / "images", tmp_path / "masks", lines(tmp_path / "classes.txt", THREE)
    )
    for item, message in zip(dataset.items, (r"a\.png: expected a label", "picture"), strict=True):
        with pytest.raises(ImageError, match=message):
            item.load()


def test_the_ignored_label_is_no_class(tmp_path: Path) -> None:
    names = lines(tmp_path / "classes.txt", THREE)
    with pytest.raises(UsageError, match=r"ignored label from 3, .* found 2"):
        folder(tmp_path, tmp_path, names, ignore=2)
    many = lines(tmp_path / "many.txt", [f"class {i}" for i in range(256)])
    photo(tmp_path / "images" / "a.jpg", [[0]])
    grey_png(tmp_path / "masks" / "a.png", [[255]])
    dataset = folder(tmp_path / "images", tmp_path / "masks", many)
    with pytest.raises(ImageError, match="16-bit label map for 256 classes, found 8 bits"):
        dataset.items[0].load()


def test_two_photos_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        photo(tmp_path / "images" / name, [[0]])
    grey_png(tmp_path / "masks" / "a.png", [[0]])
    with pytest.raises(UsageError, match=r"one picture a name, found a\.jpg and a\.png"):
        folder(tmp_path / "images", tmp_path / "masks", lines(tmp_path / "classes.txt", THREE))


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
