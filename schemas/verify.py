"""Checking every byte of a bank against its manifest, and making its index anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.bank import Bank, index_folder
from schemas.errors import BankDamaged
from schemas.index import build_index
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


def rebuild_index(bank: Bank) -> None:
    """Write the index anew from the bank's features, which are the truth.

    Raises BankDamaged if the features are damaged, or if they give another index than the one in
    the manifest (FAISS may have changed its format): then nothing is replaced.
    """
    expected = bank.manifest.index
    if expected is None:
        raise BankDamaged(f"{bank.path}: the manifest names no index; build the bank again")
    features = bank.features()
    target = index_folder(bank.path) / expected.name
    trial = target.with_name(f"trial-{expected.name}")
    try:
        made = build_index(trial, features.embeddings, features.feature_id)
        if (made.sha256, made.size) != (expected.sha256, expected.size):
            raise BankDamaged(
                f"{target}: the features give another index than the manifest has; was it written "
                "by another FAISS? Build the bank again"
            )
        trial.replace(target)
    finally:
        trial.unlink(missing_ok=True)
