"""Matching by prototypes: the category whose mean reference is most similar."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from query.matchers.base import (
    NO_FEATURE,
    VALUES_AT_ONCE,
    Matches,
    References,
    unit_interval,
)
from schemas.store.prototypes import Prototypes, cluster, references_digest


@dataclass(frozen=True)
class PrototypeMatcher:
    """Scores categories by the highest cosine to their prototypes: (1 + cosine) / 2.

    A category's prototype is the L2-normalised weighted mean of its normalised foreground
    features. With more than one per category they are the centres of a spherical k-means over
    them, see `schemas.store.prototypes.cluster` [paper: "subcategory references"; the clustering is
    ours].

    The neighbours shown for a region are the most similar references of the winning category.

    Attributes:
        references: the features that vote.
        per_category: prototypes of each category, at most as many as it has references.
        neighbours: how many references to show for a region.
        stored: the bank's own prototypes, used if they are of these very references.
    """

    references: References
    per_category: int = 1
    neighbours: int = 5
    stored: Prototypes | None = None

    @cached_property
    def prototypes(self) -> tuple[NDArray[np.float32], ...]:
        """For each of the references' category_ids its prototypes, (p, d) L2-normalised."""
        return prototypes_of(self.references, self.per_category, self.stored)

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """See `Matcher.match`."""
        references = self.references.restricted_to(categories)
        columns = np.searchsorted(self.references.category_ids, references.category_ids)
        cosine = best_cosine(features, [self.prototypes[column] for column in columns])
        neighbour_id, neighbour_similarity = nearest_of(
            references, features, cosine.argmax(axis=1), self.neighbours
        )
        return Matches(
            category_ids=references.category_ids,
            scores=unit_interval(cosine),
            neighbour_id=neighbour_id,
            neighbour_similarity=neighbour_similarity,
        )


def prototypes_of(
    references: References, per_category: int, stored: Prototypes | None = None
) -> tuple[NDArray[np.float32], ...]:
    """Returns the prototypes of each of `references.category_ids`.

    Each category has (<= per_category, d) float32, L2-normalised. The bank's own are taken if they
    are of the same references, all of the same weight, and of the number asked for; otherwise they
    are derived from the references.
    """
    weight, voting = references.weight, references.rows
    equal_weights = bool((weight[voting] == weight[voting[0]]).all())
    ids = references.feature_id[voting]
    if stored is not None and equal_weights and stored.digest == references_digest(ids):
        centres = stored.centres(per_category)
        if centres is not None:
            return centres
    rows = (references.rows_of(column) for column in range(len(references.category_ids)))
    return tuple(
        cluster(
            references.embeddings[own], per_category, None if equal_weights else weight[own]
        ).centres
        for own in rows
    )


def best_cosine(
    features: NDArray[np.float32], prototypes: Collection[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Computes the cosine of each feature to the most similar prototype of each category.

    Args:
        features: (r, d) float32, L2-normalised.
        prototypes: of each of C categories, (p, d) each.

    Returns:
        (r, C) float32.
    """
    starts = np.cumsum([0, *(len(own) for own in prototypes)])[:-1]
    cosine = features @ np.concatenate(list(prototypes)).T
    return np.asarray(np.maximum.reduceat(cosine, starts, axis=1), np.float32)


def nearest_of(
    references: References,
    features: NDArray[np.float32],
    winner: NDArray[np.intp],
    neighbours: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds the most similar references of each region's best category.

    Args:
        features: (r, d) float32.
        winner: (r,) columns of `references.category_ids`.

    Returns:
        (r, neighbours) feature ids and cosines as in `Matches`, filled up with NO_FEATURE and NaN.
    """
    shape = (len(features), neighbours)
    ids = np.full(shape, NO_FEATURE, dtype=np.int64)
    similarity = np.full(shape, np.nan, dtype=np.float32)
    for column in np.unique(winner):
        rows = references.rows_of(int(column))
        at_once = max(1, VALUES_AT_ONCE // (rows.stop - rows.start))
        own = np.flatnonzero(winner == column)
        for start in range(0, len(own), at_once):
            regions = own[start : start + at_once]
            cosine = features[regions] @ references.embeddings[rows].T
            order = np.argsort(-cosine, axis=1, kind="stable")[:, :neighbours]
            ids[regions, : order.shape[1]] = references.feature_id[rows][order]
            similarity[regions, : order.shape[1]] = np.take_along_axis(cosine, order, axis=1)
    return ids, similarity
