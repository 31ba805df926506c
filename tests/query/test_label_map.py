"""Which region gets a pixel, and what happens to pixels that no region wants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from query.label_map import (
    UNLABELLED,
    above_background,
    fill_uncovered,
    paint,
    paint_order,
    patch_of_pixels,
    uncovered_patches,
)


def resolve(masks: list[list[int]], ids: list[int], scores: list[float]) -> list[int]:
    """Regions in a photo of one row."""
    stack = np.array(masks, dtype=bool)[:, None, :]
    categories, values = np.array(ids, np.int32), np.array(scores, np.float32)
    order = paint_order(categories, values, stack.sum(axis=(1, 2)))
    labels, _ = paint((1, stack.shape[2]), ((stack[i], ids[i]) for i in order))
    return [int(label) for label in labels[0]]


def test_the_higher_score_wins() -> None:
    assert resolve([[1, 1, 1, 0], [0, 1, 1, 1]], [4, 5], [0.9, 0.8]) == [4, 4, 4, 5]
    assert resolve([[1, 1, 1, 0], [0, 1, 1, 1]], [4, 5], [0.8, 0.9]) == [4, 5, 5, 5]


def test_of_equal_scores_the_smaller_region_wins_then_the_earlier() -> None:
    assert resolve([[1, 1, 1, 1], [0, 1, 1, 0]], [4, 5], [0.5, 0.5]) == [4, 5, 5, 4]
    assert resolve([[0, 1, 1, 0], [1, 1, 1, 1]], [4, 5], [0.5, 0.5]) == [5, 4, 4, 5]
    assert resolve([[1, 1, 0], [0, 1, 1]], [4, 5], [0.5, 0.5]) == [4, 4, 5]


def test_a_rejected_region_wins_no_pixel_but_keeps_those_of_nobody_else() -> None:
    assert resolve([[1, 1, 1], [0, 0, 1]], [UNLABELLED, 5], [0.9, 0.1]) == [-1, -1, 5]


def test_rejected_pixels_are_covered_and_unmasked_ones_are_not() -> None:
    mask = np.array([[True, False]])
    labels, covered = paint((1, 2), [(mask, UNLABELLED)])
    assert labels.tolist() == [[-1, -1]]
    assert covered.tolist() == [[True, False]]


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.tuples(
            arrays(np.bool_, (n, 6)),
            st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=n, max_size=n),
            st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        )
    )
)
def test_equals_a_choice_pixel_by_pixel(
    regions: tuple[np.ndarray, list[float], list[int]],
) -> None:
    masks, scores, ids = regions
    expected = []
    for pixel in range(masks.shape[1]):
        here = [i for i in range(len(ids)) if masks[i, pixel] and ids[i] != -1]
        best = min(here, key=lambda i: (-scores[i], masks[i].sum(), i), default=None)
        expected.append(-1 if best is None else ids[best])
    assert resolve(masks.tolist(), ids, scores) == expected


def test_background_is_what_is_similar_to_nothing() -> None:
    ids = np.array([1, 2, 3], np.int32)
    similarity = np.array([0.1, 0.5, 0.9], np.float32)
    assert above_background(ids, similarity, None).tolist() == [1, 2, 3]
    assert above_background(ids, similarity, 0.5).tolist() == [-1, 2, 3]


@pytest.mark.parametrize(
    ("length", "patches", "owner"),
    [(4, 2, [0, 0, 1, 1]), (2, 4, [1, 3]), (3, 2, [0, 1, 1]), (5, 1, [0] * 5)],
)
def test_patch_of_pixels(length: int, patches: int, owner: list[int]) -> None:
    assert patch_of_pixels(length, patches).tolist() == owner


def test_uncovered_pixels_take_the_label_of_their_patch() -> None:
    labels = np.array([[7, 7, 7, 7], [7, -1, -1, -1]], np.int32)
    covered = np.array([[1, 1, 1, 1], [1, 0, 0, 1]], bool)  # the last one was rejected
    patches = np.array([[1, 2]], np.int32)
    assert uncovered_patches(covered, (1, 2)).tolist() == [[True, True]]
    assert fill_uncovered(labels, covered, patches).tolist() == [[7, 7, 7, 7], [7, 1, 2, -1]]


def test_only_patches_with_uncovered_pixels_are_asked_for() -> None:
    covered = np.ones((4, 4), bool)
    covered[3, 0] = False
    assert uncovered_patches(covered, (2, 2)).tolist() == [[False, False], [True, False]]
    assert not uncovered_patches(np.ones((4, 4), bool), (2, 2)).any()
