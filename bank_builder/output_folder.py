"""The folder that a build writes into: a bank, an unfinished one, or nothing yet."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BankDamaged, OutputError
from schemas.ids import MAX_CATEGORY_ID
from schemas.records import ShardRecord
from schemas.store.lock import LOCK_NAME
from schemas.store.manifest import Manifest, list_versions, manifests_folder, read_manifest
from schemas.store.progress_file import FILE_NAME, BuildPlan, read_plan, remove_plan
from schemas.store.shards import SHARD_NAME, finished_folders, read_sidecar, shards_folder

_OWN_FOLDERS = ("manifests", "shards", "index", "verdicts")


@dataclass(frozen=True)
class Existing:
    """What is in the folder: the latest version of a bank, and the plan of an unfinished build."""

    manifest: Manifest | None = None
    unfinished: BuildPlan | None = None


def read_existing(out: Path) -> Existing:
    """What an earlier build left in `out`; the folder need not exist.

    A first build that was interrupted before any shard was finished left nothing to go on with:
    its plan does not count.

    Raises:
        BankDamaged: a manifest or plan that is not what was written.
        BankError: a bank of a newer format.
    """
    if list_versions(out):
        return Existing(read_manifest(out, to_write=True), read_plan(out))
    finished = shards_folder(out).glob("[!.]*")
    return Existing(None, read_plan(out) if any(finished) else None)


def check_output(out: Path) -> None:
    """OutputError unless `out` is missing, an empty folder, or one that a build wrote into."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"expected a folder for the bank, found a file: {out}")
    foreign = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in (*_OWN_FOLDERS, FILE_NAME, LOCK_NAME)
    )
    if foreign and not list_versions(out) and not (out / FILE_NAME).exists():
        raise OutputError(
            f"expected an empty folder or a bank, found {foreign[0]!r} in {out}; "
            "name another folder"
        )


def clear_bank(out: Path) -> None:
    """Deletes the bank in `out`, the manifests first; files that are not the bank's stay.

    Only for who holds the bank's build lock. Raises OutputError if something cannot be deleted.
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


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Folder:
    """What the name of a finished shard's folder says."""

    path: Path
    source: str
    start: int
    stop: int


@dataclass(frozen=True)
class Leftovers:
    """The finished shards of a folder by category_id, those of the bank's versions among them."""

    folders: Mapping[int, Sequence[_Folder]]

    @classmethod
    def find(cls, out: Path) -> Leftovers:
        """Looks at the names of the folders; nothing is read yet."""
        folders: dict[int, list[_Folder]] = {}
        for path in finished_folders(out):
            match = SHARD_NAME.fullmatch(path.name)
            if match is not None and int(match[1]) <= MAX_CATEGORY_ID:
                folder = _Folder(path, match[2], int(match[3]), int(match[4]))
                folders.setdefault(int(match[1]), []).append(folder)
        return cls(folders)

    def categories(self, in_bank: Collection[int]) -> dict[int, str | None]:
        """The categories that the bank does not have, but of which shards are on the disk.

        in_bank: the category_ids in the bank's manifest, those of removed categories included.

        Returns names by ascending category_id; None if no shard says one that can be read, which is
        logged. Such an id is taken all the same.
        """
        names: dict[int, str | None] = {}
        for category_id in sorted(self.folders.keys() - set(in_bank)):
            records = (_record(folder, category_id) for folder in self.folders[category_id])
            names[category_id] = next((one.category for one in records if one is not None), None)
        return names

    def photos(self, category_id: int, source: str, position: int) -> list[str]:
        """The files of the photos that shards have behind the bank's own, in their order.

        position: number of photos of the category that the bank has.
        """
        # Where several begin alike, the one that a build would take comes first: see `work_list`.
        own = [one for one in self.folders.get(category_id, ()) if one.source == source]
        own.sort(key=lambda folder: (folder.start, -folder.stop))
        files: list[str] = []
        for folder in own:
            if folder.start == position < folder.stop:
                record = _record(folder, category_id)
                if record is not None:
                    files += [photo.file for photo in record.photos]
                    position = folder.stop
        return files


def _record(folder: _Folder, category_id: int) -> ShardRecord | None:
    """The shard's own record; None, and a warning, if it cannot be read or is of another shard."""
    try:
        record = read_sidecar(folder.path)
    except BankDamaged as error:
        logger.warning("a finished shard cannot be used: %s", error)
        return None
    if (record.name, record.category_id) != (folder.path.name, category_id):
        logger.warning("a finished shard cannot be used: %s is of %s", folder.path, record.name)
        return None
    return record
