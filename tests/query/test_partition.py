"""Pixels under the same masks, against masks at the photo's size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from query.enlargement import Enlargement
from query.partition import Partition, find_partition
from query.region_mask import RegionMask
from tests.query.enlarged import cases, smooth_logits


def check(partition: Partition, masks: np.ndarray) -> None:
    """masks: (n, H, W) bool."""
    size = masks.shape[1:]
    parts = partition.at(*(np.arange(side) for side in size))
    np.testing.assert_array_equal(partition.members[parts], np.moveaxis(masks, 0, -1))
    assert len(np.unique(partition.members, axis=0)) == len(partition.members)
    assert np.unique(parts).tolist() == list(range(len(partition.members)))
    values = np.random.default_rng(0).permutation(len(partition.members)).astype(np.int32)
    spread = partition.spread(values)
    assert spread.dtype == np.int32
    np.testing.assert_array_equal(spread, values[parts])
    uncovered = ~masks.any(axis=0)
    np.testing.assert_array_equal(partition.uncovered[parts], uncovered)
    rows, columns = partition.enlargement.rows, partition.enlargement.columns
    tiles = np.logical_or.reduceat(uncovered, rows.first[:-1], axis=0)
    tiles = np.logical_or.reduceat(tiles, columns.first[:-1], axis=1)
    np.testing.assert_array_equal(partition.uncovered_tiles(), tiles)


@given(cases())
def test_parts_are_the_pixels_under_the_same_masks(case: tuple[np.ndarray, Enlargement]) -> None:
    logits, enlargement = case
    masks = [RegionMask.of_logits(one, enlargement) for one in logits]
    check(find_partition(enlargement, masks), np.stack([mask.decoded() for mask in masks]))


@pytest.mark.parametrize("count", [0, 1, 2, 20])
@pytest.mark.parametrize(
    ("working", "size"), [((40, 60), (40, 60)), ((60, 80), (301, 400)), ((2, 128), (37, 1999))]
)
def test_of_many_masks_or_none(count: int, working: tuple[int, int], size: tuple[int, int]) -> None:
    enlargement = Enlargement.of(size, working)
    logits = smooth_logits(count, count, working)
    masks = [RegionMask.of_logits(one, enlargement) for one in logits]
    decoded = np.array([mask.decoded() for mask in masks], bool).reshape(count, *size)
    check(find_partition(enlargement, masks), decoded)


def test_tiles_a_few_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    enlargement = Enlargement.of((200, 300), (20, 30))
    masks = [RegionMask.of_logits(one, enlargement) for one in smooth_logits(1, 9, (20, 30))]
    monkeypatch.setattr("query.enlargement._VALUES_AT_ONCE", 700)
    again = [RegionMask.of_logits(one, enlargement) for one in smooth_logits(1, 9, (20, 30))]
    assert again == masks
    check(find_partition(enlargement, again), np.stack([mask.decoded() for mask in masks]))


def test_some_pixels_are_looked_up_as_all_are() -> None:
    enlargement = Enlargement.of((200, 300), (20, 30))
    masks = [RegionMask.of_logits(one, enlargement) for one in smooth_logits(2, 5, (20, 30))]
    partition = find_partition(enlargement, masks)
    rows, columns = np.array([0, 7, 7, 199]), np.array([299, 13, 14])
    whole = partition.at(np.arange(200), np.arange(300))
    np.testing.assert_array_equal(partition.at(rows, columns), whole[rows[:, None], columns])
