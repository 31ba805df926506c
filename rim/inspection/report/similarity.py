"""Measures how similar categories are to each other, and each reference to its own and others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform

from foundation.category_similarity import rows_of, similarity_to_means
from schemas.errors import BankDamaged
from schemas.ids import FOREGROUND
from schemas.store.bank import StoredBank
from schemas.store.prototypes import cluster

_ORDERED_EXACTLY = 300
"""With more categories the best order of the tree's branches takes longer than it is worth."""


@dataclass(frozen=True)
class Neighbour:
    """Another category and the cosine of the two categories' means."""

    category_id: int
    cosine: float


@dataclass(frozen=True)
class Pair:
    """Two categories, the lower id first, and the cosine of their means."""

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class Standing:
    """The similarity of one reference to its own category and to the nearest other one.

    own: cosine to the mean of the others of its category. other: to the nearest other category's
    mean, whose id is other_id. None if there is nothing to compare with.
    """

    own: float | None
    other: float | None
    other_id: int | None

    @property
    def confused(self) -> bool:
        """Whether it is nearer to another category than to its own."""
        return self.own is not None and self.other is not None and self.other > self.own


@dataclass(frozen=True, eq=False)
class CategorySimilarity:
    """The categories that have references, by ascending category_id, and their similarities.

    category_ids: int64 (C,). cosine: float64 (C, C) of their L2-normalised means. standings: by
    image_id of every accepted reference.
    """

    category_ids: NDArray[np.int64]
    cosine: NDArray[np.float64]
    standings: dict[int, Standing]

    def nearest(self, category_id: int, count: int) -> tuple[Neighbour, ...]:
        """The categories most similar to one, in descending order; none if it has no reference."""
        rows = np.flatnonzero(self.category_ids == category_id)
        if rows.size == 0:
            return ()
        row = int(rows[0])
        order = [int(i) for i in np.argsort(-self.cosine[row], kind="stable") if i != row]
        return tuple(
            Neighbour(int(self.category_ids[i]), float(self.cosine[row, i])) for i in order[:count]
        )

    def pairs(self, count: int) -> tuple[Pair, ...]:
        """The most similar pairs of categories, in descending order."""
        rows, columns = np.triu_indices(len(self.category_ids), 1)
        values = self.cosine[rows, columns]
        order = np.argsort(-values, kind="stable")[:count]
        ids = self.category_ids
        return tuple(Pair(int(ids[rows[i]]), int(ids[columns[i]]), float(values[i])) for i in order)

    def only(self, category_ids: frozenset[int]) -> CategorySimilarity:
        """The similarities of some of the categories; standings stay those among all."""
        chosen = np.flatnonzero(np.isin(self.category_ids, list(category_ids)))
        return CategorySimilarity(
            self.category_ids[chosen], self.cosine[np.ix_(chosen, chosen)], self.standings
        )

    def order(self) -> NDArray[np.intp]:
        """(C,) the categories' places in an order that puts similar ones side by side.

        The leaves of average linkage over the distances 1 - cosine; where that takes moments, the
        branches are turned so that neighbours are as similar as possible.
        """
        count = len(self.category_ids)
        if count < 3:
            return np.arange(count)
        distance = np.clip(1 - self.cosine, 0, None)
        np.fill_diagonal(distance, 0)
        condensed = squareform(distance, checks=False)
        tree = linkage(condensed, "average")
        if count <= _ORDERED_EXACTLY:
            tree = optimal_leaf_ordering(tree, condensed)
        return np.asarray(leaves_list(tree), np.intp)


def measure_similarity(bank: StoredBank) -> CategorySimilarity:
    """The similarities of a bank's categories, by the foreground features of accepted images.

    Memory beyond the features, which may be mapped from the index, is a vector a category, C x C
    cosines, and what `foundation.category_similarity` takes.

    Raises BankDamaged as `Bank.features` does, and for features that are no numbers.
    """
    features = bank.features()
    count = int(np.count_nonzero(features.role == FOREGROUND))
    embeddings = features.embeddings[:count]
    ids, code = np.unique(features.category_id[:count], return_inverse=True)
    rows = rows_of(code) if count else []
    means = np.empty((len(ids), embeddings.shape[1]), np.float64)
    for place, own in enumerate(rows):
        means[place] = cluster(embeddings[own], 1).centres[0]
    if not np.isfinite(means).all():
        raise BankDamaged(
            f"{bank.path}: expected features of finite numbers, found others; run: rim verify"
        )
    standings: dict[int, Standing] = {}
    if count:
        near = similarity_to_means(embeddings, code, np.ones(count, bool))
        sizes = np.array([len(own) for own in rows])
        for row, image_id in enumerate(features.image_id[:count].tolist()):
            several = sizes[code[row]] > 1
            standings[image_id] = Standing(
                own=float(near.own[row]) if several else None,
                other=float(near.other[row]) if len(ids) > 1 else None,
                other_id=int(ids[near.other_code[row]]) if len(ids) > 1 else None,
            )
    return CategorySimilarity(ids.astype(np.int64), means @ means.T, standings)
