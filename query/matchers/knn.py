"""Matching by k nearest neighbours: a vote of the most similar references."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from query.matchers.base import Matches, References, unit_interval
from schemas.store.index import nearest_rows

_ROWS_AT_ONCE = 4096
"""References copied at a time where those that vote do not stand together: 16 MB of length 1024."""


@dataclass(frozen=True)
class KnnMatcher:
    """Scores categories by a vote of the k most similar references, weighted by similarity.

    A category's score is the mean of (1 + cosine) / 2 over the k nearest references, those of
    other categories counting 0, weighted by the references' own weights: 1 if all k are its own
    and identical to the region, and the mean similarity of the voters if they agree. It therefore
    tells a sure region from one whose voters disagree *and* from one that resembles nothing [ours].

    The search is exact, by FAISS over the rows of the bank's index that vote. The neighbours shown
    for a region are the voters.

    Attributes:
        references: the features that vote.
        neighbours: k at most; no more than the largest category has references, since voters
            beyond them could only be strangers.
    """

    references: References
    neighbours: int = 15

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """See `Matcher.match`."""
        references = self.references.restricted_to(categories)
        k = min(self.neighbours, int((references.stops - references.starts).max()))
        similarity, rows = _nearest(references, features, k)
        voted_for = np.searchsorted(references.starts, rows, side="right") - 1
        weight = references.weight[rows]
        scores = np.zeros((len(features), len(references.category_ids)), dtype=np.float32)
        regions = np.arange(len(features))[:, None]
        np.add.at(scores, (regions, voted_for), weight * unit_interval(similarity))
        scores /= weight.sum(axis=1, keepdims=True)
        return Matches(
            category_ids=references.category_ids,
            scores=scores,
            neighbour_id=references.feature_id[rows],
            neighbour_similarity=similarity,
        )


def _nearest(
    references: References, features: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """(r, k) cosines, highest first, and rows of `references`, of those that vote."""
    voting = references.rows
    first, last = int(voting[0]), int(voting[-1]) + 1
    if last - first == len(voting):
        similarity, rows = nearest_rows(references.embeddings[first:last], features, k)
        return similarity, rows + first
    similarity = np.empty((len(features), 0), np.float32)
    rows = np.empty((len(features), 0), np.intp)
    for start in range(0, len(voting), _ROWS_AT_ONCE):
        block = voting[start : start + _ROWS_AT_ONCE]
        found, at = nearest_rows(references.embeddings[block], features, k)
        similarity = np.concatenate([similarity, found], axis=1)
        rows = np.concatenate([rows, block[at]], axis=1)
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        similarity = np.take_along_axis(similarity, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    return similarity, rows
