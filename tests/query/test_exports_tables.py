"""Palette pictures, the table of regions, `supervision` and JSON in pieces, by other readers."""

from __future__ import annotations

import io
import json
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as coco

from foundation.images.masks import decode_rle
from query.exports import regions_table
from query.exports.base import FinishedRun, RunPhoto
from query.exports.coco_instances import write_instances
from query.exports.json_pieces import json_bytes, write_object
from query.exports.kept import KeptPhoto
from query.exports.regions_table import SCHEMA, write_regions
from query.overlay import category_colour
from rim.evaluation.datasets.base import read_classes
from schemas.errors import OutputError, UsageError
from tests.query.results import MARK, NAMES, finished, random_result, region, segmentation


def test_a_palette_picture_holds_the_numbers_and_shows_the_overlays_colours(
    tmp_path: Path,
) -> None:
    result = random_result(5)
    written = result.save(tmp_path, "photo", ["palette"])
    assert [path.name for path in written] == ["photo.palette.png", "classes.txt"]
    with Image.open(written[0]) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), result.label_map + 1)
        shown = np.asarray(picture.convert("RGB"))
    for category_id in NAMES:
        assert {*map(tuple, shown[result.label_map == category_id].tolist())} == {
            category_colour(category_id)
        }
    assert not shown[result.label_map == -1].any(), "unlabelled is black"


def test_line_n_of_the_classes_is_index_n(tmp_path: Path) -> None:
    random_result(5).save(tmp_path, "photo", ["palette"])
    lines = (tmp_path / "classes.txt").read_text("utf-8").split("\n")
    assert lines == ["fish", "(removed 1)", "grün, <b>", "house", ""]
    assert [one.name for one in read_classes(tmp_path / "classes.txt")][3] == "house"


def test_the_last_category_that_fits_a_palette(tmp_path: Path) -> None:
    fits = segmentation(np.array([[254, 0]]), names={0: "fish", 254: "house"})
    (path, _) = fits.save(tmp_path, "photo", ["palette"])
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert np.asarray(picture).tolist() == [[255, 1]]
    more = segmentation(np.array([[0]]), names={0: "fish", 255: "house"})
    with pytest.raises(OutputError, match="below 255 in an 8-bit palette picture, found 255"):
        more.save(tmp_path, "other", ["labels", "palette"])
    assert not list(tmp_path.glob("other*")), "refused before anything is written"


@pytest.mark.parametrize("kind", ["coco", "dataset", "regions"])
def test_a_single_result_has_no_files_about_many(tmp_path: Path, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"{kind} is of a whole run: rim\.query_folder"):
        random_result(0).save(tmp_path, "photo", ["labels", kind])
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_the_table_has_every_region_in_the_order_of_the_photos(tmp_path: Path) -> None:
    results = [random_result(1), segmentation(np.zeros((3, 3))), random_result(2, number=7)]
    write_regions(finished(tmp_path, results))
    rows = pq.read_table(tmp_path / "regions.parquet").to_pylist()
    assert len(rows) == 12
    of_photo = [(i, n, one) for i, all_of in enumerate(results)
                for n, one in enumerate(all_of.regions)]  # fmt: skip
    for row, (photo, number, one) in zip(rows, of_photo, strict=True):
        assert (row["photo"], row["name"], row["region"]) == (
            f"day {photo}/a{photo}.jpg",
            f"a{photo}",
            number,
        )
        assert (row["category"], row["category_id"]) == (one.category, one.category_id)
        assert (row["score"], row["similarity"], row["area"]) == (
            one.score,
            one.similarity,
            one.area,
        )
        assert tuple(row["box"].values()) == one.box
        mask = coco.decode({**row["rle"], "counts": row["rle"]["counts"].encode()})
        np.testing.assert_array_equal(mask.astype(bool), decode_rle(one.rle))
        assert row["references"] == [
            {"image_id": near.image_id, "category": near.category, "similarity": near.similarity}
            for near in one.references
        ]


