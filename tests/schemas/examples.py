"""Rows, shards and manifests that the tests of this folder put banks together from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from schemas.manifest import BuildPlan, Manifest
from schemas.records import CategoryRecord, FileRecord, ModelRecord, ShardRecord
from schemas.rle import Rle
from schemas.settings import Settings, load_settings
from schemas.store.index import write_index
from schemas.store.shard_writer import ShardWriter
from schemas.store.shards import ShardSpec
from schemas.tables import ReferenceRow

DIMENSION = 4


def unit_vector(seed: int) -> np.ndarray:
    """A random float32 direction of length DIMENSION."""
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def accepted_row(category_id: int, category: str, number: int) -> ReferenceRow:
    """One good image with both features; its PNG is a text that names it."""
    return ReferenceRow(
        category_id=category_id,
        category=category,
        number=number,
        source="diffusion",
        status="accepted",
        prompt=f"a photo of a {category}",
        seed=number,
        width=6,
        height=4,
        mask=Rle((4, 6), "08`0"),
        mask_area=0.5,
        sam_score=0.9,
        attention_agreement=0.8,
        contrast=0.7,
        points=np.array([[1, 2], [3, 0]], np.int32),
        png=f"png {category} {number}".encode(),
        attention=f"attention {category} {number}".encode(),
        foreground=unit_vector(100 * category_id + number),
        background=unit_vector(100 * category_id + number + 50),
    )


def rejected_row(category_id: int, category: str, number: int) -> ReferenceRow:
    """An image with a PNG but without a mask."""
    return ReferenceRow(
        category_id=category_id,
        category=category,
        number=number,
        source="diffusion",
        status="rejected",
        reason="empty mask",
        width=6,
        height=4,
        png=b"png",
        attention=b"attention",
    )


def failed_row(category_id: int, category: str, number: int) -> ReferenceRow:
    """An image of which there is nothing."""
    return ReferenceRow(
        category_id=category_id,
        category=category,
        number=number,
        source="diffusion",
        status="failed",
        reason="out of memory",
    )


def shard_spec(
    category_id: int = 0, category: str = "house", start: int = 0, stop: int = 3
) -> ShardSpec:
    """A shard of the paper preset's build hash."""
    return ShardSpec(
        category_id=category_id,
        category=category,
        source="diffusion",
        start=start,
        stop=stop,
        build_hash=load_settings("paper").build_hash(),
    )


def write_shard(
    bank: Path, spec: ShardSpec, rows: Iterable[ReferenceRow], *, dimension: int, **facts: Any
) -> ShardRecord:
    """Writes and publishes a shard from its rows; facts: as of `ShardWriter.finish`."""
    with ShardWriter(bank, spec, dimension=dimension) as writer:
        for row in rows:
            writer.add(row)
        return writer.finish(**facts)


def write_rows(bank: Path, spec: ShardSpec, rows: list[ReferenceRow]) -> ShardRecord:
    """Writes a shard with the things that these tests do not look at filled in."""
    return write_shard(bank, spec, rows, dimension=DIMENSION, batch_size=2, device="cpu")


def build_index(path: Path, embeddings: np.ndarray, feature_ids: np.ndarray) -> FileRecord:
    """Writes the index of embeddings (n, d) in one block."""
    return write_index(path, [embeddings], feature_ids, embeddings.shape[1])


def make_manifest(settings: Settings, **changes: Any) -> Manifest:
    """The manifest of a bank without shards, changed as said."""
    fields: dict[str, Any] = {
        "version": 1,
        "created": "2024-05-01T12:00:00Z",
        "settings": settings.model_dump(mode="json"),
        "build_hash": settings.build_hash(),
        "vocabulary": (
            CategoryRecord(category_id=0, name="house", synonyms=("home",)),
            CategoryRecord(category_id=1, name="fish"),
        ),
        "background": False,
        "next_category_id": 2,
        "dimension": DIMENSION,
        "images_per_category": 3,
        "shards": (),
        "models": {"features": ModelRecord(name="dino", licence="MIT", fingerprint="f" * 64)},
        "libraries": {"numpy": "2"},
        "seconds": {"generate": 1.5},
    }
    return Manifest(**(fields | changes))


def make_plan(settings: Settings) -> BuildPlan:
    """The plan of an unfinished build of one category."""
    return BuildPlan(
        settings=settings.model_dump(mode="json"),
        build_hash=settings.build_hash(),
        vocabulary=(CategoryRecord(category_id=4, name="fish"),),
        background=True,
        next_category_id=5,
        images_per_category=50,
    )
