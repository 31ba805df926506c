"""Checking every byte of a bank, all its versions and an unfinished build included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BankDamaged, BankError
from schemas.records import FileRecord, ShardRecord
from schemas.store.bank import StoredBank
from schemas.store.manifests import PLAN_NAME, list_versions, manifest_path, no_bank, read_plan
from schemas.store.shards import (
    finished_folders,
    read_sidecar,
    shard_folder,
    shards_folder,
    sidecar_path,
    verify_sidecar,
)


@dataclass(frozen=True)
class Damage:
    """One file that is not the one that was written.

    reason: what is wrong with it, the path included. versions: those that need it, ascending; none
    if it is part of an unfinished build.
    """

    path: Path
    reason: str
    versions: tuple[int, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What was found in a bank's folder.

    banks: the versions whose manifest can be read, ascending. files: how many were read.
    """

    banks: tuple[StoredBank, ...]
    files: int
    damages: tuple[Damage, ...]


@dataclass
class _Needed:
    """A file as some versions have it; several records if they do not agree."""

    folder: Path
    record: FileRecord | ShardRecord
    versions: list[int]

    @property
    def path(self) -> Path:
        if isinstance(self.record, ShardRecord):
            return sidecar_path(self.folder)
        return self.folder / self.record.name

    def fault(self) -> str | None:
        """What is wrong with it; reads it whole."""
        try:
            if isinstance(self.record, ShardRecord):
                verify_sidecar(self.folder, self.record)
            else:
                self.record.verify(self.folder)
        except BankDamaged as error:
            return str(error)
        return None


def inspect_bank(path: Path) -> Inspection:
    """Reads every file of every version, and of an unfinished build, and names what is damaged.

    Raises BankError if the folder holds no bank and no unfinished build, or one of a newer rim.
    """
    versions = list_versions(path)
    banks, damages = [], []
    for version in versions:
        try:
            banks.append(StoredBank(path, version, check_sizes=False))
        except BankDamaged as error:  # its cause does not speak of other versions
            reason = str(error.__cause__ or error)
            damages.append(Damage(manifest_path(path, version), reason, (version,)))
    if (path / PLAN_NAME).exists():
        try:
            read_plan(path)
        except BankDamaged as error:
            damages.append(Damage(path / PLAN_NAME, str(error)))
    elif not versions:
        raise BankError(no_bank(path))
    needed = [*_of_versions(banks), *_of_an_unfinished_build(path, banks, damages)]
    for one in needed:
        fault = one.fault()
        if fault is not None:
            damages.append(Damage(one.path, fault, tuple(sorted(one.versions))))
    manifests = len(versions) + (path / PLAN_NAME).exists()
    files = len({one.path for one in needed}) + manifests
    return Inspection(tuple(banks), files, tuple(damages))


def _of_versions(banks: list[StoredBank]) -> Iterator[_Needed]:
    """The files that manifests name, each once in every form that it is named in."""
    found: dict[tuple[Path, str], _Needed] = {}
    for bank in banks:
        for folder, record in bank.files():
            key = (folder / record.name, record.model_dump_json())
            found.setdefault(key, _Needed(folder, record, [])).versions.append(bank.version)
        for shard in bank.manifest.shards:
            folder = shard_folder(bank.path, shard)
            key = (folder, shard.model_dump_json())
            found.setdefault(key, _Needed(folder, shard, [])).versions.append(bank.version)
    yield from found.values()


def _of_an_unfinished_build(
    path: Path, banks: list[StoredBank], damages: list[Damage]
) -> Iterator[_Needed]:
    """The files of finished shards that no manifest names; adds those without a sidecar."""
    named = {shard.name for bank in banks for shard in bank.manifest.shards}
    for folder in finished_folders(path):
        if folder.name in named:
            continue
        try:
            record = read_sidecar(folder)
        except BankDamaged as error:
            damages.append(Damage(sidecar_path(folder), str(error)))
            continue
        yield _Needed(folder, record, [])
        for file in record.files:
            yield _Needed(shards_folder(path) / folder.name, file, [])
