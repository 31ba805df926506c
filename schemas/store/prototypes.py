"""Prototypes: each category's mean and sub-category features, derived from its references.

They stand beside the index as `BANK/index/NNNNNN.prototypes.parquet`: like the index a cache that
can be made again from the shards, like the shards a Parquet file that can be asked in SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds

from schemas.digests import sha256_bytes
from schemas.errors import BankDamaged, UsageError
from schemas.ids import FOREGROUND, unpack_feature_ids, unpack_image_ids
from schemas.records import FileRecord
from schemas.store.files import atomic_writer, make_folder
from schemas.store.parquet import open_dataset_lazily, open_writer, read_table

Float32Array = npt.NDArray[np.float32]

SUBCATEGORIES: Final = 4
"""Sub-category prototypes a category in the file [ours]: no setting, since a query that asks for
another number makes its own from the references in a moment."""

MEAN: Final = "mean"
SUBCATEGORY: Final = "subcategory"

_MAX_ROUNDS = 50
_TIE_DECIMALS = 9  # rounding differs between machines in the 16th digit; ties must not
_DIGEST_KEY = b"references_sha256"
_REPAIR = "it can be made again: rim verify --repair"


@dataclass(frozen=True)
class Clusters:
    """Centres of one category's references.

    centres: float32 (p, d), L2-normalised. sizes: int32 (p,), the references of each, descending.
    """

    centres: Float32Array
    sizes: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Prototypes:
    """The prototypes of a bank, category by category, the mean before the sub-categories.

    category_id: int32 (p,) ascending. kind: "mean" or "subcategory", (p,). number: int32 (p,),
    from 0 within category and kind, larger sub-categories first. references: int32 (p,), how many
    are behind it. embeddings: float32 (p, d), L2-normalised. digest: `references_digest` of the
    references that they are derived from.
    """

    category_id: npt.NDArray[np.int32]
    kind: npt.NDArray[np.str_]
    number: npt.NDArray[np.int32]
    references: npt.NDArray[np.int32]
    embeddings: Float32Array
    digest: str

    def centres(self, per_category: int) -> tuple[Float32Array, ...] | None:
        """By ascending category_id its prototypes, (<= per_category, d); None if not in here.

        1 gives the means, SUBCATEGORIES the sub-categories; the file has no other number.
        """
        kind = {1: MEAN, SUBCATEGORIES: SUBCATEGORY}.get(per_category)
        if kind is None:
            return None
        rows = np.flatnonzero(self.kind == kind)
        return tuple(self.embeddings[own] for _, own in _by_category(self.category_id, rows))


def prototypes_schema(dimension: int) -> pa.Schema:
    """The columns of the file for embeddings of that length."""
    return pa.schema(
        [
            pa.field("category_id", pa.int32(), nullable=False),
            pa.field("kind", pa.string(), nullable=False),
            pa.field("number", pa.int32(), nullable=False),
            pa.field("references", pa.int32(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dimension), nullable=False),
        ]
    )


def references_digest(feature_ids: npt.NDArray[np.int64]) -> str:
    """SHA-256 over the ids of foreground features, ascending: which references there are.

    A shard made again keeps its ids, so this tells apart the references of one version only from
    those of another that accepts other images.
    """
    return sha256_bytes(np.ascontiguousarray(feature_ids, "<i8").tobytes())


def derive_prototypes(embeddings: Float32Array, feature_ids: npt.NDArray[np.int64]) -> Prototypes:
    """The prototypes of a bank's features; backgrounds are passed over.

    Beside the prototypes it takes the memory of the references of one category.

    embeddings: float32 (n, d), L2-normalised; may be mapped from a file. feature_ids: int64 (n,),
    which say category and role; those of foregrounds ascending. Raises UsageError if the shapes do
    not fit together.
    """
    if embeddings.ndim != 2 or feature_ids.shape != embeddings.shape[:1]:
        raise UsageError(
            "expected embeddings (n, d) and feature_ids (n,), "
            f"found {embeddings.shape} and {feature_ids.shape}"
        )
    image_id, role = unpack_feature_ids(feature_ids)
    rows = np.flatnonzero(role == FOREGROUND)
    category_id = unpack_image_ids(image_id).category_id
    ids: list[int] = []
    kinds: list[str] = []
    numbers: list[int] = []
    sizes: list[int] = []
    most = len(np.unique(category_id[rows])) * (1 + SUBCATEGORIES)
    vectors = np.empty((most, embeddings.shape[1]), np.float32)
    for own_id, own in _by_category(category_id, rows):
        for kind, count in ((MEAN, 1), (SUBCATEGORY, SUBCATEGORIES)):
            clusters = cluster(embeddings[own], count)
            found = len(clusters.sizes)
            vectors[len(ids) : len(ids) + found] = clusters.centres
            ids.extend([own_id] * found)
            kinds.extend([kind] * found)
            numbers.extend(range(found))
            sizes.extend(clusters.sizes.tolist())
    return Prototypes(
        category_id=np.array(ids, np.int32),
        kind=np.array(kinds, np.str_),
        number=np.array(numbers, np.int32),
        references=np.array(sizes, np.int32),
        embeddings=vectors[: len(ids)],
        digest=references_digest(feature_ids[rows]),
    )


def cluster(embeddings: Float32Array, count: int, weights: Float32Array | None = None) -> Clusters:
    """At most `count` prototypes of one category's references.

    One is the L2-normalised weighted mean of the references. More are the centres of a spherical
    k-means, so that a category that looks in several ways is not averaged away [paper:
    "subcategory references"; the clustering is ours]. It has no randomness: it starts at the
    reference nearest to the mean and then always at the one farthest from all starts so far;
    empty clusters, and starts at equal features, are dropped.

    Sums are of float64 in a fixed order and similarities are compared after rounding, so that
    another machine gets the same bytes.

    Args:
        embeddings: float32 (n, d), L2-normalised, n >= 1.
        count: at least 1.
        weights: float32 (n,), above 0; None for 1 each.
    """
    points = embeddings.astype(np.float64)
    weighted = points if weights is None else points * weights.astype(np.float64)[:, None]
    mean = _normalised(weighted.mean(axis=0, keepdims=True))
    if count == 1 or len(points) == 1:
        return Clusters(mean.astype(np.float32), np.array([len(points)], np.int32))
    centres = points[_starts(points, mean[0], count)]
    owner = np.full(len(points), -1)
    for _ in range(_MAX_ROUNDS):
        nearest = _similarities(points, centres).argmax(axis=1)
        if (nearest == owner).all():
            break
        used, owner = np.unique(nearest, return_inverse=True)
        centres = _normalised(
            np.stack([weighted[owner == one].mean(axis=0) for one in range(len(used))])
        )
    sizes = np.bincount(owner, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")
    return Clusters(centres[order].astype(np.float32), sizes[order].astype(np.int32))


def write_prototypes(path: Path, prototypes: Prototypes) -> FileRecord:
    """Writes the file in a single step."""
    table = _table(prototypes)
    make_folder(path.parent)
    with atomic_writer(path) as file, open_writer(file, table.schema) as writer:
        writer.write_table(table)
    return FileRecord.of(path, len(prototypes.kind))


def read_prototypes(path: Path, record: FileRecord) -> Prototypes:
    """The prototypes of a file, which must have the recorded bytes; BankDamaged if not."""
    try:
        table = read_table(record.verify(path.parent))
    except BankDamaged as error:
        raise BankDamaged(f"{error}; {_REPAIR}") from error
    column = table.schema.get_field_index("embedding")
    dimension = 0 if column < 0 else getattr(table.schema.types[column], "list_size", 0)
    expected = prototypes_schema(dimension)
    digest = (table.schema.metadata or {}).get(_DIGEST_KEY)
    if digest is None or not table.schema.equals(expected):
        raise BankDamaged(
            f"{path}: expected the columns {expected.names} and the digest of the references, "
            f"found {table.column_names}; {_REPAIR}"
        )
    flat = table["embedding"].combine_chunks().flatten()
    return Prototypes(
        category_id=table["category_id"].to_numpy(),
        kind=np.array(table["kind"].to_pylist(), np.str_),
        number=table["number"].to_numpy(),
        references=table["references"].to_numpy(),
        embeddings=flat.to_numpy(zero_copy_only=False).reshape(-1, dimension),
        digest=digest.decode(),
    )


def prototypes_dataset(folder: Path, record: FileRecord | None, dimension: int) -> ds.Dataset:
    """The file as an Arrow dataset, without rows if there is none.

    The file is not opened before it is asked for: questions about other things need no cache, so
    they are answered where it is missing or damaged.
    """
    schema = prototypes_schema(dimension)
    if record is None:
        return ds.dataset(schema.empty_table())
    return open_dataset_lazily(folder / record.name, schema)


def _table(prototypes: Prototypes) -> pa.Table:
    dimension = prototypes.embeddings.shape[1]
    flat = pa.array(prototypes.embeddings.ravel(), pa.float32())
    columns = [
        pa.array(prototypes.category_id),
        pa.array(prototypes.kind.tolist(), pa.string()),
        pa.array(prototypes.number),
        pa.array(prototypes.references),
        pa.FixedSizeListArray.from_arrays(flat, dimension),
    ]
    schema = prototypes_schema(dimension)
    return pa.table(columns, schema.with_metadata({_DIGEST_KEY: prototypes.digest}))


def _by_category(
    category_id: npt.NDArray[np.int32], rows: npt.NDArray[np.intp]
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Each category of those rows, whose ids ascend, and its rows."""
    found, starts = np.unique(category_id[rows], return_index=True)
    bounds = [*starts.tolist(), len(rows)]
    for position, one in enumerate(found.tolist()):
        yield one, rows[bounds[position] : bounds[position + 1]]


def _starts(
    points: npt.NDArray[np.float64], mean: npt.NDArray[np.float64], count: int
) -> list[int]:
    """Rows to start from: nearest to the mean, then farthest from all starts so far."""
    chosen = [int(_similarities(points, mean[None])[:, 0].argmax())]
    closest = _similarities(points, points[chosen])[:, 0]
    while len(chosen) < min(count, len(points)):
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, _similarities(points, points[chosen[-1:]])[:, 0])
    return chosen


def _similarities(
    points: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.round(points @ centres.T, _TIE_DECIMALS)


def _normalised(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit length in the last axis; a zero vector, the mean of opposite ones, stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.finfo(np.float64).tiny))
