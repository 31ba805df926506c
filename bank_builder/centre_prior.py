"""Prompt points for a photo of which nothing is known: its object is expected in the middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bank_builder.points import sample_points

CENTRE_SHARE = 0.5
"""The axes of the ellipse as shares of the photo's sides. All points must lie on the object, so the
ellipse should lie within it: at a half it covers a fifth of the photo (pi / 16), less than an
object that a photo was taken of."""


def centre_ellipse(size: tuple[int, int]) -> NDArray[np.bool_]:
    """The ellipse in the middle of a photo that stands in for a binarised attention map [ours].

    Args:
        size: (height, width) in pixels, at least 1 each.

    Returns:
        (H, W) bool; a pixel is in if its centre is. The middle pixel always is, so that there is a
        foreground in the smallest photo.
    """
    height, width = size
    y = (np.arange(height) - (height - 1) / 2) / (height * CENTRE_SHARE / 2)
    x = (np.arange(width) - (width - 1) / 2) / (width * CENTRE_SHARE / 2)
    ellipse: NDArray[np.bool_] = y[:, None] ** 2 + x[None, :] ** 2 <= 1
    ellipse[(height - 1) // 2, (width - 1) // 2] = True
    return ellipse


def centre_points(size: tuple[int, int], n: int) -> NDArray[np.int32]:
    """Up to `n` points (m, 2) int32, (x, y), by Algorithm 1 [paper] on the centred ellipse [ours].

    This finds an object in the middle of its photo. One at the edge, or a thin one, needs a mask;
    so does stuff, which has no middle.
    """
    return sample_points(centre_ellipse(size), n)
