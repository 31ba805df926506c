"""Deleting what no version of a bank needs: what interrupted builds left, and old versions."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BankError, UsageError
from schemas.manifest import BuildPlan
from schemas.store.bank import StoredBank, index_folder
from schemas.store.files import TEMPORARY_PREFIX, fsync_folder
from schemas.store.lock import build_lock
from schemas.store.manifests import (
    list_versions,
    manifest_path,
    manifests_folder,
    no_bank,
    read_plan,
)
from schemas.store.shards import SHARD_NAME, finished_folders, shards_folder
from schemas.store.verdicts import verdicts_folder

SET_ASIDE = ".damaged"
"""The end of the name of a file that a repair has put aside."""

_OF_A_VERSION = re.compile(r"\d{6,}\.(faiss|prototypes\.parquet|parquet)")


@dataclass(frozen=True)
class Pruned:
    """What was deleted: versions, files and folders, and how many bytes they took."""

    versions: tuple[int, ...]
    paths: tuple[Path, ...]
    bytes: int


def prune(bank: Path, keep: int | None = None) -> Pruned:
    """Deletes what none of the remaining versions needs.

    Finished shards of an unfinished build are spared: the build goes on from them. Files that have
    no name of a bank's are left alone. A reader that has an older version open loses it.

    keep: how many of the latest versions to keep; None for all.

    Raises:
        UsageError: fewer than one version is to be kept.
        BankError: the folder holds no bank.
        BankDamaged: a manifest or the plan of an unfinished build is damaged, so that what
            it needs is unknown; repair it first.
        OutputError, WriteFailed: as of `build_lock`.
    """
    if keep is not None and keep < 1:
        raise UsageError(f"expected to keep at least one version, found {keep}")
    if not list_versions(bank):
        raise BankError(no_bank(bank))
    with build_lock(bank):
        versions = list_versions(bank)
        dropped = versions[:-keep] if keep is not None else []
        others = [one for one in versions if one not in dropped]
        remaining = [StoredBank(bank, one, check_sizes=False) for one in others]
        unneeded = list(_unneeded(bank, remaining, read_plan(bank)))
        size = sum(map(_size, unneeded))
        # The manifests first: no version is to be seen whose files are gone.
        for version in dropped:
            manifest_path(bank, version).unlink()
        fsync_folder(manifests_folder(bank))
        for path in unneeded:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return Pruned(tuple(dropped), tuple(unneeded), size)


def _unneeded(bank: Path, remaining: list[StoredBank], plan: BuildPlan | None) -> Iterator[Path]:
    """What is on the disk under a bank's own names, and no remaining version needs."""
    needed = {folder / record.name for one in remaining for folder, record in one.files()}
    shards = {shard.name for one in remaining for shard in one.manifest.shards}
    folders = (bank, manifests_folder(bank), shards_folder(bank))
    for folder in (*folders, index_folder(bank), verdicts_folder(bank)):
        yield from sorted(folder.glob(f"{TEMPORARY_PREFIX}*"))
        yield from sorted(folder.glob(f"*{SET_ASIDE}"))
    for folder in (index_folder(bank), verdicts_folder(bank)):
        for path in sorted(folder.glob("*")):
            if _OF_A_VERSION.fullmatch(path.name) and path not in needed:
                yield path
    planned = {record.category_id for record in plan.vocabulary} if plan else set()
    for folder in finished_folders(bank):
        match = SHARD_NAME.fullmatch(folder.name)
        if folder.name not in shards and match and int(match[1]) not in planned:
            yield folder


def _size(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    if path.is_dir() and not path.is_symlink():
        return sum(_size(inner) for inner in path.iterdir())
    return path.lstat().st_size
