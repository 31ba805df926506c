"""What a build sets out to make: its categories with their ids, refused if the bank differs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bank_builder.leftovers import Leftovers
from bank_builder.output_folder import Existing
from bank_builder.sources.base import Source
from schemas.errors import BankError, SettingsError, UsageError, VocabularyError
from schemas.ids import DIFFUSION, FOLDER
from schemas.manifest import BuildPlan, Manifest
from schemas.records import CategoryRecord
from schemas.settings import COMPARING_IMAGES, Settings
from schemas.text import shortened
from schemas.validation import validate
from schemas.vocabulary import BACKGROUND_NAME, Vocabulary, name_key, vocabulary_from_names


def settle_plan(
    vocabulary: Vocabulary,
    settings: Settings,
    source: Source,
    existing: Existing,
    out: Path,
    *,
    only_new: bool = False,
) -> BuildPlan:
    """The plan for a vocabulary in a folder where a bank or an unfinished build may be.

    Categories keep the ids they have, also those of which an interrupted build left a finished
    shard and nothing else; new ones get the next free ids in the vocabulary's order. An id that was
    ever in the bank, or is on the disk, is not given to another category.

    A synonym that became another category's name is dropped, as in a vocabulary that is read at
    once.

    Settings that say how images are generated are compared only if the bank has generated images
    and more are to be generated. A build from photos leaves them, and K, as the bank has them.

    Args:
        only_new: number the photos of those categories alone that the bank does not have.

    Raises:
        BankError: the bank, or an unfinished first build, was made with another setting, fewer
            categories or fewer images; the message names each difference. Or as of the source.
        UsageError: as of the source.
    """
    base = existing.manifest or existing.unfinished
    images = settings.generation.images_per_category
    if base is not None:
        own = bank_settings(base)
        generated = source.generates and _has_generated(base)
        differences = _differences(vocabulary, settings, own, base, generated)
        if differences:
            raise BankError(
                f"{out}: more categories and more images per category can be added to a bank; all "
                f"else must be as it was built, but it differs: "
                f"{shortened(differences, separator='; ')}. Build into another "
                f"folder, or anew with --overwrite{_way_out(vocabulary, base)}"
            )
        if existing.manifest is not None and not source.generates:
            later = {"proposals": settings.proposals, "matching": settings.matching}
            settings, images = own.model_copy(update=later), base.images_per_category
    records, next_id = _assigned(vocabulary, existing, out)
    numbered = new_records(records, existing.manifest) if only_new else records
    return BuildPlan(
        settings=settings.model_dump(mode="json"),
        build_hash=settings.build_hash(),
        vocabulary=records,
        background=vocabulary.background,
        next_category_id=next_id,
        images_per_category=images,
        source=source.name,
        photos=source.numbered(numbered, existing, out),
    )


def new_records(
    records: Iterable[CategoryRecord], manifest: Manifest | None
) -> tuple[CategoryRecord, ...]:
    """Those of a plan's categories whose ids the bank does not have."""
    known = {record.category_id for record in manifest.vocabulary} if manifest else set()
    return tuple(record for record in records if record.category_id not in known)


def grown_vocabulary(manifest: Manifest, names: Sequence[str]) -> Vocabulary:
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


def plan_of(manifest: Manifest) -> BuildPlan:
    """The plan that gives just what a version has."""
    return BuildPlan(
        settings=manifest.settings,
        build_hash=manifest.build_hash,
        vocabulary=manifest.vocabulary,
        background=manifest.background,
        next_category_id=manifest.next_category_id,
        images_per_category=manifest.images_per_category,
    )


def bank_settings(base: Manifest | BuildPlan) -> Settings:
    """The settings of a bank, or of a build; BankError if they cannot be read."""
    try:
        return validate(Settings, base.settings, "the bank's settings")
    except SettingsError as error:
        raise BankError(f"{error}; was the bank made by another version of rim?") from error


def _assigned(
    vocabulary: Vocabulary, existing: Existing, out: Path
) -> tuple[tuple[CategoryRecord, ...], int]:
    """Every category's record by ascending id, removed ones included, and the next free id."""
    manifest, unfinished = existing.manifest, existing.unfinished
    own = manifest.vocabulary if manifest else ()
    known = {record.category_id for record in own}
    on_disk = Leftovers.find(out).categories(known)
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


def _has_generated(base: Manifest | BuildPlan) -> bool:
    """Whether it has generated images, or set out to make some."""
    if isinstance(base, BuildPlan):
        return base.source == DIFFUSION
    return any(shard.source == DIFFUSION for shard in base.shards)


def _differences(
    vocabulary: Vocabulary,
    settings: Settings,
    own: Settings,
    base: Manifest | BuildPlan,
    generated: bool,
) -> list[str]:
    """What differs and may not, one phrase each: the bank's value first.

    generated: whether how images are generated matters too.
    """
    found = own.differences(settings, DIFFUSION if generated else FOLDER)
    for key in COMPARING_IMAGES:
        value, asked = getattr(own.reference, key), getattr(settings.reference, key)
        if value != asked:
            found.append(f"reference.{key}: {value} != {asked}")
    images = settings.generation.images_per_category
    if generated and images < base.images_per_category:
        found.append(
            f"generation.images_per_category: {base.images_per_category} > {images}, "
            "it can only grow"
        )
    if vocabulary.background != base.background:
        found.append(f"background: {base.background} != {vocabulary.background}")
    return found + _category_differences(vocabulary, base)


def _category_differences(vocabulary: Vocabulary, base: Manifest | BuildPlan) -> list[str]:
    asked = {name_key(category.name): category for category in vocabulary.categories}
    removed = {name_key(record.name) for record in base.vocabulary if record.removed}
    names = asked.keys() | removed

    def settled(synonyms: tuple[str, ...]) -> list[str]:
        """Without those that are another category's name, or were until it was removed."""
        return [synonym for synonym in synonyms if name_key(synonym) not in names]

    found = []
    for record in base.vocabulary:
        if record.removed:
            continue
        category = asked.get(name_key(record.name))
        if category is None:
            found.append(f"the category {record.name!r} is missing in the vocabulary")
        elif settled(category.synonyms) != settled(record.synonyms):
            own, other = ", ".join(record.synonyms), ", ".join(category.synonyms)
            found.append(f"synonyms of {record.name!r}: {own or 'none'} != {other or 'none'}")
    return found


def _way_out(vocabulary: Vocabulary, base: Manifest | BuildPlan) -> str:
    """How to take categories out of a bank, if that is what the vocabulary asks for."""
    asked = {name_key(name) for name in vocabulary.names}
    lacking = any(not one.removed and name_key(one.name) not in asked for one in base.vocabulary)
    if isinstance(base, Manifest) and lacking:
        return "; to take a category out of the bank: rim remove"
    return ""


def _first_name(entry: object) -> str:
    """The key of an entry's category; "" for what is no text."""
    return name_key(entry.partition(",")[0]) if isinstance(entry, str) else ""
