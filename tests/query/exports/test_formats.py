"""The files of a single photo, and what `save` refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foundation.images.masks import encode_rle
from query.result import NearReference, Region
from query.segmentation import Segmentation
from schemas.errors import OutputError, UsageError
from tests.query.exports.results import random_result

MASK = np.array([[True, True, False], [True, True, False]])
REFERENCES = (NearReference(67108865, "house", 0.75), NearReference(5, "fish", 0.5))


def segmentation(label: int = 4) -> Segmentation:
    labels = np.array([[label, label, -1], [label, label, 0]], np.int32)
    region = Region("house", label, 0.875, 0.75, 4, (0, 0, 2, 2), encode_rle(MASK), REFERENCES)
    return Segmentation(
        image=np.full((2, 3, 3), 200, np.uint8),
        label_map=labels,
        regions=(region,),
        category_names={label: "house", 0: "fish"},
        bank_version=3,
    )


def test_the_three_files(tmp_path: Path) -> None:
    written = segmentation().save(tmp_path / "new" / "out", "photo")
    assert [path.name for path in written] == [
        "photo.labels.png",
        "photo.overlay.png",
        "photo.json",
    ]
    assert sorted((tmp_path / "new" / "out").iterdir()) == sorted(written), "and nothing else"
    labels = Image.open(written[0])
    assert labels.mode == "I;16"
    np.testing.assert_array_equal(np.array(labels), [[5, 5, 0], [5, 5, 1]])
    overlay = np.array(Image.open(written[1]))
    np.testing.assert_array_equal(overlay, segmentation().overlay())
    assert json.loads(written[2].read_bytes()) == {
        "format": "rim-regions",
        "format_version": 1,
        "size": [2, 3],
        "bank_version": 3,
        "categories": [
            {"category_id": 0, "category": "fish", "pixels": 1},
            {"category_id": 4, "category": "house", "pixels": 4},
        ],
        "regions": [
            {
                "category": "house",
                "category_id": 4,
                "score": 0.875,
                "similarity": 0.75,
                "area": 4,
                "box": [0, 0, 2, 2],
                "rle": {"size": [2, 3], "counts": encode_rle(MASK).counts},
                "references": [
                    {"image_id": 67108865, "category": "house", "similarity": 0.75},
                    {"image_id": 5, "category": "fish", "similarity": 0.5},
                ],
            }
        ],
    }


def test_only_the_chosen_formats(tmp_path: Path) -> None:
    (path,) = segmentation().save(tmp_path, "photo", formats=["json"])
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "photo.json").write_text("x" * 100_000)
    segmentation().save(tmp_path, "photo", formats=["json"])
    assert json.loads((tmp_path / "photo.json").read_bytes())["size"] == [2, 3]


def test_the_largest_label_fits_and_one_more_is_refused(tmp_path: Path) -> None:
    (path,) = segmentation(65534).save(tmp_path, "photo", formats=["labels"])
    assert np.array(Image.open(path)).max() == 65535
    with pytest.raises(OutputError, match="category ids below 65535"):
        segmentation(65535).save(tmp_path, "other", formats=["labels"])
    assert not (tmp_path / "other.labels.png").exists()


@pytest.mark.parametrize("name", ["", "a/b", "../photo", "/photo", "a\0b"])
def test_a_name_is_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="file name without folders"):
        segmentation().save(tmp_path, name)


@pytest.mark.parametrize("formats", [[], ["labels", "svg"]])
def test_unknown_formats_are_refused_before_anything_is_written(
    tmp_path: Path, formats: list[str]
) -> None:
    with pytest.raises(UsageError, match="labels, overlay, json, palette, labelme, found"):
        segmentation().save(tmp_path, "photo", formats)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        segmentation().save(tmp_path / "file" / "out", "photo")


@pytest.mark.parametrize("kind", ["coco", "dataset", "regions"])
def test_a_single_result_has_no_files_about_many(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"{kind} is of a whole run: rim\.query_folder"):
        random_result(0).save(tmp_path, "photo", ["labels", kind])
    assert not list(tmp_path.iterdir())
