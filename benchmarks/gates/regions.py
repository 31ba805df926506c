"""What is to be named in a scene: its things and stuff with their masks, and crops of things."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniature.single_pool import square_around
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


def square_crop(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The square around a mask, with a little margin; nothing in it is masked out."""
    left, top, right, bottom = square_around(mask)
    return image[top:bottom, left:right]
