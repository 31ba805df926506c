"""The index finds what a matrix product finds, and is never read unless its bytes are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.errors import BankDamaged, UsageError
from schemas.index import FeatureIndex, build_index
from schemas.records import FileRecord


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


def test_loading_leaves_the_slow_path_behind(tmp_path: Path) -> None:
    _, record = make_index(tmp_path / "i.faiss")
    FeatureIndex.load(tmp_path / "i.faiss", record)
    import faiss

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


def test_recorded_bytes_that_are_no_index(tmp_path: Path) -> None:
    path = tmp_path / "i.faiss"
    path.write_bytes(b"x" * 100)
    with pytest.raises(BankDamaged, match="FAISS cannot read it"):
        FeatureIndex.load(path, FileRecord.of(path, rows=1))


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found \(3, 4\) and \(2,\)"):
        build_index(tmp_path / "i", np.zeros((3, 4), np.float32), np.zeros(2, np.int64))
    _, record = make_index(tmp_path / "i.faiss")
    index = FeatureIndex.load(tmp_path / "i.faiss", record)
    with pytest.raises(UsageError, match=r"expected queries \(q, 32\).*found \(2, 31\) and 1"):
        index.search(np.zeros((2, 31), np.float32), 1)
    with pytest.raises(UsageError, match="k of at least 1"):
        index.search(np.zeros((2, 32), np.float32), 0)
