"""Lists the shards of a plan: which are finished, and which are still to be made."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bank_builder.output_folder import Existing
from bank_builder.sources.base import PlannedImages
from schemas.records import CategoryRecord, ShardRecord
from schemas.store.parquet import read_table
from schemas.store.shards import ShardSpec, find_shard, shard_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkList:
    """The shards of a plan: those on disk, and those to be made, each in the order of the ids."""

    finished: tuple[ShardRecord, ...]
    to_do: tuple[ShardSpec, ...]

    @property
    def images(self) -> int:
        """Number of images in all of them."""
        finished = sum(record.stop - record.start for record in self.finished)
        return finished + self.images_to_do

    @property
    def images_to_do(self) -> int:
        """Number of images in the shards that are to be made."""
        return sum(spec.stop - spec.start for spec in self.to_do)


def list_work(
    existing: Existing,
    categories: Sequence[CategoryRecord],
    images: PlannedImages,
    shard_images: int,
    retry_failed: bool,
) -> WorkList:
    """Compares the images that are planned of categories with the shards that are on disk.

    The bank's own shards of the source keep their places. Behind them come, for every category,
    finished shards that an interrupted build left (their content is checked), and new ones of at
    most `shard_images` images each. A shard of the bank whose files are gone or cut short is made
    again.

    Args:
        categories: removed ones are passed over.
        retry_failed: make the shards again in which an image failed, under their next attempt;
            except where the file of a photo that did not fail is gone: its reference would be lost.
    """
    out, manifest = existing.out, existing.manifest
    finished: list[ShardRecord] = []
    to_do: list[ShardSpec] = []
    for category in categories:
        if category.removed:
            continue
        own = [
            shard
            for shard in (manifest.shards if manifest else ())
            if (shard.category_id, shard.source) == (category.category_id, images.source)
        ]
        committed = [ShardSpec.of(shard) for shard in sorted(own, key=lambda shard: shard.start)]
        position = max((spec.stop for spec in committed), default=0)
        found = [(spec, find_shard(out, spec, verify=False)) for spec in committed]
        rest = _rest(existing, category, position, images, shard_images)
        for spec, record in (*found, *rest):
            if record is None:
                to_do.append(_current(spec, images))
            elif retry_failed and "failed" in (statuses := shard_statuses(out, record)):
                again = _current(replace(spec, attempt=record.attempt + 1), images)
                if lost := _lost(again, statuses, images):
                    logger.warning("%s: not made again, %s is gone", record.name, lost[0])
                    finished.append(record)
                elif again.build_hash != spec.build_hash and (made := find_shard(out, again)):
                    finished.append(made)
                else:
                    to_do.append(again)
            else:
                finished.append(record)
    return WorkList(tuple(finished), tuple(to_do))


def shard_statuses(out: Path, record: ShardRecord) -> list[str]:
    """Reads the status of every image of a shard, without later verdicts."""
    table = read_table(shard_folder(out, record) / record.images.name, ["status"])
    statuses: list[str] = table["status"].to_pylist()
    return statuses


def _rest(
    existing: Existing,
    category: CategoryRecord,
    position: int,
    images: PlannedImages,
    shard_images: int,
) -> Iterator[tuple[ShardSpec, ShardRecord | None]]:
    """Cuts the images that the bank does not have into shards, along those that are on disk."""
    count = images.count(category)
    while position < count:
        spec = _new(category, position, min(position + shard_images, count), images)
        record = None
        left = existing.finished.beginning(category.category_id, images.source, position)
        for stop, hash_start in left:
            if stop > count:
                continue
            candidate = _new(category, position, stop, images)
            if candidate.build_hash.startswith(hash_start):
                record = find_shard(existing.out, candidate)
            if record is not None:
                spec = candidate
                break
        yield spec, record
        position = spec.stop


def _new(category: CategoryRecord, start: int, stop: int, images: PlannedImages) -> ShardSpec:
    return ShardSpec(
        category_id=category.category_id,
        category=category.name,
        source=images.source,
        start=start,
        stop=stop,
        build_hash=images.build_hash(category.category_id, start, stop),
    )


def _lost(spec: ShardSpec, statuses: list[str], images: PlannedImages) -> list[str]:
    """The photos whose references would be lost with a new shard: their files are gone."""
    gone = images.gone(spec)
    photos = zip(images.photos(spec), statuses, strict=False)  # () if they are generated
    return [photo.file for photo, status in photos if status != "failed" and photo.file in gone]


def _current(spec: ShardSpec, images: PlannedImages) -> ShardSpec:
    """The shard of what there is now: a photo whose image failed may have been repaired."""
    return replace(spec, build_hash=images.build_hash(spec.category_id, spec.start, spec.stop))
