"""Algorithm 1 against its own text, word by word, and its edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from bank_builder.points import centre_ellipse, centre_points, sample_points

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))


def algorithm_1(binary: NDArray[np.bool_], n: int) -> list[tuple[int, int]]:
    """The supplement's algorithm line by line, in (x, y).

    X is the set of foreground pixels, B the background, L = B and the points so far. Two things
    that the text does not say: B contains a frame of one pixel around the map, and of equally
    far pixels the first in row-major order is taken. It ends when the largest distance is 0.
    """
    height, width = binary.shape
    grid = [(y, x) for y in range(-1, height + 1) for x in range(-1, width + 1)]
    foreground = [(y, x) for y in range(height) for x in range(width) if binary[y, x]]
    background = [pixel for pixel in grid if pixel not in set(foreground)]
    points: list[tuple[int, int]] = []
    for _ in range(n):
        seen = background + points
        distances = [min((y - v) ** 2 + (x - u) ** 2 for v, u in seen) for y, x in foreground]
        if not distances or max(distances) == 0:
            break
        points.append(foreground[distances.index(max(distances))])
    return [(x, y) for y, x in points]


@given(masks, st.integers(0, 12))
@example(np.ones((6, 8), dtype=bool), 5)  # no background
@example(np.zeros((6, 8), dtype=bool), 5)  # no foreground
@example(np.eye(1, dtype=bool), 3)  # one pixel, more points than pixels
@settings(max_examples=150, deadline=None)
def test_the_points_are_those_of_the_algorithms_text(binary: NDArray[np.bool_], n: int) -> None:
    assert list(map(tuple, sample_points(binary, n).tolist())) == algorithm_1(binary, n)


@given(masks, st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_points_are_distinct_foreground_pixels(binary: NDArray[np.bool_], n: int) -> None:
    points = sample_points(binary, n, scores=np.zeros(binary.shape))

    assert points.dtype == np.int32
    assert len(points) == min(n, int(binary.sum()))
    assert binary[points[:, 1], points[:, 0]].all()
    assert len({tuple(point) for point in points.tolist()}) == len(points)


def test_a_mask_at_the_border_has_its_first_point_inside_not_in_the_corner() -> None:
    binary = np.zeros((9, 20), dtype=bool)
    binary[:, :9] = True

    assert sample_points(binary, 1).tolist() == [[4, 4]]


def test_points_are_x_then_y() -> None:
    binary = np.zeros((5, 30), dtype=bool)
    binary[2, 20] = True

    assert sample_points(binary, 4).tolist() == [[20, 2]]


def test_an_empty_mask_has_no_points() -> None:
    assert sample_points(np.zeros((4, 6), dtype=bool), 4).shape == (0, 2)


def test_a_map_without_background_starts_at_its_maximum() -> None:
    scores = np.zeros((11, 11))
    scores[2, 7] = 1.0

    points = sample_points(np.ones((11, 11), dtype=bool), 3, scores)

    assert points[0].tolist() == [7, 2]
    assert points[1].tolist() == [4, 6]  # as far as possible from the frame and from the first


def test_a_flat_map_without_background_starts_in_the_middle() -> None:
    full = np.ones((7, 7), dtype=bool)

    assert sample_points(full, 1, np.full((7, 7), 0.5)).tolist() == [[3, 3]]
    assert (sample_points(full, 5) == sample_points(full, 5, np.zeros((7, 7)))).all()


def test_scores_play_no_part_where_there_is_background() -> None:
    binary = np.ones((7, 7), dtype=bool)
    binary[0, 0] = False
    scores = np.zeros((7, 7))
    scores[6, 6] = 1.0

    assert sample_points(binary, 4, scores).tolist() == sample_points(binary, 4).tolist()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (40, 60), (333, 128)])
def test_centre_points_lie_in_the_middle_half(size: tuple[int, int]) -> None:
    points = centre_points(size, 4)
    height, width = size
    x, y = (points[:, 0] + 0.5) / width - 0.5, (points[:, 1] + 0.5) / height - 0.5
    assert 1 <= len(points) <= 4
    assert len({tuple(point) for point in points.tolist()}) == len(points)
    assert ((x / 0.25) ** 2 + (y / 0.25) ** 2 <= 1.001).all() or min(size) == 1
    if min(size) > 30:
        assert len(points) == 4
        assert np.hypot(x[0], y[0]) < 0.05
        assert centre_ellipse(size).mean() == pytest.approx(np.pi / 16, abs=0.01)
