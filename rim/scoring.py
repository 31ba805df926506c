"""`rim.evaluate`: scores a bank's labels, or another system's, against ground truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rim._version import __version__
from rim.api import query_overrides
from rim.bank import Bank
from rim.evaluation.datasets.choice import NO_SOURCE, DatasetChoice
from schemas.errors import UsageError

if TYPE_CHECKING:
    from query.segmentation import QueryEngine
    from rim.evaluation.label_sources import BankLabels, StoredLabels
    from rim.evaluation.scores import Scores
    from schemas.settings import Settings


def evaluate(
    bank: Bank | str | Path | None = None,
    dataset: str = "miniature",
    *,
    root: str | Path | None = None,
    split: str | None = None,
    images: str | Path | None = None,
    masks: str | Path | None = None,
    classes: str | Path | None = None,
    ignore: int | None = None,
    scenes: int = 100,
    seed: int = 0,
    limit: int | None = None,
    allow_missing: bool = False,
    matcher: str | None = None,
    background: float | str | None = None,
    settings: Sequence[str] = (),
    preset: str | None = None,
    predictions: str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    pictures: str | Path | None = None,
    pictures_count: int = 20,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    on_stage: Callable[[str], None] = lambda words: None,
) -> Scores:
    """Scores labels against ground truth, in one confusion matrix over the data set.

        scores = rim.evaluate("bank", "miniature", scenes=100, seed=7)
        scores.miou, scores.per_class["house"]

    Models are never downloaded here. Images that cannot be read are left out and named in
    `Scores.failed`.

    Args:
        bank: an open bank or its folder; None only with `predictions`.
        dataset: "miniature", "voc20", "voc21", "context59", "context60", "context459", "ade150",
            "ade847", "coco-object", "coco-stuff" or "folder"; the layouts of the folders are
            described in `rim.evaluation.datasets`.
        root: the folder of a benchmark, or the one above.
        split: of a benchmark; by default "val".
        images, masks, classes, ignore: of "folder", see `rim.evaluation.datasets.folder`.
        scenes, seed: of "miniature": how many scenes, drawn from which seed.
        limit: only the first so many images.
        allow_missing: score also if the bank lacks classes; they score 0 and are listed in
            `Scores.missing`. ("miniature" is always scored on what the bank has.)
        matcher, background, settings, preset: as of `rim.query`; its other options are settings.
        predictions: a folder of label maps to score in place of the bank's labels, see
            `rim.evaluation.label_sources.StoredLabels`.
        out: a folder for the counts, from which an interrupted evaluation goes on, and for
            results.json and per_class.parquet.
        overwrite: replace another evaluation in `out`.
        pictures: a folder for photo, truth and prediction side by side.
        pictures_count: of how many images, the first ones.
        device: "auto", "cpu", "cuda", ...
        progress: called with the number of images done and of all.
        on_stage: called with what is done before the first image, such as "loading segmenter".

    Raises UsageError for options that do not fit, a folder that is not the data set's, classes
    that the bank lacks, and if no image can be scored; OutputError for `out` and `pictures`; else
    as `rim.query` does.
    """
    choice = DatasetChoice(
        name=dataset,
        root=_path(root),
        split=split,
        images=_path(images),
        masks=_path(masks),
        classes=_path(classes),
        ignore=ignore,
        scenes=scenes,
        seed=seed,
        limit=limit,
    )
    choice.check()
    overrides = query_overrides(matcher, background, settings)
    source: BankLabels | StoredLabels
    if predictions is not None:
        source = _stored_labels(Path(predictions), bank, overrides, preset)
    elif bank is not None:
        source = _bank_labels(_opened(bank), overrides, preset, device, on_stage)
    else:
        raise UsageError(NO_SOURCE)
    from rim.evaluation.run import run_evaluation

    return run_evaluation(
        source,
        choice,
        version=__version__,
        allow_missing=allow_missing,
        out=_path(out),
        overwrite=overwrite,
        comparisons=_path(pictures),
        comparisons_count=pictures_count,
        progress=progress,
    )


def _bank_labels(
    bank: Bank,
    overrides: tuple[str, ...],
    preset: str | None,
    device: str,
    on_stage: Callable[[str], None],
) -> BankLabels:
    from rim.evaluation.label_sources import BankLabels

    def settings(defaults: tuple[str, ...]) -> Settings:
        return bank.query_settings(preset, (*defaults, *overrides))

    def engine(defaults: tuple[str, ...]) -> QueryEngine:
        return bank.engine(
            overrides=(*defaults, *overrides), preset=preset, device=device, offline=True
        )

    return BankLabels(bank, settings, engine, on_stage)


def _stored_labels(
    folder: Path,
    bank: Bank | str | Path | None,
    overrides: tuple[str, ...],
    preset: str | None,
) -> StoredLabels:
    from rim.evaluation.label_sources import StoredLabels

    if overrides or preset is not None:
        raise UsageError(
            "--predictions are scored as they are: leave out --matcher, --background, --set "
            "and --preset"
        )
    return StoredLabels.open(folder, None if bank is None else _opened(bank).categories)


def _opened(bank: Bank | str | Path) -> Bank:
    return bank if isinstance(bank, Bank) else Bank(bank)


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
