"""COCO files as pycocotools and the panoptic format's own rule read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from foundation.images.masks import decode_rle
from query.exports.coco import encode_panoptic, write_coco
from query.segmentation import Segmentation
from schemas.errors import OutputError
from tests.query.exports.results import NAMES, finished, random_result, segmentation, target, write

RESULTS = (random_result(0), random_result(1, (25, 31)), segmentation(np.full((4, 5), -1)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # its own
def test_pycocotools_reads_the_regions(tmp_path: Path) -> None:
    write_coco(finished(tmp_path, RESULTS))
    coco = COCO(tmp_path / "coco-instances.json")
    assert [(one["id"], one["name"]) for one in coco.loadCats(coco.getCatIds())] == [
        (1, "fish"),
        (3, "grün, <b>"),
        (4, "house"),
    ]
    assert coco.getImgIds() == [1, 2, 3]
    for image, result in zip(coco.loadImgs([1, 2, 3]), RESULTS, strict=True):
        assert (image["height"], image["width"]) == result.label_map.shape
        assert image["file_name"] == f"day {image['id'] - 1}/a{image['id'] - 1}.jpg"
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        assert len(annotations) == len(result.regions)
        for annotation, region in zip(annotations, result.regions, strict=True):
            mask = coco.annToMask(annotation).astype(bool)
            np.testing.assert_array_equal(mask, decode_rle(region.rle))
            rows, columns = np.nonzero(mask)
            x, y, width, height = annotation["bbox"]
            assert (x, x + width) == (columns.min(), columns.max() + 1)
            assert (y, y + height) == (rows.min(), rows.max() + 1)
            assert annotation["area"] == mask.sum() > 0
            assert annotation["category_id"] == region.category_id + 1
            assert annotation["iscrowd"] == 0
            assert annotation["score"] == pytest.approx(region.score, abs=1e-6)
    numbers = coco.getAnnIds()
    assert len(set(numbers)) == len(numbers) == 10


def test_a_run_without_regions_has_empty_lists(tmp_path: Path) -> None:
    write_coco(finished(tmp_path, RESULTS[2:]))
    content = json.loads((tmp_path / "coco-instances.json").read_text("utf-8"))
    assert content["annotations"] == []
    assert len(content["images"]) == 1


@pytest.mark.parametrize("category_id", [0, 300, 70_000, (1 << 24) - 2])
def test_segment_ids_of_every_size(tmp_path: Path, category_id: int) -> None:
    labels = np.array([[category_id, -1, category_id]])
    result = segmentation(labels, names={category_id: "one"})
    (path,) = write(tmp_path, encode_panoptic(result, target(tmp_path)))
    np.testing.assert_array_equal(ids_of(path), labels + 1)


def test_an_id_that_no_pixel_can_hold_is_refused(tmp_path: Path) -> None:
    result = segmentation(np.zeros((1, 1)), names={0: "fish", (1 << 24) - 1: "far"})
    with pytest.raises(OutputError, match="below 16777215 in 24-bit segment ids, found 16777215"):
        encode_panoptic(result, target(tmp_path))


def ids_of(path: Path) -> np.ndarray:
    """The segments of a panoptic PNG, by the format's rule."""
    with Image.open(path) as image:
        assert image.mode == "RGB"
        rgb = np.asarray(image).astype(np.int64)
    return np.asarray(rgb[..., 0] + 256 * rgb[..., 1] + 256**2 * rgb[..., 2])


def check_segments(ids: np.ndarray, segments: list[dict], result: Segmentation) -> None:
    """The segments are exactly the categories of the label map, with their areas and boxes."""
    np.testing.assert_array_equal(ids, result.label_map + 1)
    assert {one["id"] for one in segments} == set(np.unique(ids)) - {0}
    for one in segments:
        rows, columns = np.nonzero(ids == one["id"])
        assert one["area"] == len(rows)
        width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert one["bbox"] == [columns.min(), rows.min(), width, height]
        assert one["category_id"] == result.label_map[rows[0], columns[0]] + 1
        assert one["iscrowd"] == 0


def test_the_panoptic_file_and_its_images_are_the_label_maps(tmp_path: Path) -> None:
    write_coco(finished(tmp_path, RESULTS))
    content = json.loads((tmp_path / "coco-panoptic.json").read_text("utf-8"))
    assert [one["isthing"] for one in content["categories"]] == [0] * len(NAMES)
    assert len({tuple(one["color"]) for one in content["categories"]}) == len(NAMES)
    images = {one["id"]: one["file_name"] for one in content["images"]}
    for annotation, result in zip(content["annotations"], RESULTS, strict=True):
        (path,) = write(tmp_path, encode_panoptic(result, target(tmp_path)))
        assert path == tmp_path / "panoptic" / "a0.png"
        check_segments(ids_of(path), annotation["segments_info"], result)
        stem = annotation["file_name"].removesuffix(".png")
        assert images[annotation["image_id"]] == f"day {stem[1:]}/{stem}.jpg"
