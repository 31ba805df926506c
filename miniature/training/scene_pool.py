"""A pool of drawn pictures that is refreshed all the time, so that training sees fresh ones.

Drawing a scene takes longer than a training step may wait for it. The pool therefore holds the
latest `capacity` pictures of an endless numbered stream, and moves on by a few each step. Its
content follows from the stream's position alone, so a resumed run has the same pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.training.shapes import species_of
from miniature.world import CATEGORIES, Scene

NOTHING = 255  # in a region or part map: padding, or no part
FIRST_SPECIES = 1000  # the class of species s is FIRST_SPECIES + s
MOST_REGIONS = 12


@dataclass(frozen=True)
class Picture:
    """A drawn picture with its truth, packed.

    `image` (S, S, 3) uint8, padded right and below; `regions` (S, S) uint8 the number of the stuff
    region or thing at a pixel; `parts` (S, S) uint8 the number of the thing's part there;
    `classes` (MOST_REGIONS,) int32 the class of each region: an index into CATEGORIES, a species
    (FIRST_SPECIES on), or -1 for none; `size` the (height, width) that is not padding.
    """

    image: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    classes: NDArray[np.int32]
    size: tuple[int, int]


def pack(scene: Scene, side: int) -> Picture:
    """A scene with its longest side resized to `side` (bilinear; truth by nearest), padded."""
    regions, parts, classes = _number_regions(scene)
    image = Image.fromarray(scene.image)
    if max(image.size) != side:
        scale = side / max(image.size)
        width, height = round(image.width * scale), round(image.height * scale)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        regions, parts = (
            np.asarray(Image.fromarray(a).resize((width, height), Image.Resampling.NEAREST))
            for a in (regions, parts)
        )
    height, width = regions.shape
    margin = ((0, side - height), (0, side - width))
    return Picture(
        image=np.pad(np.asarray(image), (*margin, (0, 0))),
        regions=np.pad(regions, margin, constant_values=NOTHING),
        parts=np.pad(parts, margin, constant_values=NOTHING),
        classes=classes,
        size=(height, width),
    )


def _number_regions(
    scene: Scene,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]:
    regions = np.full(scene.labels.shape, NOTHING, np.uint8)
    parts = np.full(scene.labels.shape, NOTHING, np.uint8)
    classes = np.full(MOST_REGIONS, -1, np.int32)
    for number, kind in enumerate(scene.stuff):
        classes[number] = CATEGORIES.index(kind)
        regions[scene.labels == classes[number]] = number
    part_number = 0
    for number, instance in enumerate(scene.instances, start=len(scene.stuff)):
        species = species_of(instance.category)
        if species is not None:
            classes[number] = FIRST_SPECIES + species
        elif instance.category in CATEGORIES:
            classes[number] = CATEGORIES.index(instance.category)
        regions[instance.mask] = number
        parts[instance.mask] = NOTHING
        for part in instance.parts:
            parts[part.mask] = min(part_number, NOTHING - 1)
            part_number += 1
    return regions, parts, classes


class ScenePool:
    """The latest `capacity` pictures of the stream `draw(0), draw(1), ...`.

    `position` is the number of the first picture held (0 for a new run, `per_step * step` for a
    resumed one). `draw` must be a plain function of the number, known to worker processes by name.
    """

    def __init__(
        self,
        draw: Callable[[int], Picture],
        capacity: int,
        side: int,
        *,
        position: int = 0,
        workers: int = 0,
    ) -> None:
        self.images = np.zeros((capacity, side, side, 3), np.uint8)
        self.regions = np.zeros((capacity, side, side), np.uint8)
        self.parts = np.zeros((capacity, side, side), np.uint8)
        self.classes = np.zeros((capacity, MOST_REGIONS), np.int32)
        self.sizes = np.zeros((capacity, 2), np.int32)
        self._next = position
        self._stream = _stream(draw, position, workers)
        self.advance(capacity)

    def __len__(self) -> int:
        return len(self.images)

    def advance(self, pictures: int) -> None:
        """Replace the oldest `pictures` by the next ones of the stream."""
        for _ in range(pictures):
            picture = next(self._stream)
            slot = self._next % len(self)
            self.images[slot], self.regions[slot] = picture.image, picture.regions
            self.parts[slot], self.classes[slot] = picture.parts, picture.classes
            self.sizes[slot] = picture.size
            self._next += 1


def _stream(draw: Callable[[int], Picture], start: int, workers: int) -> Iterator[Picture]:
    """The pictures in order; with workers, a few of them are drawn ahead."""
    if workers == 0:
        yield from map(draw, count(start))
        return
    with ProcessPoolExecutor(workers) as executor:
        ahead: deque[Future[Picture]] = deque()
        for number in count(start):
            ahead.append(executor.submit(draw, number))
            if len(ahead) > 16 * workers:
                yield ahead.popleft().result()
