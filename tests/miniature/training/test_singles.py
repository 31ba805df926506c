"""Pools of single images and of things cut out of scenes: drawn once, read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from miniature.training.scenes import square_around
from miniature.training.singles import crop_pool, single_pool
from miniature.world import CATEGORIES, FIRST_TRAINING_SEED, draw_scene, draw_single

IMAGES = 6


def test_the_pool_repeats_images_of_training_seeds(tmp_path: Path) -> None:
    drawn = single_pool(tmp_path / "pool.npz", IMAGES)
    pool = single_pool(tmp_path / "pool.npz", IMAGES)
    assert len(pool.images) == IMAGES
    assert np.array_equal(pool.masks, drawn.masks)
    again = draw_single(FIRST_TRAINING_SEED + 3, CATEGORIES[3])
    assert np.array_equal(pool.images[3], again.image)
    assert pool.captions[3] == again.caption


def test_crops_hold_their_thing_whole_and_in_the_middle(tmp_path: Path) -> None:
    pool = crop_pool(tmp_path / "crops.npz", 4)
    scenes = [draw_scene(FIRST_TRAINING_SEED + i) for i in range(4)]
    things = [thing for scene in scenes for thing in scene.instances]
    assert [CATEGORIES[label] for label in pool.labels] == [thing.category for thing in things]
    for thing, mask, caption in zip(things, pool.masks, pool.captions, strict=True):
        left, top, right, bottom = square_around(thing.mask)
        assert right - left == bottom - top
        assert thing.mask[top:bottom, left:right].sum() == thing.mask.sum()
        share = thing.mask.sum() / (right - left) ** 2
        assert mask.mean() == pytest.approx(share, abs=0.04)
        assert thing.category in caption
