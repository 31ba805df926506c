"""Turns the arguments of rim's functions and commands into settings, vocabulary and source."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import UsageError
from schemas.ids import DIFFUSION, FOLDER, SOURCES
from schemas.settings import Settings, load_settings
from schemas.vocabulary import Vocabulary, load_vocabulary, name_key, vocabulary_from_names

if TYPE_CHECKING:
    from bank_builder.sources.base import Source
    from schemas.store.bank import StoredBank

FILTER_SHARE = 0.01
"""Of the photo, that a category needs where `filter` is on."""
_LOG = logging.getLogger("rim")


def choose_settings(
    preset: str,
    images_per_category: int | None,
    steps: int | None,
    seed: int | None,
    overrides: Sequence[str],
) -> Settings:
    """Returns a preset's settings with the short options and the overrides applied."""
    short = {"images_per_category": images_per_category, "steps": steps, "seed": seed}
    given = [f"generation.{key}={value}" for key, value in short.items() if value is not None]
    return load_settings(preset, [*given, *overrides])


def choose_vocabulary(
    vocabulary: str | Path | Iterable[str] | Vocabulary, limit: int | None
) -> Vocabulary:
    """Returns the vocabulary of a file, of a shipped name or of category names, cut to `limit`
    categories; what is dropped from it is logged as a warning. A vocabulary is returned as it is.
    """
    if isinstance(vocabulary, Vocabulary):
        words = vocabulary
    elif isinstance(vocabulary, str | Path):
        words = load_vocabulary(str(vocabulary))
        log_warnings(words)
    else:
        words = vocabulary_from_names(vocabulary)
        log_warnings(words)
    if limit is None:
        return words
    if limit < 1:
        raise UsageError(f"expected a limit of at least one category, found {limit}")
    return Vocabulary(words.categories[:limit], words.background, words.warnings)


def log_warnings(vocabulary: Vocabulary) -> None:
    """Logs what was dropped from a vocabulary."""
    for warning in vocabulary.warnings:
        _LOG.warning("%s", warning)


def choose_source(source: str) -> Source:
    """Returns where a build's images come from: "diffusion", or "folder:DIR".

    Raises UsageError for anything else; whether DIR is there is seen later.
    """
    kind, _, folder = source.partition(":")
    if source == DIFFUSION:
        from bank_builder.sources.diffusion import GENERATED

        return GENERATED
    if kind == FOLDER and folder:
        from bank_builder.sources.folder import FolderSource

        return FolderSource(Path(folder).expanduser())
    raise UsageError(f"--source: expected diffusion or folder:DIR, found {source!r}")


def build_purposes(source: Source) -> tuple[str, ...]:
    """Returns what a build needs models for, see `foundation.weights.roles`: photos as references
    take those of a query.
    """
    return ("build",) if source.generates else ("query",)


def query_overrides(
    matcher: str | None,
    background: float | str | None,
    settings: Sequence[str],
    *,
    filter: bool = False,
    text_weight: float | None = None,
    source_weight: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """Returns the short options of a query as settings, the explicit settings last.

    Raises UsageError for a source that does not exist.
    """
    given = [] if matcher is None else [f"matching.matcher={matcher}"]
    if background is not None:
        given.append(f"matching.background={'none' if background == 'off' else background}")
    if filter:
        given.append(f"matching.filter={FILTER_SHARE}")
    if text_weight is not None:
        given.append(f"matching.text_weight={text_weight}")
    for source, weight in (source_weight or {}).items():
        if source not in SOURCES:
            raise UsageError(f"expected a source out of {', '.join(SOURCES)}, found {source!r}")
        given.append(f"matching.{source}_weight={float(weight)}")
    return (*given, *settings)


def category_ids(bank: StoredBank, names: Iterable[str] | None) -> Collection[int] | None:
    """Returns the category ids of names, by name or synonym; None for None.

    Raises UsageError for a name that the bank does not have.
    """
    if names is None:
        return None
    known: dict[str, int] = {}
    for record in bank.categories:
        for name in (*record.synonyms, record.name):
            known[name_key(name)] = record.category_id
    wanted = [name.strip() for name in names if name.strip()]
    if not wanted:
        raise UsageError("expected at least one category name, found none")
    unknown = [name for name in wanted if name_key(name) not in known]
    if unknown:
        from schemas.text import did_you_mean

        names_here = [record.name for record in bank.categories]
        raise UsageError(
            f"the bank has no category {unknown[0]!r}{did_you_mean(unknown[0], names_here)}; "
            f"it has {', '.join(names_here[:30])}"
        )
    return [known[name_key(name)] for name in wanted]
