"""The functions of `import rim`: build, open, query, evaluate."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rim.bank import Bank
from schemas.errors import UsageError
from schemas.settings import Settings, load_settings
from schemas.vocabulary import Vocabulary, load_vocabulary, name_key, vocabulary_from_names

if TYPE_CHECKING:
    from bank_builder.progress import BuildProgress
    from bank_builder.report import BuildReport
    from query.scores import Scores
    from query.segmentation import Segmentation


def build(
    vocabulary: str | Path | Iterable[str],
    out: str | Path,
    *,
    preset: str = "miniature",
    images_per_category: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Sequence[str] = (),
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
        device=device,
        offline=offline,
        retry_failed=retry_failed,
        overwrite=overwrite,
        progress=progress,
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
    background: float | None = None,
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
        matcher: "prototype" or "knn"; by default the settings'.
        background: cosine below which a region stays unlabelled.
        settings: further "section.key=value" of proposals and matching.
        preset: where to find the bank's models.

    Raises ImageError for a photo that cannot be read, ModelError if the models are not the bank's.
    """
    opened = bank if isinstance(bank, Bank) else Bank(bank)
    engine = opened.engine(
        overrides=query_overrides(matcher, background, settings),
        preset=preset,
        device=device,
        offline=offline,
    )
    path = Path(image) if isinstance(image, str) else image
    return engine.segment(path, categories=category_ids(opened, categories))


def evaluate(
    bank: Bank | str | Path,
    dataset: str = "miniature",
    *,
    scenes: int = 100,
    seed: int = 0,
    matcher: str | None = None,
    background: float | None = None,
    settings: Sequence[str] = (),
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a bank's labels against ground truth, in one confusion matrix over the data set.

    Args:
        bank: an open bank or its folder.
        dataset: "miniature", fresh scenes drawn from `seed`.
        scenes: how many of them.
        progress: called with the number of scenes done and of all.
    """
    from rim.eval_datasets import miniature_samples

    if dataset != "miniature":
        raise UsageError(f"no data set {dataset!r}; data sets: miniature")
    if scenes < 1:
        raise UsageError(f"expected at least one scene, found {scenes}")
    from query.evaluation import evaluate as score

    opened = bank if isinstance(bank, Bank) else Bank(bank)
    engine = opened.engine(
        overrides=query_overrides(matcher, background, settings), device=device, offline=True
    )
    samples, classes = miniature_samples(opened, scenes, seed)
    done = 0

    def each(*_: object) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, scenes)

    return score(engine, samples, classes, each=each)


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


def run_build(
    vocabulary: Vocabulary,
    out: Path,
    settings: Settings,
    *,
    device: str,
    offline: bool,
    retry_failed: bool,
    overwrite: bool,
    progress: Callable[[BuildProgress], None] | None,
) -> BuildReport:
    """Load the models and build; the part that the command and the function share."""
    from bank_builder.build import build_bank
    from foundation.stack import ModelStack

    stack = ModelStack(settings, device, offline)
    return build_bank(
        vocabulary,
        out,
        settings,
        stack,
        progress=progress,
        overwrite=overwrite,
        retry_failed=retry_failed,
    )


def query_overrides(
    matcher: str | None, background: float | str | None, settings: Sequence[str]
) -> tuple[str, ...]:
    """The short options of a query as settings, the explicit settings last."""
    given = [] if matcher is None else [f"matching.matcher={matcher}"]
    if background is not None:
        given.append(f"matching.background={'none' if background == 'off' else background}")
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
        from schemas.overrides import did_you_mean

        names_here = [record.name for record in bank.categories]
        raise UsageError(
            f"the bank has no category {unknown[0]!r}{did_you_mean(unknown[0], names_here)}; "
            f"it has {', '.join(names_here[:30])}"
        )
    return [known[name_key(name)] for name in wanted]
