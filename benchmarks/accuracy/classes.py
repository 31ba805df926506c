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
    """What a bank's label maps are scored on.

    Attributes:
        names: in the order of the labels; the world's order, `OTHER` last if there is one.
        category_ids: those that may be named.
        of_truth: (22 + 1,) int32, the class of a label of a scene; the last answers for -1.
        of_category: (n,) int32, the class of a category_id; the last answers for UNLABELLED.
    """

    names: tuple[str, ...]
    category_ids: frozenset[int]
    of_truth: NDArray[np.int32]
    of_category: NDArray[np.int32]

    @classmethod
    def closed(cls, categories: Sequence[CategoryRecord]) -> Classes:
        """All of a bank's categories; in the truth, what the bank does not have is ignored.

        As `rim eval --dataset miniature` does it.
        """
        return cls._of(categories, ())

    @classmethod
    def leaving_out(
        cls, categories: Sequence[CategoryRecord], left_out: Collection[str]
    ) -> Classes:
        """A vocabulary without some of the bank's categories, by name.

        Where they are in the truth, and where nothing is named, is the class `OTHER`.
        """
        return cls._of(categories, left_out)

    @classmethod
    def _of(cls, categories: Sequence[CategoryRecord], left_out: Collection[str]) -> Classes:
        ids = {record.name: record.category_id for record in categories}
        here = [name for name in CATEGORIES if name in ids]
        kept = [name for name in here if name not in left_out]
        other = len(kept) if left_out else UNLABELLED
        of_truth = np.full(len(CATEGORIES) + 1, IGNORE, np.int32)
        of_category = np.full(max(ids.values()) + 2, other, np.int32)
        for name in here:
            label = kept.index(name) if name in kept else other
            of_truth[CATEGORIES.index(name)] = label
            of_category[ids[name]] = label
        names = (*kept, OTHER) if left_out else tuple(kept)
        return cls(names, frozenset(ids[name] for name in kept), of_truth, of_category)

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
