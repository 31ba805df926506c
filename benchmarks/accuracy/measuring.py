"""Measures one row of the ablation with one bank."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.caching import CachingStack
from benchmarks.accuracy.classes import OTHER, Classes, group_means
from benchmarks.accuracy.reference_sets import ReferenceSets
from benchmarks.accuracy.references import selected
from benchmarks.accuracy.rows import AblationRow, TextOf
from benchmarks.accuracy.scenes import CutScenes
from benchmarks.accuracy.text_baseline import Image, cut_outs, squares, text_labels
from benchmarks.gate import mean_or_nan
from miniature.world import CATEGORIES
from query.classification import Classifier
from query.labelling import PhotoLabeller
from query.regions import SegmentedPhoto
from query.text_similarity import TextSimilarity
from schemas.sections import Matching
from schemas.settings import Settings, apply_overrides
from schemas.store.bank import BankFeatures, StoredBank

VOCABULARIES = 4
LEFT_OUT_SHARE = 7 / len(CATEGORIES)
_VOCABULARY_SEED = 22
_CROPS: dict[TextOf, Callable[[SegmentedPhoto], list[Image]]] = {
    "cut-out": cut_outs,
    "square": squares,
}


@dataclass(frozen=True)
class Measurement:
    """The scores of a row.

    values: by column; "mIoU" and either "familiar", "novel" and "stuff", or, where categories are
    left out, "named" (mIoU of the vocabulary alone) and "background" (its IoU). per_class: IoU by
    name, empty where categories are left out. seconds: without what other rows had prepared.
    """

    values: dict[str, float]
    per_class: dict[str, float]
    seconds: float


class BankMeasure:
    """Measures rows with one bank over the same cut scenes."""

    def __init__(
        self,
        bank: StoredBank,
        settings: Settings,
        sets: ReferenceSets,
        scenes: CutScenes,
        stack: CachingStack,
    ) -> None:
        """
        Args:
            bank: of the miniature world.
            settings: its section `matching` is the default of all rows.
            sets: of the bank.
            scenes: to label.
            stack: its scorer of texts is asked where text has a weight.
        """
        self._bank = bank
        self._settings = settings
        self._sets = sets
        self._scenes = scenes
        self._stack = stack
        self._closed = Classes.closed(bank.categories)

    def matching(self, row: AblationRow) -> Matching:
        """The section `matching` of a row."""
        overrides = [f"matching.{override}" for override in row.overrides]
        return apply_overrides(self._settings, overrides).matching

    def what_counts(self, row: AblationRow) -> dict[str, Any]:
        """The facts that a row's scores depend on, beside bank, scenes and models."""
        counts = asdict(row) | {"matching": self.matching(row).model_dump(mode="json")}
        return {key: counts[key] for key in counts.keys() - {"group", "name", "overrides"}}

    def measure(self, row: AblationRow) -> Measurement:
        """Labels all scenes as the row says, and scores them."""
        references = self._sets.get(row.references)
        self._scenes.photos(row.cut)
        started = time.monotonic()
        if row.left_out:
            values, per_class = self._leaving_out(row, references), {}
        else:
            scored = zip(self._labelled(row, references), self._scenes.scenes, strict=True)
            scores = self._closed.score(scored)
            values, per_class = group_means(scores), dict(scores.per_class)
        return Measurement(values, per_class, time.monotonic() - started)

    def _labelled(self, row: AblationRow, references: BankFeatures) -> Iterator[NDArray[np.int32]]:
        """(H, W) category ids of every scene."""
        matching = self.matching(row)
        text = self._text if matching.text_weight > 0 else None
        labeller = PhotoLabeller(Classifier(references, matching), matching, text)
        ids = labeller.classifier.candidates(None)
        for photo in self._scenes.photos(row.cut):
            _, labels = labeller.label(photo)
            if row.text_of is not None:
                crops = _CROPS[row.text_of](photo)
                labels = text_labels(
                    photo, crops, self._text, ids, matching.overlap, elsewhere=labels
                )
            yield labels

    def _leaving_out(self, row: AblationRow, references: BankFeatures) -> dict[str, float]:
        """Means over all vocabularies."""
        each = []
        for left_out in vocabularies(self._closed.names):
            classes = Classes.leaving_out(self._bank.categories, left_out)
            left = selected(references, np.isin(references.category_id, list(classes.category_ids)))
            scored = zip(self._labelled(row, left), self._scenes.scenes, strict=True)
            scores = classes.score(scored)
            named = [one.iou for one in scores.classes if one.name != OTHER and one.iou == one.iou]
            each.append((scores.miou, mean_or_nan(named), scores.per_class[OTHER]))
        means = np.array(each).mean(axis=0).tolist()
        return dict(zip(("mIoU", "named", "background"), means, strict=True))

    @cached_property
    def _text(self) -> TextSimilarity:
        generation = self._settings.generation
        return TextSimilarity(self._stack.text_image, self._bank.categories, generation)


def vocabularies(names: Sequence[str]) -> tuple[frozenset[str], ...]:
    """The categories that are left out of each of the VOCABULARIES.

    They are always the same random choices of 7 of the 22 categories, or of as large a share.
    """
    count = max(1, round(LEFT_OUT_SHARE * len(names)))
    rng = np.random.default_rng(_VOCABULARY_SEED)
    return tuple(
        frozenset(str(name) for name in rng.choice(list(names), count, replace=False))
        for _ in range(VOCABULARIES)
    )
