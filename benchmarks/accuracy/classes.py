"""Classes to score: the world's categories that a bank has, and "background" for those left out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate import GROUPS, mean_or_nan
from miniature.world import CATEGORIES, Scene
from rim.evaluation.scores import ConfusionMatrix, Scores
from schemas.ids import UNLABELLED
from schemas.records import CategoryRecord

IGNORE = -1
OTHER = "background"


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes that a bank's label maps are scored on.

    Attributes:
        names: in the order of the labels; the world's order, `OTHER` last if there is one.
        category_ids: those that regions may be classified as.
        of_truth: (22 + 1,) int32, the class of a label of a scene; the last one is for -1.
        of_category: (n,) int32, the class of a category_id; the last one is for UNLABELLED.
    """

    names: tuple[str, ...]
    category_ids: frozenset[int]
    of_truth: NDArray[np.int32]
    of_category: NDArray[np.int32]

    @classmethod
    def closed(cls, categories: Sequence[CategoryRecord]) -> Classes:
        """All categories of a bank; what it does not have is ignored in the truth.

        As in `rim eval --dataset miniature`.
        """
        return cls._of(categories, ())

    @classmethod
    def leaving_out(
        cls, categories: Sequence[CategoryRecord], left_out: Collection[str]
    ) -> Classes:
        """A vocabulary without some of the bank's categories, by name.

        Their pixels in the truth, and unlabelled pixels, have the class `OTHER`.
        """
        return cls._of(categories, left_out)

    @classmethod
    def _of(cls, categories: Sequence[CategoryRecord], left_out: Collection[str]) -> Classes:
        ids = {record.name: record.category_id for record in categories}
        here = [name for name in CATEGORIES if name in ids]
        scored = [name for name in here if name not in left_out]
        other = len(scored) if left_out else UNLABELLED
        of_truth = np.full(len(CATEGORIES) + 1, IGNORE, np.int32)
        of_category = np.full(max(ids.values()) + 2, other, np.int32)
        for name in here:
            label = scored.index(name) if name in scored else other
            of_truth[CATEGORIES.index(name)] = label
            of_category[ids[name]] = label
        names = (*scored, OTHER) if left_out else tuple(scored)
        return cls(names, frozenset(ids[name] for name in scored), of_truth, of_category)

    def score(self, labelled: Iterable[tuple[NDArray[np.int32], Scene]]) -> Scores:
        """The scores of label maps (H, W) of category ids, each with its scene; one matrix."""
        matrix = ConfusionMatrix(len(self.names), IGNORE)
        for labels, scene in labelled:
            matrix.update(self.of_category[labels], self.of_truth[scene.labels])
        return matrix.scores(self.names)


def group_means(scores: Scores) -> dict[str, float]:
    """mIoU over all classes, and over familiar things, novel things and stuff apart.

    Classes that occur nowhere do not count; a group without any is not a number.
    """
    means = {
        group: mean_or_nan(
            [iou for name, iou in scores.per_class.items() if name in members and iou == iou]
        )
        for group, members in GROUPS.items()
        if group != "all"
    }
    return {"mIoU": scores.miou, **means}
