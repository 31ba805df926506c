"""Repairs a damaged bank: derived files from the shards, and shards by the bank's models."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bank_builder.commit import check_same_models, commit_version, person_verdicts
from bank_builder.derived import rebuild_index, rebuild_prototypes
from bank_builder.output_folder import Existing
from bank_builder.plan import bank_settings, plan_of
from bank_builder.shard_work import make_shards
from bank_builder.sources.diffusion import GENERATED
from foundation.interfaces import BuildStack
from schemas.errors import BankDamaged, BankError, ModelError
from schemas.ids import DIFFUSION
from schemas.manifest import Manifest
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank, index_folder
from schemas.store.files import fsync_folder, temporary_path
from schemas.store.lock import build_lock
from schemas.store.manifests import PLAN_NAME, list_versions, manifests_folder, no_bank
from schemas.store.prune import SET_ASIDE
from schemas.store.shard_writer import ShardWriter
from schemas.store.shards import (
    ShardSpec,
    finished_folders,
    shard_folder,
    shards_folder,
    sidecar_path,
    write_sidecar,
)
from schemas.store.verdicts import Verdict, verdicts_folder
from schemas.store.verify import Inspection, inspect_bank
from schemas.tables import ReferenceRow

LOST = "lost: the shard's files were damaged"
"""The reason of the images of a shard that was given up."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Repaired:
    """One repair. how: what was done, in the past tense; path: what it was done to."""

    how: str
    path: Path


@dataclass(frozen=True)
class Repair:
    """What was done to a bank, and what is still damaged afterwards."""

    repaired: tuple[Repaired, ...]
    after: Inspection


def repair_bank(out: Path, load: Callable[[Settings], BuildStack]) -> Repair:
    """Repairs what can be repaired, and reports what is still damaged.

    - A manifest, or the plan of an unfinished build, is set aside: the version before it is the
      bank then, or the same build goes on from the finished shards.
    - A shard's sidecar is written again from the manifest.
    - A shard of generated images is made again. Where that gives the same bytes, it takes its old
      place; otherwise a new version has it.
    - A shard that cannot be made here (its weights are not, or it is of photos) is given up: in a
      new version its images have failed, with the reason LOST, and can be made again by
      `rim build --retry-failed`.
    - Where verdicts are damaged, a new version has a person's verdicts of the latest one that can
      be read, and its images are compared again.
    - Index and prototypes are derived again, of every version.
    - What is damaged of an unfinished build is deleted; the build makes it again.

    Args:
        load: the models that settings name; only called if a shard is to be made.

    Raises:
        BankError: the folder holds no bank, or one of a newer rim.
        OutputError, WriteFailed: as of `build_lock`.
    """
    if not _is_left(out):
        raise BankError(no_bank(out))
    with build_lock(out):
        found = inspect_bank(out)
        repaired = list(_repair(out, found, load)) if found.damages else []
        after = inspect_bank(out) if _is_left(out) else Inspection((), 0, ())
        return Repair(tuple(repaired), after)


def _is_left(out: Path) -> bool:
    """Whether there is anything to inspect: a first version that was set aside leaves shards."""
    return bool(list_versions(out)) or (out / PLAN_NAME).exists()


def _repair(
    out: Path, found: Inspection, load: Callable[[Settings], BuildStack]
) -> Iterator[Repaired]:
    """Repairs what was found, a part at a time."""
    damaged = {damage.path for damage in found.damages}
    for path in sorted(damaged):
        if path.parent == manifests_folder(out) or path == out / PLAN_NAME:
            os.replace(path, path.with_name(path.name + SET_ASIDE))
            fsync_folder(path.parent)
            yield Repaired("set aside", path)
    named = {shard.name: shard for bank in found.banks for shard in bank.manifest.shards}
    for name in sorted({path.parent.name for path in damaged if _is_of_shard(out, path)}):
        folder = shards_folder(out) / name
        if name not in named:
            shutil.rmtree(folder, ignore_errors=True)
            yield Repaired("deleted, of an unfinished build", folder)
        elif all(folder / file.name not in damaged for file in named[name].files):
            write_sidecar(folder, named[name])
            yield Repaired("written again", sidecar_path(folder))
    if found.banks:
        latest = found.banks[-1]
        yield from _repair_shards(latest, damaged, load, found.banks[:-1])
        yield from _repair_derived(out, damaged, found.banks)


def _is_of_shard(out: Path, path: Path) -> bool:
    return path.parent.parent == shards_folder(out)


