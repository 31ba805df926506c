"""Matchers: which category a region looks like. Each is one module; `make_matcher` picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from query.matchers.base import Matcher, Matches, References
from query.matchers.knn import KnnMatcher
from query.matchers.prototype import PrototypeMatcher

if TYPE_CHECKING:
    from schemas.bank import Bank
    from schemas.settings import Matching

__all__ = ["KnnMatcher", "Matcher", "Matches", "PrototypeMatcher", "References", "make_matcher"]


def make_matcher(bank: Bank, settings: Matching) -> Matcher:
    """The matcher that the settings name, over the bank's foreground features.

    Raises BankError if the bank has none, BankDamaged if its index is not what was written.
    """
    references = References.of(bank.features())
    if settings.matcher == "prototype":
        return PrototypeMatcher(references, settings.prototypes_per_category, settings.neighbours)
    return KnnMatcher(references, bank.index(), settings.neighbours)
