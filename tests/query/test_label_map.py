"""Label maps: what masks over a pixel decide together, and votes between patches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import zoom

from benchmarks.speed.photo_size import interpolated_winners
from query.enlargement import Enlargement
from query.label_map import (
    UNCOVERED,
    Overlap,
    combine,
    count_labels,
    fill_uncovered,
    label_parts,
    patch_positions,
    patches_needed,
    smoothed_tokens,
    winning_categories,
)
from query.partition import Partition, find_partition
from query.region_mask import RegionMask
from schemas.ids import UNLABELLED

IDS = np.array([3, 8], np.int32)
THREE = np.array([4, 5, 6], np.int32)


def test_most_votes_win_and_nobody_if_nobody_voted() -> None:
    votes = np.array([[0.1, 0.2, 0], [0.2, 0.2, 0], [0.1, 0, 0.3], [0, 0, 0]], np.float32)
    assert winning_categories(votes, IDS).tolist() == [8, 3, -1, -1]


def partition(masks: np.ndarray) -> Partition:
    """Of masks (n, H, W) at the photo's size."""
    size = masks.shape[1:]
    return find_partition(Enlargement.of(size, size), [RegionMask.of_mask(mask) for mask in masks])


def resolve(
    masks: list[list[int]], votes: list[list[float]], overlap: Overlap = "best"
) -> list[int]:
    """The labels of a photo of one row; a vote has the categories 4, 5, 6 and "none"."""
    stack = np.array(masks, bool)[:, None, :]
    found = partition(stack)
    of_masks = np.array(votes, np.float32)
    labels = label_parts(found.members, of_masks, stack.sum((1, 2)), overlap, THREE)
    return found.spread(labels)[0].tolist()


def test_the_best_mask_decides() -> None:
    masks = [[1, 1, 1, 0], [0, 1, 1, 1]]
    assert resolve(masks, [[0.9, 0, 0, 0], [0, 0.8, 0, 0]]) == [4, 4, 4, 5]
    assert resolve(masks, [[0.8, 0, 0, 0], [0, 0.9, 0, 0]]) == [4, 5, 5, 5]


def test_of_equal_scores_the_smaller_mask_decides_then_the_earlier() -> None:
    equal = [[0.5, 0, 0, 0], [0, 0.5, 0, 0]]
    assert resolve([[1, 1, 1, 1], [0, 1, 1, 0]], equal) == [4, 5, 5, 4]
    assert resolve([[0, 1, 1, 0], [1, 1, 1, 1]], equal) == [5, 4, 4, 5]
    assert resolve([[1, 1, 0], [0, 1, 1]], equal) == [4, 4, 5]


def test_an_unknown_mask_gives_way_but_keeps_what_is_nobody_elses() -> None:
    votes = [[0, 0, 0, 0.9], [0, 0.1, 0, 0]]
    assert resolve([[1, 1, 1], [0, 0, 1]], votes) == [UNLABELLED, UNLABELLED, 5]


def test_small_masks_outvote_a_large_one_where_they_agree() -> None:
    """One mask of nine pixels says 4 loudly, two of three pixels say 5 or 6, both a little 5."""
    masks = [[1] * 9, [1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0, 0]]
    votes = [[1.0, 0, 0, 0], [0, 0.6, 0, 0], [0, 0.3, 0.4, 0]]
    assert resolve(masks, votes, "vote") == [5, 5, 5, 6, 4, 4, 4, 4, 4]
    assert resolve(masks, votes, "best") == [4] * 9


def test_unknown_masks_vote_too() -> None:
    masks = [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert resolve(masks, [[0.9, 0, 0, 0], [0, 0, 0, 0.8]], "vote") == [-1, -1, 4, 4]


def test_no_mask_no_label() -> None:
    members, areas = partition(np.zeros((0, 2, 3), bool)).members, np.zeros(0, np.int64)
    assert members.shape == (1, 0)
    for overlap in ("vote", "best"):
        labels = label_parts(members, np.zeros((0, 4), np.float32), areas, overlap, THREE)
        assert labels.tolist() == [UNLABELLED]


def test_parts_labelled_a_few_at_a_time_are_labelled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    members, votes = random.random((50, 6)) > 0.5, random.random((6, 4)).astype(np.float32)
    areas = random.integers(1, 90, 6)
    for overlap in ("vote", "best"):
        monkeypatch.setattr("query.label_map._VALUES_AT_ONCE", 1 << 22)
        whole = label_parts(members, votes, areas, overlap, THREE)
        monkeypatch.setattr("query.label_map._VALUES_AT_ONCE", 13)
        np.testing.assert_array_equal(label_parts(members, votes, areas, overlap, THREE), whole)


stacks = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        arrays(np.bool_, (n, 3, 4)).filter(lambda masks: masks.any((1, 2)).all()),
        arrays(np.float32, (n, 4), elements=st.sampled_from([0, 0.125, 0.5, 0.875])),
    )
)


@given(stacks)
def test_equals_a_vote_pixel_by_pixel(stack: tuple[np.ndarray, np.ndarray]) -> None:
    masks, votes = stack
    areas = masks.sum((1, 2))
    found = partition(masks)
    combined = combine(found.members, votes, areas, "vote")[found.of_tile]
    for y, x in np.ndindex(3, 4):
        here = [i for i in range(len(masks)) if masks[i, y, x]]
        total = sum(1 / areas[i] for i in here)
        expected = sum((votes[i] / areas[i] / total for i in here), np.zeros(4))
        np.testing.assert_allclose(combined[y, x], expected, atol=1e-6)


