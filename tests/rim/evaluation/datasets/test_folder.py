"""A user's own images and label maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from rim.evaluation.datasets.base import read_classes
from rim.evaluation.datasets.folder import folder
from schemas.errors import ImageError, UsageError, VocabularyError
from tests.rim.evaluation.datasets.official import (
    grey_16,
    grey_png,
    lines,
    palette_png,
    photo,
)

THREE = ["cat, kitten", "# a comment", "", "background", "sea"]


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
    for item, message in zip(
        dataset.items, (r"a\.png: expected a label", "expected an image"), strict=True
    ):
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
    with pytest.raises(UsageError, match=r"one image a name, found a\.jpg and a\.png"):
        folder(tmp_path / "images", tmp_path / "masks", lines(tmp_path / "classes.txt", THREE))
