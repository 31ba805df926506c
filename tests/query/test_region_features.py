"""Features of masks that are held small, against pooling at the photo's size."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.images.pooling import patch_coverage, pool_regions
from query.enlargement import Enlargement
from query.region_features import CoverageOfPatches, region_features
from query.region_mask import RegionMask
from tests.query.enlarged import smooth_logits

CASES = [
    ((48, 64), (48, 64), (5, 7)),
    ((48, 64), (480, 640), (5, 7)),  # 96 rows and 91.4 columns a patch
    ((48, 64), (333, 445), (37, 49)),
    ((2, 128), (37, 1999), (37, 148)),  # patches smaller than tiles
    ((1, 128), (1, 3000), (1, 4)),
]


@pytest.mark.parametrize(("working", "size", "grid"), CASES, ids=str)
def test_equals_pooling_at_the_photos_size(
    working: tuple[int, int], size: tuple[int, int], grid: tuple[int, int]
) -> None:
    logits = smooth_logits(5, 6, working)
    logits[3] = -1
    enlargement = Enlargement.of(size, working)
    masks = [RegionMask.of_logits(one, enlargement) for one in logits]
    decoded = np.stack([mask.decoded() for mask in masks])
    coverage = CoverageOfPatches(enlargement, grid)
    for mask, pixels in zip(masks, decoded, strict=True):
        np.testing.assert_allclose(coverage.of(mask), patch_coverage(pixels, grid), atol=2e-5)
    tokens = np.random.default_rng(0).standard_normal((*grid, 16)).astype(np.float32)
    features, valid = region_features(tokens, masks, enlargement)
    expected, expected_valid = pool_regions(tokens, decoded)
    assert valid.tolist() == expected_valid.tolist() == [True, True, True, False, True, True]
    np.testing.assert_allclose(features, expected, atol=1e-4)
    if working == size:
        np.testing.assert_array_equal(features, expected)


def test_no_masks_no_features() -> None:
    tokens = np.ones((2, 3, 4), np.float32)
    features, valid = region_features(tokens, [], Enlargement.of((20, 30), (10, 15)))
    assert features.shape == (0, 4)
    assert valid.shape == (0,)
