"""Pixels under the same masks, and what several masks say of one pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from foundation.masks import encode_rle
from query.cells import Overlap, combine, find_cells
from query.label_map import label_pixels
from schemas.ids import UNLABELLED

IDS = np.array([4, 5, 6], np.int32)


def resolve(
    masks: list[list[int]], ballots: list[list[float]], overlap: Overlap = "best"
) -> list[int]:
    """The labels of a photo of one row; a ballot has the categories 4, 5, 6 and "none"."""
    stack = np.array(masks, bool)[:, None, :]
    cells = find_cells((1, stack.shape[2]), [encode_rle(mask) for mask in stack])
    votes = combine(cells.members, np.array(ballots, np.float32), stack.sum((1, 2)), overlap)
    return label_pixels(cells, votes, IDS)[0].tolist()


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
    ballots = [[0, 0, 0, 0.9], [0, 0.1, 0, 0]]
    assert resolve([[1, 1, 1], [0, 0, 1]], ballots) == [UNLABELLED, UNLABELLED, 5]


def test_small_masks_outvote_a_large_one_where_they_agree() -> None:
    """One mask of nine pixels says 4 loudly, two of three pixels say 5 or 6, both a little 5."""
    masks = [[1] * 9, [1, 1, 1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0, 0]]
    ballots = [[1.0, 0, 0, 0], [0, 0.6, 0, 0], [0, 0.3, 0.4, 0]]
    assert resolve(masks, ballots, "vote") == [5, 5, 5, 6, 4, 4, 4, 4, 4]
    assert resolve(masks, ballots, "best") == [4] * 9


def test_unknown_masks_vote_too() -> None:
    masks = [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert resolve(masks, [[0.9, 0, 0, 0], [0, 0, 0, 0.8]], "vote") == [-1, -1, 4, 4]


def test_no_mask_no_label() -> None:
    cells = find_cells((2, 3), [])
    assert cells.uncovered.all()
    for overlap in ("vote", "best"):
        votes = combine(cells.members, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), overlap)
        assert (label_pixels(cells, votes, IDS) == UNLABELLED).all()


stacks = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        arrays(np.bool_, (n, 3, 4)).filter(lambda masks: masks.any((1, 2)).all()),
        arrays(np.float32, (n, 4), elements=st.sampled_from([0, 0.125, 0.5, 0.875])),
    )
)


@given(stacks)
def test_cells_are_the_pixels_under_the_same_masks(
    stack: tuple[np.ndarray, np.ndarray],
) -> None:
    masks, _ = stack
    cells = find_cells((3, 4), [encode_rle(mask) for mask in masks])
    np.testing.assert_array_equal(cells.members[cells.of_pixel], np.moveaxis(masks, 0, 2))
    assert len(np.unique(cells.members, axis=0)) == len(cells.members)
    np.testing.assert_array_equal(cells.uncovered, ~masks.any(0))


@given(stacks)
def test_equals_a_vote_pixel_by_pixel(stack: tuple[np.ndarray, np.ndarray]) -> None:
    masks, ballots = stack
    areas = masks.sum((1, 2))
    cells = find_cells((3, 4), [encode_rle(mask) for mask in masks])
    votes = combine(cells.members, ballots, areas, "vote")[cells.of_pixel]
    for y, x in np.ndindex(3, 4):
        here = [i for i in range(len(masks)) if masks[i, y, x]]
        total = sum(1 / areas[i] for i in here)
        expected = sum((ballots[i] / areas[i] / total for i in here), np.zeros(4))
        np.testing.assert_allclose(votes[y, x], expected, atol=1e-6)


@given(stacks)
def test_equals_a_choice_pixel_by_pixel(stack: tuple[np.ndarray, np.ndarray]) -> None:
    masks, ballots = stack
    areas, scores = masks.sum((1, 2)), ballots[:, :3].max(1)
    cells = find_cells((3, 4), [encode_rle(mask) for mask in masks])
    chosen = combine(cells.members, ballots, areas, "best")[cells.of_pixel]
    for y, x in np.ndindex(3, 4):
        here = [i for i in range(len(masks)) if masks[i, y, x]]
        key = lambda i: (ballots[i, 3] > 0, -scores[i], areas[i], i)  # noqa: E731
        expected = ballots[min(here, key=key)] if here else np.zeros(4)
        np.testing.assert_array_equal(chosen[y, x], expected)
