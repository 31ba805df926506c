"""Drawn scenes for training: packed, varied, in a pool; their regions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from miniature.training import features, sam
from miniature.training.scenes import (
    LEAST_AREA,
    NOTHING,
    PackedImage,
    ScenePool,
    pack,
    regions,
    square_crop,
    things,
    vary,
)
from miniature.world import CATEGORIES, NOVEL, draw_scene


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("draw", [features.draw_image, sam.draw_image])
def test_training_never_shows_a_novel_category(draw: Callable[[int], PackedImage]) -> None:
    novel = [CATEGORIES.index(name) for name in NOVEL]
    for number in range(20):
        assert not np.isin(draw(number).classes, novel).any()


def test_variation_moves_image_and_truth_together(rng: np.random.Generator) -> None:
    truth = np.zeros((6, 1, 128, 128), np.uint8)
    truth[:, :, 20:70, 10:60] = 1
    images = np.repeat(truth.transpose(0, 2, 3, 1) * 200, 3, axis=3)
    pixels, maps = vary(images, truth, rng)
    bright = pixels.mean(1) > 0.35
    agreement = (bright == (maps[:, 0] == 1)).float().mean()
    assert agreement > 0.97


def test_crops_are_squares_with_a_margin_inside_the_picture() -> None:
    image = np.arange(100 * 80 * 3, dtype=np.uint32).reshape(100, 80, 3).astype(np.uint8)
    mask = np.zeros((100, 80), bool)
    mask[40:60, 30:40] = True  # 20 high: 25 with the margins, its centre at (50, 35)
    assert np.array_equal(square_crop(image, mask), image[37:62, 22:47])
    mask[:] = False
    mask[0:10, 70:80] = True  # in the corner: moved inside, 12 wide
    assert np.array_equal(square_crop(image, mask), image[0:12, 68:80])
    assert square_crop(image, np.ones_like(mask)).shape == (80, 80, 3)


def test_slivers_are_not_asked_for() -> None:
    for seed in range(20):
        scene = draw_scene(seed)
        found = regions(scene)
        assert all(one.mask.sum() >= LEAST_AREA for one in found)
        assert len(things(scene)) == sum(i.mask.sum() >= LEAST_AREA for i in scene.instances)
        assert all(
            (scene.labels[one.mask] == CATEGORIES.index(one.category)).all() for one in found
        )
