"""The folder that a build writes into: the bank, unfinished build and finished shards in it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.errors import BankDamaged, OutputError
from schemas.ids import MAX_CATEGORY_ID
from schemas.manifest import BuildPlan, Manifest
from schemas.records import ShardRecord
from schemas.store.lock import LOCK_NAME, MARKER_NAME
from schemas.store.manifests import (
    PLAN_NAME,
    list_versions,
    manifests_folder,
    read_manifest,
    read_plan,
    remove_plan,
)
from schemas.store.shards import SHARD_NAME, finished_folders, read_sidecar

_OWN_FOLDERS = ("manifests", "shards", "index", "verdicts")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Shard:
    """A finished shard, by the name of its folder. hash_start: first digits of its build hash."""

    path: Path
    category_id: int
    source: str
    start: int
    stop: int
    hash_start: str


@dataclass(frozen=True)
class FinishedShards:
    """All finished shards in a folder by category_id, whether in a version of the bank or not.

    An interrupted build leaves such shards. Its plan, `build.json`, knows their categories and
    photos too, but another build of another vocabulary writes its own plan there.
    """

    by_category: Mapping[int, Sequence[_Shard]] = field(default_factory=dict)

    @classmethod
    def find(cls, out: Path) -> FinishedShards:
        """Lists the folders of shards; reads none of them."""
        shards: dict[int, list[_Shard]] = {}
        for path in finished_folders(out):
            match = SHARD_NAME.fullmatch(path.name)
            if match is not None and int(match[1]) <= MAX_CATEGORY_ID:
                category_id, start, stop = int(match[1]), int(match[3]), int(match[4])
                shard = _Shard(path, category_id, match[2], start, stop, match[5])
                shards.setdefault(category_id, []).append(shard)
        return cls(shards)

    def categories(self, in_bank: Collection[int]) -> dict[int, str | None]:
        """The categories that the bank does not have, but of which shards are on the disk.

        in_bank: the category_ids in the bank's manifest, those of removed categories included.

        Returns names by ascending category_id; None if no shard says one that can be read, which is
        logged. Such an id is taken all the same.
        """
        names: dict[int, str | None] = {}
        for category_id in sorted(self.by_category.keys() - set(in_bank)):
            records = (_record(shard) for shard in self.by_category[category_id])
            names[category_id] = next((one.category for one in records if one is not None), None)
        return names

    def photos(self, category_id: int, source: str, position: int) -> list[str]:
        """The files of the photos that shards have behind the bank's own, in their order.

        position: number of photos of the category that the bank has.
        """
        # Where several begin alike, the one that a build would take comes first: see `beginning`.
        own = [one for one in self.by_category.get(category_id, ()) if one.source == source]
        own.sort(key=lambda shard: (shard.start, -shard.stop))
        files: list[str] = []
        for shard in own:
            if shard.start == position < shard.stop:
                record = _record(shard)
                if record is not None:
                    files += [photo.file for photo in record.photos]
                    position = shard.stop
        return files

    def beginning(self, category_id: int, source: str, start: int) -> list[tuple[int, str]]:
        """The ends of the shards that begin with image `start`, each with the first digits of its
        build hash; the longest shard first.
        """
        own = self.by_category.get(category_id, ())
        found = {
            (one.stop, one.hash_start) for one in own if (one.source, one.start) == (source, start)
        }
        return sorted(found, reverse=True)


@dataclass(frozen=True)
class Existing:
    """The contents of the folder `out`; without the other values, an empty folder.

    manifest: of the bank's latest version. unfinished: the plan of a build that was interrupted.
    finished: the shards on the disk. Two are equal if a build has the same to do for both.
    """

    out: Path
    manifest: Manifest | None = None
    unfinished: BuildPlan | None = None
    finished: FinishedShards = field(default_factory=FinishedShards)


def read_existing(out: Path) -> Existing:
    """Reads what an earlier build left in `out`; the folder need not exist.

    A first build that was interrupted before any shard was finished left nothing to go on with:
    its plan does not count.

    Raises:
        BankDamaged: a manifest or plan that is not what was written.
        BankError: a bank of a newer format.
    """
    finished = FinishedShards.find(out)
    if list_versions(out):
        return Existing(out, read_manifest(out, to_write=True), read_plan(out), finished)
    return Existing(out, None, read_plan(out) if finished.by_category else None, finished)


def check_output(out: Path) -> None:
    """Raises OutputError unless `out` is missing, an empty folder, or a build's own."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"expected a folder for the bank, found a file: {out}")
    foreign = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in (*_OWN_FOLDERS, PLAN_NAME, LOCK_NAME, MARKER_NAME)
    )
    if foreign and not list_versions(out) and not (out / PLAN_NAME).exists():
        raise OutputError(
            f"expected an empty folder or a bank, found {foreign[0]!r} in {out}; "
            "name another folder"
        )


def clear_bank(out: Path) -> None:
    """Deletes the bank in `out`, the manifests first; files that are not the bank's stay.

    To be called with the bank's build lock. Raises OutputError if something cannot be deleted.
    """
    try:
        for version in reversed(list_versions(out)):
            (manifests_folder(out) / f"{version:06d}.json").unlink()
        remove_plan(out)
        for name in _OWN_FOLDERS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
    except OSError as error:
        raise OutputError(f"cannot delete the old bank in {out}: {error.strerror}") from error


def _record(shard: _Shard) -> ShardRecord | None:
    """The shard's own record; None, and a warning, if it cannot be read or is of another shard."""
    try:
        record = read_sidecar(shard.path)
    except BankDamaged as error:
        logger.warning("a finished shard cannot be used: %s", error)
        return None
    if (record.name, record.category_id) != (shard.path.name, shard.category_id):
        logger.warning("a finished shard cannot be used: %s is of %s", shard.path, record.name)
        return None
    return record
