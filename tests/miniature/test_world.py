"""The miniature world: the same seed gives the same scene, and its ground truth is exact."""

from __future__ import annotations

import numpy as np
import pytest

from miniature.world import (
    CATEGORIES,
    FAMILIAR,
    NO_CATEGORY,
    NOVEL,
    STUFF,
    THINGS,
    draw_scene,
    draw_single,
)


def test_has_enough_kinds_and_four_of_them_are_novel() -> None:
    assert len(THINGS) >= 16
    assert len(STUFF) == 6
    assert len(NOVEL) == 4
    assert not set(FAMILIAR) & set(NOVEL)
    assert len(set(CATEGORIES)) == len(CATEGORIES)


def test_same_seed_gives_same_scene_and_another_seed_another() -> None:
    first, again, other = draw_scene(5), draw_scene(5), draw_scene(6)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.caption == again.caption
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (130, 70)])
def test_any_resolution(size: tuple[int, int]) -> None:
    scene = draw_scene(3, size)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.labels.shape == size


@pytest.mark.parametrize("seed", range(20))
def test_truth_is_consistent(seed: int) -> None:
    scene = draw_scene(seed)
    assert 1 <= len(scene.stuff) <= 2
    assert 1 <= len(scene.instances) <= 5
    owned = np.zeros(scene.labels.shape, bool)
    for instance in scene.instances:
        assert not (owned & instance.mask).any(), "visible masks do not overlap"
        owned |= instance.mask
        assert (scene.labels[instance.mask] == CATEGORIES.index(instance.category)).all()
        parts = np.logical_or.reduce([part.mask for part in instance.parts])
        assert np.array_equal(parts, instance.mask), "parts make up their whole"
    stuff = {CATEGORIES[label] for label in np.unique(scene.labels[~owned])}
    assert stuff <= set(scene.stuff)


def test_a_larger_drawing_is_the_same_scene() -> None:
    small, large = draw_scene(8, (64, 64)), draw_scene(8, (192, 192))
    reduced = large.labels[1::3, 1::3]
    assert (reduced == small.labels).mean() > 0.97


def test_scenes_draw_only_the_things_asked_for() -> None:
    seen = {i.category for seed in range(30) for i in draw_scene(seed, things=FAMILIAR).instances}
    assert seen <= set(FAMILIAR)
    assert len(seen) > 8


def test_nameless_shapes_have_no_category() -> None:
    scene = draw_scene(2, shapes=2)
    shapes = [instance for instance in scene.instances if instance.category == "shape"]
    assert shapes
    assert all((scene.labels[shape.mask] == NO_CATEGORY).all() for shape in shapes)


def test_overlapping_things_stay_mostly_visible() -> None:
    areas = [i.mask.mean() for seed in range(40) for i in draw_scene(seed).instances]
    assert np.quantile(areas, 0.05) > 0.004


@pytest.mark.parametrize("category", CATEGORIES)
def test_single_pictures_show_their_category_and_say_so(category: str) -> None:
    scene = draw_single(1, category)
    share = float((scene.labels == CATEGORIES.index(category)).mean())
    assert share == 1.0 if category in STUFF else 0.05 < share < 0.7
    assert category in scene.caption.split()
    assert scene.caption.startswith("a photo of ")


def test_novel_things_have_parts_and_colours_vary() -> None:
    colours = {draw_single(seed, "bird").instances[0].colour for seed in range(30)}
    assert len(colours) > 4


def test_unknown_category_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"zebra.*house"):
        draw_single(0, "zebra")
