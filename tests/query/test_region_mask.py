"""Masks held small, against the same masks at the photo's size."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco

from foundation.images.masks import decode_rle, encode_rle, mask_box
from query.enlargement import Enlargement
from query.region_mask import RegionMask
from tests.query.enlarged import cases, enlarged, smooth_logits

SIZES = [
    ((64, 96), (64, 96)),  # not enlarged
    ((96, 128), (97, 131)),
    ((96, 128), (900, 1200)),
    ((2, 128), (37, 1999)),
    ((128, 3), (1100, 25)),
    ((1, 128), (1, 3000)),
]


def check(mask: RegionMask, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(mask.decoded(), expected)
    assert mask.area == np.count_nonzero(expected)
    assert mask.box == mask_box(expected)
    x, y, width, height = mask.box
    np.testing.assert_array_equal(mask.cropped(), expected[y : y + height, x : x + width])
    theirs = coco.encode(np.asfortranarray(expected, np.uint8))
    assert (list(mask.rle.size), mask.rle.counts) == (theirs["size"], theirs["counts"].decode())


@pytest.mark.parametrize(("working", "size"), SIZES, ids=str)
def test_the_mask_is_that_of_enlarged_logits(
    working: tuple[int, int], size: tuple[int, int]
) -> None:
    logits = smooth_logits(3, 4, working)
    logits[2] = -1
    enlargement = Enlargement.of(size, working)
    for one, expected in zip(logits, enlarged(logits, size), strict=True):
        check(RegionMask.of_logits(one, enlargement), expected > 0)


@given(cases())
def test_all_that_is_said_of_a_mask_is_of_its_pixels(
    case: tuple[np.ndarray, Enlargement],
) -> None:
    logits, enlargement = case
    for one in logits:
        mask = RegionMask.of_logits(one, enlargement)
        pixels = mask.decoded()
        check(mask, pixels)
        check(RegionMask.of_mask(pixels), pixels)
        np.testing.assert_array_equal(decode_rle(mask.rle), pixels)


@given(cases())
def test_shares_of_tiles_are_of_their_pixels(case: tuple[np.ndarray, Enlargement]) -> None:
    logits, enlargement = case
    rows, columns = enlargement.rows.first[:-1], enlargement.columns.first[:-1]
    for one in logits:
        mask = RegionMask.of_logits(one, enlargement)
        sums = np.add.reduceat(mask.decoded().astype(int), rows, axis=0)
        sums = np.add.reduceat(sums, columns, axis=1)
        pixels = enlargement.rows.counts[:, None] * enlargement.columns.counts
        np.testing.assert_allclose(mask.tile_shares(), sums / pixels, rtol=1e-6)


def test_masks_of_the_same_pixels_are_equal_however_they_are_held() -> None:
    (logits,) = smooth_logits(1, 1, (12, 16))
    mask = RegionMask.of_logits(logits, Enlargement.of((50, 70), (12, 16)))
    at_photo_size, rle = RegionMask.of_mask(mask.decoded()), encode_rle(mask.decoded())
    assert mask == at_photo_size
    assert mask == rle
    assert rle == mask
    assert len({mask, at_photo_size, rle}) == 1
    assert mask != RegionMask.of_mask(~mask.decoded())
    assert mask != "a mask"
    again = pickle.loads(pickle.dumps(mask))
    assert again == mask
    assert again.area == mask.area


def test_a_mask_of_a_hundred_megapixels_is_small() -> None:
    (logits,) = smooth_logits(0, 1, (512, 512), sigma=40)
    mask = RegionMask.of_logits(logits, Enlargement.of((10_000, 10_000), (512, 512)))
    held = mask.whole.nbytes + mask.edge_tiles.nbytes + mask.edge_pixels.nbytes
    assert held < 500_000
    assert 0.2e8 < mask.area < 0.8e8
