"""The features of a bank stream out of its shards in the index's order, and only if they fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.errors import BankDamaged
from schemas.ids import pack_feature_id, pack_image_id
from schemas.store.bank import StoredBank, index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.index import feature_rows_digest, index_order
from schemas.store.manifests import commit_manifest, read_manifest
from schemas.store.verdicts import Verdict
from tests.schemas.examples import accepted_row, build_index, rejected_row, shard_spec, write_rows

DIMENSION = 4


def image(category_id: int, number: int) -> int:
    return pack_image_id(category_id, "diffusion", number)


@pytest.fixture
def rows(tmp_path: Path) -> FeatureRows:
    """Three shards of two categories, given in the wrong order, one image rejected."""
    fish = write_rows(
        tmp_path, shard_spec(7, "fish", 0, 2), [accepted_row(7, "fish", n) for n in range(2)]
    )
    more = write_rows(tmp_path, shard_spec(7, "fish", 2, 3), [accepted_row(7, "fish", 2)])
    house = write_rows(
        tmp_path,
        shard_spec(2, "house", 0, 2),
        [accepted_row(2, "house", 0), rejected_row(2, "house", 1)],
    )
    return FeatureRows.accepted(tmp_path, [more, house, fish], {}, DIMENSION)


def test_blocks_are_of_one_shard_and_role_in_the_order_of_the_ids(rows: FeatureRows) -> None:
    images = [image(2, 0), *(image(7, n) for n in range(3))]
    expected = [pack_feature_id(one, role) for role in (0, 1) for one in images]
    assert rows.feature_id.tolist() == expected
    assert index_order(rows.feature_id).tolist() == list(range(8))
    blocks = list(rows.blocks())
    assert [len(block) for block in blocks] == [1, 2, 1, 1, 2, 1]
    by_id = {}
    for shard in rows.shards:
        path = rows.bank / "shards" / shard.name / "features.parquet"
        for row in pq.read_table(path).to_pylist():
            by_id[row["feature_id"]] = row["embedding"]
    np.testing.assert_array_equal(np.concatenate(blocks), [by_id[one] for one in expected])


def test_verdicts_count(rows: FeatureRows) -> None:
    verdicts = {
        image(7, 1): Verdict(image(7, 1), "rejected", "no fish", "person"),
        image(2, 0): Verdict(image(2, 0), "rejected", "outlier", "automatic"),
    }
    judged = FeatureRows.accepted(rows.bank, rows.shards, verdicts, DIMENSION)
    kept = {one >> 1 for one in judged.feature_id.tolist()}
    assert kept == {image(7, 0), image(7, 2)}
    assert sum(map(len, judged.blocks())) == 4


def test_shards_of_another_length_are_refused(rows: FeatureRows) -> None:
    with pytest.raises(BankDamaged, match=r"features\.parquet: expected embeddings of length 5"):
        next(replace(rows, dimension=5).blocks())


def test_other_rows_than_the_shards_have_are_refused(rows: FeatureRows) -> None:
    missing = np.append(rows.feature_id, pack_feature_id(image(9, 0), 1))
    with pytest.raises(BankDamaged, match="expected 9 features in the shards, found 8"):
        list(replace(rows, feature_id=missing).blocks())
    turned = rows.feature_id[::-1].copy()
    with pytest.raises(BankDamaged, match=r"order of their ids|features in the shards"):
        list(replace(rows, feature_id=turned).blocks())


def test_no_shards() -> None:
    rows = FeatureRows.accepted(Path("nowhere"), [], {}, DIMENSION)
    assert rows.feature_id.shape == (0,)
    assert list(rows.blocks()) == []


# --- a bank's -------------------------------------------------------------------------------------


def test_a_banks_features_are_those_of_its_shards_and_mapped_from_its_index(
    bank_path: Path,
) -> None:
    bank, without = StoredBank(bank_path), StoredBank(bank_path, version=1)
    assert np.shares_memory(bank.features().embeddings, bank.index().embeddings)
    assert not bank.features().embeddings.flags.writeable
    for name in ("embeddings", "feature_id", "image_id", "category_id", "role"):
        np.testing.assert_array_equal(
            getattr(bank.features(), name), getattr(without.features(), name)
        )
    np.testing.assert_array_equal(bank.feature_rows().feature_id, bank.features().feature_id)


def test_an_index_of_other_features_than_the_manifest_says_is_refused(bank_path: Path) -> None:
    last = read_manifest(bank_path)
    features = StoredBank(bank_path).features()
    other = features.feature_id.copy()
    other[0] += 2 << 10
    index = build_index(index_folder(bank_path) / "000003.faiss", features.embeddings, other)
    commit_manifest(bank_path, last.model_copy(update={"version": 3, "index": index}))
    with pytest.raises(BankDamaged, match="expected the features that the manifest names"):
        StoredBank(bank_path).features()
    impossible = np.array([-2, *other[1:].tolist()])
    index = build_index(index_folder(bank_path) / "000004.faiss", features.embeddings, impossible)
    changes = {"version": 4, "index": index, "feature_rows": feature_rows_digest(impossible)}
    commit_manifest(bank_path, last.model_copy(update=changes))
    with pytest.raises(BankDamaged, match="impossible ids"):
        StoredBank(bank_path).features()
