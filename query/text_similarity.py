"""Text similarity: CLIP's probabilities of the categories' names for the regions of a photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from foundation.interfaces import TextImageScorer
from foundation.prompts import category_prompt
from query.region_mask import Box, RegionMask
from schemas.records import CategoryRecord
from schemas.sections import Generation

Image = NDArray[np.uint8]

LOGIT_SCALE = 100.0
"""CLIP's own: the published models' learned temperature of 1 / 100."""

_PIXELS_AT_ONCE = 1 << 26  # of regions that are embedded together: 192 MB


def cut_out(image: Image, box: Box, inside: NDArray[np.bool_]) -> Image:
    """Cuts out the square around a region, for CLIP.

    What lies outside the region, or the photo, takes the region's mean colour [ours]. In grey
    surroundings CLIP takes stuff with holes in it for a thing.

    Args:
        image: uint8 (H, W, 3).
        box: (x, y, width, height) of the region.
        inside: (height, width) bool, the region's mask within its box.

    Returns:
        uint8 (side, side, 3), side the longer one of the region's box.
    """
    left, top, width, height = box
    shown = image[top : top + height, left : left + width]
    colour = np.rint(shown[inside].mean(axis=0)).astype(np.uint8)
    side = max(width, height)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = colour
    down, right = (side - height) // 2, (side - width) // 2
    square[down : down + height, right : right + width][inside] = shown[inside]
    return square


class TextSimilarity:
    """Computes how well the name of each category fits a region.

    The sentence of a category is the one that its images are generated from. The probability is
    the softmax, over the candidates, of LOGIT_SCALE times the cosine of sentence and region.
    """

    def __init__(
        self,
        scorer: TextImageScorer,
        categories: Sequence[CategoryRecord],
        generation: Generation,
    ) -> None:
        """Embeds the sentences of all categories."""
        sentences = [
            category_prompt(category.name, generation.template, generation.no_article).text
            for category in categories
        ]
        self._scorer = scorer
        self._rows = {category.category_id: row for row, category in enumerate(categories)}
        self._texts = scorer.embed_texts(sentences)

    def embed(self, regions: Sequence[Image]) -> NDArray[np.float32]:
        """(r, d) L2-normalised embeddings of images of regions, see `cut_out`."""
        return self._scorer.embed_images(regions)

    def embed_regions(self, image: Image, masks: Sequence[RegionMask]) -> NDArray[np.float32]:
        """(r, d) L2-normalised embeddings of the regions of a photo, see `cut_out`.

        Args:
            image: the photo, uint8 (H, W, 3).
            masks: r of that photo; only some large ones are cut out at a time.
        """
        embedded = [
            self.embed([cut_out(image, mask.box, mask.cropped()) for mask in group])
            for group in _groups(masks)
        ]
        return np.concatenate(embedded) if embedded else self.embed([])

    def probabilities(
        self, regions: NDArray[np.float32], category_ids: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(r, C) float32: of each embedded region, over the categories (C,) given."""
        texts = self._texts[[self._rows[int(i)] for i in category_ids]]
        return np.asarray(softmax(LOGIT_SCALE * regions @ texts.T, axis=1), np.float32)


def _groups(masks: Sequence[RegionMask]) -> Iterator[list[RegionMask]]:
    """Groups of masks whose squares have a bounded number of pixels, or of a single mask."""
    group: list[RegionMask] = []
    pixels = 0
    for mask in masks:
        square = max(mask.box[2:]) ** 2
        if group and pixels + square > _PIXELS_AT_ONCE:
            yield group
            group, pixels = [], 0
        group.append(mask)
        pixels += square
    if group:
        yield group
