"""`rim.evaluate`: a bank's labels, or anybody's, against ground truth."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rim.bank import Bank
from rim.evaluation.choice import NO_SOURCE, DatasetChoice
from rim.evaluation.opening import open_dataset
from schemas.digests import canonical_json, sha256_bytes
from schemas.errors import UsageError
from schemas.ids import UNLABELLED

if TYPE_CHECKING:
    from rim.evaluation.class_mapping import ClassMapping
    from rim.evaluation.comparison_images import ComparisonFolder
    from rim.evaluation.datasets.base import Dataset
    from rim.evaluation.datasets.predictions import StoredLabels
    from rim.evaluation.scores import Scores
    from rim.evaluation.scoring import Sample, Tally
    from rim.evaluation.state import EvaluationFolder
    from schemas.records import CategoryRecord

STATE_FORMAT = 1
_OF_THE_BUILD = (
    *("preset", "description", "known_categories", "models"),
    *("generation", "localisation", "reference", "build"),
)
Progress = Callable[[int, int], None]


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
    progress: Progress | None = None,
    on_stage: Callable[[str], None] = lambda words: None,
) -> Scores:
    """Score labels against ground truth, in one confusion matrix over the data set.

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
            `rim.evaluation.datasets.predictions`.
        out: a folder for what has been counted, with which an interrupted evaluation goes on, and
            for results.json and per_class.parquet.
        overwrite: begin anew if `out` holds another evaluation.
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
    from rim.arguments import query_overrides

    choice.check()
    overrides = query_overrides(matcher, background, settings)
    if predictions is None:
        source: _Source = _BankSource.open(bank, overrides, preset, device, on_stage)
    else:
        source = _PredictionsSource.open(bank, Path(predictions), overrides, preset)
    evaluation = _Evaluation.prepare(source, choice, allow_missing)
    return evaluation.run(
        out=_path(out),
        overwrite=overwrite,
        pictures=_path(pictures),
        pictures_count=pictures_count,
        progress=progress,
    )


@dataclass(frozen=True)
class _BankSource:
    """Labels that a bank's engine makes; its models are loaded for the first image."""

    bank: Bank
    overrides: tuple[str, ...]
    preset: str | None
    device: str
    on_stage: Callable[[str], None]

    @classmethod
    def open(
        cls,
        bank: Bank | str | Path | None,
        overrides: tuple[str, ...],
        preset: str | None,
        device: str,
        on_stage: Callable[[str], None],
    ) -> _BankSource:
        if bank is None:
            raise UsageError(NO_SOURCE)
        opened = bank if isinstance(bank, Bank) else Bank(bank)
        return cls(opened, overrides, preset, device, on_stage)

    @property
    def categories(self) -> Sequence[CategoryRecord]:
        return self.bank.categories

    def identity(self) -> dict[str, Any]:
        manifest = self.bank.manifest
        settings = self.bank.query_settings(self.preset, self.overrides).model_dump(mode="json")
        # The bank's digest answers for these; where its models lie does not matter.
        for key in _OF_THE_BUILD:
            settings.pop(key, None)
        return {
            "bank": {"version": manifest.version, "digest": manifest.digest},
            "settings": settings,
        }

    def answering(self, mapping: ClassMapping) -> _BankSource:
        """Without a class for what is none of the categories, everything is named unless the
        caller's own settings say otherwise.
        """
        if mapping.unlabelled_class != UNLABELLED:
            return self
        return replace(self, overrides=("matching.background=none", *self.overrides))

    def prepared(self, dataset: Dataset) -> Dataset:
        return dataset

    def labeller(self, mapping: ClassMapping) -> Callable[[Sample], NDArray[np.int32]]:
        from rim.evaluation.scoring import bank_labels

        @cache
        def labels() -> Callable[[Sample], NDArray[np.int32]]:
            engine = self.bank.engine(
                overrides=self.overrides, preset=self.preset, device=self.device, offline=True
            )
            engine.load(lambda role: self.on_stage(f"loading {role}"))
            self.on_stage("first image")
            return bank_labels(engine, mapping)

        return lambda sample: labels()(sample)


