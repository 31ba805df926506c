"""How near references are to their own category's mean and to the other categories' means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096
"""References compared with all categories at a time: 14 MB for 847 categories."""


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


def nearness(
    features: NDArray[np.float32], code: NDArray[np.int64], kept: NDArray[np.bool_]
) -> Nearness:
    """Compares references with the means of what is kept of every category.

    Args:
        features: (n, d) float32, L2-normalised.
        code: (n,) the categories as 0..C - 1.
        kept: (n,) the references that count in the means; every category has one.
    """
    rows = rows_of(code)
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


def rows_of(code: NDArray[np.int64]) -> list[NDArray[np.intp]]:
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
