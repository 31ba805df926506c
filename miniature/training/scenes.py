"""Drawn scenes as training and scoring see them: their regions, random variation, and a pool.

Drawing a scene takes longer than a training step may wait for it. The pool therefore holds the
latest `capacity` images of an endless numbered stream, and moves on by a few each step. Its
content follows from the position in the stream alone, so a resumed run has the same pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from miniature.training.shapes import species_of
from miniature.world import CATEGORIES, Scene

LEAST_AREA = 40  # visible pixels: slivers behind other things do not count


@dataclass(frozen=True)
class SceneRegion:
    """A region of a scene: its category and its mask, (H, W) bool."""

    category: str
    mask: NDArray[np.bool_]


def things(scene: Scene) -> list[SceneRegion]:
    """The things of a scene that show at least :data:`LEAST_AREA` pixels."""
    found = [SceneRegion(thing.category, thing.mask) for thing in scene.instances]
    return [one for one in found if one.mask.sum() >= LEAST_AREA]


def regions(scene: Scene) -> list[SceneRegion]:
    """The kinds of stuff and the things of a scene, slivers left out."""
    stuff = [SceneRegion(kind, scene.labels == CATEGORIES.index(kind)) for kind in scene.stuff]
    return [one for one in stuff if one.mask.sum() >= LEAST_AREA] + things(scene)


def square_around(mask: NDArray[np.bool_], margin: float = 0.12) -> tuple[int, int, int, int]:
    """The square (left, top, right, bottom) around a mask (H, W), with a margin on each side.

    margin: a fraction of the mask's longer extent. The square is moved inside the image, and no
    larger than that.
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
    """Crops the square around a mask, with a small margin; nothing in it is masked out."""
    left, top, right, bottom = square_around(mask)
    return image[top:bottom, left:right]


NOTHING = 255  # in a region or part map: padding, or no part
FIRST_SPECIES = 1000  # the class of species s is FIRST_SPECIES + s
MOST_REGIONS = 12


@dataclass(frozen=True)
class PackedImage:
    """A drawn image with its truth, packed.

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


def pack(scene: Scene, side: int) -> PackedImage:
    """Packs a scene, its longest side resized to `side` (bilinear; truth by nearest), padded."""
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
    return PackedImage(
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
    """The latest `capacity` images of the stream `draw(0), draw(1), ...`.

    `position` is the number of the first image held (0 for a new run, `per_step * step` for a
    resumed one). `draw` must be a plain function of the number, known to worker processes by name.
    """

    def __init__(
        self,
        draw: Callable[[int], PackedImage],
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

    def advance(self, images: int) -> None:
        """Replaces the oldest `images` by the next ones of the stream."""
        for _ in range(images):
            packed = next(self._stream)
            slot = self._next % len(self)
            self.images[slot], self.regions[slot] = packed.image, packed.regions
            self.parts[slot], self.classes[slot] = packed.parts, packed.classes
            self.sizes[slot] = packed.size
            self._next += 1


def _stream(draw: Callable[[int], PackedImage], start: int, workers: int) -> Iterator[PackedImage]:
    """The images in order; with workers, a few of them are drawn ahead."""
    if workers == 0:
        yield from map(draw, count(start))
        return
    with ProcessPoolExecutor(workers) as executor:
        ahead: deque[Future[PackedImage]] = deque()
        for number in count(start):
            ahead.append(executor.submit(draw, number))
            if len(ahead) > 16 * workers:
                yield ahead.popleft().result()


def vary(
    images: NDArray[np.uint8], maps: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Random variations of square images (B, S, S, 3), and the same of their maps (B, K, S, S).

    Zoom, mirror image, blur, colour and noise: generated images are softer and noisier than drawn
    ones, and things in them come at any scale.

    Returns float32 (B, 3, S, S) in [0, 1] and uint8 (B, K, S, S).
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    truth = torch.from_numpy(maps).clone()
    for i in range(len(images)):
        pixels[i], truth[i] = _vary_shape(pixels[i], truth[i], rng)
    return _recolour(pixels, rng), truth


def _vary_shape(image: Tensor, maps: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    side = image.shape[-1]
    if rng.random() < 0.35:
        cut = int(rng.integers(side // 2, side))
        top, left = (int(v) for v in rng.integers(0, side - cut + 1, 2))
        window = (..., slice(top, top + cut), slice(left, left + cut))
        image = resize(image[window], side)
        nearest = F.interpolate(maps[window][None].float(), (side, side), mode="nearest")
        maps = nearest[0].to(torch.uint8)
    if rng.random() < 0.5:
        image, maps = image.flip(-1), maps.flip(-1)
    if rng.random() < 0.3:
        coarse = int(rng.integers(round(0.32 * side), round(0.75 * side)))
        image = resize(resize(image, coarse), side)
    return image, maps


def _recolour(images: Tensor, rng: np.random.Generator) -> Tensor:
    count = len(images)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (count, 3, 1, 1))).float()
    shift = torch.from_numpy(rng.uniform(-0.08, 0.08, (count, 1, 1, 1))).float()
    noise = torch.from_numpy(rng.uniform(0, 0.03, (count, 1, 1, 1))).float()
    grain = torch.from_numpy(rng.standard_normal(images.shape, np.float32))  # faster than torch's
    return (images * gain + shift + grain * noise).clamp(0, 1)


def resize(image: Tensor, side: int) -> Tensor:
    """Resizes an image (C, H, W) to (C, side, side), bilinearly, antialiased where it shrinks."""
    smaller = side < image.shape[-1]
    return F.interpolate(
        image[None], (side, side), mode="bilinear", align_corners=False, antialias=smaller
    )[0]