@given(stacks)
def test_equals_a_choice_pixel_by_pixel(stack: tuple[np.ndarray, np.ndarray]) -> None:
    masks, votes = stack
    areas, scores = masks.sum((1, 2)), votes[:, :3].max(1)
    found = partition(masks)
    chosen = combine(found.members, votes, areas, "best")[found.of_tile]
    for y, x in np.ndindex(3, 4):
        here = [i for i in range(len(masks)) if masks[i, y, x]]
        key = lambda i: (votes[i, 3] > 0, -scores[i], areas[i], i)  # noqa: E731
        expected = votes[min(here, key=key)] if here else np.zeros(4)
        np.testing.assert_array_equal(chosen[y, x], expected)


@pytest.mark.parametrize(
    ("length", "patches", "expected"),
    [(4, 2, [0, 0.25, 0.75, 1]), (2, 4, [0.5, 2.5]), (3, 3, [0, 1, 2]), (5, 1, [0] * 5)],
)
def test_where_pixels_lie_among_patches(length: int, patches: int, expected: list[float]) -> None:
    np.testing.assert_allclose(patch_positions(length, patches), expected)


def test_only_patches_around_uncovered_pixels_are_asked_for() -> None:
    same = Enlargement.of((6, 6), (6, 6))
    uncovered = np.zeros((6, 6), bool)
    assert not patches_needed(uncovered, same, (3, 3)).any()
    uncovered[5, 0] = True  # beyond the last centre, below the first patch of the last row
    assert np.argwhere(patches_needed(uncovered, same, (3, 3))).tolist() == [[2, 0], [2, 1]]
    uncovered[:] = False
    uncovered[2, 2] = True  # between the centres 0 and 1, both ways
    around = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert np.argwhere(patches_needed(uncovered, same, (3, 3))).tolist() == around


@pytest.mark.parametrize("grid", [(3, 4), (37, 49)])
def test_a_tile_asks_for_the_patches_around_all_its_pixels(grid: tuple[int, int]) -> None:
    enlargement, same = Enlargement.of((40, 60), (8, 12)), Enlargement.of((40, 60), (40, 60))
    tiles = np.random.default_rng(0).random((8, 12)) > 0.9
    pixels = tiles[enlargement.rows.interval_of[:, None], enlargement.columns.interval_of]
    needed = patches_needed(tiles, enlargement, grid)
    np.testing.assert_array_equal(needed, patches_needed(pixels, same, grid))


def filled(labels: list[list[int]], patches: NDArray[np.float32]) -> list[list[int]]:
    found = np.array(labels, np.int32)
    fill_uncovered(found, patches, IDS)
    return found.tolist()


def test_uncovered_pixels_take_the_name_of_the_patches_around_them() -> None:
    patches = np.array([[[1.0, 0, 0], [0, 0.5, 0]]], np.float32)
    # Between the centres, at pixel 1.5 and 5.5, the first one's vote is louder up to 1 / 3.
    assert filled([[UNCOVERED] * 7 + [5]], patches) == [[3, 3, 3, 3, 3, 8, 8, 5]]


def test_patches_that_are_none_of_the_categories_leave_pixels_unlabelled() -> None:
    patches = np.array([[[0, 0, 0.4], [0.6, 0, 0]]], np.float32)
    assert filled([[UNCOVERED] * 4], patches) == [[-1, -1, 3, 3]]
    assert filled([[UNCOVERED, 3]], np.zeros((1, 1, 3), np.float32)) == [[-1, 3]]


def test_the_interpolation_is_that_of_an_enlarged_map() -> None:
    votes = np.random.default_rng(3).random((4, 5, 3)).astype(np.float32)
    enlarged = zoom(votes, (6, 6, 1), order=1, mode="nearest", grid_mode=True)
    labels = np.full((24, 30), UNCOVERED, np.int32)
    fill_uncovered(labels, votes, IDS)
    np.testing.assert_array_equal(
        labels, winning_categories(enlarged.reshape(-1, 3), IDS).reshape(24, 30)
    )


@given(
    st.tuples(st.integers(1, 60), st.integers(1, 300)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([1, 0.1, 0]),
    st.integers(0, 1 << 20),
)
def test_those_that_can_win_are_those_that_do(
    size: tuple[int, int], grid: tuple[int, int], share: float, seed: int
) -> None:
    """The winner among the few candidates between patches is the one among all, ties too."""
    random = np.random.default_rng(seed)
    votes = random.integers(0, 4, (*grid, 8)) * (random.random((*grid, 8)) < share) / 3
    ids = np.arange(10, 17, dtype=np.int32)
    uncovered = random.random(size) < 0.3
    labels = np.where(uncovered, UNCOVERED, 99).astype(np.int32)
    fill_uncovered(labels, votes.astype(np.float32), ids)
    expected = interpolated_winners(uncovered, votes.astype(np.float32), ids)
    np.testing.assert_array_equal(labels[uncovered], expected)
    assert (labels[~uncovered] == 99).all()


@pytest.mark.parametrize("at_once", [1, 40, 1 << 22])
def test_labels_are_counted_as_by_sorting(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr("query.label_map._VALUES_AT_ONCE", at_once)
    labels = np.random.default_rng(0).choice([-1, 0, 4, 900], (23, 17)).astype(np.int32)
    for found, expected in zip(count_labels(labels), np.unique_counts(labels), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_tokens_are_averaged_with_their_neighbours() -> None:
    tokens = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    padded = np.pad(tokens, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for side, window in ((1, tokens[2, 3]), (3, padded[2:5, 3:6].mean((0, 1)))):
        smooth = smoothed_tokens(tokens, side)
        np.testing.assert_allclose(smooth[2, 3], window / np.linalg.norm(window), rtol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(smooth, axis=2), 1, rtol=1e-5)
