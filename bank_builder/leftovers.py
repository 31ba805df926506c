"""What interrupted builds left on the disk: ids and photos, known by the finished shards alone.

`build.json` has them too, but another build of another vocabulary writes its own plan there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BankDamaged
from schemas.ids import MAX_CATEGORY_ID
from schemas.records import ShardRecord
from schemas.store.shards import SHARD_NAME, finished_folders, read_sidecar

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
