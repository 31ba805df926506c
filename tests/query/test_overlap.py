"""What several masks over one pixel say together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from query.enlargement import Enlargement
from query.label_map import label_parts
from query.overlap import Overlap, combine
from query.partition import Partition, find_partition
from query.region_mask import RegionMask
from schemas.ids import UNLABELLED

IDS = np.array([4, 5, 6], np.int32)


def partition(masks: np.ndarray) -> Partition:
    """Of masks (n, H, W) at the photo's size."""
    size = masks.shape[1:]
    return find_partition(Enlargement.of(size, size), [RegionMask.of_mask(mask) for mask in masks])


def resolve(
    masks: list[list[int]], votes: list[list[float]], overlap: Overlap = "best"
) -> list[int]:
    """The labels of a photo of one row; a ballot has the categories 4, 5, 6 and "none"."""
    stack = np.array(masks, bool)[:, None, :]
    found, votes = partition(stack), np.array(votes, np.float32)
    labels = label_parts(found.members, votes, stack.sum((1, 2)), overlap, IDS)
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
        labels = label_parts(members, np.zeros((0, 4), np.float32), areas, overlap, IDS)
        assert labels.tolist() == [UNLABELLED]


def test_parts_labelled_a_few_at_a_time_are_labelled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    members, votes = random.random((50, 6)) > 0.5, random.random((6, 4)).astype(np.float32)
    areas = random.integers(1, 90, 6)
    for overlap in ("vote", "best"):
        monkeypatch.setattr("query.label_map._VALUES_AT_ONCE", 1 << 22)
        whole = label_parts(members, votes, areas, overlap, IDS)
        monkeypatch.setattr("query.label_map._VALUES_AT_ONCE", 13)
        np.testing.assert_array_equal(label_parts(members, votes, areas, overlap, IDS), whole)


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
    votes = combine(found.members, votes, areas, "vote")[found.of_tile]
    for y, x in np.ndindex(3, 4):
        here = [i for i in range(len(masks)) if masks[i, y, x]]
        total = sum(1 / areas[i] for i in here)
        expected = sum((votes[i] / areas[i] / total for i in here), np.zeros(4))
        np.testing.assert_allclose(votes[y, x], expected, atol=1e-6)


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
