"""Verdicts that compare images, and reviews by the user: one small Parquet file per version.

A shard is never changed, so what is decided about its images afterwards stands here. A review
stands above the automatic one, which stands above the row's own status; an image that
failed has nothing to accept and stays failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import BankDamaged
from schemas.records import FileRecord
from schemas.store.files import write_atomic
from schemas.store.parquet import parquet_bytes, read_table
from schemas.tables import IMAGES

Status = Literal["accepted", "rejected"]
Author = Literal["automatic", "person"]

VERDICTS = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("by", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Verdict:
    """A verdict on one image: automatic, or a review by the user (`by` is "person").

    reason: None if and only if it is accepted.

    Raises ValueError if status and reason do not fit together.
    """

    image_id: int
    status: Status
    reason: str | None
    by: Author

    def __post_init__(self) -> None:
        if self.status not in get_args(Status) or self.by not in get_args(Author):
            raise ValueError(f"expected a verdict, found {self.status!r} by {self.by!r}")
        if (self.status == "accepted") != (self.reason is None):
            raise ValueError(f"expected a reason if and only if rejected, found {self.reason!r}")


def verdicts_folder(bank: Path) -> Path:
    """Where a bank's verdicts are."""
    return bank / "verdicts"


def verdicts_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """The verdicts with the columns VERDICTS."""
    rows = list(verdicts)
    columns = [[getattr(row, name) for row in rows] for name in VERDICTS.names]
    return pa.table(columns, schema=VERDICTS)


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> FileRecord:
    """Writes verdicts, sorted by image and author, in a single step.

    Raises ValueError if one author has two verdicts about one image.
    """
    rows = sorted(verdicts, key=lambda verdict: (verdict.image_id, verdict.by))
    if len({(row.image_id, row.by) for row in rows}) != len(rows):
        raise ValueError("expected one verdict an image and author, found two")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, parquet_bytes(verdicts_table(rows)))
    return FileRecord.of(path, len(rows))


def read_verdicts(path: Path, record: FileRecord) -> list[Verdict]:
    """The verdicts of one file, which must have the recorded bytes; BankDamaged if not."""
    table = read_table(record.verify(path.parent))
    if table.schema != VERDICTS:
        raise BankDamaged(f"{path}: expected the columns {VERDICTS.names}, found others")
    try:
        return [Verdict(**row) for row in table.to_pylist()]
    except ValueError as error:
        raise BankDamaged(f"{path}: {error}") from error


def effective_verdicts(verdicts: Iterable[Verdict]) -> dict[int, Verdict]:
    """The verdict that counts for each image_id: the review if there is one."""
    counting: dict[int, Verdict] = {}
    for verdict in verdicts:
        if verdict.by == "person" or verdict.image_id not in counting:
            counting[verdict.image_id] = verdict
    return counting


def apply_verdicts(table: pa.Table, verdicts: Mapping[int, Verdict]) -> pa.Table:
    """The images with status and reason of those that have a verdict replaced, except failed."""
    image_ids = table["image_id"].to_numpy()
    judged = np.isin(image_ids, np.fromiter(verdicts, np.int64))
    judged &= pc.fill_null(pc.not_equal(table["status"], "failed"), True).to_numpy()
    found = [verdicts[image_id] for image_id in image_ids[judged].tolist()]
    for name, values in (
        ("status", [verdict.status for verdict in found]),
        ("reason", [verdict.reason for verdict in found]),
    ):
        column = table[name].combine_chunks()
        replaced = pc.replace_with_mask(column, pa.array(judged), pa.array(values, pa.string()))
        place = table.schema.get_field_index(name)
        table = table.set_column(place, IMAGES.field(name), replaced)
    return table
