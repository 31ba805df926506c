"""Checking every byte of a bank against its manifest, and making derived files anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.bank import Bank, index_folder
from schemas.errors import BankDamaged
from schemas.index import build_index
from schemas.prototypes import derive_prototypes, write_prototypes
from schemas.records import FileRecord
from schemas.shard_reader import SIDECAR, verify_sidecar
from schemas.shards import shard_folder
from schemas.verdicts import verdicts_folder


@dataclass(frozen=True)
class Damage:
    """One file that is not the one that was written: its path and what is wrong with it."""

    path: Path
    reason: str


def bank_files(bank: Bank) -> Iterator[tuple[Path, FileRecord]]:
    """The folder and record of every file that the manifest names."""
    for shard in bank.manifest.shards:
        for record in shard.files:
            yield shard_folder(bank.path, shard), record
    if bank.manifest.verdicts is not None:
        yield verdicts_folder(bank.path), bank.manifest.verdicts
    if bank.manifest.index is not None:
        yield index_folder(bank.path), bank.manifest.index
    if bank.manifest.prototypes is not None:
        yield index_folder(bank.path), bank.manifest.prototypes


def find_damage(bank: Bank) -> list[Damage]:
    """Every file whose size or SHA-256 is not the recorded one; reads everything."""
    damages = []
    for shard in bank.manifest.shards:
        folder = shard_folder(bank.path, shard)
        try:
            verify_sidecar(folder, shard)
        except BankDamaged as error:
            damages.append(Damage(folder / SIDECAR, str(error)))
    for folder, record in bank_files(bank):
        try:
            record.verify(folder)
        except BankDamaged as error:
            damages.append(Damage(folder / record.name, str(error)))
    return damages


def repair(bank: Bank, damages: Sequence[Damage]) -> list[Damage]:
    """Makes those of the damaged files anew that are derived from the shards, and returns them.

    Raises BankDamaged as `rebuild_index` and `rebuild_prototypes` do.
    """
    manifest = bank.manifest
    repaired = []
    for record, rebuild in (
        (manifest.index, rebuild_index),
        (manifest.prototypes, rebuild_prototypes),
    ):
        path = None if record is None else index_folder(bank.path) / record.name
        damaged = [damage for damage in damages if damage.path == path]
        if damaged:
            rebuild(bank)
            repaired.extend(damaged)
    return repaired


def rebuild_index(bank: Bank) -> None:
    """Write the index anew from the bank's features, which are the truth.

    Raises BankDamaged if the features are damaged, or if they give another index than the one in
    the manifest (FAISS may have changed its format): then nothing is replaced.
    """
    expected = bank.manifest.index
    if expected is None:
        raise BankDamaged(f"{bank.path}: the manifest names no index; build the bank again")
    features = bank.features()
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: build_index(trial, features.embeddings, features.feature_id),
        "the features give another index than the manifest has; was it written by another FAISS?",
    )


def rebuild_prototypes(bank: Bank) -> None:
    """Write the prototypes anew from the bank's features, as `rebuild_index` does the index.

    Raises BankDamaged if the features are damaged, or if they give other bytes than those in the
    manifest (Parquet names its writer): then nothing is replaced.
    """
    expected = bank.manifest.prototypes
    if expected is None:
        raise BankDamaged(f"{bank.path}: the manifest names no prototypes; build the bank again")
    features = bank.features()
    prototypes = derive_prototypes(features.embeddings, features.feature_id)
    _replace(
        index_folder(bank.path),
        expected,
        lambda trial: write_prototypes(trial, prototypes),
        "the features give other prototypes than the manifest has; were they written by another "
        "pyarrow?",
    )


def _replace(
    folder: Path, expected: FileRecord, write: Callable[[Path], FileRecord], otherwise: str
) -> None:
    """Puts what `write` writes in the place of the expected file, if it has the same bytes."""
    target = folder / expected.name
    trial = folder / f"trial-{expected.name}"
    try:
        made = write(trial)
        if (made.sha256, made.size) != (expected.sha256, expected.size):
            raise BankDamaged(f"{target}: {otherwise} Build the bank again")
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
