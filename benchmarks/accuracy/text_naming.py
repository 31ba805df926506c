"""The cross-modal baseline: regions named by CLIP's similarity to a sentence, references aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foundation.masks import decode_rle
from miniature.regions import square_crop
from query.cells import Overlap, combine
from query.label_map import label_pixels
from query.photo import SegmentedPhoto
from query.text_evidence import TextEvidence, cut_out

Image = NDArray[np.uint8]


def cut_outs(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region, with what lies outside the region in its mean colour."""
    return [cut_out(photo.pixels, decode_rle(region.rle)) for region in photo.regions]


def squares(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region with all that is in it."""
    return [square_crop(photo.pixels, decode_rle(region.rle)) for region in photo.regions]


def text_labels(
    photo: SegmentedPhoto,
    pictures: Sequence[Image],
    evidence: TextEvidence,
    category_ids: NDArray[np.int32],
    overlap: Overlap,
    elsewhere: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Label a photo by text alone.

    Args:
        photo: cut into r regions.
        pictures: of each region.
        evidence: of all categories.
        category_ids: (C,) ascending, those that may be named.
        overlap: as in the settings `matching`.
        elsewhere: (H, W) labels for the pixels under no region, which have no picture.

    Returns:
        (H, W) int32 category ids.
    """
    probabilities = evidence.probabilities(evidence.embed(pictures), category_ids)
    ballots = np.pad(probabilities, ((0, 0), (0, 1)))  # nothing is "none of these"
    cells = combine(photo.cells.members, ballots, photo.areas, overlap)
    labels = label_pixels(photo.cells, cells, category_ids)
    return np.where(photo.cells.uncovered, elsewhere, labels)
