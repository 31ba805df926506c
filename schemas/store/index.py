"""Index: the bank's features as a FAISS file, a cache that can be rebuilt from the Parquet files.

FAISS reads the file as an IndexIDMap2 over an IndexFlatIP:

    offset             bytes
    0                  82     "IxM2", dimension, count; "IxFI", dimension, count; count x dimension
    82                 4 n d  the vectors, float32
    82 + 4 n d         8      count
    90 + 4 n d         8 n    feature_ids, int64

All numbers are little-endian. A bank's features stand in `index_order`.

The file is written here and not by `faiss.write_index`, which needs all vectors in memory: for
100,000 x 1,024 its peak is 401 MiB, here it stays below 1 MiB (11.8 s and 9.5 s). It is mapped here
and not by `faiss.read_index`, which maps as well (2 MiB resident both) but costs FAISS's import of
1.5 s wherever nothing is searched, gives a pointer that outlives its index, and would parse files
of unknown origin. (FAISS 1.15.1: none of 200 hostile headers crashed it, 5 passed for good ones.)
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from schemas.digests import sha256_bytes
from schemas.errors import BankDamaged, BankError, UsageError
from schemas.records import FileRecord
from schemas.store.files import atomic_writer, make_folder

Float32Array = npt.NDArray[np.float32]
Int64Array = npt.NDArray[np.int64]

_PART = struct.Struct("<4siqqqBi")  # kind, dimension, count, two unused, is it trained, metric
_COUNT = struct.Struct("<Q")
_HEADER_SIZE: Final = 2 * _PART.size + _COUNT.size
_UNUSED = 1 << 20
_INNER_PRODUCT = 0
_REPAIR = "it can be made again: rim verify --repair"


def index_order(feature_ids: Int64Array) -> npt.NDArray[np.intp]:
    """(n,) rows that put feature_ids (n,) into the order of a bank's index.

    First all foregrounds, then all backgrounds, each ascending: what votes, and the features of
    one category in it, then stand together.
    """
    return np.lexsort((feature_ids, feature_ids & 1))


def feature_rows_digest(feature_ids: Int64Array) -> str:
    """SHA-256 over feature_ids (n,) as little-endian int64, in their order."""
    return sha256_bytes(np.ascontiguousarray(feature_ids, "<i8").tobytes())


def write_index(
    path: Path, blocks: Iterable[Float32Array], feature_ids: Int64Array, dimension: int
) -> FileRecord:
    """Writes an exact inner-product index in a single step, one block in memory at a time.

    blocks: float32 (any, dimension) each, together as many rows as feature_ids (n,) int64, in the
    same order; L2-normalised if the similarities are to be cosines; n may be 0.

    Raises UsageError if the shapes do not fit together, BankError if FAISS does not read what was
    written.
    """
    make_folder(path.parent)
    count = 0
    with atomic_writer(path) as file:
        file.write(_header(len(feature_ids), dimension))
        for block in blocks:
            if block.ndim != 2 or block.shape[1] != dimension:
                raise UsageError(
                    f"expected embeddings of length {dimension}, found the shape {block.shape}"
                )
            count += len(block)
            file.write(np.ascontiguousarray(block, "<f4").data)
        if count != len(feature_ids):
            raise UsageError(f"expected {len(feature_ids)} embeddings, found {count}")
        file.write(_COUNT.pack(count))
        file.write(np.ascontiguousarray(feature_ids, "<i8").data)
    _check_readable(path, count, dimension)
    return FileRecord.of(path, rows=count)


class FeatureIndex:
    """An index that answers nearest-neighbour questions with feature_ids.

    Attributes:
        embeddings: (n, d) float32, read-only, mapped from the file: the system reads what is used,
            and may forget it again. They are not aligned to 4 bytes.
        feature_ids: (n,) int64, of the embeddings.
    """

    def __init__(self, embeddings: Float32Array, feature_ids: Int64Array) -> None:
        self.embeddings = embeddings
        self.feature_ids = feature_ids

    @classmethod
    def load(
        cls,
        path: Path,
        record: FileRecord,
        *,
        dimension: int | None = None,
        feature_rows: str | None = None,
    ) -> FeatureIndex:
        """Maps an index whose bytes are the recorded ones.

        FAISS loads flipped bytes, and whatever kind of index is in the file, without a word. So
        size and SHA-256 are compared first, through the very file that is then mapped, and what it
        says of itself must be what it would say of `record.rows` vectors.

        Args:
            dimension: the length that the vectors should have; None for any.
            feature_rows: the `feature_rows_digest` that the ids should have; None for any.

        Raises BankDamaged.
        """
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != record.size or (
                    hashlib.file_digest(file, "sha256").hexdigest() != record.sha256
                ):
                    raise BankDamaged(
                        f"{path}: expected the index that was written ({record.size} bytes), "
                        f"found another content; {_REPAIR}"
                    )
                found = _map(file, path, record, dimension)
        except OSError as error:
            raise BankDamaged(
                f"{path}: the index cannot be read ({error.strerror}); {_REPAIR}"
            ) from error
        if feature_rows not in (None, feature_rows_digest(found.feature_ids)):
            raise BankDamaged(
                f"{path}: expected the features that the manifest names, found others; {_REPAIR}"
            )
        return found

    @property
    def count(self) -> int:
        """Number of features in the index."""
        return len(self.feature_ids)

    @property
    def dimension(self) -> int:
        """Length of the embeddings."""
        return int(self.embeddings.shape[1])

    def search(self, queries: Float32Array, k: int) -> tuple[Float32Array, Int64Array]:
        """The k most similar features of each query, best first.

        queries: float32 (q, d). Returns similarities float32 (q, k) and feature_ids int64 (q, k);
        k is at most the number of features. Raises UsageError for another shape or k < 1.
        """
        similarity, rows = nearest_rows(self.embeddings, queries, k)
        return similarity, self.feature_ids[rows]


def nearest_rows(
    embeddings: Float32Array, queries: Float32Array, k: int
) -> tuple[Float32Array, Int64Array]:
    """The k embeddings with the largest inner product with each query, best first.

    embeddings: float32 (n, d), rows of an index; they are not copied. queries: float32 (q, d).
    Returns products float32 (q, k) and rows int64 (q, k); k is at most n. Raises UsageError for
    another shape or k < 1.
    """
    dimension = embeddings.shape[1]
    if queries.ndim != 2 or queries.shape[1] != dimension or k < 1:
        raise UsageError(
            f"expected queries (q, {dimension}) and k of at least 1, found {queries.shape} and {k}"
        )
    k = min(k, len(embeddings))
    if k == 0 or len(queries) == 0:
        shape = (len(queries), k)
        return np.empty(shape, np.float32), np.empty(shape, np.int64)
    faiss = _faiss()
    products, rows = faiss.knn(queries, embeddings, k, metric=faiss.METRIC_INNER_PRODUCT)
    return products, rows


def _header(count: int, dimension: int) -> bytes:
    """What stands before the vectors: byte for byte what FAISS writes."""
    fields = (dimension, count, _UNUSED, _UNUSED, 1, _INNER_PRODUCT)
    return (
        _PART.pack(b"IxM2", *fields) + _PART.pack(b"IxFI", *fields) + _COUNT.pack(count * dimension)
    )


def _map(
    file: BinaryIO, path: Path, record: FileRecord, expected_dimension: int | None
) -> FeatureIndex:
    """The index in an open file, whose header must be that of the recorded number of vectors."""
    file.seek(0)
    header, count = file.read(_HEADER_SIZE), record.rows
    dimension = _PART.unpack_from(header)[1] if len(header) == _HEADER_SIZE else 0
    ids_at = _HEADER_SIZE + 4 * count * dimension + _COUNT.size
    if (
        dimension < 1
        or record.size != ids_at + 8 * count  # first: a count that fits the file fits the header
        or header != _header(count, dimension)
        or expected_dimension not in (None, dimension)
    ):
        wanted = "" if expected_dimension is None else f" of length {expected_dimension}"
        raise BankDamaged(
            f"{path}: expected an index of {count} vectors{wanted}, found something else in the "
            f"recorded bytes; {_REPAIR}"
        )
    content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    embeddings: Float32Array = np.ndarray((count, dimension), "<f4", content, _HEADER_SIZE)
    feature_ids: Int64Array = np.ndarray((count,), "<i8", content, ids_at).astype(np.int64)
    return FeatureIndex(embeddings, feature_ids)


def _check_readable(path: Path, count: int, dimension: int) -> None:
    """Raises BankError if the installed FAISS takes the file for anything else than was meant."""
    faiss = _faiss()
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise BankError(
            f"{path}: FAISS {faiss.__version__} cannot read the index that was written; "
            "install the version that rim asks for"
        ) from error
    found = (index.ntotal, index.d, index.metric_type)
    if found != (count, dimension, faiss.METRIC_INNER_PRODUCT):
        raise BankError(
            f"{path}: expected FAISS {faiss.__version__} to read {count} vectors of length "
            f"{dimension}, found {found[0]} of {found[1]}; install the version that rim asks for"
        )


def _faiss() -> Any:
    """FAISS, imported when first used, with its matrix-product path on for every search.

    By default FAISS compares vectors one by one while queries x d < 128,000, which is where the
    regions of one photo lie: 15 times slower than one matrix product (64 queries, d = 1024,
    100,000 features).
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = 1
    return faiss
