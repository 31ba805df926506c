"""Evaluation: label samples of a dataset with a bank and score them against the truth."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.class_mapping import ClassMapping, map_classes
from rim.evaluation.scores import ConfusionMatrix, Failure, Scores
from schemas.errors import ImageError, UsageError
from schemas.records import CategoryRecord
from schemas.vocabulary import Category

__all__ = [
    "ClassMapping",
    "ConfusionMatrix",
    "Item",
    "LabelledImage",
    "Labeller",
    "Sample",
    "Scores",
    "Tally",
    "bank_labels",
    "evaluate",
    "map_classes",
    "tally_items",
]


@dataclass(frozen=True)
class Sample:
    """One image of a dataset with its truth.

    Attributes:
        name: what messages and files call it.
        image: a file, or uint8 (H, W, 3).
        truth: (H, W) integers: the index of a class, or the ignore label.
    """

    name: str
    image: Path | NDArray[np.uint8]
    truth: NDArray[np.integer]


@dataclass(frozen=True)
class Item:
    """A sample that is read only when its turn comes.

    Attributes:
        name: the sample's, unique in its dataset.
        load: reads it; ImageError if it cannot be read.
        mark: says whether what it is read from is still the same, e.g. the sizes of its files.
        files: what it is read from, as far as these are its own.
    """

    name: str
    load: Callable[[], Sample]
    mark: str = ""
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Tally:
    """What has been counted so far; replaced as a whole after every image, never changed.

    Attributes:
        counts: (C, C + 1) int64, as in `ConfusionMatrix`.
        done: the mark of every image that is in the counts, by name, in their order.
        failed: images that were tried and cannot be scored.
    """

    counts: NDArray[np.int64]
    done: dict[str, str]
    failed: tuple[Failure, ...] = ()

    @classmethod
    def empty(cls, num_classes: int) -> Tally:
        """Nothing counted yet."""
        return cls(np.zeros((num_classes, num_classes + 1), dtype=np.int64), {})

    def plus(self, item: Item, counts: NDArray[np.int64]) -> Tally:
        """With one image more."""
        return replace(self, counts=self.counts + counts, done={**self.done, item.name: item.mark})

    def scores(self, mapping: ClassMapping) -> Scores:
        """The scores of what has been counted.

        Raises UsageError if that is nothing; the message has the first failure, if there is one.
        """
        if not self.done:
            why = f"; {self.failed[0].error}" if self.failed else ""
            raise UsageError(f"expected at least one image to score, found none{why}")
        matrix = ConfusionMatrix(len(mapping.class_names))
        matrix.counts, matrix.images = self.counts, len(self.done)
        return matrix.scores(mapping.class_names, mapping.missing, self.failed)


class LabelledImage(Protocol):
    """The part of a `Segmentation` that is scored."""

    @property
    def label_map(self) -> NDArray[np.int32]:
        """(H, W) int32 category ids, -1 unlabelled."""
        ...


class Labeller(Protocol):
    """The part of a `QueryEngine` that is evaluated."""

    @property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The bank's categories."""
        ...

    def segment(
        self, image: Path | NDArray[np.uint8], *, categories: Collection[int] | None = None
    ) -> LabelledImage:
        """Label a photo with the given category ids only."""
        ...


def evaluate(
    engine: Labeller,
    samples: Iterable[Sample],
    classes: Sequence[str | Category],
    *,
    ignore: int = -1,
    allow_missing: bool = False,
    each: Callable[[Sample, NDArray[np.int64]], None] | None = None,
) -> Scores:
    """Label every sample and score them all in one confusion matrix.

    Only categories that answer for a class take part in the matching, so a bank may hold more
    than the dataset asks for. A sample that cannot be scored is left out and named in
    `Scores.failed`.

    Args:
        engine: labels photos, e.g. `QueryEngine`.
        samples: read one at a time.
        classes: names, or names with synonyms, in the order of the labels in the truth.
        ignore: the label in the truth that is not scored.
        allow_missing: score also if the bank lacks classes; they are listed in the result.
        each: called with every sample and its prediction (H, W) in classes, -1 unlabelled; for
            progress and pictures.

    Raises UsageError as `map_classes` does, and if there is no sample that can be scored: all have
    a truth of another size than their image, unknown labels, or cannot be read.
    """
    mapping = map_classes(engine.categories, classes, allow_missing=allow_missing)
    tally = tally_items(
        _as_items(samples), bank_labels(engine, mapping), mapping, ignore=ignore, each=each
    )
    return tally.scores(mapping)


def bank_labels(engine: Labeller, mapping: ClassMapping) -> Callable[[Sample], NDArray[np.int32]]:
    """What labels a sample with the categories that answer for a class."""

    def label(sample: Sample) -> NDArray[np.int32]:
        return engine.segment(sample.image, categories=mapping.class_of.keys()).label_map

    return label


def tally_items(
    items: Iterable[Item],
    label: Callable[[Sample], NDArray[np.int32]],
    mapping: ClassMapping,
    *,
    ignore: int = -1,
    start: Tally | None = None,
    redo: Collection[str] = (),
    each: Callable[[Sample, NDArray[np.int64]], None] | None = None,
    keep: Callable[[Tally, bool], None] | None = None,
) -> Tally:
    """Label the items that have not been counted yet, and count them.

    Args:
        items: each with a name of its own.
        label: the label map (H, W) int32 of category ids, -1 unlabelled; ImageError if there is
            none for this sample.
        ignore: the label in the truth that is not scored.
        start: what was counted before; its images are not labelled again. Its failures are
            forgotten, since they are tried again.
        redo: names of images to label also if they have been counted, for `each` alone; they
            count once.
        each: called with every labelled sample and its prediction (H, W) in classes, before it
            counts.
        keep: called with the tally after every image and a last time with True at the end, however
            that comes (also for Ctrl-C): it holds all images but the one in work.

    Raises whatever else than ImageError `label` and `each` do.
    """
    matrix = ConfusionMatrix(len(mapping.class_names), ignore)
    tally = Tally.empty(matrix.num_classes) if start is None else replace(start, failed=())
    try:
        for item in items:
            counted = item.name in tally.done
            if counted and item.name not in redo:
                continue
            try:
                sample = item.load()
                prediction = mapping.to_classes(label(sample))
                counts = _count(matrix, item.name, prediction, sample.truth)
            except ImageError as error:
                if not counted:
                    failure = Failure(item.name, str(error))
                    tally = replace(tally, failed=(*tally.failed, failure))
            else:
                if each is not None:
                    each(sample, prediction)
                if not counted:
                    tally = tally.plus(item, counts)
            if keep is not None:
                keep(tally, False)
    finally:
        if keep is not None:
            keep(tally, True)
    return tally


def _as_items(samples: Iterable[Sample]) -> Iterator[Item]:
    names: set[str] = set()
    for number, sample in enumerate(samples):
        name = f"{sample.name} ({number})" if sample.name in names else sample.name
        names.add(name)
        yield Item(name, partial(_itself, sample))


def _itself(sample: Sample) -> Sample:
    return sample


def _count(
    matrix: ConfusionMatrix,
    name: str,
    prediction: NDArray[np.int64],
    truth: NDArray[np.integer],
) -> NDArray[np.int64]:
    try:
        return matrix.count(prediction, truth)
    except UsageError as error:
        raise ImageError(f"{name}: {error}") from error
