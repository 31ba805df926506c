"""The mask of a reference image: which one is chosen, and why an image is rejected by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bank_builder.localise import Localisation
from bank_builder.reference_mask import (
    ReferenceMask,
    localisation_reason,
    mask_reason,
    segment_photo,
    segment_reference,
)
from foundation.interfaces import ImageEmbedding, MaskCandidates
from schemas.sections import Reference
from schemas.sections import Reference as ReferenceSettings

SETTINGS = Reference(min_quality=0.5, min_agreement=0.2)
IMAGE = np.zeros((10, 10, 3), np.uint8)


class Candidates:
    """A segmenter whose three masks are the first rows of the image, with a quality each."""

    def __init__(self, rows: tuple[int, int, int], quality: tuple[float, float, float]) -> None:
        self.masks = np.stack([np.arange(100).reshape(10, 10) < 10 * count for count in rows])
        self.quality = torch.tensor([quality])
        self.points: NDArray[np.float32] = np.empty(0, np.float32)

    def embed(self, image: NDArray[np.uint8]) -> ImageEmbedding:
        return ImageEmbedding(torch.zeros(1), (10, 10), (10, 10), (10, 10))

    def predict(self, embedding: ImageEmbedding, points: NDArray[np.float32]) -> MaskCandidates:
        self.points = points
        return MaskCandidates(torch.from_numpy(self.masks)[None] * 2.0 - 1, self.quality)

    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> NDArray[np.bool_]:
        return (logits > 0).numpy()


def localisation(rows: int, everywhere: bool = False) -> Localisation:
    binary = np.zeros((10, 10), dtype=bool)
    binary[:rows] = True
    return Localisation(binary, binary.astype(np.float32), 0.5, everywhere)


POINTS = np.array([[1, 2], [3, 4]], np.int32)


def test_the_mask_that_agrees_best_with_the_attention_is_kept() -> None:
    segmenter = Candidates((2, 5, 9), (0.9, 0.6, 0.9))

    found = segment_reference(segmenter, IMAGE, localisation(4), POINTS, SETTINGS)

    assert found.mask.sum() == 50
    assert found.agreement == 0.8
    assert found.score is not None
    assert np.isclose(found.score, 0.6)


def test_a_mask_of_poor_quality_is_kept_only_if_there_is_no_other() -> None:
    chosen = [
        segment_reference(Candidates((4, 5, 9), quality), IMAGE, localisation(4), POINTS, SETTINGS)
        for quality in ((0.1, 0.6, 0.6), (0.1, 0.2, 0.3))
    ]

    assert [int(one.mask.sum()) for one in chosen] == [50, 40]


def test_all_points_are_one_prompt_in_x_y() -> None:
    segmenter = Candidates((2, 5, 9), (0.9, 0.6, 0.9))

    segment_reference(segmenter, IMAGE, localisation(4), POINTS, SETTINGS)

    assert segmenter.points.tolist() == [[[1, 2], [3, 4]]]


def test_stuff_is_the_whole_image_if_sam_finds_only_specks_in_it() -> None:
    everywhere = localisation(10, everywhere=True)

    found = segment_reference(
        Candidates((0, 1, 1), (0.9, 0.9, 0.9)), IMAGE, everywhere, POINTS, SETTINGS
    )

    assert found.mask.all()
    assert (found.score, found.agreement) == (None, 1.0)


def test_stuff_is_the_whole_image_if_sams_masks_are_poor() -> None:
    everywhere = localisation(10, everywhere=True)

    found = segment_reference(
        Candidates((8, 8, 8), (0.1, 0.1, 0.1)), IMAGE, everywhere, POINTS, SETTINGS
    )

    assert found.mask.all()


def test_stuff_is_what_sam_says_if_its_mask_is_good_and_large() -> None:
    everywhere = localisation(10, everywhere=True)

    found = segment_reference(
        Candidates((1, 3, 7), (0.9, 0.9, 0.9)), IMAGE, everywhere, POINTS, SETTINGS
    )

    assert found.mask.sum() == 70
    assert found.score is not None


@pytest.mark.parametrize(
    ("rows", "quality", "chosen"),
    [
        ((3, 4, 10), (0.6, 0.7, 0.99), 4),  # a car, and a mask of all there is
        ((10, 10, 10), (0.6, 0.7, 0.99), 10),  # grass
        ((3, 4, 10), (0.3, 0.4, 0.99), 10),  # the smaller ones are poor
        ((0, 10, 10), (0.9, 0.7, 0.99), 10),  # or empty
        ((3, 9, 10), (0.6, 0.8, 0.99), 9),  # large, but something is left
        ((3, 4, 10), (0.1, 0.2, 0.3), 10),  # none is good: the best, which the gates reject
    ],
)
def test_of_a_photo_a_good_mask_that_leaves_something_is_preferred(
    rows: tuple[int, int, int], quality: tuple[float, float, float], chosen: int
) -> None:
    found = segment_photo(Candidates(rows, quality), IMAGE, POINTS, SETTINGS)

    assert found.mask.sum() == 10 * chosen
    assert found.agreement is None


def test_no_mask_of_a_photo_is_above_the_bound_if_another_is_not() -> None:
    strict = SETTINGS.model_copy(update={"max_area": 0.5})

    found = segment_photo(Candidates((3, 8, 10), (0.6, 0.8, 0.99)), IMAGE, POINTS, strict)

    assert found.mask.sum() == 30


LIMITS = ReferenceSettings(min_quality=0.5, min_agreement=0.2, min_area=0.01, max_area=0.9)


def localised(rows: int, everywhere: bool = False) -> Localisation:
    """The first `rows` of 10 are the category."""
    binary = np.zeros((10, 10), dtype=bool)
    binary[:rows] = True
    return Localisation(binary, binary.astype(np.float32), 0.5, everywhere)


def reference(pixels: int, score: float | None = 0.9, agreement: float = 0.8) -> ReferenceMask:
    """A mask of the first `pixels` of 100."""
    return ReferenceMask((np.arange(100) < pixels).reshape(10, 10), score, agreement)


def test_a_map_without_foreground_is_rejected_before_segmenting() -> None:
    assert localisation_reason(localised(0)) == "no foreground in the attention map"
    assert localisation_reason(localised(1)) is None


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (reference(30), None),
        (reference(0), "empty mask"),
        (reference(1), None),
        (reference(95), "mask too large (above 0.9 of the image)"),
        (reference(30, score=0.4), "predicted quality below 0.5"),
        (reference(30, score=0.5), None),
        (reference(30, agreement=0.1), "agreement of mask and attention below 0.2"),
        (reference(30, agreement=0.2), None),
        (reference(30, score=None), None),
        (reference(0, score=0.1, agreement=0.0), "empty mask"),
    ],
)
def test_the_reason_names_what_was_found_and_what_was_asked(
    mask: ReferenceMask, reason: str | None
) -> None:
    assert mask_reason(mask, localised(5), LIMITS) == reason


def test_a_speck_is_no_reference() -> None:
    strict = LIMITS.model_copy(update={"min_area": 0.05})

    reason = mask_reason(reference(1), localised(5), strict)

    assert reason == "mask too small (below 0.05 of the image)"


def test_one_image_does_not_say_whether_its_category_may_fill_it() -> None:
    assert mask_reason(reference(100), localised(5), ReferenceSettings()) is None


@pytest.mark.parametrize(
    ("pixels", "agreement", "reason"),
    [
        (74, 0.19, "agreement of mask and attention below 0.2"),
        (75, 0.19, None),  # stuff: as much as Otsu marks of a map without structure
        (100, 0.1, None),
        (100, 0.09, "agreement of mask and attention below 0.1"),  # the attention is a spot
    ],
)
def test_of_a_large_mask_half_the_agreement_is_enough(
    pixels: int, agreement: float, reason: str | None
) -> None:
    mask = reference(pixels, agreement=agreement)

    assert mask_reason(mask, localised(1), ReferenceSettings()) == reason


def test_a_bound_of_ones_own_is_not_asked_where_the_map_has_no_contrast() -> None:
    everywhere = localised(10, everywhere=True)

    assert mask_reason(reference(100), everywhere, LIMITS) is None
    assert mask_reason(reference(100), localised(10), LIMITS) is not None
