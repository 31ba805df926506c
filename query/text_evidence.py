"""What the categories' names say about regions: CLIP's similarity of a region and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from foundation.interfaces import TextImageScorer
from foundation.prompts import category_prompt
from schemas.records import CategoryRecord
from schemas.sections import Generation

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]

LOGIT_SCALE = 100.0
"""CLIP's own: the published models' learned temperature of 1 / 100."""


def cut_out(image: Image, box: Box, inside: NDArray[np.bool_]) -> Image:
    """The square around a region; what lies outside the region, or the photo, takes the region's
    mean colour [ours]. In grey surroundings CLIP takes stuff with holes in it for a thing.

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


class TextEvidence:
    """Probabilities of categories by their names.

    The sentence of a category is the one that its pictures are generated from. The probability is
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
        """(r, d) L2-normalised embeddings of pictures of regions, see `cut_out`."""
        return self._scorer.embed_images(regions)

    def probabilities(
        self, regions: NDArray[np.float32], category_ids: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """(r, C) float32: of each embedded region, over the categories (C,) given."""
        texts = self._texts[[self._rows[int(i)] for i in category_ids]]
        return np.asarray(softmax(LOGIT_SCALE * regions @ texts.T, axis=1), np.float32)
