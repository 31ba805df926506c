"""What follows from all shards: the index, written without holding a bank's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bank_builder.build import build_bank
from bank_builder.derived import write_derived
from bank_builder.feature_spool import kept_blocks, spooled
from schemas.errors import BankDamaged
from schemas.sections import Reference
from schemas.store.bank import StoredBank, index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.index import feature_rows_digest
from schemas.store.prototypes import derive_prototypes, write_prototypes
from schemas.store.verdicts import Verdict
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInStack, settings
from tests.schemas.examples import build_index


@pytest.fixture
def bank(tmp_path: Path) -> StoredBank:
    vocabulary = vocabulary_from_names(["fish", "owl", "ant"])
    build_bank(vocabulary, tmp_path / "bank", settings(images_per_category=7), StandInStack())
    return StoredBank(tmp_path / "bank")


def whole(rows: FeatureRows) -> np.ndarray:
    return np.concatenate(list(rows.blocks()))


def test_a_build_says_which_features_its_index_has(bank: StoredBank) -> None:
    rows = bank.feature_rows()
    assert len(rows.feature_id) == 3 * 7 * 2
    assert bank.manifest.feature_rows == feature_rows_digest(rows.feature_id)
    np.testing.assert_array_equal(bank.features().feature_id, rows.feature_id)
    np.testing.assert_array_equal(bank.features().embeddings, whole(rows))


def test_files_are_those_of_the_features_that_are_left(bank: StoredBank, tmp_path: Path) -> None:
    rows = bank.feature_rows()
    gone = int(rows.feature_id[3]) >> 1
    person = [Verdict(gone, "rejected", "no fish", "person")]
    names = {record.category_id: record.name for record in bank.categories}
    dimension = bank.manifest.dimension

    derived = write_derived(bank.path, 9, bank.shards, names, person, Reference(), dimension)

    kept = rows.feature_id >> 1 != gone
    embeddings, feature_id = whole(rows)[kept], rows.feature_id[kept]
    expected = build_index(tmp_path / "000009.faiss", embeddings, feature_id)
    assert derived.index == expected
    assert derived.feature_rows == feature_rows_digest(feature_id)
    assert derived.prototypes == write_prototypes(
        tmp_path / "000009.prototypes.parquet", derive_prototypes(embeddings, feature_id)
    )
    assert derived.verdicts == tuple(person)
    names_left = {path.name for path in index_folder(bank.path).iterdir()}
    assert {"000009.faiss", "000009.prototypes.parquet"} < names_left
    assert not [name for name in names_left if name.startswith(".tmp-")]


def test_a_bank_without_features(tmp_path: Path) -> None:
    derived = write_derived(tmp_path, 1, [], {}, [], Reference(), 5)
    assert derived.index.rows == 0
    assert derived.verdicts == ()


def test_spooled_features_are_mapped_and_leave_nothing_behind(
    bank: StoredBank, tmp_path: Path
) -> None:
    rows, folder = bank.feature_rows(), tmp_path / "place"
    with spooled(rows, folder) as embeddings:
        assert isinstance(embeddings.base, np.memmap)
        assert not embeddings.flags.writeable
        np.testing.assert_array_equal(embeddings, whole(rows))
    assert list(folder.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), spooled(rows, folder):
        raise KeyboardInterrupt
    assert list(folder.iterdir()) == []


def test_a_damaged_shard_ends_it_and_leaves_nothing_behind(
    bank: StoredBank, tmp_path: Path
) -> None:
    rows, folder = bank.feature_rows(), tmp_path / "place"
    path = bank.path / "shards" / rows.shards[-1].name / "features.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BankDamaged, match=r"features\.parquet"), spooled(rows, folder):
        pass
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_kept_blocks_are_the_kept_rows(at_once: int) -> None:
    embeddings = np.arange(22, dtype=np.float32).reshape(11, 2)
    kept = np.arange(11) % 3 != 1
    blocks = list(kept_blocks(embeddings, kept, at_once))
    assert max(map(len, blocks)) <= at_once
    np.testing.assert_array_equal(np.concatenate(blocks), embeddings[kept])
