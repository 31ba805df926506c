"""The table of regions, as pyarrow and pycocotools read it, and the memory that it takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco

from foundation.images.masks import decode_rle
from query.exports import regions_table
from query.exports.base import FinishedRun, RunPhoto
from query.exports.coco import write_coco
from query.exports.regions_table import SCHEMA, write_regions
from query.exports.stored_photo import StoredPhoto
from tests.query.exports.results import MARK, NAMES, finished, random_result, segmentation


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
    odd = RunPhoto(1, "\udcff", "\udcff.png", photo.stored)
    write_regions(FinishedRun(tmp_path, NAMES, 7, lambda: iter([odd])))
    row = pq.read_table(tmp_path / "regions.parquet").to_pylist()[0]
    assert row["photo"] == "\\udcff.png"


def test_many_photos_take_no_more_memory_than_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 photos with 256 kB of run lengths each: 16 MB of them in all, 0.5 MB at once."""
    monkeypatch.setattr(regions_table, "_CHARACTERS_AT_ONCE", 1 << 19)
    stored = StoredPhoto.of(random_result(1, number=4), MARK)

    def photos() -> Iterator[RunPhoto]:
        for number in range(64):
            regions = [one.model_copy(update={"counts": chr(48 + number % 40) * (1 << 16)})
                       for one in stored.regions]  # fmt: skip
            yield RunPhoto(number, "a", "a", stored.model_copy(update={"regions": regions}))

    run = FinishedRun(tmp_path, NAMES, 7, photos)
    tracemalloc.start()
    try:
        write_coco(run)
        write_regions(run)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "coco-instances.json").stat().st_size > 16e6
    assert pq.ParquetFile(tmp_path / "regions.parquet").num_row_groups == 32
    assert peak < 6e6
