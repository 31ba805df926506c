"""Matching by prototypes: the category whose mean reference is most similar."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from query.matchers.base import NO_FEATURE, Matches, References, unit_interval

_MAX_ROUNDS = 50


@dataclass(frozen=True)
class PrototypeMatcher:
    """Highest cosine to a category's prototypes; the score is (1 + cosine) / 2.

    A category's prototype is the L2-normalised mean of its normalised foreground features. With
    more than one per category they are the centres of a spherical k-means over them, so that a
    category that looks in several ways is not averaged away [paper: "subcategory references"; the
    clustering is ours].

    The neighbours shown for a region are the most similar references of the winning category.

    Attributes:
        references: the features that vote.
        per_category: prototypes of each category, at most as many as it has references.
        neighbours: how many references to show for a region.
    """

    references: References
    per_category: int = 1
    neighbours: int = 5

    @cached_property
    def prototypes(self) -> tuple[NDArray[np.float32], ...]:
        """For each of the references' category_ids its prototypes, (p, d) L2-normalised."""
        references = self.references
        return tuple(
            cluster_centres(references.embeddings[references.rows_of(column)], self.per_category)
            for column in range(len(references.category_ids))
        )

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """See `Matcher.match`."""
        references = self.references.restricted_to(categories)
        columns = np.searchsorted(self.references.category_ids, references.category_ids)
        cosine = np.stack(
            [(features @ self.prototypes[column].T).max(axis=1) for column in columns], axis=1
        )
        winner = cosine.argmax(axis=1)
        similarity = cosine[np.arange(len(features)), winner]
        neighbour_id, neighbour_similarity = self._nearest(features, references, winner)
        scores = unit_interval(cosine)
        return Matches(
            category_id=references.category_ids[winner],
            score=scores[np.arange(len(features)), winner],
            similarity=similarity,
            category_ids=references.category_ids,
            scores=scores,
            neighbour_id=neighbour_id,
            neighbour_similarity=neighbour_similarity,
        )

    def _nearest(
        self, features: NDArray[np.float32], references: References, winner: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The most similar references of each region's winning category."""
        shape = (len(features), self.neighbours)
        ids = np.full(shape, NO_FEATURE, dtype=np.int64)
        similarity = np.full(shape, np.nan, dtype=np.float32)
        for column in np.unique(winner):
            regions, rows = np.flatnonzero(winner == column), references.rows_of(int(column))
            cosine = features[regions] @ references.embeddings[rows].T
            order = np.argsort(-cosine, axis=1, kind="stable")[:, : self.neighbours]
            ids[regions, : order.shape[1]] = references.feature_id[rows][order]
            similarity[regions, : order.shape[1]] = np.take_along_axis(cosine, order, axis=1)
        return ids, similarity


def cluster_centres(embeddings: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Centres of a spherical k-means without randomness: (<= count, d) L2-normalised.

    It starts at the embedding nearest to the mean and then always at the one farthest from all
    starts so far. Empty clusters are dropped.
    """
    mean = _normalised(embeddings.mean(axis=0, keepdims=True))
    if count == 1 or len(embeddings) == 1:
        return mean
    chosen = [int((embeddings @ mean[0]).argmax())]
    closest = embeddings @ embeddings[chosen[0]]
    while len(chosen) < min(count, len(embeddings)):
        chosen.append(int(closest.argmin()))
        closest = np.maximum(closest, embeddings @ embeddings[chosen[-1]])
    centres = embeddings[chosen]
    owner = np.full(len(embeddings), -1)
    for _ in range(_MAX_ROUNDS):
        nearest = (embeddings @ centres.T).argmax(axis=1)
        if (nearest == owner).all():
            break
        owner = nearest
        means = [embeddings[owner == cluster].mean(axis=0) for cluster in np.unique(owner)]
        centres = _normalised(np.stack(means))
    return centres


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit length in the last axis; a zero vector, the mean of opposite ones, stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, np.finfo(np.float32).tiny), dtype=np.float32)
