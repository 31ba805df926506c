"""Nameless species."""

from __future__ import annotations

import numpy as np

from miniature.training.scenes import FIRST_SPECIES, pack
from miniature.training.shapes import SPECIES, draw_species_scene


def test_a_species_keeps_its_shape_and_not_its_colours() -> None:
    first, second = (
        draw_species_scene(seed, [f"{SPECIES}7"], (64, 64), single=True) for seed in (1, 2)
    )
    assert first.instances[0].category == second.instances[0].category == f"{SPECIES}7"
    assert not np.array_equal(first.image, second.image)
    names = [{part.name for part in scene.instances[0].parts} for scene in (first, second)]
    assert names[0] & names[1]
    assert pack(first, 128).classes.max() == FIRST_SPECIES + 7
