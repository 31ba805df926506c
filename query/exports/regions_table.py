"""Format `regions`: all regions of a run in one table, `regions.parquet`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from query.exports.base import FinishedRun, RunPhoto
from query.exports.stored_photo import reference_category
from schemas.store.files import atomic_writer
from schemas.store.parquet import open_writer

FILE = "regions.parquet"
ROWS_AT_ONCE = 2048

_CHARACTERS_AT_ONCE = 1 << 22  # of run lengths

_BOX = pa.struct([(name, pa.int32()) for name in ("x", "y", "width", "height")])
_RLE = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
_REFERENCE = pa.struct(
    [("image_id", pa.int64()), ("category", pa.string()), ("similarity", pa.float64())]
)
SCHEMA = pa.schema(
    [
        ("photo", pa.string()),
        ("name", pa.string()),
        ("region", pa.int32()),
        ("category", pa.string()),
        ("category_id", pa.int32()),
        ("score", pa.float64()),
        ("similarity", pa.float64()),
        ("area", pa.int64()),
        ("box", _BOX),
        ("rle", _RLE),
        ("references", pa.list_(_REFERENCE)),
    ]
)
"""The columns of `regions.parquet`.

photo: relative to the folder that all photos of the run are in. name: of the photo's other files.
region: number in the photo, from 0 by falling score, as in NAME.json. box: in pixels. rle: COCO run
lengths, as in a bank's `images`. references: the nearest, most similar first.
"""


def write_regions(run: FinishedRun) -> None:
    """Writes the regions of all photos, one a row, in the order of the photos; see SCHEMA."""
    with (
        atomic_writer(run.folder / FILE) as file,
        open_writer(file, SCHEMA) as writer,
    ):
        rows: list[dict[str, Any]] = []
        characters = 0
        for photo in run.photos():
            rows.extend(_rows(photo, run))
            characters += sum(len(region.counts) for region in photo.stored.regions)
            if len(rows) >= ROWS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows.clear()
                characters = 0
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))


def _rows(photo: RunPhoto, run: FinishedRun) -> list[dict[str, Any]]:
    size = [photo.stored.height, photo.stored.width]
    return [
        {
            "photo": _utf8(photo.file_name),
            "name": _utf8(photo.name),
            "region": number,
            "category": run.names[region.category_id],
            "category_id": region.category_id,
            "score": region.score,
            "similarity": region.similarity,
            "area": region.area,
            "box": dict(zip(("x", "y", "width", "height"), region.box, strict=True)),
            "rle": {"size": size, "counts": region.counts},
            "references": [
                {
                    "image_id": one.image_id,
                    "category": reference_category(one, run.names),
                    "similarity": one.similarity,
                }
                for one in region.references
            ],
        }
        for number, region in enumerate(photo.stored.regions)
    ]


def _utf8(file_name: str) -> str:
    """A name that Parquet can hold: bytes that are not UTF-8 become `\\udcff`."""
    return file_name.encode("utf-8", "backslashreplace").decode("utf-8")
