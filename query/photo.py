"""A photo cut into regions, before anything is named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from query.partition import Partition
from query.region_mask import RegionMask


@dataclass(frozen=True, eq=False)
class PhotoRegion:
    """A region at the photo's size, before it is matched.

    feature: (d,) float32, L2-normalised.
    """

    mask: RegionMask
    feature: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SegmentedPhoto:
    """A photo cut into regions; nothing in it depends on a bank.

    Attributes:
        pixels: uint8 (H, W, 3).
        tokens: (gh, gw, d) float32 patch tokens, not L2-normalised.
        regions: those that have a feature.
        partition: the photo cut along the edges of all regions.
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
