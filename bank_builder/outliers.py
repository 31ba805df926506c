"""References that do not look like the rest of their category: verdicts across images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_IMAGES = 5
"""With fewer references a median says too little to reject one of them."""

MIN_SPREAD = 0.05
"""The least spread that counts, in cosine. Where references are much alike (the miniature's cars
agree to 0.94, with a median deviation of 0.02) good pictures in rare colours would be outliers."""


@dataclass(frozen=True)
class Outlier:
    """An image far from its category: its row in the features given, and why."""

    position: int
    reason: str


def similarity_to_others(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosine of each feature with the mean of all the others.

    Args:
        features: (n, d) float32, L2-normalised, n >= 2.

    Returns:
        (n,) float64 in [-1, 1].
    """
    values = features.astype(np.float64)
    others = values.sum(axis=0) - values
    norms = np.linalg.norm(others, axis=1)
    similarity: NDArray[np.float64] = (values * others).sum(axis=1) / np.maximum(norms, 1e-12)
    return similarity


def find_outliers(features: NDArray[np.float32], mads: float) -> list[Outlier]:
    """The foreground features of one category that lie far from the others [ours; the idea: ReME].

    Each feature is compared with the mean of all the others. One whose cosine lies more than
    `mads` spreads below the category's median cosine is an outlier; the spread is the median
    absolute deviation, and at least MIN_SPREAD. Fewer than MIN_IMAGES features have no outliers.

    Args:
        features: (n, d) float32, L2-normalised, of one category's accepted images.
        mads: how many spreads below the median are tolerated, > 0.
    """
    if len(features) < MIN_IMAGES:
        return []
    similarity = similarity_to_others(features)
    median = float(np.median(similarity))
    spread = max(float(np.median(np.abs(similarity - median))), MIN_SPREAD)
    return [
        Outlier(
            int(position),
            f"outlier of its category (more than {mads:g} spreads below the median similarity)",
        )
        for position in np.flatnonzero(similarity < median - mads * spread)
    ]
