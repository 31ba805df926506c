"""Reference images that are the user's own photos: `--source folder:DIR`."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bank_builder.batches import together_or_alone
from bank_builder.output_folder import Existing
from bank_builder.sources.base import Made, Origin, SourceImage, TimedImage
from bank_builder.sources.photos import LONG_SIDE, FoundPhoto, list_photos, read_photo
from bank_builder.work_list import shard_statuses
from foundation.interfaces import BuildStack
from foundation.weights.roles import PHOTO_ROLES
from schemas.digests import canonical_json, sha256_bytes
from schemas.errors import BankError, ImageError, UsageError
from schemas.ids import FOLDER, MAX_NUMBER
from schemas.manifest import BuildPlan
from schemas.records import CategoryPhotos, CategoryRecord, PhotoRecord, ShardRecord
from schemas.settings import Settings
from schemas.store.shards import ShardSpec
from schemas.text import shortened
from schemas.vocabulary import Vocabulary

PHOTOS_AT_ONCE = 8
"""Photos that are segmented together; halved where the memory does not suffice."""

logger = logging.getLogger(__name__)


class FolderSource:
    """All photos of a folder DIR, with masks where DIR has them and by SAM where not [ours].

    A photo is known by its file's path in DIR, and keeps its number for good. In a new bank a
    category's photos are numbered in the order of their paths; photos that are added to DIR later
    come behind those that the bank has, again in the order of their paths. A reference stays in
    the bank when its photo is taken out of DIR. A file whose content changed is refused
    until it has another name, unless its image had failed: then `retry_failed` makes it again. A
    mask belongs to its photo's content.
    """

    name: Literal["folder"] = FOLDER
    generates = False

    def __init__(self, folder: Path) -> None:
        """folder: DIR; listed when it is first needed, and then once."""
        self.folder = folder
        self._found: dict[str, list[FoundPhoto]] | None = None

    def check(self, vocabulary: Vocabulary, settings: Settings, existing: Existing) -> None:
        """Refuses nothing: categories without photos are refused by `numbered`."""

    def numbered(
        self, records: Sequence[CategoryRecord], existing: Existing
    ) -> tuple[CategoryPhotos, ...]:
        """Every category's photos by number, those that the bank has included.

        A category of which the bank has images needs no photos in DIR, a new one does. Behind the
        bank's own come those that an interrupted build has numbered, in its plan or in shards.

        Raises:
            UsageError: as of `list_photos`, or more photos than there are numbers.
            BankError: photos, or their masks, that have changed since the bank was made.
            BankDamaged: a shard that cannot be read.
        """
        active = [record for record in records if not record.removed]
        shards = existing.manifest.shards if existing.manifest else ()
        first_time = self._found is None
        if self._found is None:
            ids = {shard.category_id for shard in shards}
            in_bank = [record.name for record in active if record.category_id in ids]
            others = [record.name for record in _others(active, existing)]
            self._found = list_photos(self.folder, active, in_bank, others)
        numbered: list[CategoryPhotos] = []
        changed: list[str] = []
        for record in active:
            found = {one.record.file: one.record for one in self._found[record.name]}
            photos: dict[str, PhotoRecord] = {}
            for shard in _shards_of(record, shards):
                photos |= {one.file: found.get(one.file, one) for one in shard.photos}
                changed += _changed(existing.out, shard, found)
            if first_time:
                self._warn_of_gone(record, photos, found)
            left = existing.finished.photos(record.category_id, FOLDER, len(photos))
            order = (*_planned(record, existing.unfinished), *left, *found)
            photos |= {file: found[file] for file in order if file in found and file not in photos}
            if len(photos) > MAX_NUMBER + 1:
                raise UsageError(
                    f"{self.folder}: expected at most {MAX_NUMBER + 1} photos of {record.name!r}, "
                    f"found {len(photos)}"
                )
            if photos:
                own = CategoryPhotos(category_id=record.category_id, photos=tuple(photos.values()))
                numbered.append(own)
        if changed:
            raise BankError(
                f"{self.folder}: the bank was made from another content of "
                f"{shortened(changed, 3)}; give a new photo a name of its own, put the old one "
                "back, or build again with --overwrite"
            )
        return tuple(numbered)

    def images(self, plan: BuildPlan, settings: Settings) -> FolderImages:
        """The photos of a plan."""
        found = [one for photos in (self._found or {}).values() for one in photos]
        return FolderImages(
            numbered={one.category_id: one.photos for one in plan.photos},
            found={one.record.file: one for one in found},
            settings_hash=settings.build_hash(FOLDER),
        )

    def _warn_of_gone(
        self, record: CategoryRecord, photos: Collection[str], found: Collection[str]
    ) -> None:
        """Logs which of the bank's photos DIR no longer has, if it has any of the category."""
        gone = [file for file in photos if file not in found]
        if gone and found:
            logger.warning(
                "%s no longer has %s of %s; the bank keeps what it made of them",
                self.folder,
                shortened(gone, 3),
                record.name,
            )


