"""Single pictures with captions, drawn once and kept in one file for the training of generator and
CLIP.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miniature.world import CATEGORIES, draw_single

# Training pictures have seeds from here on; evaluation uses smaller ones and never meets them.
FIRST_TRAINING_SEED = 1_000_000


@dataclass(frozen=True)
class SinglePool:
    """``images`` (N, S, S, 3) uint8, ``labels`` (N,) index into CATEGORIES, ``captions`` (N,)
    text, and ``masks`` (N, S, S) bool of the thing (all True for stuff)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: NDArray[np.str_]
    masks: NDArray[np.bool_]


def _draw(number: int, size: int) -> tuple[NDArray[np.uint8], int, str, NDArray[np.bool_]]:
    label = number % len(CATEGORIES)
    scene = draw_single(FIRST_TRAINING_SEED + number, CATEGORIES[label], (size, size))
    return scene.image, label, scene.caption, scene.labels == label


def single_pool(path: Path, count: int, size: int = 64) -> SinglePool:
    """Read the pool at ``path`` (.npz), or draw ``count`` pictures, every category in turn, and
    write it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count()) as workers:
            drawn = list(workers.map(partial(_draw, size=size), range(count), chunksize=64))
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
