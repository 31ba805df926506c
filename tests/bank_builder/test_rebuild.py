"""Index and prototypes are derived anew with the same bytes, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bank_builder.build import build_bank
from bank_builder.rebuild import rebuild_index, rebuild_prototypes
from schemas.errors import BankDamaged
from schemas.store.bank import StoredBank, index_folder
from schemas.store.manifests import commit_manifest
from schemas.vocabulary import vocabulary_from_names
from tests.bank_builder.stand_in import StandInStack, settings

DERIVED = [
    ("faiss", rebuild_index, "index"),
    ("prototypes.parquet", rebuild_prototypes, "prototypes"),
]


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    build_bank(vocabulary_from_names(["fish", "owl"]), tmp_path, settings(), StandInStack())
    return tmp_path


@pytest.mark.parametrize(("ending", "rebuild", "what"), DERIVED)
def test_the_same_bytes_again(
    bank: Path, ending: str, rebuild: Callable[[StoredBank], None], what: str
) -> None:
    path = index_folder(bank) / f"000001.{ending}"
    good = path.read_bytes()
    path.unlink()
    rebuild(StoredBank(bank, check_sizes=False))
    assert path.read_bytes() == good
    assert len(list(index_folder(bank).iterdir())) == 2


@pytest.mark.parametrize(("ending", "rebuild", "what"), DERIVED)
def test_those_of_another_writer_are_not_put_in_place(
    bank: Path, ending: str, rebuild: Callable[[StoredBank], None], what: str
) -> None:
    manifest = StoredBank(bank).manifest
    other = getattr(manifest, what).model_copy(update={"sha256": "0" * 64})
    commit_manifest(bank, manifest.model_copy(update={"version": 2, what: other}))
    path = index_folder(bank) / f"000001.{ending}"
    path.write_bytes(b"harmed")
    with pytest.raises(BankDamaged, match="than the manifest has"):
        rebuild(StoredBank(bank, check_sizes=False))
    assert path.read_bytes() == b"harmed"
    none = manifest.model_copy(update={"version": 3, what: None})
    commit_manifest(bank, none)
    with pytest.raises(BankDamaged, match="names no"):
        rebuild(StoredBank(bank, check_sizes=False))


def test_other_features_than_the_manifest_names(bank: Path) -> None:
    manifest = StoredBank(bank).manifest
    other = manifest.model_copy(update={"version": 2, "feature_rows": "0" * 64})
    commit_manifest(bank, other)
    with pytest.raises(BankDamaged, match="other accepted features than version 2 names"):
        rebuild_index(StoredBank(bank))


def test_a_damaged_shard_gives_nothing(bank: Path) -> None:
    victim = sorted(bank.glob("shards/*/features.parquet"))[0]
    data = bytearray(victim.read_bytes())
    data[-20] ^= 1
    victim.write_bytes(data)
    with pytest.raises(BankDamaged, match=r"features\.parquet"):
        rebuild_index(StoredBank(bank))