def test_a_table_without_a_region_has_its_columns(tmp_path: Path) -> None:
    write_regions(finished(tmp_path, [segmentation(np.zeros((3, 3)))]))
    table = pq.read_table(tmp_path / "regions.parquet")
    assert (table.num_rows, table.schema.names) == (0, SCHEMA.names)


def test_a_name_that_is_not_utf_8_is_escaped_in_the_table(tmp_path: Path) -> None:
    run = finished(tmp_path, [random_result(1)])
    (photo,) = run.photos()
    odd = RunPhoto(1, "\udcff", "\udcff.png", photo.kept)
    write_regions(FinishedRun(tmp_path, NAMES, 7, lambda: iter([odd])))
    row = pq.read_table(tmp_path / "regions.parquet").to_pylist()[0]
    assert row["photo"] == "\\udcff.png"


def test_many_photos_take_no_more_memory_than_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 photos with 256 kB of run lengths each: 16 MB of them in all, 0.5 MB at once."""
    monkeypatch.setattr(regions_table, "_CHARACTERS_AT_ONCE", 1 << 19)
    kept = KeptPhoto.of(random_result(1, number=4), MARK)

    def photos() -> Iterator[RunPhoto]:
        for number in range(64):
            regions = [one.model_copy(update={"counts": chr(48 + number % 40) * (1 << 16)})
                       for one in kept.regions]  # fmt: skip
            yield RunPhoto(number, "a", "a", kept.model_copy(update={"regions": regions}))

    run = FinishedRun(tmp_path, NAMES, 7, photos)
    tracemalloc.start()
    try:
        write_instances(run)
        write_regions(run)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "coco-instances.json").stat().st_size > 16e6
    assert pq.ParquetFile(tmp_path / "regions.parquet").num_row_groups == 32
    assert peak < 6e6


def test_what_is_kept_is_the_result() -> None:
    result = random_result(6)
    kept = KeptPhoto.model_validate_json(KeptPhoto.of(result, MARK).model_dump_json())
    again = kept.segmentation(result.image, NAMES, 7)
    np.testing.assert_array_equal(again.label_map, result.label_map)
    assert again.regions == result.regions
    assert (again.category_names, again.bank_version) == (NAMES, 7)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_json_has_what_json_does_not_know(value: float) -> None:
    mask = np.ones((1, 1), dtype=bool)
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"score": region(mask, 0, value).score})


def test_json_in_pieces_is_json() -> None:
    def write(**members: object) -> object:
        file = io.BytesIO()
        write_object(file, members)
        return json.loads(file.getvalue().decode("utf-8"))

    assert write() == {}
    assert write(a=iter([])) == {"a": []}
    assert write(a=1, b=iter([{"ä": [1]}, 2]), c="\udcff") == {
        "a": 1,
        "b": [{"ä": [1]}, 2],
        "c": "\udcff",
    }


@pytest.mark.filterwarnings("ignore:OpenCV")  # which it would like to have
def test_supervision_gets_the_regions() -> None:
    pytest.importorskip("supervision")
    result = random_result(8)
    found = result.to_supervision()
    assert len(found) == 5
    assert found.mask.dtype == bool
    for i, one in enumerate(result.regions):
        rows, columns = np.nonzero(found.mask[i])
        np.testing.assert_array_equal(found.mask[i], decode_rle(one.rle))
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found.xyxy[i].tolist() == corners
        assert found.class_id[i] == one.category_id
        assert found.data["class_name"][i] == one.category
        assert found.confidence[i] == np.float32(one.score)
    np.testing.assert_array_equal(found.area, [one.area for one in result.regions])
    houses = found[found.data["class_name"] == "house"]
    assert set(houses.class_id.tolist()) == {3}
    nothing = segmentation(np.zeros((3, 4))).to_supervision()
    assert (len(nothing), nothing.mask.shape) == (0, (0, 3, 4))


def test_without_supervision_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match=r"pip install \"rim-bank\[supervision\]\""):
        random_result(8).to_supervision()
