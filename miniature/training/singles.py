"""Single images with captions, and things cut out of scenes, drawn once and stored in one file.

Generator, CLIP and judge learn from them.
"""

from __future__ import annotations

import argparse
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

from miniature.training.scenes import square_around, things
from miniature.world import (
    CATEGORIES,
    FIRST_TRAINING_SEED,
    draw_scene,
    draw_single,
    plain_caption,
)


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
    for thing in things(scene):
        square = square_around(thing.mask)
        image = Image.fromarray(scene.image).crop(square)
        mask = Image.fromarray(thing.mask).crop(square)
        drawn.append(
            (
                np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)),
                CATEGORIES.index(thing.category),
                plain_caption(thing.category),
                np.asarray(mask.resize((size, size), Image.Resampling.NEAREST)),
            )
        )
    return drawn


def single_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --pool and --images, by which a script opens its `single_pool`."""
    add = parser.add_argument
    add("--pool", type=Path, required=True, help="file of drawn single images")
    add("--images", type=int, default=26400, help="images in the pool (default 26400)")


def single_pool(path: Path, count: int, size: int = 64) -> SinglePool:
    """Reads the pool at ``path`` (.npz), or draws ``count`` images and writes it.

    Every category comes in turn.
    """
    return _pool(path, partial(_draw, size=size), count, size)


def crop_pool(path: Path, scenes: int, size: int = 64) -> SinglePool:
    """Reads the pool at ``path`` (.npz), or cuts out the things of ``scenes`` scenes; writes it."""
    return _pool(path, partial(_draw_crops, size=size), scenes, size)


def joined(*pools: SinglePool) -> SinglePool:
    """All the images of several pools of one size."""
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
    with np.load(path, allow_pickle=False) as stored:
        visible = np.unpackbits(stored["masks"], axis=-1, count=size).astype(bool)
        return SinglePool(stored["images"], stored["labels"], stored["captions"], visible)
