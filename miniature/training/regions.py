"""What is to be named in a scene: its things and its kinds of stuff, with their masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniature.world import CATEGORIES, Scene

LEAST_AREA = 40  # visible pixels: slivers behind other things are not asked for


@dataclass(frozen=True)
class Named:
    """A category, and where it is: (H, W) bool."""

    category: str
    mask: NDArray[np.bool_]


def things(scene: Scene) -> list[Named]:
    """The things of a scene that show at least :data:`LEAST_AREA` pixels."""
    found = [Named(thing.category, thing.mask) for thing in scene.instances]
    return [one for one in found if one.mask.sum() >= LEAST_AREA]


def regions(scene: Scene) -> list[Named]:
    """The kinds of stuff and the things of a scene, slivers left out."""
    stuff = [Named(kind, scene.labels == CATEGORIES.index(kind)) for kind in scene.stuff]
    return [one for one in stuff if one.mask.sum() >= LEAST_AREA] + things(scene)


def square_around(mask: NDArray[np.bool_], margin: float = 0.12) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a square that holds the mask (H, W) with a margin on each side,
    a fraction of its longer extent; pushed inside the picture, and no larger than that.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    side = min(round(extent * (1 + 2 * margin)), *mask.shape)
    top, left = (
        int(np.clip((line[0] + line[-1] + 1 - side) // 2, 0, limit - side))
        for line, limit in ((rows, mask.shape[0]), (columns, mask.shape[1]))
    )
    return left, top, left + side, top + side


def square_crop(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The square around a mask, with a little margin; nothing in it is masked out."""
    left, top, right, bottom = square_around(mask)
    return image[top:bottom, left:right]
