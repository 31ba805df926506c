"""Which shards a plan consists of, which of them are finished, and which are still to be made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.manifest import Manifest
from schemas.parquet import read_table
from schemas.progress_file import BuildPlan
from schemas.shards import ShardRecord, ShardSpec, find_shard, shard_folder, shards_folder

SOURCE = "diffusion"
_NAME = re.compile(rf"c(\d+)-{SOURCE}-n(\d+)-(\d+)-([0-9a-f]{{8}})(-r\d+)?")


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
    out: Path, plan: BuildPlan, manifest: Manifest | None, shard_images: int, retry_failed: bool
) -> WorkList:
    """Compares a plan with what is on disk.

    The bank's own shards keep their places. Behind them come, for every category, finished shards
    that an interrupted build left (their content is checked), and new ones of at most
    `shard_images` images each. A shard of the bank whose files are gone or cut short is made anew.

    Args:
        retry_failed: make the shards anew in which an image failed, under their next attempt.
    """
    left = _on_disk(out)
    finished: list[ShardRecord] = []
    to_do: list[ShardSpec] = []
    for category in plan.vocabulary:
        if category.removed:
            continue
        own = [
            shard
            for shard in (manifest.shards if manifest else ())
            if (shard.category_id, shard.source) == (category.category_id, SOURCE)
        ]
        committed = [_spec(shard) for shard in sorted(own, key=lambda shard: shard.start)]
        position = max((spec.stop for spec in committed), default=0)
        rest = ShardSpec(
            category_id=category.category_id,
            category=category.name,
            source=SOURCE,
            start=position,
            stop=plan.images_per_category,
            build_hash=plan.build_hash,
        )
        found = [(spec, find_shard(out, spec, verify=False)) for spec in committed]
        for spec, record in (*found, *_rest(out, rest, shard_images, left)):
            if record is None:
                to_do.append(spec)
            elif retry_failed and "failed" in shard_statuses(out, record):
                to_do.append(replace(spec, attempt=record.attempt + 1))
            else:
                finished.append(record)
    return WorkList(tuple(finished), tuple(to_do))


def shard_statuses(out: Path, record: ShardRecord) -> list[str]:
    """The status of every image of a shard, as the shard itself has it."""
    table = read_table(shard_folder(out, record) / record.images.name, ["status"])
    statuses: list[str] = table["status"].to_pylist()
    return statuses


def _rest(
    out: Path, rest: ShardSpec, shard_images: int, left: dict[tuple[int, int, str], set[int]]
) -> Iterator[tuple[ShardSpec, ShardRecord | None]]:
    """Cuts the images that the bank does not have into shards, along those that are on disk."""
    start = rest.start
    while start < rest.stop:
        stops = left.get((rest.category_id, start, rest.build_hash[:8]), set())
        spec, record = replace(rest, start=start, stop=min(start + shard_images, rest.stop)), None
        for stop in sorted(stops, reverse=True):
            candidate = replace(rest, start=start, stop=stop)
            if stop <= rest.stop and (record := find_shard(out, candidate)) is not None:
                spec = candidate
                break
        yield spec, record
        start = spec.stop


def _on_disk(out: Path) -> dict[tuple[int, int, str], set[int]]:
    """Where shards that begin at (category_id, start, hash) end, by the names of their folders."""
    stops: dict[tuple[int, int, str], set[int]] = {}
    for folder in shards_folder(out).glob("c*"):
        match = _NAME.fullmatch(folder.name)
        if match:
            key = (int(match[1]), int(match[2]), match[4])
            stops.setdefault(key, set()).add(int(match[3]))
    return stops


def _spec(record: ShardRecord) -> ShardSpec:
    return ShardSpec(
        category_id=record.category_id,
        category=record.category,
        source=record.source,
        start=record.start,
        stop=record.stop,
        build_hash=record.build_hash,
        attempt=record.attempt,
    )
