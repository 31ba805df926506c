"""Prototypes: what they are the mean of, how they are stored, and that they can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from schemas.errors import BankDamaged, UsageError
from schemas.ids import BACKGROUND, FOREGROUND, pack_feature_id, pack_image_id
from schemas.records import FileRecord
from schemas.store.bank import StoredBank, index_folder
from schemas.store.prototypes import (
    SUBCATEGORIES,
    cluster,
    derive_prototypes,
    prototypes_schema,
    read_prototypes,
    references_digest,
    write_prototypes,
)
from schemas.store.verdicts import write_verdicts

Floats = NDArray[np.float32]


def towards(*degrees: float) -> Floats:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def angles_of(centres: Floats) -> list[float]:
    return list(np.degrees(np.arctan2(centres[:, 1], centres[:, 0])) % 360)


def feature_ids(*counts: int, role: int = FOREGROUND) -> NDArray[np.int64]:
    """The ids of so many images of category 0, 1, ..."""
    return np.array(
        [
            pack_feature_id(pack_image_id(category_id, "diffusion", number), role)
            for category_id, count in enumerate(counts)
            for number in range(count)
        ],
        np.int64,
    )


# --- the maths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_centres_are_few_and_of_length_one(count: int) -> None:
    clusters = cluster(towards(0, 2, 90, 92, 200), count)
    assert 1 <= len(clusters.centres) <= min(count, 5)
    assert clusters.sizes.sum() == 5
    np.testing.assert_allclose(np.linalg.norm(clusters.centres, axis=1), 1, rtol=1e-6)
    if count == 3:
        np.testing.assert_allclose(sorted(angles_of(clusters.centres)), [1, 91, 200], atol=0.01)


def test_larger_clusters_come_first() -> None:
    clusters = cluster(towards(200, 90, 92, 0, 1, 2), 3)
    np.testing.assert_allclose(angles_of(clusters.centres), [1, 91, 200], atol=0.01)
    assert clusters.sizes.tolist() == [3, 2, 1]


def test_weights_pull_a_mean_as_copies_would() -> None:
    copies = cluster(towards(0, 60, 60, 60), 1)
    weighted = cluster(towards(0, 60), 1, np.array([1, 3], np.float32))
    np.testing.assert_allclose(weighted.centres, copies.centres, atol=1e-7)
    two = cluster(towards(0, 4, 90), 2, np.array([1, 3, 1], np.float32))
    np.testing.assert_allclose(angles_of(two.centres), [3, 90], atol=0.01)


def test_the_same_image_over_and_over_is_one_prototype() -> None:
    clusters = cluster(np.repeat(towards(30), 7, axis=0), 4)
    np.testing.assert_allclose(clusters.centres, towards(30), atol=1e-7)
    assert clusters.sizes.tolist() == [7]


def test_opposite_references_have_a_mean_all_the_same() -> None:
    assert np.isfinite(cluster(towards(0, 180), 1).centres).all()


def test_well_apart_clusters_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    hubs = np.eye(3, 8)
    points = np.repeat(hubs, [9, 6, 4], axis=0) + 0.1 * rng.normal(size=(19, 8))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    clusters = cluster(points, 3)
    theirs = KMeans(3, n_init=10, random_state=0).fit(points).cluster_centers_
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    best = (clusters.centres @ theirs.T).max(axis=1)
    np.testing.assert_allclose(best, 1, atol=1e-6)
    assert clusters.sizes.tolist() == [9, 6, 4]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 359), min_size=1, max_size=20), st.integers(1, 6))
def test_every_reference_belongs_to_its_nearest_centre(degrees: list[int], count: int) -> None:
    points = towards(*degrees)
    clusters = cluster(points, count)
    assert clusters.sizes.min() > 0
    if len(clusters.centres) > 1:
        owner = np.round(points @ clusters.centres.T, 5).argmax(axis=1)
        assert (np.diff(clusters.sizes) <= 0).all()
        assert len(np.unique(owner)) <= len(clusters.centres)


# --- a bank's -------------------------------------------------------------------------------------


def test_derived_from_foregrounds_category_by_category() -> None:
    east, north = towards(0, 10), towards(90)
    backgrounds = towards(180, 180, 180)
    ids = np.concatenate([feature_ids(2, 1), feature_ids(2, 1, role=BACKGROUND)])
    order = np.argsort(ids)
    made = derive_prototypes(np.concatenate([east, north, backgrounds])[order], ids[order])
    assert made.category_id.tolist() == [0, 0, 0, 1, 1]
    assert made.kind.tolist() == ["mean", *["subcategory"] * 2, "mean", "subcategory"]
    assert made.number.tolist() == [0, 0, 1, 0, 0]
    assert made.references.tolist() == [2, 1, 1, 1, 1]
    np.testing.assert_allclose(made.embeddings[[0, 3]], towards(5, 90), atol=1e-6)
    assert made.digest == references_digest(feature_ids(2, 1))

    means = made.centres(1)
    assert means is not None
    np.testing.assert_allclose(np.concatenate(means), towards(5, 90), atol=1e-6)
    several = made.centres(SUBCATEGORIES)
    assert several is not None
    assert [len(own) for own in several] == [2, 1]
    assert made.centres(SUBCATEGORIES + 1) is None


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match=r"found \(2, 2\) and \(3,\)"):
        derive_prototypes(towards(0, 1), feature_ids(3))


def test_written_and_read(tmp_path: Path) -> None:
    made = derive_prototypes(towards(0, 40, 90, 100, 200), feature_ids(3, 2))
    path = tmp_path / "index" / "000001.prototypes.parquet"
    record = write_prototypes(path, made)
    assert record.rows == len(made.kind)
    read = read_prototypes(path, record)
    for name in ("category_id", "kind", "number", "references", "embeddings"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    assert read.digest == made.digest
    assert pq.read_table(path).schema.equals(prototypes_schema(2))  # type: ignore[no-untyped-call]
    assert write_prototypes(path, made) == record


def test_a_bank_without_references(tmp_path: Path) -> None:
    made = derive_prototypes(np.empty((0, 3), np.float32), np.empty(0, np.int64))
    path = tmp_path / "p.parquet"
    read = read_prototypes(path, write_prototypes(path, made))
    assert read.embeddings.shape == (0, 3)


def test_the_bank_reads_its_own(bank_path: Path) -> None:
    bank = StoredBank(bank_path)
    stored = bank.prototypes()
    assert stored is not None
    features = bank.features()
    rows = features.role == FOREGROUND
    assert stored.digest == references_digest(features.feature_id[rows])
    fish = features.embeddings[rows & (features.category_id == 1)].sum(axis=0)
    mean = stored.embeddings[(stored.category_id == 1) & (stored.kind == "mean")]
    np.testing.assert_allclose(mean[0], fish / np.linalg.norm(fish), atol=1e-6)
    assert bank.prototypes() is stored
    assert StoredBank(bank_path, version=1).prototypes() is None


# --- damage ---------------------------------------------------------------------------------------


def test_damage_is_named_with_the_way_to_repair_it(bank_path: Path) -> None:
    path = index_folder(bank_path) / "000002.prototypes.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BankDamaged, match=r"000002\.prototypes\.parquet.*rim verify --repair"):
        StoredBank(bank_path).prototypes()


def test_a_parquet_file_of_other_columns_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    write_verdicts(path, [])
    with pytest.raises(BankDamaged, match="expected the columns"):
        read_prototypes(path, FileRecord.of(path, 0))
