"""Similarity of references to the mean feature of their own category and of every other one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096
"""References compared with all categories at a time: 14 MB for 847 categories."""


@dataclass(frozen=True)
class MeanSimilarity:
    """Cosine similarity of n references to the mean features of categories.

    Attributes:
        own: float32 (n,), to the mean of the other references of its own category.
        other: float32 (n,), to the most similar mean of another category; -inf if there is none.
        other_code: int64 (n,), that category's place among the ascending category ids.
    """

    own: NDArray[np.float32]
    other: NDArray[np.float32]
    other_code: NDArray[np.int64]


def similarity_to_means(
    features: NDArray[np.float32], code: NDArray[np.int64], counted: NDArray[np.bool_]
) -> MeanSimilarity:
    """Compares references with the means of all categories, their own taken without themselves.

    Args:
        features: (n, d) float32, L2-normalised.
        code: (n,) the categories as 0..C - 1.
        counted: bool (n,), the references that the means are taken of; every category has one.
    """
    rows = rows_of(code)
    sums = np.empty((len(rows), features.shape[1]), np.float32)
    for column, own in enumerate(rows):
        sums[column] = features[own[counted[own]]].sum(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1)
    count = len(features)
    found = MeanSimilarity(
        np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.int64)
    )
    for start in range(0, count, _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        products = features[block] @ sums.T
        at = (np.arange(len(products)), code[block])
        found.own[block] = _without_itself(products[at], lengths[code[block]], counted[block])
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
    product: NDArray[np.float32], length: NDArray[np.float32], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The cosine of unit vectors x and s - x where x counts in the sum s, and of x and s elsewhere.

    From x.s and |s|: x.(s - x) = x.s - 1, and |s - x|^2 = |s|^2 - 2 x.s + 1.
    """
    own = product.astype(np.float64) - counted
    squared = length.astype(np.float64) ** 2 - counted * (2.0 * product - 1)
    cosine: NDArray[np.float64] = own / np.sqrt(np.maximum(squared, 1e-12))
    return cosine