def _repair_shards(
    bank: StoredBank,
    damaged: set[Path],
    load: Callable[[Settings], BuildStack],
    earlier: Sequence[StoredBank],
) -> Iterator[Repaired]:
    """Makes the latest version's damaged shards again; commits another one if bytes changed."""
    manifest = bank.manifest
    settings = bank_settings(manifest)
    broken = [
        shard
        for shard in manifest.shards
        if any(shard_folder(bank.path, shard) / file.name in damaged for file in shard.files)
    ]
    models = _models(bank.path, manifest, settings, load, broken)
    replaced: dict[str, ShardRecord] = {}
    for shard in broken:
        if models is not None and shard.source == DIFFUSION:
            new = _make_again(bank.path, shard, manifest, settings, models)
            yield Repaired("made again", shard_folder(bank.path, shard))
        else:
            new = _give_up(bank.path, shard)
            yield Repaired("given up", shard_folder(bank.path, shard))
        if new != shard:
            replaced[shard.name] = new
    verdicts = manifest.verdicts
    verdicts_lost = verdicts is not None and verdicts_folder(bank.path) / verdicts.name in damaged
    if not replaced and not verdicts_lost:
        return
    person = _last_person_verdicts((*earlier, bank))
    commit_version(
        bank.path,
        plan_of(manifest),
        manifest,
        [replaced.get(shard.name, shard) for shard in manifest.shards],
        manifest.models,
        settings.reference,
        person,
    )
    if verdicts is not None and verdicts_lost:
        yield Repaired("judged again", verdicts_folder(bank.path) / verdicts.name)


def _models(
    out: Path,
    manifest: Manifest,
    settings: Settings,
    load: Callable[[Settings], BuildStack],
    broken: Sequence[ShardRecord],
) -> BuildStack | None:
    """Loads the bank's models if they are needed; None, which is logged, if they are not here."""
    if all(shard.source != DIFFUSION for shard in broken):
        return None
    roles = GENERATED.images(plan_of(manifest), settings).roles
    try:
        models = load(settings)
        check_same_models(Existing(out, manifest), models.fingerprints(roles))
        models.load(roles)
    except ModelError as error:
        logger.warning("damaged shards cannot be made again: %s", error)
        return None
    return models


def _make_again(
    out: Path, shard: ShardRecord, manifest: Manifest, settings: Settings, models: BuildStack
) -> ShardRecord:
    """Makes a shard beside the damaged one, and puts it in its place if it has the same bytes."""
    images = GENERATED.images(plan_of(manifest), settings)
    spec = _beside(out, shard)
    # In the batches that it was made in: the same bytes again, if the device allows them.
    size = min(shard.batch_size, images.batch_size(models))
    (made,) = make_shards(out, [spec], images, models, settings, size, _ignore, _ignore)
    if made.files != shard.files:
        return made
    place, new = shard_folder(out, shard), shard_folder(out, made)
    damaged = temporary_path(place.parent, place.name)
    write_sidecar(new, shard)
    if place.exists():
        os.rename(place, damaged)
    os.rename(new, place)
    fsync_folder(place.parent)
    shutil.rmtree(damaged, ignore_errors=True)
    return shard


def _give_up(out: Path, shard: ShardRecord) -> ShardRecord:
    """Writes a shard of the same images, all failed."""
    with ShardWriter(out, _beside(out, shard), dimension=shard.dimension) as writer:
        for position, number in enumerate(range(shard.start, shard.stop)):
            row = ReferenceRow(
                category_id=shard.category_id,
                category=shard.category,
                number=number,
                source=shard.source,
                status="failed",
                reason=LOST,
                file=shard.photos[position].file if shard.photos else None,
            )
            writer.add(row)
        return writer.finish(batch_size=shard.batch_size, device=shard.device, photos=shard.photos)


def _beside(out: Path, shard: ShardRecord) -> ShardSpec:
    """The same shard as the next attempt that is not on the disk yet."""
    spec = ShardSpec.of(shard)
    there = {folder.name for folder in finished_folders(out)}
    while spec.name in there or spec.attempt <= shard.attempt:
        spec = replace(spec, attempt=spec.attempt + 1)
    return spec


def _last_person_verdicts(banks: Sequence[StoredBank]) -> list[Verdict]:
    """A person's verdicts in the latest of the versions of which they can be read."""
    for bank in reversed(banks):
        try:
            return person_verdicts(bank.path, bank.manifest)
        except BankDamaged:
            continue
    return []


def _repair_derived(
    out: Path, damaged: set[Path], banks: Sequence[StoredBank]
) -> Iterator[Repaired]:
    """Derives damaged indexes and prototypes again, of all versions whose shards are whole."""
    for bank in banks:
        for record, rebuild in (
            (bank.manifest.index, rebuild_index),
            (bank.manifest.prototypes, rebuild_prototypes),
        ):
            path = None if record is None else index_folder(out) / record.name
            if path is None or path not in damaged:
                continue
            try:
                rebuild(StoredBank(out, bank.version, check_sizes=False))
            except BankDamaged as error:
                logger.warning("%s cannot be made again: %s", path, error)
            else:
                yield Repaired("made again", path)


def _ignore(_: object) -> None:
    """Ignores what is reported meanwhile."""
