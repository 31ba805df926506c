"""From a photo's regions to its label map: classify, vote, fill what is under no mask, filter."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from query.classification import Classification, Classifier
from query.label_map import (
    UNCOVERED,
    count_labels,
    fill_uncovered,
    label_parts,
    patches_needed,
    smoothed_tokens,
)
from query.regions import SegmentedPhoto
from query.text_similarity import TextSimilarity
from schemas.ids import UNLABELLED
from schemas.settings import Matching

_PATCHES_AT_ONCE = 1024  # classified together: some arrays of 3.5 MB for 847 categories


class PhotoLabeller:
    """Classifies a photo's regions and gives every pixel a category.

    Masks overlap: `query.label_map.combine` says what those over a pixel decide together. Pixels
    under no mask are classified by the patches around them. With `filter`, categories that got a
    smaller share of the photo than that are dropped and it is labelled again with the others: the
    whole photo speaks against a category that only slivers resemble [the idea of a filter by
    image: OVDiff, who ask CLIP; by the share: ours].

    Attributes:
        classifier: of regions and patches.
    """

    def __init__(
        self, classifier: Classifier, settings: Matching, text: TextSimilarity | None = None
    ) -> None:
        """Takes what labels photos.

        Args:
            classifier: with the same settings.
            settings: the section `matching`.
            text: needed where text_weight is above 0.
        """
        self.classifier = classifier
        self._settings = settings
        self._text = text

    def label(
        self, photo: SegmentedPhoto, categories: Collection[int] | None = None
    ) -> tuple[Classification, NDArray[np.int32]]:
        """The regions' categories, and the label map (H, W) of category ids, UNLABELLED for none.

        Args:
            photo: divided into regions.
            categories: ids of the only categories to consider; None for all.

        Raises BankError if none of the categories has a reference.
        """
        embedded = self._embedded(photo)
        classification, labels = self._label(photo, categories, embedded)
        if self._settings.filter is not None:
            large = _large_categories(labels, self._settings.filter)
            if 0 < len(large) < len(classification.category_ids):
                classification, labels = self._label(photo, large, embedded)
        return classification, labels

    def _label(
        self,
        photo: SegmentedPhoto,
        categories: Collection[int] | None,
        embedded: NDArray[np.float32] | None,
    ) -> tuple[Classification, NDArray[np.int32]]:
        text = None
        if embedded is not None and self._text is not None:
            text = self._text.probabilities(embedded, self.classifier.candidates(categories))
        classification = self.classifier.classify(photo.features, categories, text)
        partition, ids = photo.partition, classification.category_ids
        of_part = label_parts(
            partition.members, classification.votes(), photo.areas, self._settings.overlap, ids
        )
        if not (self._settings.patch_fallback and partition.uncovered.any()):
            return classification, partition.spread(of_part)
        of_part[partition.uncovered] = UNCOVERED
        patches = self._patch_votes(photo, categories)
        labels = partition.spread(of_part)
        fill_uncovered(labels, patches, ids)
        return classification, labels

    def _patch_votes(
        self, photo: SegmentedPhoto, categories: Collection[int] | None
    ) -> NDArray[np.float32]:
        """(gh, gw, C + 1), 0 for patches that no uncovered pixel needs."""
        tokens, partition = photo.tokens, photo.partition
        grid = (tokens.shape[0], tokens.shape[1])
        needed = patches_needed(partition.uncovered_tiles(), partition.enlargement, grid)
        smooth = smoothed_tokens(tokens, self._settings.patch_smoothing)
        candidates = len(self.classifier.candidates(categories))
        votes = np.zeros((*grid, candidates + 1), np.float32)
        rows, columns = np.nonzero(needed)
        for start in range(0, len(rows), _PATCHES_AT_ONCE):
            at = (rows[start : start + _PATCHES_AT_ONCE], columns[start : start + _PATCHES_AT_ONCE])
            votes[at] = self.classifier.classify(smooth[at], categories).votes()
        return votes

    def _embedded(self, photo: SegmentedPhoto) -> NDArray[np.float32] | None:
        """(r, d) CLIP's embeddings of the regions; None where text has no weight."""
        if self._text is None:
            return None
        return self._text.embed_regions(photo.pixels, [region.mask for region in photo.regions])


def _large_categories(labels: NDArray[np.int32], share: float) -> list[int]:
    """The categories that have at least this share of the photo."""
    ids, pixels = count_labels(labels)
    large = (pixels >= share * labels.size) & (ids != UNLABELLED)
    return [int(i) for i in ids[large]]
