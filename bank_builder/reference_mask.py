"""The mask of a reference image: all prompt points as one SAM prompt, and the mask to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.localise import Localisation
from foundation.images.masks import mask_iou
from foundation.interfaces import Segmenter
from schemas.sections import Reference as ReferenceSettings

FILLED = 0.9
"""A mask above this share of a photo fills it. SAM often leaves out some pixels along the frame, so
its masks of a whole photo do not reach 1."""


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
    """Segment the category in its reference image with SAM [paper]; choose among the masks [ours].

    All points are one positive prompt. Of the masks that SAM answers with, the one that agrees best
    with the binarised attention map is taken, among those whose predicted quality reaches
    `settings.min_quality` or, where none does, among all (the gates reject it then).

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
    """Segment what a photo shows where its points are; there is no attention to agree with [ours].

    All points are one positive prompt. Of the masks that SAM answers with, the one of the best
    predicted quality is taken, among those whose quality reaches `settings.min_quality` and whose
    area lies within `min_area` and `max_area`. Masks that fill the photo come after the others:
    a mask of the whole photo is a good one of whatever is in it. Where they are all there is, as
    of a photo of grass, the best of them is taken. Where no mask is within the bounds, the best of
    those with enough quality, or else of all: the gates reject it and say why.

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
