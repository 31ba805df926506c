"""Eq. 1: parts join their whole; neighbours, ground and sky do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from query.fuse import find_containers, fuse_masks
from query.proposals import MaskProposals

Masks = NDArray[np.bool_]


def box(x: int, y: int, width: int, height: int, size: tuple[int, int] = (100, 100)) -> Masks:
    mask = np.zeros(size, dtype=bool)
    mask[y : y + height, x : x + width] = True
    return mask


def members(*masks: Masks, **options: float) -> list[tuple[int, ...]]:
    return list(fuse_masks(np.stack(masks), **options))


def unions(masks: Masks, groups: Sequence[tuple[int, ...]]) -> Masks:
    """(m, h, w) bool, the masks of the regions as a query makes them: by the proposals' logits."""
    ones = np.ones(len(masks), np.float32)
    logits = torch.from_numpy(np.where(masks, 1, -1)).half()
    return (MaskProposals(masks, logits, ones, ones).united_logits(groups) > 0).numpy()


def containers(masks: Masks) -> set[int]:
    """The masks that are containers by the rules, their areas and overlaps counted one by one."""
    filled = [i for i in range(len(masks)) if masks[i].any()]
    order = sorted(filled, key=lambda i: -masks[i].sum())
    shared = np.array([[(masks[a] & masks[b]).sum() for b in order] for a in order], np.float32)
    shared = shared.reshape(len(order), len(order))
    areas = np.diagonal(shared)
    overlap = shared / np.minimum(areas[:, None], areas[None])
    found = find_containers(masks[order], shared, overlap, threshold=0.9, max_fused_area=0.5)
    return {order[i] for i in np.flatnonzero(found)}


HOUSE = box(20, 40, 40, 40)
ROOF = box(20, 40, 40, 15)
WALL = box(20, 55, 40, 25)
DOOR = box(35, 65, 8, 15)


def test_roof_wall_and_door_join_the_house() -> None:
    assert members(HOUSE, ROOF, WALL, DOOR) == [(0, 2, 1, 3)]


def test_roof_and_door_alone_join_the_house() -> None:
    assert members(DOOR, ROOF, HOUSE) == [(2, 1, 0)]


def test_the_merged_mask_is_the_union() -> None:
    chimney = box(25, 39, 4, 10)  # one row of ten sticks out of the house: 36/40 is not above 0.9
    tall = box(25, 39, 4, 20)  # 76/80 is
    assert members(HOUSE, chimney) == [(0,), (1,)]
    both = np.stack([HOUSE, tall])
    np.testing.assert_array_equal(unions(both, fuse_masks(both)), [HOUSE | tall])


def test_exactly_the_threshold_is_not_enough() -> None:
    part = box(30, 30, 10, 10)
    whole = box(30, 31, 30, 30)
    assert members(whole, part) == [(0,), (1,)]
    assert members(whole, part, threshold=0.89) == [(0, 1)]


def test_touching_objects_stay_apart() -> None:
    assert members(box(10, 10, 30, 30), box(40, 10, 30, 30)) == [(0,), (1,)]


def test_a_sliver_inside_two_objects_does_not_join_them() -> None:
    left, right = box(10, 10, 32, 30), box(38, 10, 30, 30)
    sliver = box(38, 10, 4, 30)
    # Both hold all of it: the smaller one gets it.
    assert members(left, right, sliver) == [(0,), (1, 2)]


def test_grass_does_not_swallow_the_objects_on_it() -> None:
    grass = box(0, 60, 100, 40)  # a filled band from the left side to the right one
    cow, sheep = box(10, 65, 20, 20), box(60, 65, 20, 20)
    udder = box(12, 75, 6, 6)
    assert members(grass, cow, sheep, udder) == [(0,), (1, 3), (2,)]
    assert containers(np.stack([grass, cow, sheep, udder])) == {0}


def test_a_mask_of_most_of_the_photo_swallows_nothing() -> None:
    scene = box(5, 5, 90, 90)
    assert members(scene, HOUSE) == [(0,), (1,)]
    assert members(scene, HOUSE, max_fused_area=0.99) == [(0, 1)]


def test_a_table_does_not_swallow_its_plates() -> None:
    table = box(15, 20, 70, 68)
    plates = [box(20, 25, 21, 21), box(60, 60, 21, 21)]
    assert members(table, *plates) == [(0,), (1,), (2,)]


