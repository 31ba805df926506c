"""References that look like another category rather than their own: verdicts across categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.outliers import MIN_IMAGES

_ROUNDS = 5
"""Most rounds of judging and averaging anew. With 45 % of the miniature bank's references swapped
between pairs of categories, two rounds find 92 % and five find all; with 30 %, one finds 99 %."""

_ROWS_AT_ONCE = 4096
"""References compared with all categories at a time: 14 MB for 847 categories."""


@dataclass(frozen=True)
class Confusion:
    """An image nearer to another category: its row in the features given, and which category."""

    position: int
    category_id: int


@dataclass(frozen=True)
class Nearness:
    """How near references are to categories, in cosine.

    own: float32 (n,), to the mean of the other references of its own category. other: float32 (n,),
    to the nearest mean of another category; -inf if there is none. other_code: int64 (n,), that
    category's place among the ascending category ids.
    """

    own: NDArray[np.float32]
    other: NDArray[np.float32]
    other_code: NDArray[np.int64]


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
    rows = _rows_of(code)
    kept = np.ones(len(features), bool)
    for _ in range(_ROUNDS):
        near = nearness(features, code, kept)
        confused = _worst_first(near.other - near.own, rows, margin)
        if np.array_equal(kept, ~confused):
            break
        kept = ~confused
    return [
        Confusion(int(position), int(ids[near.other_code[position]]))
        for position in np.flatnonzero(~kept)
    ]


def nearness(
    features: NDArray[np.float32], code: NDArray[np.int64], kept: NDArray[np.bool_]
) -> Nearness:
    """Compares references with the means of what is kept of every category.

    Args:
        features: (n, d) float32, L2-normalised.
        code: (n,) the categories as 0..C - 1.
        kept: (n,) the references that count in the means; every category has one.
    """
    rows = _rows_of(code)
    sums = np.empty((len(rows), features.shape[1]), np.float32)
    for column, own in enumerate(rows):
        sums[column] = features[own[kept[own]]].sum(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1)
    count = len(features)
    found = Nearness(
        np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.int64)
    )
    for start in range(0, count, _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        products = features[block] @ sums.T
        at = (np.arange(len(products)), code[block])
        found.own[block] = _without_itself(products[at], lengths[code[block]], kept[block])
        products /= np.maximum(lengths, np.finfo(np.float32).tiny)
        products[at] = -np.inf
        found.other_code[block] = products.argmax(axis=1)
        found.other[block] = products.max(axis=1)
    return found


def _rows_of(code: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The rows of each code 0..C - 1, ascending."""
    order = np.argsort(code, kind="stable")
    return np.split(order, np.cumsum(np.bincount(code))[:-1])


def _without_itself(
    product: NDArray[np.float32], length: NDArray[np.float32], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Cosine of unit vectors x with s - x where x is kept in the sum s, and with s elsewhere.

    From x.s and |s|: x.(s - x) = x.s - 1, and |s - x|^2 = |s|^2 - 2 x.s + 1.
    """
    own = product.astype(np.float64) - kept
    squared = length.astype(np.float64) ** 2 - kept * (2.0 * product - 1)
    cosine: NDArray[np.float64] = own / np.sqrt(np.maximum(squared, 1e-12))
    return cosine


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
