"""Banks that the tests of this folder write through the bank's own writers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.images.reading import encode_png
from schemas.manifest import Manifest
from schemas.records import CategoryRecord, ModelRecord
from schemas.rle import Rle
from schemas.settings import Settings, load_settings
from schemas.store.bank import StoredBank, index_folder
from schemas.store.index import feature_rows_digest
from schemas.store.manifests import commit_manifest
from schemas.store.prototypes import derive_prototypes, write_prototypes
from schemas.store.shards import ShardSpec
from schemas.store.verdicts import Verdict, verdicts_folder, write_verdicts
from schemas.tables import ReferenceRow
from tests.schemas.examples import build_index, write_shard

Floats = NDArray[np.float32]


def reference_row(
    category_id: int,
    category: str,
    number: int,
    foreground: Floats | None,
    background: Floats | None = None,
) -> ReferenceRow:
    """An accepted image; its PNG is one grey pixel of brightness `number` (% 100)."""
    return ReferenceRow(
        category_id=category_id,
        category=category,
        number=number,
        source="diffusion",
        status="accepted",
        prompt=f"a photo of a {category}",
        seed=1000 + number,
        width=6,
        height=4,
        mask=Rle((4, 6), "08`0"),
        mask_area=0.5,
        sam_score=0.9,
        attention_agreement=0.8,
        contrast=0.7,
        points=np.array([[1, 2], [3, 0]], np.int32),
        png=encode_png(np.full((1, 1), number % 100, np.uint8)),
        attention=encode_png(np.full((1, 1), 100 + number % 100, np.uint8)),
        foreground=foreground,
        background=background,
    )


def failed(row: ReferenceRow) -> ReferenceRow:
    """The same image, of which there is nothing."""
    return ReferenceRow(
        category_id=row.category_id,
        category=row.category,
        number=row.number,
        source=row.source,
        status="failed",
        reason="out of memory",
    )


def rejected(row: ReferenceRow) -> ReferenceRow:
    """The same image, rejected when it was made."""
    return replace(row, status="rejected", reason="mask too small")


def write_bank(
    path: Path,
    rows: Mapping[str, Sequence[ReferenceRow]],
    *,
    settings: Settings | None = None,
    verdicts: Sequence[Verdict] = (),
    models: Mapping[str, ModelRecord] | None = None,
    synonyms: Mapping[str, tuple[str, ...]] | None = None,
) -> StoredBank:
    """A finished bank of three versions, one shard a category; the first two have no index.

    rows: by category, whose ids are those of their rows.
    """
    settings = load_settings("paper") if settings is None else settings
    dimension = next(
        len(row.foreground) for all_ in rows.values() for row in all_ if row.foreground is not None
    )
    shards, vocabulary = [], []
    for name, own in rows.items():
        category_id = own[0].category_id
        spec = ShardSpec(category_id, name, "diffusion", 0, len(own), settings.build_hash())
        shards.append(write_shard(path, spec, own, dimension=dimension, batch_size=2, device="cpu"))
        vocabulary.append(
            CategoryRecord(
                category_id=category_id, name=name, synonyms=(synonyms or {}).get(name, ())
            )
        )
    manifest = Manifest(
        version=1,
        created="2024-05-01T12:00:00Z",
        settings=settings.model_dump(mode="json"),
        build_hash=settings.build_hash(),
        vocabulary=tuple(vocabulary),
        background=False,
        next_category_id=100,
        dimension=dimension,
        images_per_category=3,
        shards=tuple(shards),
        models=dict(models or {}),
        libraries={"numpy": "2", "torch": "3"},
        seconds={"generate": 1.5},
    )
    commit_manifest(path, manifest)
    record = write_verdicts(verdicts_folder(path) / "000002.parquet", verdicts)
    manifest = manifest.model_copy(update={"version": 2, "verdicts": record})
    commit_manifest(path, manifest)
    features = StoredBank(path).features()
    ids = features.feature_id
    derived = {
        "index": build_index(index_folder(path) / "000003.faiss", features.embeddings, ids),
        "prototypes": write_prototypes(
            index_folder(path) / "000003.prototypes.parquet",
            derive_prototypes(features.embeddings, ids),
        ),
        "feature_rows": feature_rows_digest(ids),
    }
    commit_manifest(path, manifest.model_copy(update={"version": 3, **derived}))
    return StoredBank(path)