def test_one_plate_or_small_parts_do_join() -> None:
    table = box(15, 20, 70, 68)
    assert members(table, box(20, 25, 21, 21)) == [(0, 1)]
    assert members(table, box(20, 25, 10, 10), box(60, 60, 10, 10)) == [(0, 1, 2)]


def test_a_container_inside_another_is_no_object_of_it() -> None:
    outer, inner = box(5, 5, 70, 70), box(7, 7, 66, 66)
    plates = [box(10, 10, 21, 21), box(45, 45, 21, 21)]
    assert members(outer, inner, *plates) == [(0,), (1,), (2,), (3,)]


def test_nothing_in_nothing_out() -> None:
    assert fuse_masks(np.zeros((0, 5, 5), dtype=bool)) == ()
    assert fuse_masks(np.zeros((3, 5, 5), dtype=bool)) == ()


def brute_force(masks: Masks, threshold: float) -> set[frozenset[int]]:
    """Steps 1 and 3 as sentences, pixel sets instead of matrices, no containers."""
    pixels = [frozenset(map(tuple, np.argwhere(mask))) for mask in masks]
    visited = sorted((i for i in range(len(masks)) if pixels[i]), key=lambda i: -len(pixels[i]))
    groups: list[list[int]] = []
    for i in visited:
        held = [
            (len(pixels[i] & pixels[g[0]]) / len(pixels[i]), -len(pixels[g[0]]), n)
            for n, g in enumerate(groups)
            if len(pixels[i] & pixels[g[0]]) / len(pixels[i]) > threshold
        ]
        if held:
            groups[max(held)[2]].append(i)
        else:
            groups.append([i])
    return {frozenset(group) for group in groups}


# A frame of empty pixels around the masks and max_fused_area=1 keep the container rules out.
some_masks = st.integers(0, 7).flatmap(lambda n: arrays(np.bool_, (n, 4, 4)))


@settings(max_examples=100, deadline=None)
@given(some_masks, st.sampled_from([0.3, 0.5, 0.9]))
def test_equals_brute_force_where_nothing_is_a_container(masks: Masks, threshold: float) -> None:
    framed = np.pad(masks, ((0, 0), (8, 8), (8, 8)))  # 16 of 400 pixels: no object of 4 % inside
    fused = fuse_masks(framed, threshold=threshold, max_fused_area=1.0)
    assert {frozenset(group) for group in fused} == brute_force(masks, threshold)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 9).flatmap(lambda n: arrays(np.bool_, (n, 5, 6))))
def test_laws(masks: Masks) -> None:
    fused = fuse_masks(masks)
    area = masks.sum(axis=(1, 2))

    def eq1(a: int, b: int) -> bool:
        return bool((masks[a] & masks[b]).sum() / min(area[a], area[b]) > 0.9)

    everyone = sorted(i for group in fused for i in group)
    assert everyone == sorted(np.flatnonzero(area)), "each non-empty mask once"
    apart = containers(masks) if len(everyone) else set()
    for group, union in zip(fused, unions(masks, fused), strict=True):
        np.testing.assert_array_equal(union, masks[list(group)].any(axis=0))
        assert all(eq1(group[0], part) for part in group[1:])
        assert len(group) == 1 or not apart.intersection(group)
    wholes = [group[0] for group in fused if group[0] not in apart]
    assert not any(eq1(a, b) for a in wholes for b in wholes if a < b)
    assert [area[group[0]] for group in fused] == sorted(
        (area[group[0]] for group in fused), reverse=True
    )


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_the_order_of_proposals_of_different_size_does_not_matter(data: st.DataObject) -> None:
    masks = data.draw(arrays(np.bool_, (6, 5, 6)))
    areas = masks.sum(axis=(1, 2))
    masks = masks[np.sort(np.unique(areas, return_index=True)[1])]
    permutation = data.draw(st.permutations(range(len(masks))))
    straight = {frozenset(group) for group in fuse_masks(masks)}
    shuffled = fuse_masks(masks[list(permutation)])
    assert {frozenset(permutation[i] for i in group) for group in shuffled} == straight


@pytest.mark.parametrize("side", ["rows", "columns"])
def test_reaching_across_makes_a_container(side: str) -> None:
    band = box(0, 40, 100, 20) if side == "rows" else box(40, 0, 20, 100)
    ball = box(45, 45, 10, 10)
    assert members(band, ball) == [(0,), (1,)]
