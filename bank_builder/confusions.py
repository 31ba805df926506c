"""References that look like another category rather than their own: verdicts across categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.outliers import MIN_IMAGES
from foundation.category_similarity import rows_of, similarity_to_means

_ROUNDS = 5
"""Most rounds of judging and averaging anew. With 45 % of the miniature bank's references swapped
between pairs of categories, two rounds find 92 % and five find all; with 30 %, one finds 99 %."""


@dataclass(frozen=True)
class Confusion:
    """An image nearer to another category: its row in the features given, and which category."""

    position: int
    category_id: int


def find_confusions(
    features: NDArray[np.float32], category_id: NDArray[np.integer], margin: float
) -> list[Confusion]:
    """The foreground features that are nearer to another category [ours; the idea: ReME].

    Leave-one-out: a reference's cosine with the mean of all other references of its category is
    compared with its cosine with every other category's mean. If another category's is larger by
    more than `margin`, the reference is confused with it. Wrong references bend the means that they
    are compared with, so the means are taken anew without those found, and all references, those
    found included, are judged again, until nothing changes or for _ROUNDS rounds.

    Categories that mean nearly the same (house, building) lie closer together than the margin, and
    in any case keep most of their references: of a category at most half are rejected, those that
    are furthest on the other side first, and at least MIN_IMAGES stay. A category with fewer is not
    judged, but others are compared with it.

    Time is that of a few products (n, d) x (d, C). Memory beyond the features, which may be mapped
    from a file, is the means, the references of one category, and a block of cosines.

    Args:
        features: (n, d), L2-normalised, of all accepted images of a bank.
        category_id: (n,) of each.
        margin: cosine by which the other category must be nearer, > 0. Of references planted in
            the miniature bank, 0.05 to 0.2 find 99 % alike; the smaller, the more good ones go.

    Returns:
        By ascending position.
    """
    ids, code = np.unique(category_id, return_inverse=True)
    if len(ids) < 2:
        return []
    rows = rows_of(code)
    kept = np.ones(len(features), bool)
    for _ in range(_ROUNDS):
        near = similarity_to_means(features, code, kept)
        confused = _worst_first(near.other - near.own, rows, margin)
        if np.array_equal(kept, ~confused):
            break
        kept = ~confused
    return [
        Confusion(int(position), int(ids[near.other_code[position]]))
        for position in np.flatnonzero(~kept)
    ]


def _worst_first(
    excess: NDArray[np.float32], rows: list[NDArray[np.intp]], margin: float
) -> NDArray[np.bool_]:
    """(n,) bool: an excess above the margin, of each category no more than may be rejected."""
    confused = excess > margin
    for own in rows:
        most = max(0, min(len(own) // 2, len(own) - MIN_IMAGES))
        over = own[confused[own]]
        if len(over) > most:
            confused[over[np.argsort(-excess[over], kind="stable")[most:]]] = False
    return confused
