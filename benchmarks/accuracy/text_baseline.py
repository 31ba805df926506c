"""The cross-modal baseline: regions classified by CLIP's similarity to a sentence alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from miniature.training.scenes import square_crop
from query.label_map import UNCOVERED, Overlap, label_parts
from query.regions import SegmentedPhoto
from query.text_similarity import TextSimilarity, cut_out

Image = NDArray[np.uint8]


def cut_outs(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region, with what lies outside the region in its mean colour."""
    masks = [region.mask for region in photo.regions]
    return [cut_out(photo.pixels, mask.box, mask.cropped()) for mask in masks]


def squares(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region with all that is in it."""
    return [square_crop(photo.pixels, region.mask.decoded()) for region in photo.regions]


def text_labels(
    photo: SegmentedPhoto,
    crops: Sequence[Image],
    evidence: TextSimilarity,
    category_ids: NDArray[np.int32],
    overlap: Overlap,
    elsewhere: NDArray[np.int32],
) -> NDArray[np.int32]:
    """Labels a photo by text alone.

    Args:
        photo: cut into r regions.
        images: of each region.
        evidence: of all categories.
        category_ids: (C,) ascending, those of the vocabulary.
        overlap: as in the settings `matching`.
        elsewhere: (H, W) labels for the pixels under no region, which have no crop.

    Returns:
        (H, W) int32 category ids.
    """
    probabilities = evidence.probabilities(evidence.embed(crops), category_ids)
    votes = np.pad(probabilities, ((0, 0), (0, 1)))  # nothing is "none of these"
    partition = photo.partition
    of_part = label_parts(partition.members, votes, photo.areas, overlap, category_ids)
    of_part[partition.uncovered] = UNCOVERED
    labels = partition.spread(of_part)
    return np.where(labels == UNCOVERED, elsewhere, labels)
