"""The data sets that a bank can be scored on: the benchmarks', a folder's, and fresh scenes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rim.evaluation.choice import DEFAULT_SPLIT, DatasetChoice
from rim.evaluation.datasets.base import Dataset
from rim.evaluation.datasets.names import BENCHMARKS, MINIATURE
from rim.evaluation.scoring import Item, Sample
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.vocabulary import Category, name_key

IGNORE = -1


def open_dataset(choice: DatasetChoice, categories: Sequence[CategoryRecord]) -> Dataset:
    """The data set, its folders found and its images listed, none of which is read yet.

    categories: of the bank; `miniature` scores on those alone.

    Raises UsageError as `DatasetChoice.check` does, for a folder that is not the data set's and a
    split that it does not have; VocabularyError for the classes of `folder`.
    """
    choice.check()
    if choice.name == MINIATURE:
        dataset = miniature(categories, choice.scenes, choice.seed)
    elif choice.name in BENCHMARKS:
        from rim.evaluation.datasets.registry import OPENERS

        split = choice.split or DEFAULT_SPLIT
        dataset = OPENERS[choice.name](choice.name, _given(choice.root), split)
    else:
        from rim.evaluation.datasets.folder import folder

        dataset = folder(
            _given(choice.images), _given(choice.masks), _given(choice.classes), choice.ignore
        )
    return replace(dataset, items=dataset.items[: choice.limit])


def _given(path: Path | None) -> Path:
    if path is None:
        raise UsageError("expected a path, found none; see rim eval --help")
    return path


def miniature(categories: Sequence[CategoryRecord], scenes: int, seed: int) -> Dataset:
    """Fresh scenes of the miniature world and the classes to score, those of the world that the
    bank has.

    What the bank does not have is ignored in the truth: a bank of three categories is scored on
    these three. Scene n of seed s is always the same, whatever the number of scenes.

    Raises UsageError if the bank has no category of that world.
    """
    from miniature.world import CATEGORIES, STUFF

    here = {name_key(record.name) for record in categories}
    classes = [name for name in CATEGORIES if name_key(name) in here]
    if not classes:
        raise UsageError(
            f"expected categories of the miniature world ({', '.join(CATEGORIES)}), found none of "
            "them"
        )
    table = np.full(len(CATEGORIES) + 1, IGNORE, np.int32)  # the last entry answers for label -1
    for index, name in enumerate(classes):
        table[CATEGORIES.index(name)] = index
    names = [f"scene-{number:04d}" for number in range(scenes)]
    return Dataset(
        MINIATURE,
        tuple(Category(name) for name in classes),
        tuple(
            Item(name, partial(_scene, name, table, evaluation_seed(seed, number)))
            for number, name in enumerate(names)
        ),
        tuple("stuff" if name in STUFF else "thing" for name in classes),
    )


def _scene(name: str, table: NDArray[np.int32], seed: int) -> Sample:
    from miniature.world import draw_scene

    scene = draw_scene(seed)
    return Sample(name, scene.image, table[scene.labels])


def evaluation_seed(seed: int, number: int) -> int:
    """The world's seed of an evaluation scene: below the training seeds for the first 9 million
    scenes.
    """
    # Training draws from 1_000_000 upwards; negative numbers are no seeds, so evaluation has a
    # range of its own.
    return 10_000_000_000 + seed * 1_000_000 + number
