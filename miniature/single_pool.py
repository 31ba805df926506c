"""Single pictures with captions, and things cut out of scenes, drawn once and kept in one file for
the training of generator and CLIP.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.world import CATEGORIES, draw_scene, draw_single

# Training pictures have seeds from here on; evaluation uses smaller ones and never meets them.
FIRST_TRAINING_SEED = 1_000_000
_LEAST_AREA = 40  # pixels: slivers behind other things are left out


@dataclass(frozen=True)
class SinglePool:
    """``images`` (N, S, S, 3) uint8, ``labels`` (N,) index into CATEGORIES, ``captions`` (N,)
    text, and ``masks`` (N, S, S) bool of the thing (all True for stuff)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: NDArray[np.str_]
    masks: NDArray[np.bool_]


Drawn = tuple[NDArray[np.uint8], int, str, NDArray[np.bool_]]


def _draw(number: int, size: int) -> list[Drawn]:
    label = number % len(CATEGORIES)
    scene = draw_single(FIRST_TRAINING_SEED + number, CATEGORIES[label], (size, size))
    return [(scene.image, label, scene.caption, scene.labels == label)]


def _draw_crops(number: int, size: int) -> list[Drawn]:
    """The square around every thing of a scene, `size` pixels wide."""
    scene = draw_scene(FIRST_TRAINING_SEED + number)
    drawn = []
    for thing in scene.instances:
        if thing.mask.sum() < _LEAST_AREA:
            continue
        left, top, right, bottom = square_around(thing.mask)
        image = Image.fromarray(scene.image).crop((left, top, right, bottom))
        mask = Image.fromarray(thing.mask).crop((left, top, right, bottom))
        label = CATEGORIES.index(thing.category)
        article = "an" if thing.category[0] in "aeiou" else "a"
        drawn.append(
            (
                np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)),
                label,
                f"a photo of {article} {thing.category}",
                np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)),
            )
        )
    return drawn


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


def single_pool(path: Path, count: int, size: int = 64) -> SinglePool:
    """Read the pool at ``path`` (.npz), or draw ``count`` pictures, every category in turn, and
    write it.
    """
    return _pool(path, partial(_draw, size=size), count, size)


def crop_pool(path: Path, scenes: int, size: int = 64) -> SinglePool:
    """Read the pool at ``path`` (.npz), or cut the things out of ``scenes`` scenes and write it."""
    return _pool(path, partial(_draw_crops, size=size), scenes, size)


def joined(*pools: SinglePool) -> SinglePool:
    """All the pictures of several pools of one size."""
    names = [field.name for field in fields(SinglePool)]
    return SinglePool(*(np.concatenate([getattr(p, name) for p in pools]) for name in names))


def _pool(path: Path, draw: Callable[[int], list[Drawn]], count: int, size: int) -> SinglePool:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count()) as workers:
            drawn = chain.from_iterable(workers.map(draw, range(count), chunksize=64))
            images, labels, captions, masks = zip(*drawn, strict=True)
        temporary = path.with_suffix(".tmp.npz")
        np.savez(
            temporary,
            images=np.stack(images),
            labels=np.asarray(labels, np.int64),
            captions=np.asarray(captions),
            masks=np.packbits(np.stack(masks), axis=-1),
        )
        temporary.replace(path)
    with np.load(path) as stored:
        visible = np.unpackbits(stored["masks"], axis=-1, count=size).astype(bool)
        return SinglePool(stored["images"], stored["labels"], stored["captions"], visible)
