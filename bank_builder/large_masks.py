"""Masks that are too large beside those of their category: verdicts across images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.outliers import MIN_IMAGES

LARGE = 0.75
"""A mask below this share of its image is never too large: without such a floor, close-ups of
things that are mostly photographed from afar would go."""

QUANTILE = 0.75
"""Of the areas of a category: as much of it may be wrong or a close-up, the rest, before the others
count as large too. With the median, right close-ups went in categories that have them in half of
their images."""


@dataclass(frozen=True)
class Masks:
    """What is known of some references' masks.

    Attributes:
        area: (n,) float64, the share of the image that each covers.
        given: (n,) bool, whether a person drew it.
    """

    area: NDArray[np.float64]
    given: NDArray[np.bool_]


def find_too_large(masks: Masks, max_excess: float) -> NDArray[np.intp]:
    """The masks of one category and source that are too large [ours; the idea: ReME].

    One image does not say how large a mask may be: grass fills its image, a car does not, and a
    mask of the whole image fits the attention of both. The category's images together do. A large
    mask is wrong if it exceeds the upper quartile of the category's areas by more than
    `max_excess`: where the others are small, and not where they are large too, as of stuff, or of a
    thing that many images show from near.

    So at most a quarter of a category is rejected, the order does not matter, and it is shares that
    count, not the number of images. Fewer than MIN_IMAGES masks say too little. A person's mask
    counts as evidence and is never rejected. If more than a quarter of a thing's masks are of the
    whole image, areas cannot tell it from stuff: then all stay, for the comparison of features.

    Args:
        masks: of one category's accepted images.
        max_excess: in [0, 1], a share of the image; 1 lets all pass.

    Returns:
        Positions in `masks`, ascending.
    """
    area = masks.area
    if len(area) < MIN_IMAGES:
        return np.empty(0, np.intp)
    usual = np.quantile(area, QUANTILE, method="inverted_cdf")
    return np.flatnonzero((area >= LARGE) & (area - usual > max_excess) & ~masks.given)
