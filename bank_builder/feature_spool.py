"""All features of a bank in one temporary file, while they are compared with each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.store.feature_rows import FeatureRows
from schemas.store.files import create_file, make_folder, temporary_path


@contextlib.contextmanager
def spooled(rows: FeatureRows, folder: Path) -> Iterator[NDArray[np.float32]]:
    """The embeddings of those rows, (n, d) float32, read-only, mapped from a file in the folder.

    So they take disk, 4 n d bytes, and no memory that the system could not take back. The file is
    deleted afterwards, where the system lets it (not Windows) as soon as it is mapped: then not
    even a killed build leaves it behind.

    Raises BankDamaged as `FeatureRows.blocks` does, OSError if the disk does not take it.
    """
    make_folder(folder)
    path = temporary_path(folder, "features")
    shape = (len(rows.feature_id), rows.dimension)
    try:
        # Written, not mapped for writing: a full disk is then an error and not the end.
        with create_file(path) as file:
            for block in rows.blocks():
                file.write(np.ascontiguousarray(block, np.float32).data)
        embeddings = np.memmap(path, np.float32, "r", shape=shape) if len(rows.feature_id) else None
        with contextlib.suppress(PermissionError):
            path.unlink()
        yield np.empty(shape, np.float32) if embeddings is None else np.asarray(embeddings)
    finally:
        path.unlink(missing_ok=True)


def kept_blocks(
    embeddings: NDArray[np.float32], kept: NDArray[np.bool_], at_once: int = 1024
) -> Iterator[NDArray[np.float32]]:
    """Those of the embeddings (n, d) that are kept (n,), at most `at_once` rows at a time."""
    for start in range(0, len(embeddings), at_once):
        block = slice(start, start + at_once)
        yield embeddings[block][kept[block]]
