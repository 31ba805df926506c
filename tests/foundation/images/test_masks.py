"""Run lengths, overlap, area and box of binary masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco

from foundation.images.masks import (
    Rle,
    decode_rle,
    encode_rle,
    encode_runs,
    mask_area_fraction,
    mask_box,
    mask_iou,
)
from schemas.errors import ImageError

# pycocotools 2.0.11 under numpy 2.4, from its decoder; rim does not call that.
COCO_WARNING = "ignore:__array__ implementation doesn't accept:DeprecationWarning"
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(MASKS)
def test_run_lengths_give_the_mask_back(mask: np.ndarray) -> None:
    decoded = decode_rle(encode_rle(mask))
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask)


@pytest.mark.filterwarnings(COCO_WARNING)
@given(MASKS)
def test_run_lengths_are_cocos(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    theirs = coco.decode({"size": list(rle.size), "counts": rle.counts.encode()})
    np.testing.assert_array_equal(theirs.astype(bool), mask)


@given(MASKS)
def test_runs_are_encoded_as_masks_are(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    edges = np.flatnonzero(np.diff(mask.ravel(order="F"), prepend=False))
    runs = np.diff(edges, prepend=0, append=mask.size)
    assert encode_runs(mask.shape, runs) == rle
    if len(runs) % 2 == 0:
        assert encode_runs(mask.shape, np.append(runs, 0)) == rle, "an empty run at the end"


@pytest.mark.parametrize("runs", [[3, 4], [], [20, -8], [13]], ids=str)
def test_runs_that_do_not_fill_the_mask_are_refused(runs: list[int]) -> None:
    with pytest.raises(ImageError, match=r"expected run lengths for \(3, 4\)"):
        encode_runs((3, 4), np.array(runs, np.int64))


def test_long_runs_survive() -> None:
    mask = np.zeros((1500, 2000), bool)
    mask[700:, 3:1990] = True
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@pytest.mark.parametrize(
    "rle",
    [
        Rle((3, 4), "0"),
        Rle((3, 4), "=1"),
        Rle((3, 4), "<<"),
        Rle((3, 4), ""),
        Rle((3, 4), "P"),
        Rle((3, 4), "é"),
        Rle((3, 4), "ooooooooooooooooooo"),
        Rle((-3, -4), "<"),
        Rle((3, 4), "AA"),
    ],
    ids=repr,
)
def test_damaged_run_lengths_are_refused(rle: Rle) -> None:
    with pytest.raises(ImageError, match="expected"):
        decode_rle(rle)


@pytest.mark.filterwarnings(COCO_WARNING)
@given(
    arrays.arrays(np.bool_, (4, 3)),
    st.integers(0, 11),
    st.sampled_from(["", *map(chr, range(40, 120))]),
)
def test_a_changed_character_is_refused_or_gives_cocos_mask(
    mask: np.ndarray, place: int, character: str
) -> None:
    counts = encode_rle(mask).counts
    counts = counts[:place] + character + counts[place + 1 :]
    try:
        mask = decode_rle(Rle((4, 3), counts))
    except ImageError:
        return
    theirs = coco.decode({"size": [4, 3], "counts": counts.encode()})
    np.testing.assert_array_equal(theirs.astype(bool), mask)


def test_only_bool_masks_are_encoded() -> None:
    with pytest.raises(ImageError, match="expected a bool mask"):
        encode_rle(np.zeros((2, 2), np.uint8))  # type: ignore[arg-type]


def test_iou() -> None:
    a = np.zeros((4, 4), bool)
    b = a.copy()
    assert mask_iou(a, b) == 0.0
    a[:2] = True
    assert mask_iou(a, b) == 0.0
    b[1:3] = True
    assert mask_iou(a, b) == mask_iou(b, a) == pytest.approx(4 / 12)
    assert mask_iou(a, a) == 1.0
    with pytest.raises(ImageError, match="one size"):
        mask_iou(a, b[:1])


def test_area_and_box() -> None:
    mask = np.zeros((10, 20), bool)
    assert mask_area_fraction(mask) == 0.0
    assert mask_box(mask) == (0, 0, 0, 0)
    mask[2:5, 7] = True
    mask[4, 11] = True
    assert mask_area_fraction(mask) == pytest.approx(4 / 200)
    assert mask_box(mask) == (7, 2, 5, 3)


@given(MASKS)
def test_box_is_cocos(mask: np.ndarray) -> None:
    rle = encode_rle(mask)
    theirs = coco.toBbox({"size": list(rle.size), "counts": rle.counts.encode()})
    assert list(mask_box(mask)) == theirs.tolist()
