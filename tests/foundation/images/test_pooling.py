"""Coverage and pooled features against sums written out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from foundation.images.pooling import patch_coverage, pool_regions
from schemas.errors import ImageError

SIDES = st.integers(1, 12)
RANDOM = np.random.default_rng(0)


def coverage_by_hand(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Every mask pixel becomes gh * gw small squares, every patch H * W: then it is counting."""
    height, width = mask.shape
    fine = np.kron(mask, np.ones(grid))
    return fine.reshape(grid[0], height, grid[1], width).mean(axis=(1, 3))


@given(arrays.arrays(np.bool_, st.tuples(SIDES, SIDES)), st.tuples(SIDES, SIDES))
def test_coverage_is_the_exact_area_fraction(mask: np.ndarray, grid: tuple[int, int]) -> None:
    coverage = patch_coverage(mask, grid)
    assert coverage.dtype == np.float32
    assert coverage.shape == grid
    np.testing.assert_allclose(coverage, coverage_by_hand(mask, grid), atol=1e-6)


def test_a_pixel_cut_by_a_patch_edge_counts_on_both_sides() -> None:
    mask = np.array([[False, True, False]])
    np.testing.assert_allclose(patch_coverage(mask, (1, 2)), [[1 / 3, 1 / 3]], rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_features_are_the_weighted_mean(seed: int) -> None:
    random = np.random.default_rng(seed)
    tokens = random.normal(size=(3, 4, 5)).astype(np.float32)
    masks = random.random((6, 10, 9)) < 0.3
    features, valid = pool_regions(tokens, masks)
    for mask, feature in zip(masks, features, strict=True):
        weights = coverage_by_hand(mask, (3, 4))
        total = np.zeros(5)
        for row in range(3):
            for column in range(4):
                total += weights[row, column] * tokens[row, column]
        np.testing.assert_allclose(feature, total / np.linalg.norm(total), atol=1e-5)
    assert valid.all()


def test_a_region_and_the_rest_take_their_own_tokens() -> None:
    tokens = np.zeros((2, 2, 3), np.float32)
    tokens[:, 0] = (3, 0, 0)
    tokens[:, 1] = (0, 0, 2)
    left = np.zeros((8, 8), bool)
    left[:, :4] = True
    features, valid = pool_regions(tokens, np.stack([left, ~left]))
    np.testing.assert_allclose(features, [[1, 0, 0], [0, 0, 1]])
    assert valid.tolist() == [True, True]


def test_without_pixels_or_direction_there_is_no_feature() -> None:
    tokens = np.array([[[1, 0], [-1, 0]]], np.float32)
    masks = np.array([np.zeros((4, 8)), np.ones((4, 8)), np.eye(4, 8)], bool)
    features, valid = pool_regions(tokens, masks)
    assert valid.tolist() == [False, False, True]
    assert features.tolist() == [[0, 0], [0, 0], [1, 0]]


def test_the_thinnest_mask_still_has_a_feature() -> None:
    mask = np.zeros((1, 700, 900), bool)
    mask[0, 333, 444] = True
    tokens = RANDOM.normal(size=(37, 48, 8)).astype(np.float32)
    features, valid = pool_regions(tokens, mask)
    assert valid.all()
    expected = tokens[333 * 37 // 700, 444 * 48 // 900]
    np.testing.assert_allclose(features[0], expected / np.linalg.norm(expected), rtol=1e-5)


def test_no_regions_no_features() -> None:
    features, valid = pool_regions(np.ones((2, 2, 7), np.float32), np.zeros((0, 5, 5), bool))
    assert features.shape == (0, 7)
    assert valid.shape == (0,)


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="at least 1 x 1"):
        patch_coverage(np.zeros((0, 3), bool), (2, 2))
