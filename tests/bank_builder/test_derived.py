"""What follows from all shards: written without holding a bank's features, and rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bank_builder.build import build_bank
from bank_builder.derived import (
    accepted_blocks,
    rebuild_index,
    rebuild_prototypes,
    spooled,
    write_derived,
)
from schemas.errors import BankDamaged
from schemas.sections import Reference
from schemas.store.bank import StoredBank, index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.index import feature_rows_digest
from schemas.store.manifests import commit_manifest
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
def test_accepted_blocks_are_the_accepted_rows(at_once: int) -> None:
    embeddings = np.arange(22, dtype=np.float32).reshape(11, 2)
    kept = np.arange(11) % 3 != 1
    blocks = list(accepted_blocks(embeddings, kept, at_once))
    assert max(map(len, blocks)) <= at_once
    np.testing.assert_array_equal(np.concatenate(blocks), embeddings[kept])


DERIVED = [
    ("faiss", rebuild_index, "index"),
    ("prototypes.parquet", rebuild_prototypes, "prototypes"),
]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    build_bank(vocabulary_from_names(["fish", "owl"]), tmp_path, settings(), StandInStack())
    return tmp_path


@pytest.mark.parametrize(("ending", "rebuild", "what"), DERIVED)
def test_the_same_bytes_again(
    built: Path, ending: str, rebuild: Callable[[StoredBank], None], what: str
) -> None:
    path = index_folder(built) / f"000001.{ending}"
    good = path.read_bytes()
    path.unlink()
    rebuild(StoredBank(built, check_sizes=False))
    assert path.read_bytes() == good
    assert len(list(index_folder(built).iterdir())) == 2


@pytest.mark.parametrize(("ending", "rebuild", "what"), DERIVED)
def test_those_of_another_writer_are_not_put_in_place(
    built: Path, ending: str, rebuild: Callable[[StoredBank], None], what: str
) -> None:
    manifest = StoredBank(built).manifest
    other = getattr(manifest, what).model_copy(update={"sha256": "0" * 64})
    commit_manifest(built, manifest.model_copy(update={"version": 2, what: other}))
    path = index_folder(built) / f"000001.{ending}"
    path.write_bytes(b"harmed")
    with pytest.raises(BankDamaged, match="than the manifest has"):
        rebuild(StoredBank(built, check_sizes=False))
    assert path.read_bytes() == b"harmed"
    none = manifest.model_copy(update={"version": 3, what: None})
    commit_manifest(built, none)
    with pytest.raises(BankDamaged, match="names no"):
        rebuild(StoredBank(built, check_sizes=False))


def test_other_features_than_the_manifest_names(built: Path) -> None:
    manifest = StoredBank(built).manifest
    other = manifest.model_copy(update={"version": 2, "feature_rows": "0" * 64})
    commit_manifest(built, other)
    with pytest.raises(BankDamaged, match="other accepted features than version 2 names"):
        rebuild_index(StoredBank(built))


def test_a_damaged_shard_gives_nothing(built: Path) -> None:
    victim = sorted(built.glob("shards/*/features.parquet"))[0]
    data = bytearray(victim.read_bytes())
    data[-20] ^= 1
    victim.write_bytes(data)
    with pytest.raises(BankDamaged, match=r"features\.parquet"):
        rebuild_index(StoredBank(built))
