"""Classification of regions: a matcher's scores, text, negatives and the background threshold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from query.matchers import References, make_matcher
from query.matchers.base import VALUES_AT_ONCE
from schemas.ids import BACKGROUND, UNLABELLED

if TYPE_CHECKING:
    from schemas.settings import Matching
    from schemas.store.bank import BankFeatures
    from schemas.store.prototypes import Prototypes

OWN_REFUSED = 0.01
"""The calibrated threshold takes at most this share of the references for unknown."""

STRANGERS_REFUSED = 0.8
"""It need not refuse more than this share of strangers."""

_STRANGERS = 1000
_STRANGERS_AT_ONCE = 256


@dataclass(frozen=True)
class Classification:
    """The categories of r regions, out of C candidates.

    Attributes:
        category_ids: (C,) int32 ascending, the candidates: the columns of `scores`.
        scores: (r, C) float32 in [0, 1]; 0 for a category that is vetoed.
        column: (r,) the best category of each region, also of an unknown one.
        known: (r,) bool, whether the region is anything in the vocabulary at all.
        similarity: (r,) float32 in [-1, 1], cosine to the most similar reference of that category.
        neighbour_id: (r, k) int64 feature ids, most similar first; see `query.matchers.Matches`.
        neighbour_similarity: (r, k) float32.
    """

    category_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    column: NDArray[np.intp]
    known: NDArray[np.bool_]
    similarity: NDArray[np.float32]
    neighbour_id: NDArray[np.int64]
    neighbour_similarity: NDArray[np.float32]

    @property
    def category_id(self) -> NDArray[np.int32]:
        """(r,) int32, UNLABELLED for an unknown region."""
        best = self.category_ids[self.column]
        return np.where(self.known, best, UNLABELLED).astype(np.int32)

    @property
    def score(self) -> NDArray[np.float32]:
        """(r,) float32 in [0, 1], of the best category."""
        return np.asarray(self.scores[np.arange(len(self.scores)), self.column])

    def votes(self) -> NDArray[np.float32]:
        """(r, C + 1) float32: each region's vote on the pixels under it.

        A known region gives every category its score. An unknown one gives its best score to the
        last column, "none of these", so that it counts as much as if it were known.
        """
        votes = np.zeros((len(self.scores), len(self.category_ids) + 1), np.float32)
        votes[:, :-1] = np.where(self.known[:, None], self.scores, 0)
        smallest = np.finfo(np.float32).tiny
        votes[:, -1] = np.where(self.known, 0, np.maximum(self.score, smallest))
        return votes


class Classifier:
    """Classifies regions by the references of a bank.

    In this order [ours, apart from the matchers]:

    1. The matcher scores every category.
    2. With `text_weight` w the score becomes (1 - w) * score + w * probability of the text
       [FreeDA blends 0.8 and 0.2].
    3. A category is vetoed for a region that is more similar to the background of one of its
       reference images than to any of its references [the idea of negative features: OVDiff;
       as a veto of its own category alone: ours]. A fish's background is water, so water is not
       "fish"; it can still be "water".
    4. The best category wins; of equal scores the one with the more similar reference.
    5. The region is "none of these" if all its categories are vetoed, or if the most similar
       reference of the best one has a cosine below `background`.
    """

    def __init__(
        self,
        features: BankFeatures,
        settings: Matching,
        *,
        prototypes: Prototypes | None = None,
    ) -> None:
        """Sorts a bank's features into references and negatives.

        Args:
            features: of accepted images, both roles.
            settings: the section `matching`.
            prototypes: the bank's own, for `prototype` and `ranking`; None derives them.

        Raises BankError if there is no reference.
        """
        weights = {"diffusion": settings.diffusion_weight, "folder": settings.folder_weight}
        self._settings = settings
        self._references = References.of(features, weights)
        self._negatives = References.of(features, weights, role=BACKGROUND)
        self._matcher = make_matcher(self._references, settings, prototypes)

    @cached_property
    def threshold(self) -> float | None:
        """The cosine below which a region is none of the categories; None: never."""
        if self._settings.background == "auto":
            return calibrated_threshold(self._references)
        return self._settings.background

    def classify(
        self,
        features: NDArray[np.float32],
        categories: Collection[int] | None = None,
        text: NDArray[np.float32] | None = None,
    ) -> Classification:
        """Finds the category of each region.

        Args:
            features: (r, d) float32, L2-normalised, of regions or patches.
            categories: ids of the only categories to consider; None for all.
            text: (r, C) probability of every candidate by text, C in the order of
                `candidates(categories)`; needed where text_weight is above 0.

        Raises BankError if none of the categories has a reference.
        """
        matches = self._matcher.match(features, categories)
        scores = matches.scores
        if text is not None:
            weight = np.float32(self._settings.text_weight)
            scores = (1 - weight) * scores + weight * text
        own = self._references.best_similarity(features, matches.category_ids)
        if self._settings.negatives:
            against = self._negatives.best_similarity(features, matches.category_ids)
            scores = np.where(against > own, np.float32(0), scores)
        rows = np.arange(len(features))
        best = scores.max(axis=1, keepdims=True)
        column = np.where(scores == best, own, -np.inf).argmax(axis=1)
        similarity = own[rows, column]
        known = best[:, 0] > 0
        if self.threshold is not None:
            known &= similarity >= self.threshold
        return Classification(
            category_ids=matches.category_ids,
            scores=scores,
            column=column,
            known=known,
            similarity=similarity,
            neighbour_id=matches.neighbour_id,
            neighbour_similarity=matches.neighbour_similarity,
        )

    def candidates(self, categories: Collection[int] | None) -> NDArray[np.int32]:
        """(C,) int32 ascending: those of the categories (None: all) that have a reference.

        Raises BankError if none has.
        """
        return self._references.restricted_to(categories).category_ids


def calibrated_threshold(references: References) -> float | None:
    """Computes the cosine below which a region is unlike anything in the bank [ours].

    Found among the references alone; it needs no photo and no label. A reference is compared with
    the others of its category, as a region that is known would be, and with all other categories,
    as a stranger would be; what counts is the most similar one. The threshold refuses
    STRANGERS_REFUSED of the strangers, or fewer where that would refuse more than OWN_REFUSED of
    the references themselves.

    At most _STRANGERS of the references, evenly spread, stand for the strangers.

    Returns None if no category has two references.
    """
    own = [
        _nearest_other(references.embeddings[rows])
        for rows in map(references.rows_of, range(len(references.category_ids)))
        if rows.stop - rows.start > 1
    ]
    if not own:
        return None
    threshold = float(np.quantile(np.concatenate(own), OWN_REFUSED))
    if len(references.category_ids) > 1:
        refused = float(np.quantile(_nearest_strangers(references), STRANGERS_REFUSED))
        threshold = min(threshold, refused)
    return threshold


def _nearest_strangers(references: References) -> NDArray[np.float32]:
    """(s,) cosine of some references to the most similar one of another category; two or more."""
    rows = references.rows[:: max(1, len(references.rows) // _STRANGERS)]
    columns = np.searchsorted(references.starts, rows, side="right") - 1
    nearest = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _STRANGERS_AT_ONCE):
        block = slice(start, start + _STRANGERS_AT_ONCE)
        best = references.best_similarity(
            references.embeddings[rows[block]], references.category_ids
        )
        best[np.arange(len(best)), columns[block]] = -np.inf
        nearest[block] = best.max(axis=1)
    return nearest


def _nearest_other(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) cosine of each of the embeddings (n, d), n > 1, to the most similar other one."""
    nearest = np.empty(len(embeddings), np.float32)
    at_once = max(1, VALUES_AT_ONCE // len(embeddings))
    for start in range(0, len(embeddings), at_once):
        cosine = embeddings[start : start + at_once] @ embeddings.T
        own = np.arange(len(cosine))
        cosine[own, start + own] = -np.inf
        nearest[start : start + at_once] = cosine.max(axis=1)
    return nearest
