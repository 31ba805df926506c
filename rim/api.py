"""The functions of `import rim` that build, open and query banks (changes: `rim.changes`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rim.bank import Bank
from schemas.errors import UsageError
from schemas.ids import DIFFUSION, FOLDER, SOURCES
from schemas.settings import Settings, load_settings
from schemas.vocabulary import Vocabulary, load_vocabulary, name_key, vocabulary_from_names

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress, BuildReport
    from bank_builder.sources.base import Source
    from query.segmentation import Segmentation

FILTER_SHARE = 0.01
"""Of the photo, that a category needs where `filter` is on."""


def build(
    vocabulary: str | Path | Iterable[str],
    out: str | Path,
    *,
    preset: str = "miniature",
    images_per_category: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
    source: str = "diffusion",
    limit: int | None = None,
    device: str = "auto",
    offline: bool = False,
    retry_failed: bool = False,
    overwrite: bool = False,
    progress: Callable[[BuildProgress], None] | None = None,
) -> Bank:
    """Build a bank, or resume or grow the one in `out`, and open it.

    Args:
        vocabulary: a file, the name of a shipped vocabulary, or category names (each may be "name,
            synonym").
        out: the bank's folder; made if it is missing.
        preset: a shipped preset's name or a TOML file.
        images_per_category, steps, seed: short for settings of `generation`.
        settings: further "section.key=value", applied last.
        source: "diffusion", generated images, or "folder:DIR", your own photos:
            DIR/CATEGORY/NAME.jpg and, where there is one, the mask DIR/CATEGORY/NAME.mask.png. An
            existing bank keeps what it has from the other source.
        limit: only the first so many categories.
        device: "auto", "cpu", "cuda", ...
        offline: use only weights that are on this machine.
        retry_failed: make images anew that had failed.
        overwrite: replace a bank in `out` whose settings differ.
        progress: called with what is done so far.

    Raises VocabularyError, SettingsError, ModelError, BankError or OutputError before anything is
    changed, and BuildFailed if the work cannot go on.
    """
    chosen = choose_settings(preset, images_per_category, steps, seed, settings)
    words = choose_vocabulary(vocabulary, limit)
    run_build(
        words,
        Path(out),
        chosen,
        choose_source(source),
        device=device,
        offline=offline,
        retry_failed=retry_failed,
        overwrite=overwrite,
        progress=progress,
        preset=preset,
    )
    return Bank(out)


def open(path: str | Path, version: int | None = None) -> Bank:
    """Open a bank: its latest version, or an older one.

    Raises BankError if the folder is no bank, BankDamaged if its manifest is damaged.
    """
    return Bank(path, version)


def query(
    bank: Bank | str | Path,
    image: str | Path | NDArray[np.uint8],
    *,
    categories: Iterable[str] | None = None,
    matcher: str | None = None,
    background: float | str | None = None,
    filter: bool = False,
    text_weight: float | None = None,
    source_weight: Mapping[str, float] | None = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
    device: str = "auto",
    offline: bool = False,
) -> Segmentation:
    """Label a photo with the categories of a bank.

    Args:
        bank: an open bank (keeps its models between calls) or its folder.
        image: a file, or uint8 (H, W, 3) RGB.
        categories: only these names of the bank take part.
        matcher: "prototype", "knn" or "ranking"; by default the settings'.
        background: cosine below which a region stays unlabelled, "auto" for what the bank's own
            references suggest, "off" to label everything; by default the settings' ("auto").
        filter: drop categories that get less than FILTER_SHARE of the photo.
        text_weight: of a category's probability by its name, 0 to 1.
        source_weight: what references count by their source ("diffusion", "folder"); 0 leaves
            them out.
        settings: further "section.key=value" of proposals and matching.
        preset: where to find the bank's models.

    Raises ImageError for a photo that cannot be read, ModelError if the models are not the bank's.
    """
    opened = bank if isinstance(bank, Bank) else Bank(bank)
    overrides = query_overrides(
        matcher,
        background,
        settings,
        filter=filter,
        text_weight=text_weight,
        source_weight=source_weight,
    )
    engine = opened.engine(overrides=overrides, preset=preset, device=device, offline=offline)
    path = Path(image) if isinstance(image, str) else image
    return engine.segment(path, categories=category_ids(opened, categories))


def choose_settings(
    preset: str,
    images_per_category: int | None,
    steps: int | None,
    seed: int | None,
    overrides: Sequence[str],
) -> Settings:
    """A preset's settings with the short options and the overrides applied."""
    short = {"images_per_category": images_per_category, "steps": steps, "seed": seed}
    given = [f"generation.{key}={value}" for key, value in short.items() if value is not None]
    return load_settings(preset, [*given, *overrides])


def choose_vocabulary(vocabulary: str | Path | Iterable[str], limit: int | None) -> Vocabulary:
    """The vocabulary of a file, of a shipped name or of category names, cut to `limit`
    categories.
    """
    if isinstance(vocabulary, str | Path):
        words = load_vocabulary(str(vocabulary))
    else:
        words = vocabulary_from_names(vocabulary)
    if limit is None:
        return words
    if limit < 1:
        raise UsageError(f"expected a limit of at least one category, found {limit}")
    return Vocabulary(words.categories[:limit], words.background, words.warnings)


def choose_source(source: str) -> Source:
    """Where a build's images come from: "diffusion", or "folder:DIR".

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


def run_build(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    source: Source,
    *,
    device: str,
    offline: bool,
    retry_failed: bool,
    overwrite: bool,
    progress: Callable[[BuildProgress], None] | None,
    preset: str,
) -> BuildReport:
    """Load the models and build; the part that the command and the function share.

    preset: as it was named, for the error if a model is missing.
    """
    from bank_builder.build import prepare_build

    # Before the model libraries, which take seconds to import.
    prepared = prepare_build(
        vocabulary, out, settings, source=source, overwrite=overwrite, retry_failed=retry_failed
    )
    from foundation.stack import ModelStack
    from foundation.weights.missing import Caller

    # Photos as references take the models that a query takes.
    purposes = ("build",) if source.generates else ("query",)
    caller = Caller(preset, purposes=purposes)
    stack = ModelStack(settings, device, offline, caller=caller)
    return prepared.run(stack, progress)


def query_overrides(
    matcher: str | None,
    background: float | str | None,
    settings: Sequence[str],
    *,
    filter: bool = False,
    text_weight: float | None = None,
    source_weight: Mapping[str, float] | None = None,
) -> tuple[str, ...]:
    """The short options of a query as settings, the explicit settings last.

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


def category_ids(bank: Bank, names: Iterable[str] | None) -> Collection[int] | None:
    """The category ids of names, by name or synonym; None for None.

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
