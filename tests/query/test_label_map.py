"""What pixels under no mask are called, and who wins a vote."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import zoom

from query.label_map import (
    fill_uncovered,
    patch_positions,
    patches_needed,
    smoothed_tokens,
    winners,
)

IDS = np.array([3, 8], np.int32)


def test_most_votes_win_and_nobody_if_nobody_voted() -> None:
    ballots = np.array([[0.1, 0.2, 0], [0.2, 0.2, 0], [0.1, 0, 0.3], [0, 0, 0]], np.float32)
    assert winners(ballots, IDS).tolist() == [8, 3, -1, -1]


@pytest.mark.parametrize(
    ("length", "patches", "expected"),
    [(4, 2, [0, 0.25, 0.75, 1]), (2, 4, [0.5, 2.5]), (3, 3, [0, 1, 2]), (5, 1, [0] * 5)],
)
def test_where_pixels_lie_among_patches(length: int, patches: int, expected: list[float]) -> None:
    np.testing.assert_allclose(patch_positions(length, patches), expected)


def test_only_patches_around_uncovered_pixels_are_asked_for() -> None:
    uncovered = np.zeros((6, 6), bool)
    assert not patches_needed(uncovered, (3, 3)).any()
    uncovered[5, 0] = True  # beyond the last centre, below the first patch of the last row
    assert np.argwhere(patches_needed(uncovered, (3, 3))).tolist() == [[2, 0], [2, 1]]
    uncovered[:] = False
    uncovered[2, 2] = True  # between the centres 0 and 1, both ways
    around = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert np.argwhere(patches_needed(uncovered, (3, 3))).tolist() == around


def test_uncovered_pixels_take_the_name_of_the_patches_around_them() -> None:
    labels = np.full((1, 8), 5, np.int32)
    uncovered = np.array([[1, 1, 1, 1, 1, 1, 1, 0]], bool)
    patches = np.array([[[1.0, 0, 0], [0, 0.5, 0]]], np.float32)
    # Between the centres, at pixel 1.5 and 5.5, the first one's vote is louder up to 1 / 3.
    filled = fill_uncovered(labels, uncovered, patches, IDS)
    assert filled.tolist() == [[3, 3, 3, 3, 3, 8, 8, 5]]
    assert labels.tolist() == [[5] * 8], "the given map is left as it was"


def test_patches_that_are_none_of_the_categories_leave_pixels_unlabelled() -> None:
    patches = np.array([[[0, 0, 0.4], [0.6, 0, 0]]], np.float32)
    filled = fill_uncovered(np.full((1, 4), 9, np.int32), np.ones((1, 4), bool), patches, IDS)
    assert filled.tolist() == [[-1, -1, 3, 3]]


def test_the_interpolation_is_that_of_an_enlarged_map() -> None:
    rng = np.random.default_rng(3)
    ballots = rng.random((4, 5, 3)).astype(np.float32)
    enlarged = zoom(ballots, (6, 6, 1), order=1, mode="nearest", grid_mode=True)
    filled = fill_uncovered(np.zeros((24, 30), np.int32), np.ones((24, 30), bool), ballots, IDS)
    np.testing.assert_array_equal(filled, winners(enlarged.reshape(-1, 3), IDS).reshape(24, 30))


def test_tokens_are_averaged_with_their_neighbours() -> None:
    tokens = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    padded = np.pad(tokens, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for side, window in ((1, tokens[2, 3]), (3, padded[2:5, 3:6].mean((0, 1)))):
        smooth = smoothed_tokens(tokens, side)
        np.testing.assert_allclose(smooth[2, 3], window / np.linalg.norm(window), rtol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(smooth, axis=2), 1, rtol=1e-5)