@dataclass(frozen=True)
class _PredictionsSource:
    """Labels that are in files."""

    stored: StoredLabels

    @classmethod
    def open(
        cls,
        bank: Bank | str | Path | None,
        folder: Path,
        overrides: tuple[str, ...],
        preset: str | None,
    ) -> _PredictionsSource:
        from rim.evaluation.datasets.predictions import StoredLabels

        if overrides or preset is not None:
            raise UsageError(
                "--predictions are scored as they are: leave out --matcher, --background, --set "
                "and --preset"
            )
        opened = Bank(bank) if isinstance(bank, str | Path) else bank
        return cls(StoredLabels.open(folder, None if opened is None else opened.categories))

    @property
    def categories(self) -> Sequence[CategoryRecord]:
        return self.stored.categories

    def identity(self) -> dict[str, Any]:
        names = [(c.category_id, c.name, c.synonyms) for c in self.stored.categories]
        digest = sha256_bytes(canonical_json(names))
        return {"predictions": {"categories": digest, "suffix": self.stored.suffix}}

    def answering(self, mapping: ClassMapping) -> _PredictionsSource:
        return self

    def prepared(self, dataset: Dataset) -> Dataset:
        """The data set with the label maps' files in its marks."""
        items = tuple(self.stored.marked(item) for item in dataset.items)
        return replace(dataset, items=items)

    def labeller(self, mapping: ClassMapping) -> Callable[[Sample], NDArray[np.int32]]:
        return self.stored.label


_Source = _BankSource | _PredictionsSource


@dataclass(frozen=True)
class _Evaluation:
    """An evaluation whose folders and classes have been checked; nothing is labelled yet."""

    source: _Source
    dataset: Dataset
    mapping: ClassMapping
    identity: dict[str, Any]

    @classmethod
    def prepare(cls, source: _Source, choice: DatasetChoice, allow_missing: bool) -> _Evaluation:
        import rim
        from rim.evaluation.class_mapping import map_classes

        dataset = source.prepared(open_dataset(choice, source.categories))
        mapping = map_classes(source.categories, dataset.classes, allow_missing=allow_missing)
        source = source.answering(mapping)
        classes = [[one.name, *one.synonyms] for one in dataset.classes]
        identity = {
            "format": STATE_FORMAT,
            "rim": rim.__version__,
            "dataset": choice.identity(),
            "classes": sha256_bytes(canonical_json(classes)),
            "allow_missing": allow_missing,
            **source.identity(),
        }
        return cls(source, dataset, mapping, identity)

    def run(
        self,
        *,
        out: Path | None,
        overwrite: bool,
        pictures: Path | None,
        pictures_count: int,
        progress: Progress | None,
    ) -> Scores:
        from rim.evaluation.scoring import tally_items

        drawn = self._pictures(pictures, pictures_count)
        with self._folder(out, overwrite) as folder:

            def keep(tally: Tally, last: bool) -> None:
                if folder is not None:
                    folder.keep(tally, last)
                if progress is not None and not last:
                    progress(len(tally.done) + len(tally.failed), len(self.dataset.items))

            tally = tally_items(
                self.dataset.items,
                self.source.labeller(self.mapping),
                self.mapping,
                start=None if folder is None else folder.found,
                redo=frozenset() if drawn is None else drawn.missing(),
                each=None if drawn is None else drawn.draw,
                keep=keep,
            )
            scores = tally.scores(self.mapping)
            if folder is not None:
                folder.save_results(scores, self.dataset.groups)
        return scores

    def _pictures(self, folder: Path | None, count: int) -> ComparisonFolder | None:
        from rim.evaluation.comparison_images import ComparisonFolder

        if folder is None:
            return None
        if count < 1:
            raise UsageError(f"expected at least one picture, found {count}")
        items = self.dataset.items[:count]
        return ComparisonFolder.open(folder, items, self.mapping.class_names)

    @contextlib.contextmanager
    def _folder(self, out: Path | None, overwrite: bool) -> Iterator[EvaluationFolder | None]:
        if out is None:
            yield None
            return
        from rim.evaluation.state import evaluation_folder

        items, classes = self.dataset.items, len(self.mapping.class_names)
        with evaluation_folder(out, self.identity, items, classes, overwrite=overwrite) as opened:
            yield opened


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
