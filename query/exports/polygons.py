"""Polygons around masks: traced between the pixels, holes joined by a seam, simplified."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask
from skimage.measure import approximate_polygon, find_contours

from foundation.images.masks import mask_iou

TOLERANCE = 1.0
"""How far, in pixels, a simplified outline may be from the traced one [ours]."""
LEAST_IOU = 0.97
"""Of a simplified polygon with its piece; thin pieces get a smaller tolerance until it holds."""

_FINEST = 0.25  # below it nothing is simplified

Points = NDArray[np.float64]


def piece_polygon(piece: NDArray[np.bool_]) -> Points:
    """One polygon around a mask of one piece.

    The outline is that of `skimage.measure.find_contours`, half-way between the pixels inside and
    outside, so the polygon as traced holds exactly the centres of the piece's pixels. It is
    simplified by Douglas and Peucker's method with TOLERANCE, less for a piece that would lose its
    shape (LEAST_IOU). A polygon has no holes: each is joined to the rest by a seam, a line that is
    gone there and back and so encloses nothing.

    Args:
        piece: bool (H, W), not empty, its pixels connected by their sides.

    Returns:
        float64 (n, 2), x and y in pixels; pixel (0, 0) covers 0 to 1, and its centre is
        (0.5, 0.5). The last point is not the first one again.
    """
    rings = _rings(piece)
    tolerance = TOLERANCE
    while tolerance >= _FINEST:
        simple = [_simplified(ring, tolerance) for ring in rings]
        if all(len(ring) >= 3 for ring in simple):
            points = _joined(simple)
            if mask_iou(filled(points, piece.shape), piece) >= LEAST_IOU:
                return points
        tolerance /= 2
    return _joined(rings)


def filled(points: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (H, W) whose centres lie within a polygon (n, 2) of x and y as above."""
    centres = points[:, ::-1] - 0.5  # skimage counts rows and columns from the first one's centre
    return np.asarray(polygon2mask(shape, centres), dtype=bool)


def _rings(piece: NDArray[np.bool_]) -> list[Points]:
    """The outer outline, then those of the holes, which run the other way; x and y as above."""
    framed = np.pad(piece, 1).astype(np.float64)
    contours = find_contours(framed, 0.5, fully_connected="low")
    rings = [contour[:-1, ::-1] - 0.5 for contour in contours]  # off the frame: -1; centre: +0.5
    return sorted(rings, key=_enclosed, reverse=True)


def _enclosed(ring: Points) -> float:
    """The area within a ring, whichever way it runs."""
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _simplified(ring: Points, tolerance: float) -> Points:
    # The ends of a line are never moved: begin at the point that is farthest from the middle.
    start = int(np.argmax(np.square(ring - ring.mean(axis=0)).sum(axis=1)))
    closed = np.concatenate([ring[start:], ring[: start + 1]])
    return np.asarray(approximate_polygon(closed, tolerance)[:-1], dtype=np.float64)


def _joined(rings: list[Points]) -> Points:
    """One ring out of several: the nearest hole first, from the points that are nearest."""
    points, holes = rings[0], rings[1:]
    nearest = [_nearest(points, hole) for hole in holes]
    while holes:
        chosen = min(range(len(holes)), key=lambda i: nearest[i][0])
        hole = holes.pop(chosen)
        _, at, start = nearest.pop(chosen)
        seam = np.concatenate([hole[start:], hole[: start + 1], points[at : at + 1]])
        points = np.concatenate([points[: at + 1], seam, points[at + 1 :]])
        # Of the points so far the others have been compared with; those after `at` have moved.
        nearest = [
            _nearer(one, other, at, len(seam), seam)
            for one, other in zip(nearest, holes, strict=True)
        ]
    return points


def _nearest(points: Points, hole: Points) -> tuple[float, int, int]:
    """Squared distance of the two nearest points, and which they are."""
    best = (np.inf, 0, 0)
    for start in range(0, len(points), 1024):
        apart = np.square(points[start : start + 1024, None] - hole[None]).sum(axis=2)
        at = int(apart.argmin())
        if apart.flat[at] < best[0]:
            best = (float(apart.flat[at]), start + at // len(hole), at % len(hole))
    return best


def _nearer(
    known: tuple[float, int, int], hole: Points, at: int, added: int, seam: Points
) -> tuple[float, int, int]:
    distance, where, start = known
    moved = (distance, where if where <= at else where + added, start)
    new = _nearest(seam, hole)
    return moved if distance <= new[0] else (new[0], at + 1 + new[1], new[2])
