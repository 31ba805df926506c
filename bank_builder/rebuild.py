"""Making a version's index and prototypes anew from its shards, which are the truth."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bank_builder.feature_spool import spooled
from schemas.errors import BankDamaged
from schemas.records import FileRecord
from schemas.store.bank import StoredBank, index_folder
from schemas.store.feature_rows import FeatureRows
from schemas.store.files import fsync_folder, temporary_path
from schemas.store.index import feature_rows_digest, write_index
from schemas.store.prototypes import derive_prototypes, write_prototypes
from schemas.store.verdicts import effective_verdicts


def rebuild_index(bank: StoredBank) -> None:
    """Writes the index anew.

    Raises BankDamaged if shards are damaged, or if they give another index than the one in the
    manifest (FAISS may have changed its format): then nothing is replaced.
    """
    expected = _expected(bank, bank.manifest.index, "index")
    rows = _rows(bank)
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: write_index(trial, rows.blocks(), rows.feature_id, rows.dimension),
        "the features give another index than the manifest has; was it written by another FAISS?",
    )


def rebuild_prototypes(bank: StoredBank) -> None:
    """Writes the prototypes anew.

    Raises BankDamaged if shards are damaged, or if they give other bytes than those in the manifest
    (Parquet names its writer): then nothing is replaced.
    """
    expected = _expected(bank, bank.manifest.prototypes, "prototypes")
    rows = _rows(bank)
    with spooled(rows, index_folder(bank.path)) as embeddings:
        prototypes = derive_prototypes(embeddings, rows.feature_id)
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: write_prototypes(trial, prototypes),
        "the features give other prototypes than the manifest has; were they written by another "
        "pyarrow?",
    )


def _expected(bank: StoredBank, record: FileRecord | None, what: str) -> FileRecord:
    if record is None:
        raise BankDamaged(f"{bank.path}: the manifest names no {what}; build the bank again")
    return record


def _rows(bank: StoredBank) -> FeatureRows:
    """The features of the bank's version; BankDamaged if they are not those of its manifest."""
    manifest = bank.manifest
    verdicts = effective_verdicts(bank.verdicts)
    for part in ("images", "features"):
        bank.check_part(part)
    rows = FeatureRows.accepted(bank.path, bank.shards, verdicts, manifest.dimension)
    if manifest.feature_rows not in (None, feature_rows_digest(rows.feature_id)):
        raise BankDamaged(
            f"{bank.path}: the shards have other accepted features than version {bank.version} "
            "names; build the bank again"
        )
    return rows


def _replace(
    folder: Path, expected: FileRecord, write: Callable[[Path], FileRecord], otherwise: str
) -> None:
    """Puts what `write` writes in the place of the expected file, if it has the same bytes."""
    target = folder / expected.name
    trial = temporary_path(folder, expected.name)
    trial.mkdir()
    try:
        made = write(trial / expected.name)
        if made != expected:
            raise BankDamaged(f"{target}: {otherwise} Build the bank again")
        os.replace(trial / expected.name, target)
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    fsync_folder(folder)
