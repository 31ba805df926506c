"""The interface of matchers: references that may vote go in, matches come out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.errors import BankError
from schemas.ids import FOREGROUND, SOURCES, unpack_image_ids

if TYPE_CHECKING:
    from schemas.store.bank import BankFeatures

NO_FEATURE = -1
"""Stands in `Matches.neighbour_id` where a region has fewer references to show than asked for."""

VALUES_AT_ONCE = 1 << 22
"""Cosines of regions with references that are in memory together: 16 MB."""


@dataclass(frozen=True)
class Matches:
    """How r regions compare with C candidate categories, and what they were compared with.

    Attributes:
        category_ids: (C,) int32 ascending, the candidates: the columns of `scores`.
        scores: (r, C) float32 in [0, 1], higher is better; comparable between regions of one
            matcher.
        neighbour_id: (r, k) int64 feature ids, most similar first; NO_FEATURE at the end of a row
            with fewer than k.
        neighbour_similarity: (r, k) float32 cosines; NaN beside NO_FEATURE.
    """

    category_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    neighbour_id: NDArray[np.int64]
    neighbour_similarity: NDArray[np.float32]


class Matcher(Protocol):
    """Scores categories for regions by comparing them with the bank's reference images."""

    def match(
        self, features: NDArray[np.float32], categories: Collection[int] | None = None
    ) -> Matches:
        """Scores every category for each region.

        Args:
            features: (r, d) float32, L2-normalised.
            categories: ids of the only categories to consider; None for all.

        Raises BankError if none of the categories has a reference.
        """
        ...


@dataclass(frozen=True)
class References:
    """The bank's features that may vote, by category.

    The backgrounds of the images are in the bank too, as negatives, and have no vote. Since a
    feature_id begins with its category_id, the features of one category stand together, and within
    it those of one source. So references of one role, of some sources and of some categories are
    runs of rows of the bank's own features, of which no copy is made.

    Attributes:
        embeddings: (n, d) float32, L2-normalised, mapped from the bank's index.
        feature_id: (n,) int64 ascending.
        weight: (n,) float32, how much a reference counts beside others, by its source; above 0
            where it votes.
        category_ids: (C,) int32 ascending, the categories with at least one feature that votes.
        starts, stops: (C,) the rows that vote for category_ids[c] are starts[c]:stops[c].
    """

    embeddings: NDArray[np.float32]
    feature_id: NDArray[np.int64]
    weight: NDArray[np.float32]
    category_ids: NDArray[np.int32]
    starts: NDArray[np.intp]
    stops: NDArray[np.intp]

    @classmethod
    def of(
        cls,
        features: BankFeatures,
        source_weights: Mapping[str, float] = MappingProxyType({}),
        *,
        role: int = FOREGROUND,
    ) -> References:
        """Selects the features of one role in a bank, without sources of weight 0.

        Args:
            features: of the bank; copied if they are in another order than a bank's.
            source_weights: by the name of a source (`schemas.ids.SOURCES`), 1 where it is missing.
            role: FOREGROUND for the references of regions, BACKGROUND for negatives.

        Raises BankError if there is no foreground feature.
        """
        by_source = np.array([source_weights.get(name, 1.0) for name in SOURCES], np.float32)
        weight = by_source[unpack_image_ids(features.image_id).source_code]
        rows = np.flatnonzero((features.role == role) & (weight > 0))
        rows = rows[np.argsort(features.feature_id[rows], kind="stable")]
        if rows.size == 0 and role == FOREGROUND:
            raise BankError(
                "expected at least one accepted reference image with a foreground feature, found"
                " none in the bank; see why images were rejected: SELECT reason, count(*) FROM"
                " images GROUP BY 1"
            )
        category_ids, first = np.unique(features.category_id[rows], return_index=True)
        last = np.append(first[1:], len(rows))[: len(first)]
        steps = np.diff(rows)
        within = np.ones(len(steps), bool)
        within[first[1:] - 1] = False
        base: slice | NDArray[np.intp] = rows
        if (steps > 0).all() and (steps[within] == 1).all():
            base = slice(int(rows[0]), int(rows[-1]) + 1) if rows.size else slice(0, 0)
            first, last = rows[first] - base.start, rows[last - 1] + 1 - base.start
        return cls(
            features.embeddings[base],
            features.feature_id[base],
            weight[base],
            category_ids,
            first,
            last,
        )

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """(v,) the rows that vote, ascending."""
        runs = [np.arange(*run) for run in zip(self.starts, self.stops, strict=True)]
        return np.concatenate([np.empty(0, np.intp), *runs])

    def restricted_to(self, categories: Collection[int] | None) -> References:
        """Selects the references of some categories (None: all); BankError if none is left."""
        if categories is None:
            return self
        chosen = np.isin(self.category_ids, list(categories))
        if not chosen.any():
            raise BankError(
                f"expected a reference for at least one of {len(categories)} categories, found"
                " none; leave the choice of categories away, or build more images of them"
            )
        if chosen.all():
            return self
        return replace(
            self,
            category_ids=self.category_ids[chosen],
            starts=self.starts[chosen],
            stops=self.stops[chosen],
        )

    def rows_of(self, column: int) -> slice:
        """The rows of category_ids[column]."""
        return slice(int(self.starts[column]), int(self.stops[column]))

    def best_similarity(
        self, features: NDArray[np.float32], category_ids: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Computes the cosine of each region to the most similar reference of each category.

        Args:
            features: (r, d) float32, L2-normalised.
            category_ids: (C,).

        Returns:
            (r, C) float32; -1 for a category without a reference.
        """
        best = np.full((len(features), len(category_ids)), -1, np.float32)
        columns = np.flatnonzero(np.isin(category_ids, self.category_ids))
        if columns.size == 0 or len(features) == 0:
            return best
        held = np.searchsorted(self.category_ids, category_ids[columns])
        at_once = max(1, VALUES_AT_ONCE // len(features))
        for column, own in zip(columns, held, strict=True):
            rows = self.rows_of(int(own))
            for start in range(rows.start, rows.stop, at_once):
                block = self.embeddings[start : min(start + at_once, rows.stop)]
                np.maximum(best[:, column], (features @ block.T).max(axis=1), out=best[:, column])
        return best


def unit_interval(cosine: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1 + cosine) / 2, clipped to [0, 1] against rounding."""
    return np.clip((1 + cosine) / 2, 0, 1).astype(np.float32)
