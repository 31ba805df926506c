"""Masks of every shape and size through all that is done with them; run lengths by strangers."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from foundation.images.masks import decode_rle, encode_rle, mask_box, mask_iou
from foundation.images.pooling import patch_coverage, pool_regions
from foundation.images.reading import MAX_PIXELS, decode_png, encode_png
from query.enlargement import Enlargement
from query.fuse import fuse_masks
from query.partition import find_partition
from query.proposals import MaskProposals
from query.region_mask import RegionMask
from schemas.errors import ImageError
from schemas.rle import Rle

# pycocotools 2.0.11 under numpy 2.4, from its decoder; rim does not call that.
COCO_WARNING = "ignore:__array__ implementation doesn't accept:DeprecationWarning"

SIDES = st.one_of(st.integers(1, 9), st.sampled_from([1, 2, 31, 64, 257]))


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """(n, h, w) bool: empty, full, of one pixel, of a line, a box, a chequered or any pattern."""
    height, width = draw(SIDES), draw(SIDES)
    stack = []
    for _ in range(draw(st.integers(1, 4))):
        mask = np.zeros((height, width), bool)
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        kind = draw(st.sampled_from(["empty", "full", "pixel", "row", "column", "box", "any"]))
        if kind == "full":
            mask[:] = True
        elif kind == "pixel":
            mask[y, x] = True
        elif kind == "row":
            mask[y] = True
        elif kind == "column":
            mask[:, x] = True
        elif kind == "box":
            mask[y : draw(st.integers(y, height)), x : draw(st.integers(x, width))] = True
        elif kind == "any":
            seed = draw(st.integers(0, 1 << 20))
            mask = np.random.default_rng(seed).random((height, width)) < draw(st.floats(0, 1))
        stack.append(mask)
    return np.stack(stack)


@pytest.mark.filterwarnings(COCO_WARNING)
@given(masks())
def test_run_lengths_area_and_box_are_cocos(stack: np.ndarray) -> None:
    for mask in stack:
        rle = encode_rle(mask)
        theirs = {"size": list(rle.size), "counts": rle.counts.encode()}
        np.testing.assert_array_equal(decode_rle(rle), mask)
        np.testing.assert_array_equal(coco.decode(theirs).astype(bool), mask)
        box = mask_box(mask)
        assert list(box) == coco.toBbox(theirs).tolist() or not mask.any()
        x, y, width, height = box
        assert mask.sum() == mask[y : y + height, x : x + width].sum() == coco.area(theirs)
        small = RegionMask.of_mask(mask)
        assert (small.rle, small.area, small.box) == (rle, mask.sum(), box)


@given(masks(), SIDES, SIDES)
def test_pooling_agrees_with_counting_pixels(stack: np.ndarray, rows: int, columns: int) -> None:
    """The coverage of all patches together is the mask's share; features have length 1 or 0."""
    tokens = np.random.default_rng(0).normal(size=(rows, columns, 3)).astype(np.float32)
    for mask in stack:
        coverage = patch_coverage(mask, (rows, columns))
        assert coverage.mean(dtype=np.float64) == pytest.approx(mask.mean(), abs=1e-5)
        assert 0 <= coverage.min() <= coverage.max() <= 1
    features, valid = pool_regions(tokens, stack)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), valid, atol=1e-5)
    assert not valid[~stack.any(axis=(1, 2))].any()


@given(masks())
def test_fused_regions_are_a_partition_of_the_proposals(stack: np.ndarray) -> None:
    regions = fuse_masks(stack)
    members = sorted(member for group in regions for member in group)
    assert members == np.flatnonzero(stack.any(axis=(1, 2))).tolist()
    for group in regions:
        whole = stack[group[0]]
        for member in group[1:]:
            smaller = min(whole.sum(), stack[member].sum())
            assert (whole & stack[member]).sum() / smaller > 0.9
    ones, logits = np.ones(len(stack), np.float32), torch.from_numpy(np.where(stack, 1, -1)).half()
    united = MaskProposals(stack, logits, ones, ones).united_logits(regions)
    for group, union in zip(regions, united.numpy() > 0, strict=True):
        np.testing.assert_array_equal(union, np.logical_or.reduce(stack[list(group)], axis=0))


@given(masks())
def test_a_partition_says_which_masks_lie_over_each_pixel(stack: np.ndarray) -> None:
    size = stack.shape[1:]
    found = find_partition(Enlargement.of(size, size), [RegionMask.of_mask(one) for one in stack])
    np.testing.assert_array_equal(found.members[found.of_tile], np.moveaxis(stack, 0, -1))
    assert len(np.unique(found.members, axis=0)) == len(found.members)
    np.testing.assert_array_equal(found.uncovered_tiles(), ~stack.any(axis=0))
    assert mask_iou(stack[0], stack[0]) == float(stack[0].any())


NUMBERS = st.one_of(st.integers(-3, 9), st.integers(-(2**70), 2**70), st.just(MAX_PIXELS + 1))
CODES = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=30),
    st.sampled_from(["o" * 30, "oooooooooooo7", "0" * 5000, "P" * 12 + "0", "\0", "n" * 11 + "O"]),
)


@given(NUMBERS, NUMBERS, CODES)
@example(0, 2**63, "")  # no pixels, but a side that no array can have
def test_any_run_lengths_are_a_mask_or_refused(height: int, width: int, counts: str) -> None:
    rle = Rle((height, width), counts)
    with contextlib.suppress(ImageError):
        mask = decode_rle(rle)
        assert mask.shape == (height, width)
        assert mask.size == 0 or np.array_equal(decode_rle(encode_rle(mask)), mask)


LABELS = arrays.arrays(np.uint16, st.tuples(SIDES, SIDES), elements=st.integers(0, 65535))


@given(LABELS)
def test_label_maps_survive_as_png(labels: np.ndarray) -> None:
    decoded = decode_png(encode_png(labels))
    assert decoded.dtype == np.uint16
    np.testing.assert_array_equal(decoded, labels)
