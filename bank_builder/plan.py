"""Settles what a build makes: categories with their ids, their images, and the shards to make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.differences import check_differences
from bank_builder.output_folder import Existing
from bank_builder.sources.base import PlannedImages, Source
from bank_builder.work_list import WorkList, list_work
from schemas.errors import BankError, SettingsError, UsageError, VocabularyError
from schemas.ids import DIFFUSION
from schemas.manifest import BuildPlan, Manifest
from schemas.records import CategoryRecord, ShardRecord
from schemas.settings import Settings
from schemas.store.manifests import read_manifest
from schemas.validation import validate
from schemas.vocabulary import BACKGROUND_NAME, Vocabulary, name_key, vocabulary_from_names


@dataclass(frozen=True)
class Plan:
    """A build that was settled and not refused; nothing of it is written yet.

    Attributes:
        vocabulary: all categories of the bank, and what was dropped from it (`warnings`).
        settings: of the build.
        existing: what was in the folder when this was settled.
        stored: the part that `build.json` keeps while the build runs.
        images: of the build, made when they are asked for.
        work: the shards of the build: those on the disk, and those to be made.
        only_new: whether nothing is made of the categories that the bank has.
    """

    vocabulary: Vocabulary
    settings: Settings
    existing: Existing
    stored: BuildPlan
    images: PlannedImages
    work: WorkList
    only_new: bool

    @property
    def out(self) -> Path:
        """The bank's folder."""
        return self.existing.out

    @property
    def is_done(self) -> bool:
        """Whether the bank's latest version has all that is planned."""
        return not self.work.to_do and self.is_committed(self.work.finished)

    def is_committed(self, shards: Iterable[ShardRecord]) -> bool:
        """Whether the bank's latest version has the plan's categories and K, and these shards."""
        manifest, stored = self.existing.manifest, self.stored
        if manifest is None or (stored.vocabulary, stored.images_per_category) != (
            manifest.vocabulary,
            manifest.images_per_category,
        ):
            return False
        committed = {shard.name: shard for shard in manifest.shards}
        return all(committed.get(shard.name) == shard for shard in shards)


def plan_build(
    vocabulary: Vocabulary,
    settings: Settings,
    source: Source,
    existing: Existing,
    *,
    retry_failed: bool = False,
    only_new: bool = False,
) -> Plan:
    """Plans a build for a vocabulary, in a folder where a bank or an unfinished build may be.

    Categories keep the ids they have, also those of which an interrupted build left a finished
    shard and nothing else; new ones get the next free ids in the vocabulary's order. An id that was
    ever in the bank, or is on the disk, is not given to another category.

    A synonym that became another category's name is dropped, as in a vocabulary that is read at
    once.

    Settings that say how images are generated are compared only if the bank has generated images
    and more are to be generated. A build from photos leaves them, and K, as the bank has them.

    Args:
        retry_failed: make the shards again in which an image failed.
        only_new: make images of those categories alone that the bank does not have.

    Raises:
        BankError: the bank, or an unfinished first build, was made with another setting, fewer
            categories or fewer images; the message names each difference. Or as of the source.
        UsageError: as of the source.
        BankDamaged: a shard that cannot be read.
    """
    source.check(vocabulary, settings, existing)
    manifest = existing.manifest
    base = manifest or existing.unfinished
    whole, count = settings, settings.generation.images_per_category
    if base is not None:
        own = bank_settings(base)
        check_differences(vocabulary, settings, own, base, existing.out, generates=source.generates)
        if manifest is not None and not source.generates:
            later = {"proposals": settings.proposals, "matching": settings.matching}
            whole, count = own.model_copy(update=later), base.images_per_category
    records, next_id = _assigned(vocabulary, existing)
    in_bank = {record.category_id for record in manifest.vocabulary} if manifest else set()
    to_make = (
        tuple(record for record in records if record.category_id not in in_bank)
        if only_new
        else records
    )
    stored = BuildPlan(
        settings=whole.model_dump(mode="json"),
        build_hash=whole.build_hash(),
        vocabulary=records,
        background=vocabulary.background,
        next_category_id=next_id,
        images_per_category=count,
        source=source.name,
        photos=source.numbered(to_make, existing),
    )
    images = source.images(stored, settings)
    work = list_work(existing, to_make, images, settings.build.shard_images, retry_failed)
    return Plan(vocabulary, settings, existing, stored, images, work, only_new)


