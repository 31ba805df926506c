"""Labels the images of a data set one after the other and counts their pixels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.class_mapping import ClassMapping
from rim.evaluation.datasets.base import Item, Sample
from rim.evaluation.scores import ConfusionMatrix, Failure, Scores
from schemas.errors import ImageError, UsageError


@dataclass(frozen=True)
class ConfusionCounts:
    """The pixels counted so far; replaced as a whole after every image, never changed.

    Attributes:
        counts: (C, C + 1) int64, as in `ConfusionMatrix`.
        done: the mark of every image that is in the counts, by name, in their order.
        failed: images that were tried and cannot be scored.
    """

    counts: NDArray[np.int64]
    done: dict[str, str]
    failed: tuple[Failure, ...] = ()

    @classmethod
    def empty(cls, num_classes: int) -> ConfusionCounts:
        """The counts of no image yet."""
        return cls(np.zeros((num_classes, num_classes + 1), dtype=np.int64), {})

    def plus(self, item: Item, counts: NDArray[np.int64]) -> ConfusionCounts:
        """The counts with one image more."""
        return replace(self, counts=self.counts + counts, done={**self.done, item.name: item.mark})

    def scores(self, mapping: ClassMapping) -> Scores:
        """The scores of the images that have been counted.

        Raises UsageError if there is none; the message has the first failure, if there is one.
        """
        if not self.done:
            why = f"; {self.failed[0].error}" if self.failed else ""
            raise UsageError(f"expected at least one image to score, found none{why}")
        matrix = ConfusionMatrix(len(mapping.class_names))
        matrix.counts, matrix.images = self.counts, len(self.done)
        return matrix.scores(mapping.class_names, mapping.missing, self.failed)


def count_items(
    items: Iterable[Item],
    label: Callable[[Sample], NDArray[np.int32]],
    mapping: ClassMapping,
    *,
    ignore: int = -1,
    start: ConfusionCounts | None = None,
    label_again: Collection[str] = (),
    on_labelled: Callable[[Sample, NDArray[np.int64]], None] | None = None,
    on_counted: Callable[[ConfusionCounts, bool], None] | None = None,
) -> ConfusionCounts:
    """Labels the items that have not been counted yet, and counts their pixels.

    Args:
        items: each with a name of its own.
        label: the label map (H, W) int32 of category ids, -1 unlabelled; ImageError if there is
            none for this sample.
        ignore: the label in the truth that is not scored.
        start: the counts of an earlier run; its images are not labelled again. Its failures are
            forgotten, since they are tried again.
        label_again: names of images to label also if they have been counted, for `on_labelled`
            alone; they count once.
        on_labelled: called with every labelled sample and its prediction (H, W) in classes, before
            it counts.
        on_counted: called with the counts and False after every image, and a last time with True
            at the end, also after an error or Ctrl-C: the counts hold all images but the one that
            was being labelled.

    Raises whatever else than ImageError `label` and `on_labelled` do.
    """
    matrix = ConfusionMatrix(len(mapping.class_names), ignore)
    total = ConfusionCounts.empty(matrix.num_classes) if start is None else start
    total = replace(total, failed=())
    try:
        for item in items:
            counted = item.name in total.done
            if counted and item.name not in label_again:
                continue
            try:
                sample = item.load()
                prediction = mapping.to_classes(label(sample))
                counts = _count(matrix, item.name, prediction, sample.truth)
            except ImageError as error:
                if not counted:
                    failure = Failure(item.name, str(error))
                    total = replace(total, failed=(*total.failed, failure))
            else:
                if on_labelled is not None:
                    on_labelled(sample, prediction)
                if not counted:
                    total = total.plus(item, counts)
            if on_counted is not None:
                on_counted(total, False)
    finally:
        if on_counted is not None:
            on_counted(total, True)
    return total


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
