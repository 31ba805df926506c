"""The cross-modal baseline: regions named by CLIP's similarity to a sentence, references aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from foundation.masks import decode_rle, mask_box
from miniature.regions import square_crop
from query.cells import Overlap, combine
from query.label_map import label_pixels
from query.photo import SegmentedPhoto
from query.text_evidence import TextEvidence, cut_out

Image = NDArray[np.uint8]


def cut_outs(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region, with what lies outside the region in mid grey."""
    return [cut_out(photo.pixels, decode_rle(region.rle)) for region in photo.regions]


def squares(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region with all that is in it."""
    return [square_crop(photo.pixels, decode_rle(region.rle)) for region in photo.regions]


def on_mean_colour(photo: SegmentedPhoto) -> list[Image]:
    """The square around each region, with what lies outside the region, or the photo, in the
    region's mean colour. A picture in mid grey looks like nothing that CLIP has seen: large stuff
    with holes where things stand is then named as a thing.
    """
    return [_on_mean_colour(photo.pixels, decode_rle(region.rle)) for region in photo.regions]


def _on_mean_colour(image: Image, mask: NDArray[np.bool_]) -> Image:
    left, top, width, height = mask_box(mask)
    box = slice(top, top + height), slice(left, left + width)
    colour = np.rint(image[mask].mean(axis=0)).astype(np.uint8)
    side = max(width, height)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = colour
    down, right = (side - height) // 2, (side - width) // 2
    crop = np.where(mask[box][:, :, None], image[box], colour)
    square[down : down + height, right : right + width] = crop
    return square


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
