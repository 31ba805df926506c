"""What one reference image is rejected for, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from bank_builder.localise import Localisation
from bank_builder.reference_mask import ReferenceMask, localisation_reason, mask_reason
from schemas.sections import Reference as ReferenceSettings

SETTINGS = ReferenceSettings(min_quality=0.5, min_agreement=0.2, min_area=0.01, max_area=0.9)


def localisation(rows: int, everywhere: bool = False) -> Localisation:
    """The first `rows` of 10 are the category."""
    binary = np.zeros((10, 10), dtype=bool)
    binary[:rows] = True
    return Localisation(binary, binary.astype(np.float32), 0.5, everywhere)


def reference(pixels: int, score: float | None = 0.9, agreement: float = 0.8) -> ReferenceMask:
    """A mask of the first `pixels` of 100."""
    return ReferenceMask((np.arange(100) < pixels).reshape(10, 10), score, agreement)


def test_a_map_without_foreground_is_rejected_before_segmenting() -> None:
    assert localisation_reason(localisation(0)) == "no foreground in the attention map"
    assert localisation_reason(localisation(1)) is None


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
    assert mask_reason(mask, localisation(5), SETTINGS) == reason


def test_a_speck_is_no_reference() -> None:
    strict = SETTINGS.model_copy(update={"min_area": 0.05})

    reason = mask_reason(reference(1), localisation(5), strict)

    assert reason == "mask too small (below 0.05 of the image)"


def test_one_image_does_not_say_whether_its_category_may_fill_it() -> None:
    assert mask_reason(reference(100), localisation(5), ReferenceSettings()) is None


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

    assert mask_reason(mask, localisation(1), ReferenceSettings()) == reason


def test_a_bound_of_ones_own_is_not_asked_where_the_map_has_no_contrast() -> None:
    everywhere = localisation(10, everywhere=True)

    assert mask_reason(reference(100), everywhere, SETTINGS) is None
    assert mask_reason(reference(100), localisation(10), SETTINGS) is not None
