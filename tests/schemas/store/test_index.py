"""The index finds what a matrix product finds, and is never read unless its bytes are right."""

from __future__ import annotations

import hashlib
import mmap
import struct
from pathlib import Path

import faiss
import numpy as np
import pytest

from schemas.errors import BankDamaged, UsageError
from schemas.records import FileRecord
from schemas.store.index import (
    FeatureIndex,
    feature_rows_digest,
    index_order,
    write_index,
)
from tests.schemas.examples import build_index


def unit_vectors(count: int, dimension: int, seed: int) -> np.ndarray:
    """Random float32 directions (count, dimension)."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def make_index(path: Path, count: int = 500, dimension: int = 32) -> tuple[np.ndarray, FileRecord]:
    """An index over random vectors whose ids are 3 i + 7."""
    embeddings = unit_vectors(count, dimension, seed=0)
    return embeddings, build_index(path, embeddings, np.arange(count, dtype=np.int64) * 3 + 7)


@pytest.mark.parametrize("queries", [1, 2, 19, 64, 300])
@pytest.mark.parametrize("k", [1, 5])
def test_faiss_and_numpy_agree(tmp_path: Path, queries: int, k: int) -> None:
    embeddings, record = make_index(tmp_path / "i.faiss")
    photo = unit_vectors(queries, 32, seed=1)
    similarity, feature_id = FeatureIndex.load(tmp_path / "i.faiss", record).search(photo, k)
    product = photo @ embeddings.T
    best = np.argsort(-product, axis=1)[:, :k]
    np.testing.assert_array_equal(feature_id, best * 3 + 7)
    np.testing.assert_allclose(
        similarity, np.take_along_axis(product, best, axis=1), rtol=0, atol=1e-6
    )


def test_searching_leaves_the_slow_path_behind(tmp_path: Path) -> None:
    photo, record = make_index(tmp_path / "i.faiss")
    FeatureIndex.load(tmp_path / "i.faiss", record).search(photo[:1], 1)

    assert faiss.cvar.distance_compute_blas_threshold <= 20


def test_k_is_at_most_the_number_of_features(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "i.faiss", count=3)
    index = FeatureIndex.load(tmp_path / "i.faiss", record)
    assert (index.count, index.dimension) == (3, 32)
    similarity, feature_id = index.search(unit_vectors(2, 32, seed=1), 10)
    assert similarity.shape == feature_id.shape == (2, 3)
    assert sorted(feature_id[0]) == [7, 10, 13]


def test_no_features_and_no_queries(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "empty.faiss", count=0)
    empty = FeatureIndex.load(tmp_path / "empty.faiss", record)
    assert empty.search(unit_vectors(2, 32, seed=1), 5)[1].shape == (2, 0)
    _, record = make_index(tmp_path / "full.faiss")
    full = FeatureIndex.load(tmp_path / "full.faiss", record)
    assert full.search(np.empty((0, 32), np.float32), 5)[0].shape == (0, 5)


def test_the_same_features_give_the_same_bytes(tmp_path: Path) -> None:
    _, one = make_index(tmp_path / "i.faiss")
    _, two = make_index(tmp_path / "i.faiss")
    assert one == two
    assert one.size == (tmp_path / "i.faiss").stat().st_size
    assert one.rows == 500


def test_a_flipped_byte_is_found_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "i.faiss"
    _, record = make_index(path, count=20)
    good = path.read_bytes()
    for position in [*range(60), len(good) // 2, len(good) - 1]:
        damaged = bytearray(good)
        damaged[position] ^= 0x01
        path.write_bytes(damaged)
        with pytest.raises(BankDamaged, match="rim verify --repair"):
            FeatureIndex.load(path, record)


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_a_missing_or_short_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "i.faiss"
    _, record = make_index(path)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BankDamaged, match="rim verify --repair"):
        FeatureIndex.load(path, record)


# --- the file's form ------------------------------------------------------------------------------


def as_faiss_writes(embeddings: np.ndarray, feature_ids: np.ndarray) -> bytes:
    """The same index by FAISS's own means, in memory."""
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(embeddings.shape[1]))
    index.add_with_ids(embeddings, feature_ids)
    return faiss.serialize_index(index).tobytes()


@pytest.mark.parametrize("dimension", [1, 2, 12, 384, 1024])
@pytest.mark.parametrize("count", [0, 1, 2, 700])
def test_the_file_is_byte_for_byte_what_faiss_writes(
    tmp_path: Path, count: int, dimension: int
) -> None:
    embeddings = unit_vectors(count, dimension, seed=count)
    feature_ids = np.arange(count, dtype=np.int64) * 5 + (1 << 55)
    expected = as_faiss_writes(embeddings, feature_ids)

    whole = build_index(tmp_path / "whole.faiss", embeddings, feature_ids)
    blocks = (embeddings[start : start + 111] for start in range(0, count, 111))
    streamed = write_index(tmp_path / "i.faiss", blocks, feature_ids, dimension)

    assert (tmp_path / "whole.faiss").read_bytes() == expected
    assert (tmp_path / "i.faiss").read_bytes() == expected
    assert streamed == FileRecord.of(tmp_path / "i.faiss", rows=count)
    assert streamed.sha256 == whole.sha256
    loaded = FeatureIndex.load(tmp_path / "i.faiss", streamed, dimension=dimension)
    np.testing.assert_array_equal(loaded.embeddings, embeddings)
    np.testing.assert_array_equal(loaded.feature_ids, feature_ids)


