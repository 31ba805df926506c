"""What makes one reference image unusable, looked at alone; the reason is stored in its row."""

from __future__ import annotations

from bank_builder.large_masks import LARGE
from bank_builder.localise import Localisation
from bank_builder.reference_mask import ReferenceMask
from schemas.sections import Reference as ReferenceSettings

BLACK_IMAGE = "black image (safety checker)"
NO_FOREGROUND = "no foreground in the attention map"
EMPTY_MASK = "empty mask"

_OF_LARGE = 0.5
"""Of `min_agreement`. The lowest agreement of 144 images of the drawn stuff was 0.19; a spot of
attention beside the thing, with a mask of what lies around it, has some hundredths."""


def localisation_reason(localisation: Localisation) -> str | None:
    """Why an image is rejected before any mask is sought, or None."""
    return None if localisation.binary.any() else NO_FOREGROUND


def given_mask_reason(reference: ReferenceMask) -> str | None:
    """Why an image is rejected whose mask a person drew: only for an empty one [ours]."""
    return None if reference.mask.any() else EMPTY_MASK


def mask_reason(
    reference: ReferenceMask, localisation: Localisation | None, settings: ReferenceSettings
) -> str | None:
    """Why an image is rejected because of its mask, or None if it is a good reference [ours].

    A reason names the bound alone, so that images can be counted by it; the image's own numbers
    stand in the columns mask_area, sam_score and attention_agreement.

    An empty mask comes first, then the area (a fraction of the image; the upper bound lets all pass
    by default, and stuff where the map has no contrast), then SAM's predicted quality (not asked
    where the mask is not SAM's), then the IoU of mask and binarised attention (not asked where
    there is no attention: a photo, whose localisation is None). The idea of rejecting references,
    and of keeping the rejected ones to look at, is ReME's.

    Of a large mask `_OF_LARGE` of the agreement is enough. Its IoU is the share of the image that
    Otsu marks, which of stuff, whose map has no structure, is a half or a fifth. Whether a mask is
    larger than it should be, `bank_builder.large_masks` finds by comparison.
    """
    everywhere = localisation is not None and localisation.everywhere
    area = float(reference.mask.mean())
    if area == 0:
        return EMPTY_MASK
    if area < settings.min_area:
        return f"mask too small (below {settings.min_area:g} of the image)"
    if area > settings.max_area and not everywhere:
        return f"mask too large (above {settings.max_area:g} of the image)"
    if reference.score is not None and reference.score < settings.min_quality:
        return f"predicted quality below {settings.min_quality:g}"
    least = settings.min_agreement * (_OF_LARGE if area >= LARGE else 1)
    if reference.agreement is not None and reference.agreement < least:
        return f"agreement of mask and attention below {least:g}"
    return None
