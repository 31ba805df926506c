"""`miniature`: fresh scenes of the drawn world, with exact truths."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from miniature.world import CATEGORIES, STUFF, draw_scene
from rim.evaluation.datasets.base import Dataset, Item, Sample
from rim.evaluation.datasets.label_files import IGNORE
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.vocabulary import Category, name_key


def miniature(name: str, categories: Sequence[CategoryRecord], scenes: int, seed: int) -> Dataset:
    """Draws fresh scenes of the miniature world; classes are those of it that the bank has.

    What the bank does not have is ignored in the truth: a bank of three categories is scored on
    these three. Scene n of seed s is always the same, whatever the number of scenes.

    Raises UsageError if the bank has no category of that world.
    """
    here = {name_key(record.name) for record in categories}
    classes = [one for one in CATEGORIES if name_key(one) in here]
    if not classes:
        raise UsageError(
            f"expected categories of the miniature world ({', '.join(CATEGORIES)}), found none of "
            "them"
        )
    table = np.full(len(CATEGORIES) + 1, IGNORE, np.int32)  # the last entry answers for label -1
    for index, one in enumerate(classes):
        table[CATEGORIES.index(one)] = index
    names = [f"scene-{number:04d}" for number in range(scenes)]
    return Dataset(
        name,
        tuple(Category(one) for one in classes),
        tuple(
            Item(scene, partial(_scene, scene, table, evaluation_seed(seed, number)))
            for number, scene in enumerate(names)
        ),
        tuple("stuff" if one in STUFF else "thing" for one in classes),
    )


def _scene(name: str, table: NDArray[np.int32], seed: int) -> Sample:
    scene = draw_scene(seed)
    return Sample(name, scene.image, table[scene.labels])


def evaluation_seed(seed: int, number: int) -> int:
    """The world's seed of an evaluation scene.

    It is below the training seeds for the first 9 million scenes.
    """
    # Training draws from 1_000_000 upwards; negative numbers are no seeds, so evaluation has a
    # range of its own.
    return 10_000_000_000 + seed * 1_000_000 + number