@dataclass(frozen=True)
class FolderImages:
    """Photos by category_id and number; found: those that are in the folder now, by file.

    An image depends on its photo and mask alone.
    """

    numbered: Mapping[int, Sequence[PhotoRecord]]
    found: Mapping[str, FoundPhoto]
    settings_hash: str
    source: str = FOLDER
    stage: str = "read"
    doing: str = "reading"
    roles: tuple[str, ...] = PHOTO_ROLES

    def count(self, category: CategoryRecord) -> int:
        """Number of photos of the category."""
        return len(self.numbered.get(category.category_id, ()))

    def build_hash(self, category_id: int, start: int, stop: int) -> str:
        """Over the settings that matter, and names and contents of the photos and masks."""
        photos = [one.model_dump() for one in self.numbered[category_id][start:stop]]
        return sha256_bytes(canonical_json({"settings": self.settings_hash, "photos": photos}))

    def photos(self, spec: ShardSpec) -> tuple[PhotoRecord, ...]:
        """The photos with the shard's numbers."""
        return tuple(self.numbered[spec.category_id][spec.start : spec.stop])

    def gone(self, spec: ShardSpec) -> list[str]:
        """Those of the photos that are not in the folder."""
        return [one.file for one in self.photos(spec) if one.file not in self.found]

    def batch_size(self, models: BuildStack) -> int:
        """PHOTOS_AT_ONCE, or less if the memory does not suffice."""
        return models.batch_that_fits(PHOTOS_AT_ONCE, self.roles, (LONG_SIDE, LONG_SIDE))

    def make(
        self, spec: ShardSpec, numbers: Sequence[int], models: BuildStack, *, divisible: bool
    ) -> list[Made]:
        """Reads photos, each on its own."""

        def read(files: Sequence[str]) -> list[SourceImage]:
            return [self._read(file) for file in files]

        made: list[Made] = []
        for number in numbers:
            file = self.numbered[spec.category_id][number].file
            origin = Origin(
                category_id=spec.category_id,
                category=spec.category,
                number=number,
                source=spec.source,
                file=file,
            )
            (image,) = together_or_alone(read, [file], divisible=divisible)
            made.append((origin, image))
        return made

    def time_one(self, category: str, models: BuildStack) -> TimedImage | None:
        """Reads the first photo that can be read."""
        for photo in self.found.values():
            started = time.perf_counter()
            try:
                image = read_photo(photo)
            except ImageError:
                continue
            seconds = time.perf_counter() - started
            without_mask = sum(one.mask is None for one in self.found.values())
            return TimedImage(image, seconds, without_mask / len(self.found))
        return None

    def pixel_count(self) -> int:
        """Pixels of the largest photo that is stored."""
        return LONG_SIDE * LONG_SIDE

    def _read(self, file: str) -> SourceImage:
        if file not in self.found:
            raise ImageError(f"{file}: no longer in the folder of photos")
        return read_photo(self.found[file])


def _others(records: Sequence[CategoryRecord], existing: Existing) -> list[CategoryRecord]:
    """The bank's categories that are not among the records."""
    listed = {record.category_id for record in records}
    own = existing.manifest.vocabulary if existing.manifest else ()
    return [one for one in own if not one.removed and one.category_id not in listed]


def _shards_of(record: CategoryRecord, shards: Sequence[ShardRecord]) -> list[ShardRecord]:
    """The shards of a category's photos, by ascending numbers."""
    own = [one for one in shards if (one.category_id, one.source) == (record.category_id, FOLDER)]
    return sorted(own, key=lambda shard: shard.start)


def _changed(out: Path, shard: ShardRecord, found: Mapping[str, PhotoRecord]) -> list[str]:
    """The photos of a shard whose content has changed, but for those whose image had failed."""
    other = [found.get(one.file, one) != one for one in shard.photos]
    if not any(other):
        return []
    statuses = shard_statuses(out, shard)
    return [
        photo.file
        for photo, changed, status in zip(shard.photos, other, statuses, strict=True)
        if changed and status != "failed"
    ]


def _planned(record: CategoryRecord, unfinished: BuildPlan | None) -> list[str]:
    """The files of a category in the order that an interrupted build has given them."""
    plans = unfinished.photos if unfinished else ()
    own = [one for one in plans if one.category_id == record.category_id]
    return [photo.file for one in own for photo in one.photos]
