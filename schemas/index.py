"""Index: the bank's features in FAISS, a cache that can be rebuilt from the Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import BankDamaged, UsageError
from schemas.files import sha256_bytes, write_atomic
from schemas.records import FileRecord

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]


def build_index(path: Path, embeddings: Float32Array, feature_ids: Int64Array) -> FileRecord:
    """Writes an exact inner-product index (IndexIDMap2 over IndexFlatIP) in a single step.

    embeddings: float32 (n, d), L2-normalised if the similarities are to be cosines; n may be 0.
    feature_ids: int64 (n,). Raises UsageError if the shapes do not fit together.
    """
    if embeddings.ndim != 2 or feature_ids.shape != embeddings.shape[:1]:
        raise UsageError(
            "expected embeddings (n, d) and feature_ids (n,), "
            f"found {embeddings.shape} and {feature_ids.shape}"
        )
    faiss = _faiss()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(embeddings.shape[1]))
    index.add_with_ids(
        np.ascontiguousarray(embeddings, np.float32), np.ascontiguousarray(feature_ids, np.int64)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    data = faiss.serialize_index(index).tobytes()
    write_atomic(path, data)
    return FileRecord(
        name=path.name,
        sha256=sha256_bytes(data),
        size=len(data),
        rows=len(feature_ids),
    )


class FeatureIndex:
    """An index in memory that answers nearest-neighbour questions with feature_ids."""

    def __init__(self, index: Any) -> None:
        """index: a FAISS index with ids of its own."""
        self._index = index

    @classmethod
    def load(cls, path: Path, record: FileRecord) -> FeatureIndex:
        """Reads an index whose bytes are the recorded ones.

        FAISS loads flipped bytes without a word, so size and SHA-256 are compared first, and
        FAISS is given those very bytes rather than the file once more. Raises BankDamaged.
        """
        try:
            data = path.read_bytes() if path.stat().st_size == record.size else b""
        except OSError as error:
            raise BankDamaged(
                f"{path}: the index cannot be read ({error.strerror}); "
                "it can be made anew: rim verify --repair"
            ) from error
        if sha256_bytes(data) != record.sha256:
            raise BankDamaged(
                f"{path}: expected the index that was written ({record.size} bytes), found "
                "another content; it can be made anew: rim verify --repair"
            )
        return cls(_deserialize(data))

    @property
    def count(self) -> int:
        """Number of features in the index."""
        return int(self._index.ntotal)

    @property
    def dimension(self) -> int:
        """Length of the embeddings."""
        return int(self._index.d)

    def search(self, queries: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
        """The k most similar features of each query, best first.

        queries: float32 (q, d). Returns similarities float32 (q, k) and feature_ids int64 (q, k);
        k is at most the number of features. Raises UsageError for another shape or k < 1.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dimension or k < 1:
            raise UsageError(
                f"expected queries (q, {self.dimension}) and k of at least 1, "
                f"found {queries.shape} and {k}"
            )
        k = min(k, self.count)
        if k == 0 or len(queries) == 0:
            shape = (len(queries), k)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        similarity, feature_id = self._index.search(np.ascontiguousarray(queries, np.float32), k)
        return similarity, feature_id


def _deserialize(data: bytes) -> Any:
    """The index of those bytes; no vector or loop in it may claim more than there are bytes."""
    faiss = _faiss()
    byte_limit = faiss.get_deserialization_vector_byte_limit()
    loop_limit = faiss.get_deserialization_loop_limit()
    faiss.set_deserialization_vector_byte_limit(len(data))
    faiss.set_deserialization_loop_limit(len(data))
    try:
        return faiss.deserialize_index(np.frombuffer(data, np.uint8))
    except RuntimeError as error:
        raise BankDamaged(
            "the index has the recorded bytes, but FAISS cannot read it; was it written by "
            "another FAISS? It can be made anew: rim verify --repair"
        ) from error
    finally:
        faiss.set_deserialization_vector_byte_limit(byte_limit)
        faiss.set_deserialization_loop_limit(loop_limit)


def _faiss() -> Any:
    """FAISS, imported when first used, with its matrix-product path on for every search.

    By default IndexFlatIP compares vectors one by one while queries x d < 128,000, which is where
    the regions of one photo lie: 15 times slower than one matrix product (64 queries, d = 1024,
    100,000 features).
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = 1
    return faiss
