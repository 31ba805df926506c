"""What interrupted builds left on the disk: ids and photos, known by the finished shards alone.

`build.json` has them too, but another build of another vocabulary writes its own plan there.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import BankDamaged
from schemas.ids import MAX_CATEGORY_ID
from schemas.records import ShardRecord
from schemas.shards import SHARD_NAME, finished_folders, read_sidecar

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Folder:
    """What the name of a finished shard's folder says."""

    path: Path
    category_id: int
    source: str
    start: int
    stop: int


def left_categories(out: Path, in_bank: Collection[int]) -> dict[int, str | None]:
    """The ids of categories that the bank does not have, but of which it has shards on the disk.

    in_bank: the category_ids that are in the bank's manifest, those of removed categories included.

    Returns the category's name by category_id; None if no shard of it says one that can be read,
    which is logged. Such an id is taken all the same.
    """
    names: dict[int, str | None] = {}
    for folder in _folders(out):
        if folder.category_id in in_bank or names.get(folder.category_id) is not None:
            continue
        record = _record(folder)
        names[folder.category_id] = None if record is None else record.category
    return names


def left_photos(out: Path, category_id: int, source: str, position: int) -> list[str]:
    """The files of the photos that finished shards have behind the bank's own, by number.

    position: number of photos of the category that the bank has.
    """
    own: dict[int, list[_Folder]] = {}
    for folder in _folders(out):
        if (folder.category_id, folder.source) == (category_id, source):
            own.setdefault(folder.start, []).append(folder)
    files: list[str] = []
    while position in own:
        # Where there are several, the one that a build would take: see `work_list`.
        for folder in sorted(own.pop(position), key=lambda one: one.stop, reverse=True):
            record = _record(folder)
            if record is not None:
                files += [photo.file for photo in record.photos]
                position = folder.stop
                break
    return files


def _folders(out: Path) -> Iterator[_Folder]:
    """The folders with a shard's name, in the order of their names."""
    for path in sorted(finished_folders(out)):
        match = SHARD_NAME.fullmatch(path.name)
        if match is None or int(match[1]) > MAX_CATEGORY_ID:
            continue
        yield _Folder(path, int(match[1]), match[2], int(match[3]), int(match[4]))


def _record(folder: _Folder) -> ShardRecord | None:
    """The shard's own record; None, and a warning, if it cannot be read or is of another shard."""
    try:
        record = read_sidecar(folder.path)
    except BankDamaged as error:
        logger.warning("a finished shard cannot be used: %s", error)
        return None
    if record.name != folder.path.name or record.category_id != folder.category_id:
        logger.warning("a finished shard cannot be used: %s is of %s", folder.path, record.name)
        return None
    return record
