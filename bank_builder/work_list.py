"""Which shards a plan consists of, which of them are finished, and which are still to be made."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bank_builder.sources.base import SourceImages
from schemas.manifest import BuildPlan, Manifest
from schemas.records import CategoryRecord, ShardRecord
from schemas.store.parquet import read_table
from schemas.store.shards import SHARD_NAME, ShardSpec, find_shard, finished_folders, shard_folder

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
    out: Path,
    plan: BuildPlan,
    pictures: SourceImages,
    manifest: Manifest | None,
    shard_images: int,
    retry_failed: bool,
) -> WorkList:
    """Compares a plan with what is on disk.

    The bank's own shards of the source keep their places. Behind them come, for every category,
    finished shards that an interrupted build left (their content is checked), and new ones of at
    most `shard_images` images each. A shard of the bank whose files are gone or cut short is made
    anew.

    Args:
        retry_failed: make the shards anew in which an image failed, under their next attempt;
            except where the file of a photo that did not fail is gone: its reference would be lost.
    """
    left = _on_disk(out, pictures.source)
    finished: list[ShardRecord] = []
    to_do: list[ShardSpec] = []
    for category in plan.vocabulary:
        if category.removed:
            continue
        own = [
            shard
            for shard in (manifest.shards if manifest else ())
            if (shard.category_id, shard.source) == (category.category_id, pictures.source)
        ]
        committed = [ShardSpec.of(shard) for shard in sorted(own, key=lambda shard: shard.start)]
        position = max((spec.stop for spec in committed), default=0)
        found = [(spec, find_shard(out, spec, verify=False)) for spec in committed]
        rest = _rest(out, category, position, pictures, shard_images, left)
        for spec, record in (*found, *rest):
            if record is None:
                to_do.append(_current(spec, pictures))
            elif retry_failed and "failed" in (statuses := shard_statuses(out, record)):
                again = _current(replace(spec, attempt=record.attempt + 1), pictures)
                if lost := _lost(again, statuses, pictures):
                    logger.warning("%s: not made anew, %s is gone", record.name, lost[0])
                    finished.append(record)
                elif again.build_hash != spec.build_hash and (made := find_shard(out, again)):
                    finished.append(made)
                else:
                    to_do.append(again)
            else:
                finished.append(record)
    return WorkList(tuple(finished), tuple(to_do))


def shard_statuses(out: Path, record: ShardRecord) -> list[str]:
    """The status of every image of a shard, as the shard itself has it."""
    table = read_table(shard_folder(out, record) / record.images.name, ["status"])
    statuses: list[str] = table["status"].to_pylist()
    return statuses


def _rest(
    out: Path,
    category: CategoryRecord,
    position: int,
    pictures: SourceImages,
    shard_images: int,
    left: dict[tuple[int, int], set[tuple[int, str]]],
) -> Iterator[tuple[ShardSpec, ShardRecord | None]]:
    """Cuts the images that the bank does not have into shards, along those that are on disk."""
    count = pictures.count(category)
    while position < count:
        spec = _new(category, position, min(position + shard_images, count), pictures)
        record = None
        for stop, start_of_hash in sorted(left.get((spec.category_id, position), ()), reverse=True):
            if stop > count:
                continue
            candidate = _new(category, position, stop, pictures)
            if candidate.build_hash.startswith(start_of_hash):
                record = find_shard(out, candidate)
            if record is not None:
                spec = candidate
                break
        yield spec, record
        position = spec.stop


def _on_disk(out: Path, source: str) -> dict[tuple[int, int], set[tuple[int, str]]]:
    """Where a source's shards that begin at (category_id, start) end, and how their hashes begin,
    by the names of their folders.
    """
    ends: dict[tuple[int, int], set[tuple[int, str]]] = {}
    for folder in finished_folders(out):
        match = SHARD_NAME.fullmatch(folder.name)
        if match and match[2] == source:
            ends.setdefault((int(match[1]), int(match[3])), set()).add((int(match[4]), match[5]))
    return ends


def _new(category: CategoryRecord, start: int, stop: int, pictures: SourceImages) -> ShardSpec:
    return ShardSpec(
        category_id=category.category_id,
        category=category.name,
        source=pictures.source,
        start=start,
        stop=stop,
        build_hash=pictures.build_hash(category.category_id, start, stop),
    )


def _lost(spec: ShardSpec, statuses: list[str], pictures: SourceImages) -> list[str]:
    """The photos whose references a shard would lose if it were made anew: their files are gone."""
    gone = pictures.gone(spec)
    photos = zip(pictures.photos(spec), statuses, strict=False)  # () if they are generated
    return [photo.file for photo, status in photos if status != "failed" and photo.file in gone]


def _current(spec: ShardSpec, pictures: SourceImages) -> ShardSpec:
    """The shard made of what there is now: a photo whose image failed may have been mended."""
    return replace(spec, build_hash=pictures.build_hash(spec.category_id, spec.start, spec.stop))
