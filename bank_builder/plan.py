"""What a build sets out to make: its categories with their ids, refused if the bank differs."""

from __future__ import annotations

from pathlib import Path

from bank_builder.output_folder import Existing
from bank_builder.sources.base import Source
from schemas.errors import BankError, SettingsError
from schemas.ids import DIFFUSION, FOLDER
from schemas.manifest import Manifest
from schemas.overrides import validate
from schemas.progress_file import BuildPlan
from schemas.records import CategoryRecord
from schemas.settings import COMPARING_IMAGES, Settings
from schemas.vocabulary import Vocabulary, name_key

_SHOWN = 8


def settle_plan(
    vocabulary: Vocabulary, settings: Settings, source: Source, existing: Existing, out: Path
) -> BuildPlan:
    """The plan for a vocabulary in a folder where a bank or an unfinished build may be.

    Categories keep the ids they have; new ones get the next free ids in the vocabulary's order. An
    id that was ever in the bank is not given to another category.

    Settings that say how images are generated are compared only if the bank has generated images
    and more are to be generated. A build from photos leaves them, and K, as the bank has them.

    Raises:
        BankError: the bank, or an unfinished first build, was made with another setting, fewer
            categories or fewer images; the message names each difference. Or as of the source.
        UsageError: as of the source.
    """
    base = existing.manifest or existing.unfinished
    images = settings.generation.images_per_category
    if base is not None:
        own = _own_settings(base)
        generated = source.generates and _has_generated(base)
        differences = _differences(vocabulary, settings, own, base, generated)
        if differences:
            raise BankError(
                f"{out}: more categories and more images per category can be added to a bank; all "
                f"else must be as it was built, but it differs: {_listed(differences, '; ')}. "
                "Build into another folder, or anew with --overwrite"
            )
        if existing.manifest is not None and not source.generates:
            later = {"proposals": settings.proposals, "matching": settings.matching}
            settings, images = own.model_copy(update=later), base.images_per_category
    records, next_id = _assigned(vocabulary, existing)
    return BuildPlan(
        settings=settings.model_dump(mode="json"),
        build_hash=settings.build_hash(),
        vocabulary=records,
        background=vocabulary.background,
        next_category_id=next_id,
        images_per_category=images,
        source=source.name,
        photos=source.numbered(records, existing, out),
    )


def _assigned(vocabulary: Vocabulary, existing: Existing) -> tuple[tuple[CategoryRecord, ...], int]:
    """Every category's record by ascending id, removed ones included, and the next free id."""
    manifest, unfinished = existing.manifest, existing.unfinished
    records = list(manifest.vocabulary) if manifest else []
    free = manifest.next_category_id if manifest else 0
    taken = {name_key(record.name) for record in records if not record.removed}
    # Ids that an unfinished build has given beyond the bank's own, so that its shards are found.
    reserved = {
        name_key(record.name): record
        for record in (unfinished.vocabulary if unfinished else ())
        if record.category_id >= free and not record.removed
    }
    next_id = max(free, unfinished.next_category_id if unfinished else 0)
    for category in vocabulary.categories:
        key = name_key(category.name)
        if key in taken:
            continue
        earlier = reserved.get(key)
        if earlier is not None and earlier.name == category.name:
            category_id = earlier.category_id
        else:
            category_id, next_id = next_id, next_id + 1
        records.append(
            CategoryRecord(category_id=category_id, name=category.name, synonyms=category.synonyms)
        )
    return tuple(sorted(records, key=lambda record: record.category_id)), next_id


def _own_settings(base: Manifest | BuildPlan) -> Settings:
    try:
        return validate(Settings, base.settings, "the bank's settings")
    except SettingsError as error:
        raise BankError(f"{error}; was the bank made by another version of rim?") from error


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
    found = []
    for record in base.vocabulary:
        if record.removed:
            continue
        category = asked.get(name_key(record.name))
        if category is None:
            found.append(f"the category {record.name!r} is missing in the vocabulary")
        elif category.synonyms != record.synonyms:
            own, other = ", ".join(record.synonyms), ", ".join(category.synonyms)
            found.append(f"synonyms of {record.name!r}: {own or 'none'} != {other or 'none'}")
    return found


def _listed(phrases: list[str], separator: str) -> str:
    shown = separator.join(phrases[:_SHOWN])
    return shown + (f" and {len(phrases) - _SHOWN} more" if len(phrases) > _SHOWN else "")
