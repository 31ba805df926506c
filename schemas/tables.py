"""The columns of a shard's three Parquet files, and the row that a builder gives for one image.

images.parquet holds facts, pixels.parquet the images as PNG, features.parquet the region features.
Questions about facts never touch pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.ids import ROLES, pack_feature_id, pack_image_id
from schemas.rle import Rle

STATUSES: tuple[str, ...] = ("accepted", "rejected", "failed")

IMAGES = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("category_id", pa.int32(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("prompt", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field(
            "mask",
            pa.struct([pa.field("size", pa.list_(pa.int32())), pa.field("counts", pa.string())]),
        ),
        pa.field("mask_area", pa.float64()),
        pa.field("sam_score", pa.float64()),
        pa.field("attention_agreement", pa.float64()),
        pa.field("contrast", pa.float64()),
        pa.field(
            "points",
            pa.list_(pa.struct([pa.field("x", pa.int32()), pa.field("y", pa.int32())])),
        ),
        pa.field("file", pa.string()),
    ]
)

PIXELS = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("png", pa.binary()),
        pa.field("attention", pa.binary()),
    ]
)


def features_schema(dimension: int) -> pa.Schema:
    """Columns of features.parquet for embeddings float32 of that length."""
    return pa.schema(
        [
            pa.field("feature_id", pa.int64(), nullable=False),
            pa.field("image_id", pa.int64(), nullable=False),
            pa.field("role", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


@dataclass(frozen=True)
class ReferenceRow:
    """Everything about one reference image: the row that a builder adds to a shard.

    number: of the image in its category, from 0. prompt, seed: None if it was not generated. file:
    the photo that it was made from, relative to the folder of photos; None if it was generated.
    status: "accepted", "rejected" or "failed"; reason: None if and only if it is accepted.
    width, height: pixels. mask_area: fraction of the image. sam_score: predicted IoU.
    attention_agreement: IoU of mask and binarised attention. contrast: of the raw attention map.
    points: int32 (n, 2), (x, y) pixels. png, attention: PNG files; None if there is no image.
    foreground, background: float32 (d,), L2-normalised; None if there is no such region.

    Raises ValueError if status and reason do not fit together.
    """

    category_id: int
    category: str
    number: int
    source: str
    status: str
    reason: str | None = None
    prompt: str | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    mask: Rle | None = None
    mask_area: float | None = None
    sam_score: float | None = None
    attention_agreement: float | None = None
    contrast: float | None = None
    points: npt.NDArray[np.int32] | None = None
    file: str | None = None
    png: bytes | None = None
    attention: bytes | None = None
    foreground: npt.NDArray[np.float32] | None = None
    background: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"expected a status out of {STATUSES}, found {self.status!r}")
        if (self.status == "accepted") != (self.reason is None):
            raise ValueError(f"expected a reason unless accepted, found {self.reason!r}")

    @property
    def image_id(self) -> int:
        """The id of (category_id, source, number)."""
        return pack_image_id(self.category_id, self.source, self.number)


def images_table(rows: Sequence[ReferenceRow]) -> pa.Table:
    """The facts of the rows, with the columns IMAGES."""
    return pa.table([[_fact(row, name) for row in rows] for name in IMAGES.names], schema=IMAGES)


def pixels_table(rows: Sequence[ReferenceRow]) -> pa.Table:
    """The images of the rows as PNG, with the columns PIXELS."""
    return pa.table([[getattr(row, name) for row in rows] for name in PIXELS.names], schema=PIXELS)


def features_table(rows: Sequence[ReferenceRow], dimension: int) -> pa.Table:
    """The features of the rows that have some, with the columns of `features_schema`.

    Raises ValueError for an embedding of another length, or one that is not finite.
    """
    feature_ids: list[int] = []
    image_ids: list[int] = []
    roles: list[str] = []
    embeddings: list[npt.NDArray[np.float32]] = []
    for row in rows:
        for role, embedding in enumerate((row.foreground, row.background)):
            if embedding is None:
                continue
            if embedding.shape != (dimension,) or not np.isfinite(embedding).all():
                raise ValueError(
                    f"image {row.image_id}, {ROLES[role]}: expected a finite embedding of shape "
                    f"({dimension},), found shape {embedding.shape} from "
                    f"{embedding.min(initial=np.inf)} to {embedding.max(initial=-np.inf)}"
                )
            feature_ids.append(pack_feature_id(row.image_id, role))
            image_ids.append(row.image_id)
            roles.append(ROLES[role])
            embeddings.append(embedding.astype(np.float32))
    flat = np.concatenate(embeddings) if embeddings else np.empty(0, np.float32)
    columns = [
        pa.array(feature_ids, pa.int64()),
        pa.array(image_ids, pa.int64()),
        pa.array(roles, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), dimension),
    ]
    return pa.table(columns, schema=features_schema(dimension))


def _fact(row: ReferenceRow, name: str) -> object:
    if name == "mask":
        if row.mask is None:
            return None
        return {"size": list(row.mask.size), "counts": row.mask.counts}
    if name == "points":
        if row.points is None:
            return None
        return [{"x": int(x), "y": int(y)} for x, y in row.points]
    value: object = getattr(row, name)
    return value
