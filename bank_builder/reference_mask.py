"""The mask of a reference image: chosen among SAM's, and refused where it cannot be a good one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.localise import Localisation
from bank_builder.rejection import LARGE
from foundation.images.masks import mask_iou
from foundation.interfaces import Segmenter
from schemas.sections import Reference as ReferenceSettings

FILLED = 0.9
"""A mask above this share of a photo fills it. SAM often leaves out some pixels along the frame, so
its masks of a whole photo do not reach 1."""

# Reasons as they are stored in a bank.
BLACK_IMAGE = "black image (safety checker)"
NO_FOREGROUND = "no foreground in the attention map"
EMPTY_MASK = "empty mask"

_OF_LARGE = 0.5
"""The share of `min_agreement` that is asked of a large mask. The lowest agreement of 144 images of
the drawn stuff was 0.19; a spot of attention beside the thing, with a mask of what lies around it,
has some hundredths."""


@dataclass(frozen=True)
class ReferenceMask:
    """The region of the category in a reference image.

    Attributes:
        mask: (H, W) bool.
        score: SAM's predicted IoU of the mask; None where the mask is not SAM's: a person's, or
            the whole image because no mask of SAM's was better.
        agreement: IoU of the mask and the binarised attention map, in [0, 1]; None where there is
            no attention.
    """

    mask: NDArray[np.bool_]
    score: float | None = None
    agreement: float | None = None


def segment_reference(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    localisation: Localisation,
    points: NDArray[np.int32],
    settings: ReferenceSettings,
) -> ReferenceMask:
    """Segments the category in its reference image with SAM [paper]; chooses a mask [ours].

    All points are one positive prompt. Of the masks that SAM answers with, the one that agrees best
    with the binarised attention map is taken, among those whose predicted quality reaches
    `settings.min_quality` or, where none does, among all (`mask_reason` rejects it then).

    Where the attention is everywhere, the image is all foreground unless SAM says otherwise: its
    best mask is taken if the quality reaches `min_quality` and the mask covers at least
    `min_agreement` of the image, the whole image if not.

    Args:
        image: (H, W, 3) uint8.
        localisation: of the same size.
        points: (n, 2) int32, (x, y) pixels, n >= 1.
    """
    masks, quality = _candidates(segmenter, image, points)
    agreement = np.array([mask_iou(mask, localisation.binary) for mask in masks])
    good = quality >= settings.min_quality
    eligible = good if good.any() else np.ones_like(good)
    best = int(np.where(eligible, agreement, -1.0).argmax())
    if localisation.everywhere and not (good[best] and agreement[best] >= settings.min_agreement):
        return ReferenceMask(np.ones(image.shape[:2], dtype=bool), None, 1.0)
    return ReferenceMask(masks[best], float(quality[best]), float(agreement[best]))


def segment_photo(
    segmenter: Segmenter,
    image: NDArray[np.uint8],
    points: NDArray[np.int32],
    settings: ReferenceSettings,
) -> ReferenceMask:
    """Segments what a photo shows where its points are; there is no attention to agree with [ours].

    All points are one positive prompt. Of the masks that SAM answers with, the one of the best
    predicted quality is taken, among those whose quality reaches `settings.min_quality` and whose
    area lies within `min_area` and `max_area`. Masks that fill the photo come after the others:
    a mask of the whole photo is a good one of whatever is in it. Where they are all there is, as
    of a photo of grass, the best of them is taken. Where no mask is within the bounds, the best of
    those with enough quality, or else of all: `mask_reason` rejects it.

    Args:
        image: (H, W, 3) uint8.
        points: (n, 2) int32, (x, y) pixels, n >= 1.
    """
    masks, quality = _candidates(segmenter, image, points)
    area = masks.mean(axis=(1, 2))
    good = quality >= settings.min_quality
    fitting = good & (area >= settings.min_area) & (area <= settings.max_area)
    preferred = (fitting & (area <= FILLED), fitting, good)
    eligible = next((some for some in preferred if some.any()), np.ones_like(good))
    best = int(np.where(eligible, quality, -np.inf).argmax())
    return ReferenceMask(masks[best], float(quality[best]))


def _candidates(
    segmenter: Segmenter, image: NDArray[np.uint8], points: NDArray[np.int32]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """SAM's masks (c, H, W) for all points as one prompt, and their predicted qualities (c,)."""
    embedding = segmenter.embed(image)
    candidates = segmenter.predict(embedding, points[None].astype(np.float32))
    masks = segmenter.upsample(embedding, candidates.logits[0])
    quality: NDArray[np.float32] = candidates.predicted_iou[0].float().cpu().numpy()
    return masks, quality


def localisation_reason(localisation: Localisation) -> str | None:
    """The reason to reject an image before it is segmented, or None."""
    return None if localisation.binary.any() else NO_FOREGROUND


def given_mask_reason(reference: ReferenceMask) -> str | None:
    """The reason to reject an image whose mask a person drew: only an empty mask [ours]."""
    return None if reference.mask.any() else EMPTY_MASK


def mask_reason(
    reference: ReferenceMask, localisation: Localisation | None, settings: ReferenceSettings
) -> str | None:
    """The reason to reject an image because of its mask, None if it is a good reference [ours].

    A reason names the bound alone, so that images can be counted by it; the image's own numbers
    stand in the columns mask_area, sam_score and attention_agreement.

    An empty mask comes first, then the area (a fraction of the image; the upper bound lets all pass
    by default, and stuff where the map has no contrast), then SAM's predicted quality (not asked
    where the mask is not SAM's), then the IoU of mask and binarised attention (not asked where
    there is no attention: a photo, whose localisation is None). The idea of rejecting references,
    and of storing the rejected ones to look at, is ReME's.

    Of a large mask `_OF_LARGE` of the agreement is enough. Its IoU is the share of the image that
    Otsu marks, which of stuff, whose map has no structure, is a half or a fifth. Whether a mask is
    larger than it should be, `bank_builder.rejection.find_too_large` finds by comparison.
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
