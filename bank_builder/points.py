"""Prompt points: Algorithm 1 of RIM's supplement, on an attention map or a photo's middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

CENTRE_SHARE = 0.5
"""The axes of the ellipse as shares of the photo's sides. All points must lie on the object, so the
ellipse should lie within it: at a half it covers a fifth of the photo (pi / 16), less than an
object that a photo was taken of."""


def sample_points(
    binary: NDArray[np.bool_], n: int, scores: NDArray[np.floating] | None = None
) -> NDArray[np.int32]:
    """Chooses up to `n` foreground pixels, far from the background and from each other.

    Algorithm 1 [paper]: n times, take the foreground pixel whose Euclidean distance to the nearest
    background pixel or earlier point is largest. One exact distance transform and a running
    minimum with the distance to each new point give the points of the algorithm's text, which
    computes the whole transform again for every point. Squared distances are integers, so
    equal distances are exactly equal and the first pixel in row-major order is taken.

    What the text leaves open [ours]:

    - The map is surrounded by one background pixel on every side. Without it a foreground that
      touches the border gets its first point in the corner of the image.
    - It ends early when the largest distance is 0: every foreground pixel is then a point.
    - A map without any background pixel has its first point where `scores` is largest (among equal
      maxima the one farthest from the frame, then row-major); the others follow as above.

    Args:
        binary: (H, W) bool, True = foreground.
        n: number of points, at least 0.
        scores: (H, W) float, larger = more surely the category; only read for a map without
            background. None = all equal.

    Returns:
        (m, 2) int32 with m <= n, one (x, y) pixel a row, in the order of choice; (0, 2) if there is
        no foreground. All rows differ and lie in the foreground.
    """
    if n <= 0 or not binary.any():
        return np.empty((0, 2), dtype=np.int32)
    padded = np.pad(binary, 1, constant_values=False)
    distance = distance_transform_edt(padded)[1:-1, 1:-1]
    squared = np.rint(distance * distance).astype(np.int64)
    rows = np.arange(binary.shape[0], dtype=np.int64)[:, None]
    columns = np.arange(binary.shape[1], dtype=np.int64)[None, :]
    points: list[tuple[int, int]] = []
    while len(points) < n:
        if not points and scores is not None and binary.all():
            candidates = np.where(scores == scores.max(), squared, 0)
        else:
            candidates = squared
        y, x = divmod(int(candidates.argmax()), binary.shape[1])
        if candidates[y, x] == 0:
            break
        points.append((x, y))
        np.minimum(squared, (rows - y) ** 2 + (columns - x) ** 2, out=squared)
    return np.array(points, dtype=np.int32).reshape(-1, 2)


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
    """Chooses up to `n` points in the middle of a photo, where its object is expected.

    (m, 2) int32, (x, y), by Algorithm 1 [paper] on the centred ellipse [ours].

    This finds an object in the middle of its photo. One at the edge, or a thin one, needs a mask;
    so does stuff, which has no middle.
    """
    return sample_points(centre_ellipse(size), n)
