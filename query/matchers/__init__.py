"""Matchers score every category for a region; each is one module, and `make_matcher` picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from query.matchers.base import Matcher, Matches, References
from query.matchers.knn import KnnMatcher
from query.matchers.prototype import PrototypeMatcher
from query.matchers.ranking import RankingMatcher

if TYPE_CHECKING:
    from schemas.settings import Matching
    from schemas.store.prototypes import Prototypes

__all__ = [
    "KnnMatcher",
    "Matcher",
    "Matches",
    "PrototypeMatcher",
    "RankingMatcher",
    "References",
    "make_matcher",
]


def make_matcher(
    references: References,
    settings: Matching,
    prototypes: Prototypes | None = None,
) -> Matcher:
    """Makes the matcher that the settings name.

    Args:
        references: the features that vote.
        settings: the section `matching`.
        prototypes: the bank's own; derived from the references where there are none.
    """
    if settings.matcher == "prototype":
        return PrototypeMatcher(
            references, settings.prototypes_per_category, settings.neighbours, prototypes
        )
    if settings.matcher == "ranking":
        return RankingMatcher(
            references,
            agents=settings.agents,
            temperature=settings.temperature,
            standardise=settings.standardise,
            neighbours=settings.neighbours,
            stored=prototypes,
        )
    return KnnMatcher(references, settings.neighbours)
