"""The mask of a reference image: all prompt points as one SAM prompt, and the mask to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.localise import Localisation
from bank_builder.models import PromptableSegmenter
from foundation.masks import mask_iou
from schemas.sections import Reference as ReferenceSettings


@dataclass(frozen=True)
class ReferenceMask:
    """The region of the category in a reference image.

    Attributes:
        mask: (H, W) bool.
        score: SAM's predicted IoU of the mask; None where the mask is the whole image
            because no mask of SAM's was better.
        agreement: IoU of the mask and the binarised attention map, in [0, 1].
    """

    mask: NDArray[np.bool_]
    score: float | None
    agreement: float


def segment_reference(
    segmenter: PromptableSegmenter,
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
    embedding = segmenter.embed(image)
    candidates = segmenter.predict(embedding, points[None].astype(np.float32))
    masks = segmenter.upsample(embedding, candidates.logits[0])
    quality = candidates.predicted_iou[0].float().cpu().numpy()
    agreement = np.array([mask_iou(mask, localisation.binary) for mask in masks])
    good = quality >= settings.min_quality
    eligible = good if good.any() else np.ones_like(good)
    best = int(np.where(eligible, agreement, -1.0).argmax())
    if localisation.everywhere and not (good[best] and agreement[best] >= settings.min_agreement):
        return ReferenceMask(np.ones(image.shape[:2], dtype=bool), None, 1.0)
    return ReferenceMask(masks[best], float(quality[best]), float(agreement[best]))
