"""Refuses a build that differs from its bank in more than categories and images to be added."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import BankError
from schemas.ids import DIFFUSION, FOLDER
from schemas.manifest import BuildPlan, Manifest
from schemas.settings import COMPARING_IMAGES, Settings
from schemas.text import shortened
from schemas.vocabulary import Vocabulary, name_key


def check_differences(
    vocabulary: Vocabulary,
    settings: Settings,
    own: Settings,
    base: Manifest | BuildPlan,
    out: Path,
    *,
    generates: bool,
) -> None:
    """Raises BankError if a build asks for more than further categories and images.

    Settings that say how images are generated, and K, are compared only if the bank has generated
    images and more are to be generated.

    Args:
        vocabulary, settings: of the build.
        own: the bank's settings.
        base: the bank, or the plan of an unfinished first build.
        out: its folder.
        generates: whether the build generates images.
    """
    generated = generates and _has_generated(base)
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
    found += _category_differences(vocabulary, base)
    if found:
        raise BankError(
            f"{out}: more categories and more images per category can be added to a bank; all "
            f"else must be as it was built, but it differs: {shortened(found, separator='; ')}. "
            f"Build into another folder, or again with --overwrite{_way_out(vocabulary, base)}"
        )


def _has_generated(base: Manifest | BuildPlan) -> bool:
    """Whether a bank has generated images, or an unfinished build was to make some."""
    if isinstance(base, BuildPlan):
        return base.source == DIFFUSION
    return any(shard.source == DIFFUSION for shard in base.shards)


def _category_differences(vocabulary: Vocabulary, base: Manifest | BuildPlan) -> list[str]:
    """Categories that the vocabulary lacks, and other synonyms, one phrase each."""
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
