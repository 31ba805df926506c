"""The data sets that a bank can be scored on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from query.evaluation import Sample
from schemas.bank import Bank
from schemas.errors import UsageError
from schemas.vocabulary import name_key

IGNORE = -1


def miniature_samples(bank: Bank, scenes: int, seed: int) -> tuple[Iterator[Sample], list[str]]:
    """Fresh scenes of the miniature world and the classes to score, those of the world that the
    bank has.

    What the bank does not have is ignored in the truth: a bank of three categories is scored on
    these three. Scene n of seed s is always the same, whatever the number of scenes.
    """
    from miniature.world import CATEGORIES, draw_scene

    here = {name_key(record.name) for record in bank.categories}
    classes = [name for name in CATEGORIES if name_key(name) in here]
    if not classes:
        raise UsageError(
            f"expected a bank with categories of the miniature world ({', '.join(CATEGORIES)}), "
            "found none of them"
        )
    table = np.full(len(CATEGORIES) + 1, IGNORE, np.int32)  # the last entry answers for label -1
    for index, name in enumerate(classes):
        table[CATEGORIES.index(name)] = index

    def samples() -> Iterator[Sample]:
        for number in range(scenes):
            scene = draw_scene(evaluation_seed(seed, number))
            yield Sample(f"scene {number}", scene.image, table[scene.labels])

    return samples(), classes


def evaluation_seed(seed: int, number: int) -> int:
    """The world's seed of an evaluation scene: below the training seeds for the first 9 million
    scenes.
    """
    # Training draws from 1_000_000 upwards; negative numbers are no seeds, so evaluation has a
    # range of its own.
    return 10_000_000_000 + seed * 1_000_000 + number
