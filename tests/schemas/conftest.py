"""A small finished bank: two categories, one shard each, embeddings of length 4."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.settings import Settings, load_settings
from schemas.store.bank import StoredBank, index_folder
from schemas.store.index import feature_rows_digest
from schemas.store.manifests import commit_manifest
from schemas.store.prototypes import derive_prototypes, write_prototypes
from tests.schemas.examples import (
    accepted_row,
    build_index,
    failed_row,
    make_manifest,
    rejected_row,
    shard_spec,
    write_rows,
)


@pytest.fixture
def settings() -> Settings:
    """The paper preset."""
    return load_settings("paper")


@pytest.fixture
def bank_path(tmp_path: Path, settings: Settings) -> Path:
    """A finished bank: house 0 accepted, 1 rejected, 2 failed; fish 0, 1 and 2 accepted."""
    path = tmp_path / "bank"
    house = write_rows(
        path,
        shard_spec(0, "house"),
        [accepted_row(0, "house", 0), rejected_row(0, "house", 1), failed_row(0, "house", 2)],
    )
    fish = write_rows(
        path, shard_spec(1, "fish"), [accepted_row(1, "fish", number) for number in range(3)]
    )
    # Shards in the wrong order: nothing may depend on the order in the manifest.
    commit_manifest(path, make_manifest(settings, shards=(fish, house)))
    features = StoredBank(path).features()
    index = build_index(
        index_folder(path) / "000002.faiss", features.embeddings, features.feature_id
    )
    prototypes = write_prototypes(
        index_folder(path) / "000002.prototypes.parquet",
        derive_prototypes(features.embeddings, features.feature_id),
    )
    commit_manifest(
        path,
        make_manifest(
            settings,
            version=2,
            shards=(fish, house),
            index=index,
            prototypes=prototypes,
            feature_rows=feature_rows_digest(features.feature_id),
        ),
    )
    return path
