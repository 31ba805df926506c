"""The regions of a photo: masks at its size, their features, and the partition by all masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from query.enlargement import Enlargement
from query.partition import Partition, find_partition
from query.region_features import region_features
from query.region_mask import RegionMask

if TYPE_CHECKING:
    import torch

    from foundation.interfaces import ImageEmbedding, Segmenter

_PIXELS_AT_ONCE = 1 << 24  # of logits at the working size: 64 MB


@dataclass(frozen=True, eq=False)
class PhotoRegion:
    """A region at the photo's size, before it is matched.

    feature: (d,) float32, L2-normalised.
    """

    mask: RegionMask
    feature: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SegmentedPhoto:
    """A photo divided into regions; nothing in it depends on a bank.

    Attributes:
        pixels: uint8 (H, W, 3).
        tokens: (gh, gw, d) float32 patch tokens, not L2-normalised.
        regions: those that have a feature.
        partition: the photo divided along the edges of all regions.
    """

    pixels: NDArray[np.uint8]
    tokens: NDArray[np.float32]
    regions: tuple[PhotoRegion, ...]
    partition: Partition

    @property
    def features(self) -> NDArray[np.float32]:
        """(r, d) float32, of the regions."""
        features = [region.feature for region in self.regions]
        return np.array(features, np.float32).reshape(-1, self.tokens.shape[2])

    @property
    def areas(self) -> NDArray[np.int64]:
        """(r,) pixels, of the regions."""
        return np.array([region.mask.area for region in self.regions], np.int64)


def find_regions(
    logits: torch.Tensor,
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    pixels: NDArray[np.uint8],
    tokens: NDArray[np.float32],
) -> SegmentedPhoto:
    """Turns the logits of masks into the regions of a photo; those without a feature are left out.

    Everything happens at the working size; what the photo's size adds along the edges is worked
    out there alone. Features are pooled as the bank's were.

    Args:
        logits: (n, h', w') at SAM's low resolution, one region each.
        segmenter: whose logits these are.
        embedding: of the photo.
        pixels: the photo, uint8 (H, W, 3).
        tokens: its patch tokens, (gh, gw, d) float32.
    """
    height, width = embedding.working_size
    enlargement = Enlargement.of(embedding.original_size, (height, width))
    at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    masks = [
        RegionMask.of_logits(one, enlargement)
        for start in range(0, len(logits), at_once)
        for one in segmenter.working_logits(embedding, logits[start : start + at_once])
    ]
    features, valid = region_features(tokens, masks, enlargement)
    regions = tuple(PhotoRegion(masks[i], features[i]) for i in np.flatnonzero(valid).tolist())
    partition = find_partition(enlargement, [region.mask for region in regions])
    return SegmentedPhoto(pixels, tokens, regions, partition)
