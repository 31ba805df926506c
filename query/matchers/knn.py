"""Matching by a vote of the most similar single references."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from query.matchers.base import Matches, References, unit_interval

_FETCH_GROWTH = 4


class Index(Protocol):
    """The part of the bank's FAISS index that is used here (`schemas.index.FeatureIndex`)."""

    def search(
        self, queries: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(q, <= k) inner products, highest first, and the feature ids they belong to."""
        ...


@dataclass(frozen=True)
class KnnMatcher:
    """Vote of the k most similar references, each with the weight of its similarity.

    A category's score is the mean of (1 + cosine) / 2 over the k nearest references, those of
    other categories counting 0, weighted by the references' own weights: 1 if all k are its own
    and identical to the region, and the mean similarity of the voters if they agree. It therefore
    tells a sure region from one whose voters disagree *and* from one that resembles nothing [ours].

    The neighbours shown for a region are the voters. The index also holds backgrounds, and
    references that were rejected since it was made; they are skipped by asking for more.

    Attributes:
        references: the features that vote.
        index: of the same bank, for searching them all; a choice of categories, or all without
            an index, is searched directly.
        neighbours: k at most; no more than the largest category has references, since voters
            beyond them could only be strangers.
    """

    references: References
    index: Index | None = None
    neighbours: int = 15

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """See `Matcher.match`."""
        references = self.references.restricted_to(categories)
        k = self._voters(references)
        if references is self.references and self.index is not None:
            similarity, rows = self._search_index(self.index, features, k)
        else:
            similarity, rows = _search_directly(features, references, k)
        voted_for = np.searchsorted(references.category_ids, references.category_id[rows])
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

    def _voters(self, references: References) -> int:
        """How many of the references vote on a region."""
        return min(self.neighbours, int(np.diff(references.starts).max()))

    def _search_index(
        self, index: Index, features: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """(r, k) cosines and rows of `references`, from the index."""
        references = self.references
        similarity = np.zeros((len(features), k), dtype=np.float32)
        rows = np.zeros((len(features), k), dtype=np.intp)
        open_regions, fetch = np.arange(len(features)), _FETCH_GROWTH * k
        while open_regions.size:
            found, ids = index.search(features[open_regions], fetch)
            row = np.searchsorted(references.feature_id, ids)
            row = np.minimum(row, len(references.feature_id) - 1)
            votes = references.feature_id[row] == ids
            # Votes first, in the order of their similarity.
            order = np.argsort(~votes, axis=1, kind="stable")[:, :k]
            complete = votes.sum(axis=1) >= k
            done = open_regions[complete]
            similarity[done] = np.take_along_axis(found, order, axis=1)[complete]
            rows[done] = np.take_along_axis(row, order, axis=1)[complete]
            open_regions = open_regions[~complete]
            if open_regions.size and ids.shape[1] < fetch:
                # The index has no more: it is not of this bank's features. They are the truth.
                direct = _search_directly(features[open_regions], references, k)
                similarity[open_regions], rows[open_regions] = direct
                break
            fetch *= _FETCH_GROWTH
        return similarity, rows


def _search_directly(
    features: NDArray[np.float32], references: References, k: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """(r, k) cosines and rows of `references`, by one matrix product."""
    cosine = features @ references.embeddings.T
    nearest = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
    similarity = np.take_along_axis(cosine, nearest, axis=1)
    order = np.argsort(-similarity, axis=1, kind="stable")
    return np.take_along_axis(similarity, order, axis=1), np.take_along_axis(nearest, order, axis=1)
