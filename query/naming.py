"""What a region is called: a matcher's scores, less what speaks against a category."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from query.matchers import Index, References, make_matcher
from schemas.ids import BACKGROUND, UNLABELLED

if TYPE_CHECKING:
    from schemas.bank import BankFeatures
    from schemas.prototypes import Prototypes
    from schemas.settings import Matching

OWN_REFUSED = 0.01
"""The calibrated threshold takes at most this share of the references for unknown."""

STRANGERS_REFUSED = 0.8
"""It need not refuse more than this share of strangers."""

_STRANGERS = 1000


@dataclass(frozen=True)
class Naming:
    """The names of r regions out of C candidates.

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

    def ballots(self) -> NDArray[np.float32]:
        """(r, C + 1) float32: what each region says of the pixels under it.

        A known region gives every category its score. An unknown one gives its best score to the
        last column, "none of these", so that it counts as much as if it were known.
        """
        ballots = np.zeros((len(self.scores), len(self.category_ids) + 1), np.float32)
        ballots[:, :-1] = np.where(self.known[:, None], self.scores, 0)
        smallest = np.finfo(np.float32).tiny
        ballots[:, -1] = np.where(self.known, 0, np.maximum(self.score, smallest))
        return ballots


class Namer:
    """Names regions by the references of a bank.

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
        index: Index | None = None,
        prototypes: Prototypes | None = None,
    ) -> None:
        """Sorts a bank's features by what they are for.

        Args:
            features: of accepted images, both roles.
            settings: the section `matching`.
            index: over the same features, for `knn`; None searches them directly.
            prototypes: the bank's own, for `prototype` and `ranking`; None derives them.

        Raises BankError if there is no reference.
        """
        weights = {"diffusion": settings.diffusion_weight, "folder": settings.folder_weight}
        self._settings = settings
        self._references = References.of(features, weights)
        self._negatives = References.of(features, weights, role=BACKGROUND)
        self._matcher = make_matcher(self._references, settings, index, prototypes)

    @cached_property
    def threshold(self) -> float | None:
        """The cosine below which a region is none of the categories; None: never."""
        if self._settings.background == "auto":
            return calibrated_threshold(self._references)
        return self._settings.background

    def name(
        self,
        features: NDArray[np.float32],
        categories: Collection[int] | None = None,
        text: NDArray[np.float32] | None = None,
    ) -> Naming:
        """Name L2-normalised features (r, d) float32, with `categories` only if they are given.

        Args:
            features: of regions or patches.
            categories: ids.
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
        return Naming(
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
    """A cosine below which a region is unlike anything in the bank [ours].

    Found among the references alone; it needs no photo and no label. A reference is compared with
    the others of its category, as a region that is known would be, and with all other categories,
    as a stranger would be; what counts is the most similar one. The threshold refuses
    STRANGERS_REFUSED of the strangers, or fewer where that would refuse more than OWN_REFUSED of
    the references themselves.

    At most _STRANGERS of the references, evenly spread, stand for the strangers.

    Returns None if no category has two references.
    """
    own, strange = [], []
    every = max(1, len(references.feature_id) // _STRANGERS)
    for column in range(len(references.category_ids)):
        rows = references.rows_of(column)
        embeddings = references.embeddings[rows]
        if len(embeddings) > 1:
            cosine = embeddings @ embeddings.T
            np.fill_diagonal(cosine, -np.inf)
            own.append(cosine.max(axis=1))
        others = np.delete(references.category_ids, column)
        if len(others):
            first = -rows.start % every
            best = references.best_similarity(embeddings[first::every], others)
            strange.append(best.max(axis=1))
    if not own:
        return None
    threshold = float(np.quantile(np.concatenate(own), OWN_REFUSED))
    if strange:
        refused = float(np.quantile(np.concatenate(strange), STRANGERS_REFUSED))
        threshold = min(threshold, refused)
    return threshold