def plan_addition(names: Sequence[str], source: Source, existing: Existing) -> Plan:
    """Plans to add categories to a finished bank, by its own settings.

    Finished shards of an addition that was interrupted are taken; those in which an image failed
    are made again.

    names: "name, synonym, synonym" each.

    Raises:
        VocabularyError: a name that the bank has, or that is none.
        UsageError: "background", a category of which the source has no images, or images to be
            generated for a bank of photos alone.
        BankError, BankDamaged: there is no bank that can be read.
    """
    manifest = existing.manifest or read_manifest(existing.out)
    vocabulary = _grown_vocabulary(manifest, names)
    if source.generates and not any(shard.source == DIFFUSION for shard in manifest.shards):
        raise UsageError(
            f"{existing.out}: all references of this bank are photos; add categories with photos "
            "of them: --source folder:DIR"
        )
    settings = bank_settings(manifest)
    generation = settings.generation.model_copy(
        update={"images_per_category": manifest.images_per_category}
    )
    settings = settings.model_copy(update={"generation": generation})
    # Of what is not in the bank yet a failed image costs nothing but another try.
    return plan_build(vocabulary, settings, source, existing, retry_failed=True, only_new=True)


def plan_of(manifest: Manifest) -> BuildPlan:
    """The plan of a build that would give a version as it is."""
    return BuildPlan(
        settings=manifest.settings,
        build_hash=manifest.build_hash,
        vocabulary=manifest.vocabulary,
        background=manifest.background,
        next_category_id=manifest.next_category_id,
        images_per_category=manifest.images_per_category,
    )


def bank_settings(base: Manifest | BuildPlan) -> Settings:
    """Reads the settings of a bank, or of a build; BankError if they cannot be read."""
    try:
        return validate(Settings, base.settings, "the bank's settings")
    except SettingsError as error:
        raise BankError(f"{error}; was the bank made by another version of rim?") from error


def _assigned(vocabulary: Vocabulary, existing: Existing) -> tuple[tuple[CategoryRecord, ...], int]:
    """Assigns ids: every category's record by ascending id, removed ones included, and the next
    free id.
    """
    manifest, unfinished = existing.manifest, existing.unfinished
    own = manifest.vocabulary if manifest else ()
    known = {record.category_id for record in own}
    on_disk = existing.finished.categories(known)
    reserved = _reserved(unfinished, known, on_disk)
    plans = [plan for plan in (manifest, unfinished) if plan is not None]
    next_id = max([0, *(plan.next_category_id for plan in plans), *(one + 1 for one in on_disk)])
    records = {record.category_id: record for record in own}
    taken = {name_key(record.name): record for record in own if not record.removed}
    for category in vocabulary.categories:
        record = taken.get(name_key(category.name))
        if record is not None:
            changed = {"synonyms": category.synonyms}
            records[record.category_id] = record.model_copy(update=changed)
            continue
        category_id = reserved.get(category.name)
        if category_id is None:
            category_id, next_id = next_id, next_id + 1
        records[category_id] = CategoryRecord(
            category_id=category_id, name=category.name, synonyms=category.synonyms
        )
    return tuple(records[category_id] for category_id in sorted(records)), next_id


def _reserved(
    unfinished: BuildPlan | None, in_bank: Collection[int], on_disk: dict[int, str | None]
) -> dict[str, int]:
    """The ids, by name, of categories that are not in the bank, but in an unfinished build or on
    the disk.

    Where the two do not agree whose an id is, the disk is right.
    """
    reserved: dict[str, int] = {}
    for category_id in sorted(on_disk):
        name = on_disk[category_id]
        if name is not None:
            reserved.setdefault(name, category_id)
    for record in unfinished.vocabulary if unfinished else ():
        is_new = record.category_id not in in_bank and not record.removed
        if is_new and on_disk.get(record.category_id) in (None, record.name):
            reserved[record.name] = record.category_id
    return reserved


def _grown_vocabulary(manifest: Manifest, names: Sequence[str]) -> Vocabulary:
    """The bank's categories and further ones, by the rules and warnings of a single vocabulary.

    names: "name, synonym, synonym" each.

    Raises VocabularyError as `vocabulary_from_names` does, and for a name that the bank has;
    UsageError for "background", which no bank can get or lose later.
    """
    if not isinstance(names, str) and BACKGROUND_NAME in map(_first_name, names):
        raise UsageError(
            f"{BACKGROUND_NAME!r} is no category that can be added: whether a bank has it is "
            "settled when it is built; build into another folder"
        )
    own = {name_key(record.name): record for record in manifest.vocabulary if not record.removed}
    for category in vocabulary_from_names(names).categories:
        record = own.get(name_key(category.name))
        if record is not None:
            synonyms = f" (synonyms: {', '.join(record.synonyms)})" if record.synonyms else ""
            raise VocabularyError(
                f"expected names that the bank does not have, found {category.name!r}: it has the "
                f"category {record.name!r}{synonyms} already; nothing was changed"
            )
    # The new ones first, so that messages count the entries as they were given.
    lines = [*names, *(", ".join((record.name, *record.synonyms)) for record in own.values())]
    return vocabulary_from_names([*lines, BACKGROUND_NAME] if manifest.background else lines)


def _first_name(entry: object) -> str:
    """The key of an entry's category; "" for what is no text."""
    return name_key(entry.partition(",")[0]) if isinstance(entry, str) else ""
