"""Labelling: every pixel of a photo that was cut into regions gets a category."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from query.classification import Classification, Namer
from query.label_map import (
    UNCOVERED,
    count_labels,
    fill_uncovered,
    label_parts,
    patches_needed,
    smoothed_tokens,
)
from query.photo import SegmentedPhoto
from query.region_mask import RegionMask
from query.text_evidence import TextEvidence, cut_out
from schemas.ids import UNLABELLED
from schemas.settings import Matching

_PATCHES_AT_ONCE = 1024  # named together: some arrays of 3.5 MB for 847 categories
_PIXELS_AT_ONCE = 1 << 26  # of regions that are embedded together: 192 MB


class PhotoLabeller:
    """Names a photo's regions and settles every pixel.

    Masks overlap: `query.overlap.combine` says what those over a pixel decide together. Pixels
    under no mask are named by the patches around them. With `filter`, categories that got a
    smaller share of the photo than that are dropped and it is labelled again with the others: the
    whole photo speaks against a category that only slivers look like [the idea of a filter by
    image: OVDiff, who ask CLIP; by the share: ours].

    Attributes:
        namer: names regions and patches.
    """

    def __init__(self, namer: Namer, settings: Matching, text: TextEvidence | None = None) -> None:
        """
        Args:
            namer: with the same settings.
            settings: the section `matching`.
            text: needed where text_weight is above 0.
        """
        self.namer = namer
        self._settings = settings
        self._text = text

    def label(
        self, photo: SegmentedPhoto, categories: Collection[int] | None = None
    ) -> tuple[Classification, NDArray[np.int32]]:
        """The regions' names, and the label map (H, W) of category ids, UNLABELLED for none.

        Args:
            photo: cut into regions.
            categories: ids of the only categories to consider; None for all.

        Raises BankError if none of the categories has a reference.
        """
        embedded = self._embedded(photo)
        naming, labels = self._label(photo, categories, embedded)
        if self._settings.filter is not None:
            kept = _sizeable(labels, self._settings.filter)
            if 0 < len(kept) < len(naming.category_ids):
                naming, labels = self._label(photo, kept, embedded)
        return naming, labels

    def _label(
        self,
        photo: SegmentedPhoto,
        categories: Collection[int] | None,
        embedded: NDArray[np.float32] | None,
    ) -> tuple[Classification, NDArray[np.int32]]:
        text = None
        if embedded is not None and self._text is not None:
            text = self._text.probabilities(embedded, self.namer.candidates(categories))
        naming = self.namer.name(photo.features, categories, text)
        partition, ids = photo.partition, naming.category_ids
        of_part = label_parts(
            partition.members, naming.votes(), photo.areas, self._settings.overlap, ids
        )
        if not (self._settings.patch_fallback and partition.uncovered.any()):
            return naming, partition.spread(of_part)
        of_part[partition.uncovered] = UNCOVERED
        patches = self._patch_ballots(photo, categories)
        labels = partition.spread(of_part)
        fill_uncovered(labels, patches, ids)
        return naming, labels

    def _patch_ballots(
        self, photo: SegmentedPhoto, categories: Collection[int] | None
    ) -> NDArray[np.float32]:
        """(gh, gw, C + 1), 0 for patches that no uncovered pixel needs."""
        tokens, partition = photo.tokens, photo.partition
        grid = (tokens.shape[0], tokens.shape[1])
        needed = patches_needed(partition.uncovered_tiles(), partition.enlargement, grid)
        smooth = smoothed_tokens(tokens, self._settings.patch_smoothing)
        candidates = len(self.namer.candidates(categories))
        votes = np.zeros((*grid, candidates + 1), np.float32)
        rows, columns = np.nonzero(needed)
        for start in range(0, len(rows), _PATCHES_AT_ONCE):
            at = (rows[start : start + _PATCHES_AT_ONCE], columns[start : start + _PATCHES_AT_ONCE])
            votes[at] = self.namer.name(smooth[at], categories).votes()
        return votes

    def _embedded(self, photo: SegmentedPhoto) -> NDArray[np.float32] | None:
        """(r, d) the regions as CLIP sees them; None where text has no weight."""
        if self._text is None:
            return None
        masks = [region.mask for region in photo.regions]
        embedded = [
            self._text.embed([cut_out(photo.pixels, mask.box, mask.cropped()) for mask in some])
            for some in _bounded(masks)
        ]
        return np.concatenate(embedded) if embedded else self._text.embed([])


def _bounded(masks: Sequence[RegionMask]) -> Iterator[list[RegionMask]]:
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


def _sizeable(labels: NDArray[np.int32], share: float) -> list[int]:
    """The categories that have at least this share of the photo."""
    ids, pixels = count_labels(labels)
    large = (pixels >= share * labels.size) & (ids != UNLABELLED)
    return [int(i) for i in ids[large]]
