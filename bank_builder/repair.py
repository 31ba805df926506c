"""Mending a damaged bank: derived files from the shards, shards from their models, or given up."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bank_builder.commit import check_same_models, commit_version, person_verdicts
from bank_builder.output_folder import Existing
from bank_builder.plan import bank_settings, plan_of
from bank_builder.rebuild import rebuild_index, rebuild_prototypes
from bank_builder.shard_work import work_shards
from bank_builder.sources.diffusion import GENERATED
from foundation.interfaces import BuildStack
from schemas.errors import BankDamaged, BankError, ModelError
from schemas.ids import DIFFUSION
from schemas.records import ShardRecord
from schemas.settings import Settings
from schemas.store.bank import StoredBank, index_folder
from schemas.store.files import fsync_folder, temporary_path
from schemas.store.lock import build_lock
from schemas.store.manifest import Manifest, list_versions, manifests_folder, no_bank
from schemas.store.progress_file import FILE_NAME
from schemas.store.prune import SET_ASIDE
from schemas.store.shards import (
    ShardSpec,
    ShardWriter,
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
class Mended:
    """One thing that was done. how: what, in the past tense; path: to what."""

    how: str
    path: Path


@dataclass(frozen=True)
class Repair:
    """What was done to a bank, and what is still damaged afterwards."""

    mended: tuple[Mended, ...]
    after: Inspection


def repair_bank(out: Path, load: Callable[[Settings], BuildStack]) -> Repair:
    """Mends what can be mended, and says what is left.

    - A manifest, or the plan of an unfinished build, is set aside: the version before it is the
      bank then, or the same build goes on from the finished shards.
    - A shard's sidecar is written anew from the manifest.
    - A shard of generated pictures is made anew. Where that gives the same bytes, it takes its old
      place; otherwise a new version has it.
    - A shard that cannot be made here (its weights are not, or it is of photos) is given up: in a
      new version its images have failed, with the reason LOST, and can be made anew by
      `rim build --retry-failed`.
    - Where verdicts are damaged, a new version has a person's verdicts of the latest one that can
      be read, and is judged anew.
    - Index and prototypes are derived anew, of every version.
    - What is damaged of an unfinished build is deleted; the build makes it anew.

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
        mended = list(_mend(out, found, load)) if found.damages else []
        after = inspect_bank(out) if _is_left(out) else Inspection((), 0, ())
        return Repair(tuple(mended), after)


def _is_left(out: Path) -> bool:
    """Whether there is anything to inspect: a first version that was set aside leaves shards."""
    return bool(list_versions(out)) or (out / FILE_NAME).exists()


def _mend(out: Path, found: Inspection, load: Callable[[Settings], BuildStack]) -> Iterator[Mended]:
    damaged = {damage.path for damage in found.damages}
    for path in sorted(damaged):
        if path.parent == manifests_folder(out) or path == out / FILE_NAME:
            os.replace(path, path.with_name(path.name + SET_ASIDE))
            fsync_folder(path.parent)
            yield Mended("set aside", path)
    named = {shard.name: shard for bank in found.banks for shard in bank.manifest.shards}
    for name in sorted({path.parent.name for path in damaged if _is_of_shard(out, path)}):
        folder = shards_folder(out) / name
        if name not in named:
            shutil.rmtree(folder, ignore_errors=True)
            yield Mended("deleted, of an unfinished build", folder)
        elif all(folder / file.name not in damaged for file in named[name].files):
            write_sidecar(folder, named[name])
            yield Mended("written anew", sidecar_path(folder))
    if found.banks:
        latest = found.banks[-1]
        yield from _mend_shards(latest, damaged, load, found.banks[:-1])
        yield from _mend_derived(out, damaged, found.banks)


def _is_of_shard(out: Path, path: Path) -> bool:
    return path.parent.parent == shards_folder(out)


def _mend_shards(
    bank: StoredBank,
    damaged: set[Path],
    load: Callable[[Settings], BuildStack],
    earlier: Sequence[StoredBank],
) -> Iterator[Mended]:
    """Makes the shards of the latest version anew; commits another one if bytes have changed."""
    manifest = bank.manifest
    settings = bank_settings(manifest)
    broken = [
        shard
        for shard in manifest.shards
        if any(shard_folder(bank.path, shard) / file.name in damaged for file in shard.files)
    ]
    models = _models(manifest, settings, load, broken)
    replaced: dict[str, ShardRecord] = {}
    for shard in broken:
        if models is not None and shard.source == DIFFUSION:
            new = _made_anew(bank.path, shard, manifest, settings, models)
            yield Mended("made anew", shard_folder(bank.path, shard))
        else:
            new = _given_up(bank.path, shard)
            yield Mended("given up", shard_folder(bank.path, shard))
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
        yield Mended("judged anew", verdicts_folder(bank.path) / verdicts.name)


def _models(
    manifest: Manifest,
    settings: Settings,
    load: Callable[[Settings], BuildStack],
    broken: Sequence[ShardRecord],
) -> BuildStack | None:
    """The bank's models if a shard can be made with them; None, which is logged, if they are not
    here.
    """
    if all(shard.source != DIFFUSION for shard in broken):
        return None
    roles = GENERATED.pictures(plan_of(manifest), settings).roles
    try:
        models = load(settings)
        check_same_models(Existing(manifest), models.fingerprints(roles))
        models.load(roles)
    except ModelError as error:
        logger.warning("damaged shards cannot be made anew: %s", error)
        return None
    return models


def _made_anew(
    out: Path, shard: ShardRecord, manifest: Manifest, settings: Settings, models: BuildStack
) -> ShardRecord:
    """Makes a shard beside the damaged one, and puts it in its place if it has the same bytes."""
    pictures = GENERATED.pictures(plan_of(manifest), settings)
    spec = _beside(out, shard)
    # In the batches that it was made in: the same bytes again, if the device allows them.
    size = min(shard.batch_size, pictures.batch_size(models))
    (made,) = work_shards(out, [spec], pictures, models, settings, size, _nothing, _nothing)
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


def _given_up(out: Path, shard: ShardRecord) -> ShardRecord:
    """A shard of the same images, all failed."""
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


def _mend_derived(out: Path, damaged: set[Path], banks: Sequence[StoredBank]) -> Iterator[Mended]:
    """Derives damaged indexes and prototypes anew, of all versions whose shards are whole."""
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
                logger.warning("%s cannot be made anew: %s", path, error)
            else:
                yield Mended("made anew", path)


def _nothing(_: object) -> None:
    """What a build tells meanwhile is not shown."""