def test_anybody_can_open_it_with_faiss(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "i.faiss")
    theirs = faiss.read_index(str(tmp_path / "i.faiss"))
    ours = FeatureIndex.load(tmp_path / "i.faiss", record)
    photo = unit_vectors(9, 32, seed=1)
    for found, expected in zip(ours.search(photo, 7), theirs.search(photo, 7), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_vectors_are_mapped_and_cannot_be_changed(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "i.faiss")
    loaded = FeatureIndex.load(tmp_path / "i.faiss", record)
    base: object = loaded.embeddings
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded.embeddings[0] = 0
    # The file may be replaced or deleted; what was opened stays what it was.
    (tmp_path / "i.faiss").unlink()
    assert loaded.search(np.ascontiguousarray(loaded.embeddings[:1]), 1)[1].tolist() == [[7]]


def test_blocks_that_do_not_fit_leave_nothing_behind(tmp_path: Path) -> None:
    path, ids = tmp_path / "i.faiss", np.arange(3, dtype=np.int64)
    with pytest.raises(UsageError, match="expected 3 embeddings, found 2"):
        write_index(path, [np.zeros((2, 4), np.float32)], ids, 4)
    with pytest.raises(UsageError, match=r"of length 4, found the shape \(3, 5\)"):
        write_index(path, [np.zeros((3, 5), np.float32)], ids, 4)
    assert list(tmp_path.iterdir()) == []


def other_kinds() -> dict[str, bytes]:
    """Indexes that FAISS reads without a word, but which are not the one that is named."""
    vectors, ids = unit_vectors(20, 8, seed=0), np.arange(20)
    plain = faiss.IndexFlatIP(8)
    plain.add(vectors)
    distances = faiss.IndexIDMap2(faiss.IndexFlatL2(8))
    distances.add_with_ids(vectors, ids)
    good = as_faiss_writes(vectors, ids)
    return {
        "no index": b"x" * len(good),
        "without ids": faiss.serialize_index(plain).tobytes(),
        "of another metric": faiss.serialize_index(distances).tobytes(),
        "of fewer vectors": as_faiss_writes(vectors[:19], ids[:19]),
        "of another length": as_faiss_writes(vectors[:, :4].copy(), ids),
        "longer": good + b"\0" * 8,
        "shorter": good[:-8],
        "a header": good[:82],
        "nothing": b"",
    }


@pytest.mark.parametrize("kind", other_kinds())
def test_recorded_bytes_of_another_index(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(other_kinds()[kind])
    with pytest.raises(BankDamaged, match="expected an index of 20 vectors of length 8"):
        FeatureIndex.load(path, FileRecord.of(path, rows=20), dimension=8)


def test_a_record_of_more_rows_than_a_file_can_have(tmp_path: Path) -> None:
    path = tmp_path / "i.faiss"
    _, record = make_index(path)
    with pytest.raises(BankDamaged, match="expected an index of"):
        FeatureIndex.load(path, record.model_copy(update={"rows": (1 << 63) - 1}))


def test_the_features_that_the_manifest_names(tmp_path: Path) -> None:
    embeddings, record = make_index(tmp_path / "i.faiss", count=3)
    expected = hashlib.sha256(struct.pack("<3q", 7, 10, 13)).hexdigest()
    assert feature_rows_digest(np.array([7, 10, 13])) == expected
    FeatureIndex.load(tmp_path / "i.faiss", record, feature_rows=expected)
    record = build_index(tmp_path / "i.faiss", embeddings, np.array([7, 13, 10]))
    with pytest.raises(BankDamaged, match="expected the features that the manifest names"):
        FeatureIndex.load(tmp_path / "i.faiss", record, feature_rows=expected)


def test_the_order_is_by_role_and_then_by_id() -> None:
    ids = np.array([9, 2, 4, 3, 8, 1])
    assert ids[index_order(ids)].tolist() == [2, 4, 8, 1, 3, 9]


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "i.faiss")
    index = FeatureIndex.load(tmp_path / "i.faiss", record)
    with pytest.raises(UsageError, match=r"expected queries \(q, 32\).*found \(2, 31\) and 1"):
        index.search(np.zeros((2, 31), np.float32), 1)
    with pytest.raises(UsageError, match="k of at least 1"):
        index.search(np.zeros((2, 32), np.float32), 0)
