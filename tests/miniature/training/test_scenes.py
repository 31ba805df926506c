"""Drawn scenes for training: packed, varied, in a pool."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from miniature.training import features, sam
from miniature.training.scenes import NOTHING, PackedImage, ScenePool, pack, vary
from miniature.world import CATEGORIES, NOVEL, draw_scene


@pytest.mark.parametrize("workers", [0, 1])
def test_a_pool_holds_the_latest_images_of_its_stream(workers: int) -> None:
    pool = ScenePool(features.draw_image, 3, 128, workers=workers)
    pool.advance(2)
    for number in (2, 3, 4):
        image = features.draw_image(number)
        assert np.array_equal(pool.images[number % 3], image.image)
        assert np.array_equal(pool.classes[number % 3], image.classes)


def test_packing_keeps_the_truth_of_a_scene() -> None:
    scene = draw_scene(5, (96, 128))
    image = pack(scene, 128)
    assert image.size == (96, 128)
    assert (image.regions[96:] == NOTHING).all()
    known = np.append(image.classes, -1)
    numbers = np.minimum(image.regions[:96], len(image.classes))
    assert np.array_equal(known[numbers], scene.labels)
    for instance in scene.instances:
        for part in instance.parts:
            assert len(np.unique(image.parts[:96][part.mask])) == 1


@pytest.mark.parametrize("draw", [features.draw_image, sam.draw_image])
def test_training_never_shows_a_novel_category(draw: Callable[[int], PackedImage]) -> None:
    novel = [CATEGORIES.index(name) for name in NOVEL]
    for number in range(40):
        assert not np.isin(draw(number).classes, novel).any()


def test_variation_moves_image_and_truth_together(rng: np.random.Generator) -> None:
    truth = np.zeros((6, 1, 128, 128), np.uint8)
    truth[:, :, 20:70, 10:60] = 1
    images = np.repeat(truth.transpose(0, 2, 3, 1) * 200, 3, axis=3)
    pixels, maps = vary(images, truth, rng)
    bright = pixels.mean(1) > 0.35
    agreement = (bright == (maps[:, 0] == 1)).float().mean()
    assert agreement > 0.97
